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

/// What names the result of a step to the keys of those that depend on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// What it made: a step that makes the same again leaves everything after it cached (early cutoff).
    ByContent,
    /// That it ran: each run has a name of its own, and so have all that depend on it (`--no-early-cutoff`).
    ByRun,
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
    pub fn with(&self, snapshot: SnapshotId, diff: &ContentId, named: Named) -> Self {
        let layers = self.layers.iter().cloned().chain([Layer::Snapshot(snapshot)]).collect();
        let content = match named {
            Named::ByContent => Self::content_with(&self.content, diff),
            Named::ByRun => {
                let mut encoder = Encoder::new("slipway rootfs by run v1");
                encoder.id(&self.content).text(&snapshot.to_string()).finish()
            }
        };
        Self { layers, content }
    }

    /// The content id of a root file system with content `parent` once a layer of content `diff` lies on it.
    pub fn content_with(parent: &ContentId, diff: &ContentId) -> ContentId {
        Encoder::new("slipway rootfs v1").id(parent).id(diff).finish()
    }
}
