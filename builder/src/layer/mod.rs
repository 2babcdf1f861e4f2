//! Layers: directories in overlayfs form, tar streams, compressed blobs, and the content ids of trees.
//!
//! A *layer directory* is what overlayfs keeps in an upper directory: changed files as they are, a removed name as a
//! character device 0:0, a directory that hides everything below it with the xattr `trusted.overlay.opaque` or
//! `user.overlay.opaque` set to `y` (which of the two: [`XattrFlavor`](crate::rootfs::XattrFlavor)). A *layer* is the tar
//! stream of the same (image-spec layer.md), where those two are written `.wh.name` and `.wh..wh..opq`.
//!
//! ```text
//! layer directory ──pack──▶ tar ──LayerWriter──▶ DiffId, copy of the tar, compressed blob and its digest
//! layer directory ◀─apply── tar ◀──Decoder──── blob       (unpack: all of it at once)
//! layer directory ──scan──▶ Tree ──▶ ContentId, differences
//! ```
//!
//! | module | what it holds |
//! | --- | --- |
//! | `archive` | the tar format: a bounded reader, a writer of headers |
//! | `walk` | one walk over a layer directory, in the order every layer has |
//! | [`pack`](mod@pack), [`apply`](mod@apply) | directory to tar, tar to directory |
//! | [`compress`] | gzip and zstd on all cores, same bytes for any number of them |
//! | [`pipeline`] | packing, hashing, compressing and writing at once |
//! | [`tree`] | what a layer directory holds, hashed without times |

pub mod apply;
pub(crate) mod archive;
pub mod compress;
pub mod pack;
pub mod pipeline;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
pub mod tree;
mod walk;
mod whiteout;
pub(crate) mod xattr;

pub use apply::{ApplyError, ApplyLimits, ApplyOptions, ApplyStats, apply};
pub use archive::ArchiveError;
pub use compress::{Compression, Decoder, Encoder};
pub use pack::{MtimePrecision, PackError, PackOptions, PackStats, Placed, pack, pack_several};
pub use pipeline::{BlobDigest, LayerDigests, LayerWriter, UnpackError, Unpacked, unpack};
pub use tree::{Change, Difference, ScanError, Tree, TreeEntry, TreeKind, scan};
pub use walk::WalkError;
