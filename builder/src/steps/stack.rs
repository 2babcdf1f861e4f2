//! The layers of a root file system as directories, and what `/` is in them.
//!
//! A layer has no entry for `/` unless somebody wrote an archive with one. So `/` is what it is in the image at the bottom, or
//! what the last RUN that changed it made of it; a mount shows the top directory. Where that is another one (the layer of
//! COPY --link is the same on every base, and so is what early cutoff takes), an empty directory goes on top of it.

use super::StepWorker;
use super::error::Cause;
use super::images::image_layers;
use super::state::{Layer, Rootfs};
use crate::progress::StepId;
use crate::rootfs::RootAttributes;
use crate::store::{ActiveSnapshot, Store};
use std::path::PathBuf;

impl StepWorker {
    /// The directories of a root file system, the top layer first. Layers of images are fetched when they are missing.
    pub(super) async fn directories(&self, rootfs: &Rootfs) -> Result<Vec<PathBuf>, Cause> {
        let images = image_layers(rootfs);
        self.unpacked(&images).await?;
        let mut images = self.around.bases.stack(&images, StepId(0)).await?.into_iter();
        let snapshots = self.around.store.snapshots();
        let mut directories = Vec::with_capacity(rootfs.layers.len() + 1);
        let mut root = RootAttributes::DEFAULT;
        for layer in rootfs.layers.iter() {
            match layer {
                Layer::Image(_) => {
                    directories.extend(images.next());
                    if images.len() == 0 {
                        root = attributes(directories.last())?;
                    }
                }
                Layer::Snapshot(id) => {
                    let snapshot = snapshots.get(id).ok_or_else(|| Cause::Io {
                        doing: format!("find snapshot {id}"),
                        source: std::io::ErrorKind::NotFound.into(),
                    })?;
                    root = snapshot.meta.root.unwrap_or(root);
                    directories.push(snapshot.upper());
                }
            }
        }
        if attributes(directories.last())? != root {
            directories.push(bare(&self.around.store, root)?);
        }
        directories.reverse();
        Ok(directories)
    }

    /// Starts a snapshot on `lowers`, the top one first. Its own top directory is `/` of the mount, so it takes the
    /// owner and mode that `/` has in them.
    pub(super) fn begin(&self, lowers: &[PathBuf]) -> Result<ActiveSnapshot, Cause> {
        Ok(self.around.store.snapshots().begin_on(attributes(lowers.first())?)?)
    }
}

fn attributes(top: Option<&PathBuf>) -> Result<RootAttributes, Cause> {
    let of = |top: &PathBuf| {
        RootAttributes::of(top).map_err(Cause::io(format!("read owner and mode of {}", top.display())))
    };
    top.map_or(Ok(RootAttributes::DEFAULT), of)
}

/// An empty directory with these attributes, which lasts as long as the process.
fn bare(store: &Store, root: RootAttributes) -> Result<PathBuf, Cause> {
    let directory = store.scratch_dir()?;
    root.give(&directory).map_err(Cause::io("give a directory the owner and mode of /"))?;
    Ok(directory)
}
