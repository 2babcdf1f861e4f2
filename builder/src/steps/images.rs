//! Layers of images: fetched when a step or an output needs them.

use super::StepWorker;
use super::error::Cause;
use super::state::{Layer, Rootfs};
use crate::graph::{Op, VertexId};
use crate::progress::{Event, StepId};
use registry_client::digest::DiffId;
use std::path::PathBuf;
use std::sync::PoisonError;
use std::time::Instant;

impl StepWorker {
    /// Unpacks layers of images. What is missing is fetched as part of the step that names the image.
    pub(super) async fn unpacked(&self, layers: &[DiffId]) -> Result<(), Cause> {
        let around = &self.around;
        if layers.iter().all(|layer| around.bases.is_unpacked(*layer)) {
            return Ok(());
        }
        if !around.privileged {
            return Err(Cause::NeedsUserNamespace);
        }
        let image = self.image_of(layers);
        let step = image.map_or(StepId(0), Self::step);
        let first =
            image.is_some_and(|id| self.unpacked.lock().unwrap_or_else(PoisonError::into_inner).insert(id));
        let started = Instant::now();
        if first {
            around.progress.send(Event::Started { step });
        }
        let result = around.bases.unpack(layers, step, image.map_or(0, |id| self.urgency(id))).await;
        if first {
            let elapsed = started.elapsed();
            around.progress.send(match &result {
                Ok(_) => Event::Finished { step, elapsed },
                Err(error) => Event::Failed { step, elapsed, error: error.to_string() },
            });
        }
        Ok(result.map(|_| ())?)
    }

    /// Whether all layers of images in a root file system are there.
    pub(super) fn is_unpacked(&self, rootfs: &Rootfs) -> bool {
        rootfs.layers.iter().all(|layer| match layer {
            Layer::Image(diff_id) => self.around.bases.is_unpacked(*diff_id),
            Layer::Snapshot(_) => true,
        })
    }

    /// The vertex of the image that has these layers at its bottom.
    fn image_of(&self, layers: &[DiffId]) -> Option<VertexId> {
        (0..self.graph.vertices.len()).map(VertexId).find(|id| match &self.vertex(*id).op {
            Op::Image(key) => {
                self.around.images.get(key).is_some_and(|base| base.config.rootfs.diff_ids == layers)
            }
            _ => false,
        })
    }

    /// Fetches the layers of `rootfs` that are missing, for an output that carries them.
    ///
    /// # Errors
    /// When they cannot be had.
    pub async fn fetch(&self, rootfs: &Rootfs) -> Result<(), Cause> {
        self.unpacked(&image_layers(rootfs)).await
    }

    /// The directories of a root file system, the top layer first, for an output of its files.
    ///
    /// # Errors
    /// When layers cannot be had.
    pub async fn lowers(&self, rootfs: &Rootfs) -> Result<Vec<PathBuf>, Cause> {
        if !self.around.privileged {
            return Err(Cause::NeedsUserNamespace);
        }
        self.directories(rootfs).await
    }

    /// Tells progress about images whose layers nobody needed.
    pub fn tell_unused_images(&self, needed: impl Iterator<Item = VertexId>) {
        let unpacked = self.unpacked.lock().unwrap_or_else(PoisonError::into_inner);
        for id in needed.filter(|id| matches!(self.vertex(*id).op, Op::Image(_)) && !unpacked.contains(id)) {
            self.around.progress.send(Event::Cached { step: Self::step(id) });
        }
    }
}

/// The layers of an image that are at the bottom of a root file system.
pub(super) fn image_layers(rootfs: &Rootfs) -> Vec<DiffId> {
    let layer = |layer: &Layer| match layer {
        Layer::Image(diff_id) => Some(*diff_id),
        Layer::Snapshot(_) => None,
    };
    rootfs.layers.iter().filter_map(layer).collect()
}
