//! Images out of what a build decided: config, manifest and index, as bytes.
//!
//! Nothing here reads a clock: every time comes from the caller, so the same build gives the same bytes. What came with
//! the base image stays as it is: its history, its times, and fields that are not known here.

mod config;
mod manifest;
mod stored;
#[cfg(test)]
mod tests;

pub use config::{Changes, Step, assemble};
pub(crate) use manifest::to_json;
pub use manifest::{Dialect, Document, index, manifest};
pub(crate) use stored::keep_bytes;
pub use stored::{ImageLayer, StoredImage, keep, read};

use crate::store::StoreError;
use registry_client::digest::{DiffId, Digest};
use registry_client::manifest::SelectError;
use registry_client::media_type::MediaType;

/// An error of putting an image together, or of taking one apart.
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The config and the layers disagree.
    #[error("the config names {config} layers, there are {layers}")]
    LayerCount {
        /// `rootfs.diff_ids`.
        config: usize,
        /// Layers of the manifest.
        layers: usize,
    },
    /// The config and the layers disagree about one layer.
    #[error("layer {at} is {found}, the config says {wanted}")]
    Layer {
        /// Counted from 1, base first.
        at: usize,
        /// The DiffID of the layer.
        found: Box<DiffId>,
        /// The DiffID in the config.
        wanted: Box<DiffId>,
    },
    /// Docker's manifest has no media type for such a layer.
    #[error("Docker's image format has no layers of type {0}: use OCI media types (oci-mediatypes=true)")]
    NoDockerType(MediaType),
    /// A document does not follow its format.
    #[error("{what} {digest} cannot be understood: {why}")]
    Malformed {
        /// `config`, `manifest`...
        what: &'static str,
        /// The document.
        digest: Box<Digest>,
        /// What the reader said.
        why: String,
    },
    /// The manifest is of something else than an image.
    #[error("{digest} is no image: its config has type {media_type}")]
    NoImage {
        /// The manifest.
        digest: Box<Digest>,
        /// The type of its config.
        media_type: MediaType,
    },
    /// Of the platforms in an index, none is the wanted one.
    #[error(transparent)]
    Platform(#[from] SelectError),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
}
