//! Why a base image cannot be had.

use crate::layer::{ApplyError, UnpackError};
use crate::store::StoreError;
use registry_client::digest::{DiffId, Digest};
use std::io;
use std::path::PathBuf;

/// Why a base image cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum BaseError {
    /// The registry says no, or is not there.
    #[error(transparent)]
    Registry(#[from] registry_client::pull::PullError),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// No image for the platform.
    #[error("{name}: {why}")]
    Platform {
        /// The image.
        name: String,
        /// What was asked for, and what there is.
        why: String,
    },
    /// A document of the image cannot be understood.
    #[error("{name}: {what} {digest} cannot be understood: {why}")]
    Document {
        /// The image.
        name: String,
        /// Manifest, index or config.
        what: &'static str,
        /// Its digest.
        digest: Box<Digest>,
        /// Why.
        why: String,
    },
    /// Manifest and config contradict each other.
    #[error("{name}: the manifest has {layers} layers, the config {diff_ids}")]
    LayerCount {
        /// The image.
        name: String,
        /// In the manifest.
        layers: usize,
        /// In the config.
        diff_ids: usize,
    },
    /// An OCI layout that is none, or has no such image.
    #[error("{}: {why}", path.display())]
    Layout {
        /// The directory.
        path: PathBuf,
        /// What is wrong.
        why: String,
    },
    /// A layer nobody knows a source for.
    #[error("layer {0} is not in the store, and no manifest that was read has it")]
    UnknownLayer(DiffId),
    /// A layer cannot be unpacked.
    #[error("cannot unpack layer {layer}")]
    Unpack {
        /// The layer.
        layer: DiffId,
        /// Why.
        source: UnpackError,
    },
    /// A layer's bytes cannot be read or decompressed.
    #[error("cannot read layer {layer}")]
    Read {
        /// The layer.
        layer: DiffId,
        /// Why.
        source: io::Error,
    },
    /// A layer cannot be put on those below it.
    #[error("cannot put layer {layer} on the layers below it")]
    Fit {
        /// The layer.
        layer: DiffId,
        /// Why.
        source: io::Error,
    },
    /// A layer unpacks to something else than its config says.
    #[error(
        "a layer of the image should have DiffID {want}, but its bytes have {got}: the image is damaged or forged"
    )]
    DiffId {
        /// In the config.
        want: Box<DiffId>,
        /// Of the bytes.
        got: Box<DiffId>,
    },
    /// The files are needed, and owners can only be set in a user namespace.
    #[error("the files of an image are needed, which takes a user namespace")]
    NeedsUserNamespace,
}

impl BaseError {
    /// Whether a mirror sent wrong bytes, and who begins anew gets them from elsewhere.
    pub(crate) fn is_of_mirror(&self) -> bool {
        matches!(self, Self::Registry(error) if error.is_of_mirror())
    }

    /// Whether the bytes of a layer, and not this machine, may be to blame.
    pub(crate) fn is_of_content(&self) -> bool {
        use ApplyError::{Archive, LinkTarget, Name, NotADirectory, WhiteoutDevice};
        match self {
            Self::DiffId { .. } => true,
            Self::Unpack { source: UnpackError::Read(_), .. } => true,
            Self::Unpack { source: UnpackError::Apply(error), .. } => matches!(
                error,
                Archive(_) | Name { .. } | NotADirectory { .. } | LinkTarget { .. } | WhiteoutDevice { .. }
            ),
            _ => false,
        }
    }
}
