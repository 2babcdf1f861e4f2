//! `type=tar`: the root file system as one archive.

use super::ExportError;
use crate::image::StoredImage;
use crate::layer::{PackOptions, pack};
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

/// Writes the tree `root`, a view of all layers on each other, as an archive: owners, modes, links and xattrs as they are
/// in the image. `clamp` is the newest time in it.
///
/// # Errors
/// When something cannot be read, or `out` fails.
pub fn tree_archive(
    root: &Root,
    flavor: XattrFlavor,
    clamp: Option<SystemTime>,
    out: &mut dyn Write,
) -> Result<(), ExportError> {
    let path = PathBuf::from(format!("/proc/self/fd/{}/.", root.as_fd().as_raw_fd()));
    let options = PackOptions { clamp_mtime: clamp, ..PackOptions::default() };
    pack(&path, flavor, options, out)?;
    out.flush().map_err(ExportError::Stream)
}
