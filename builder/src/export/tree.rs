//! `type=tar`: the root file system as one archive.

use super::ExportError;
use crate::image::StoredImage;
use crate::layer::{PackOptions, Placed, pack_several};
use crate::rootfs::{Root, XattrFlavor};
use crate::store::Store;
use std::io::Write;
use std::os::fd::{AsFd, AsRawFd};
use std::path::PathBuf;
use std::time::SystemTime;

/// The unpacked layers of the image, top first, as overlay mounts take them.
///
/// # Errors
/// `NotUnpacked` for a layer that only a blob holds.
pub fn lower_directories(store: &Store, image: &StoredImage) -> Result<Vec<PathBuf>, ExportError> {
    let layer = |id| store.layers().get(id).map(|l| l.path).ok_or(ExportError::NotUnpacked(Box::new(id)));
    image.layers.iter().rev().map(|l| layer(l.diff_id)).collect()
}

/// A root file system, a view of all layers on each other, and where it goes.
#[derive(Debug)]
pub struct NamedTree {
    /// Name of the directory that it gets, where several trees go out together: `linux_arm64`.
    pub directory: Option<String>,
    /// The tree.
    pub root: Root,
}

/// Writes the trees as one archive: owners, modes, links and xattrs as they are in the image. `clamp` is the newest time
/// in it.
///
/// # Errors
/// When something cannot be read, or `out` fails; `MergedArchive` when several trees have no directory of their own.
pub fn tree_archive(
    trees: &[NamedTree],
    flavor: XattrFlavor,
    clamp: Option<SystemTime>,
    out: &mut dyn Write,
) -> Result<(), ExportError> {
    let own = trees.iter().filter(|tree| tree.directory.is_none()).count();
    if own > 1 {
        return Err(ExportError::MergedArchive);
    }
    let placed = trees.iter().map(|tree| Placed {
        upper: PathBuf::from(format!("/proc/self/fd/{}/.", tree.root.as_fd().as_raw_fd())),
        under: tree.directory.clone().unwrap_or_default().into_bytes(),
    });
    let options = PackOptions { clamp_mtime: clamp, ..PackOptions::default() };
    pack_several(&placed.collect::<Vec<_>>(), flavor, options, out)?;
    out.flush().map_err(ExportError::Stream)
}
