//! What a step makes: a root file system, named by its content.

use crate::content::{ContentId, Encoder};
use crate::store::SnapshotId;
use registry_client::digest::{DiffId, chain_id};
use std::sync::Arc;

/// A root file system as a stack of layers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rootfs {
    /// The layers, base first.
    pub layers: Arc<[Layer]>,
    /// Names the content: that of the base, and what each step made of it. Equal ids mean equal files, times aside.
    pub content: ContentId,
}

/// One layer.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Layer {
    /// Of an image; perhaps not unpacked yet.
    Image(DiffId),
    /// What a step made.
    Snapshot(SnapshotId),
}

impl Rootfs {
    /// No files at all.
    pub fn empty() -> Self {
        Self::of_image(&[])
    }

    /// The root file system of an image.
    pub fn of_image(layers: &[DiffId]) -> Self {
        let mut encoder = Encoder::new("slipway image rootfs v1");
        if let Some(chain) = chain_id(layers) {
            encoder.text(&chain.to_string());
        }
        Self { layers: layers.iter().copied().map(Layer::Image).collect(), content: encoder.finish() }
    }

    /// This one with one more layer on top, whose content is `diff`.
    #[must_use]
    pub fn with(&self, snapshot: SnapshotId, diff: &ContentId) -> Self {
        let layers = self.layers.iter().cloned().chain([Layer::Snapshot(snapshot)]).collect();
        Self { layers, content: Self::content_with(&self.content, diff) }
    }

    /// The content id of a root file system with content `parent` once a layer of content `diff` lies on it.
    pub fn content_with(parent: &ContentId, diff: &ContentId) -> ContentId {
        Encoder::new("slipway rootfs v1").id(parent).id(diff).finish()
    }
}
