//! Pushing (distribution-spec, "Push"): blobs first, manifests last.

pub mod source;

mod image;
mod manifest;
mod send;
mod stream;
mod upload;

pub use image::{BlobPush, ImagePush, OnStep, PushStep};
pub use manifest::PushedManifest;
pub use source::BlobSource;
pub use upload::{BlobOutcome, Mount, PushBlobOptions, UploadSession};

use crate::{
    digest::Digest, manifest::ConvertError, media_type::Family, pull::PullError,
    transport::error::RequestError,
};

/// Why a push failed.
#[derive(Debug, thiserror::Error)]
pub enum PushError {
    /// The registry gave no good answer, or what was to be sent could not be read.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The registry took something else than was sent.
    #[error("{reference}: {want} was pushed, and the registry says it took {got}")]
    Digest {
        /// Where to.
        reference: String,
        /// Of what was sent.
        want: Digest,
        /// By the registry.
        got: Box<Digest>,
    },
    /// The reference asks for another manifest than is being pushed.
    #[error("{reference} names another manifest than the one that is pushed, which is {digest}")]
    Reference {
        /// Where to.
        reference: String,
        /// Of the manifest.
        digest: Digest,
    },
    /// A media type that no header can carry.
    #[error("{reference}: {media_type:?} is no media type")]
    MediaType {
        /// Where to.
        reference: String,
        /// The text.
        media_type: String,
    },
    /// The list of referrers that a manifest is to be put on cannot be read.
    #[error("the manifest was pushed, but it cannot be listed with what it refers to: {0}")]
    Referrers(#[source] Box<PullError>),
    /// The registry refuses the media types, and the image cannot have the others.
    #[error("{}; nor can it be pushed with {family} media types: {why}", refused.without_advice())]
    Unconvertible {
        /// What the registry says.
        refused: Box<RequestError>,
        /// The others.
        family: Family,
        /// Why not; part of this error's text.
        why: Box<ConvertError>,
    },
    /// The registry refuses the media types of both families.
    #[error("{}; and with {family} media types: {}", refused.without_advice(), other.refusal())]
    NoMediaType {
        /// What it says of those the image has.
        refused: Box<RequestError>,
        /// The others.
        family: Family,
        /// What it says of those.
        other: Box<RequestError>,
    },
    /// Nothing says where to push to.
    #[error("there is no reference to push to")]
    NoReference,
}

#[cfg(test)]
mod tests;
