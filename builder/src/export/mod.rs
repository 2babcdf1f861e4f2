//! Images on their way out: OCI layouts, Docker archives, and the root file system alone.
//!
//! ```text
//! StoredImage ──prepare──▶ Package (layers in the form that is wanted, manifest of those) ──▶ push
//!                                     └▶ Bundle (names, one package per platform) ──oci, docker──▶ tar or directory
//! root file system (an overlay of the layers) ──tree, local──▶ tar or directory
//! ```
//! The same image gives the same bytes: entries are sorted, and no clock, user or host gets in. Everything streams; what
//! comes from the store is verified on the way, and a blob that was damaged fails the export instead of travelling on.

mod archive;
mod dest;
mod docker;
mod layout;
mod local;
mod oci;
mod prepare;
mod stored;
mod tree;
mod written;

#[cfg(test)]
pub(crate) mod tests;

pub use dest::write_file;
pub use docker::docker_archive;
pub use local::{LocalOptions, LocalStats, local_directory};
pub use oci::{oci_archive, oci_directory};
pub use prepare::{Bundle, Options, Package, PackedLayer, Source, compressed, prepare, remembered};
pub use stored::bundle_of;
pub use tree::{NamedTree, lower_directories, tree_archive};

use crate::image::ImageError;
use crate::layer::PackError;
use crate::store::StoreError;
use registry_client::digest::DiffId;
use registry_client::reference::ReferenceError;
use std::io;
use std::path::PathBuf;

/// An error of an export.
#[derive(Debug, thiserror::Error)]
pub enum ExportError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The image.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// A name is no reference.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// The root file system cannot be an archive.
    #[error(transparent)]
    Pack(#[from] PackError),
    /// A file outside the store cannot be used; the cause is in `source`.
    #[error("cannot {action} {}", path.display())]
    File {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// What is written to, a pipe or a stream, fails.
    #[error("cannot write the archive")]
    Stream(#[source] io::Error),
    /// A layer cannot be decompressed or compressed.
    #[error("layer {diff_id} cannot be {action}")]
    Convert {
        /// The layer.
        diff_id: Box<DiffId>,
        /// What was tried.
        action: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// A layer is not what the config says.
    #[error("the blob of layer {diff_id} unpacks to {found}: the image is broken; pull or build it again")]
    Layer {
        /// The layer of the config.
        diff_id: Box<DiffId>,
        /// What it is.
        found: Box<DiffId>,
    },
    /// A layer directory is missing.
    #[error("layer {0} is not unpacked")]
    NotUnpacked(Box<DiffId>),
    /// Files of two platforms go to the same place.
    #[error(
        "{} is in the result of two platforms: leave platform-split=false out, and each gets a directory of its own",
        .0.display()
    )]
    Overwrites(PathBuf),
    /// Several trees cannot be one archive without directories.
    #[error(
        "files of several platforms cannot be one archive: leave platform-split=false out, or use type=local"
    )]
    MergedArchive,
}

impl ExportError {
    /// An error of an [`io::Read`] or [`io::Write`] chain: one of ours that passed through it, or else that of `out`.
    fn from_stream(error: io::Error) -> Self {
        match error.downcast::<Self>() {
            Ok(ours) => ours,
            Err(error) => Self::Stream(error),
        }
    }
}
