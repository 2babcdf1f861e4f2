//! Base images: from a name to a config, and from a DiffID to an unpacked layer in the store.
//!
//! Resolving reads manifest and config only. Layers come later, when a step or an output needs their files: each is
//! downloaded, hashed, decompressed and unpacked in one pass, several at once.
//!
//! ```text
//! BaseKey ──resolve──▶ store? ─▶ registry / OCI layout ──▶ manifest and config in the store, image remembered by name
//! DiffId… ──stack────▶ unpack each, fit each to those below it ──▶ directories of an overlay mount
//! DiffId  ──unpack───▶ layers/? ─▶ blob in the store? ─▶ registry / OCI layout ──▶ layers/<diffid>
//! ```

mod error;
mod layer;
mod layout;
mod resolve;
mod stack;

pub use error::BaseError;
pub use resolve::{Resolved, Source};
pub use stack::stack;

use crate::progress::Progress;
use crate::solve::{Budget, STEP, TRANSFER};
use crate::store::{LayerDir, Store};
use registry_client::client::Client;
use registry_client::descriptor::Descriptor;
use registry_client::digest::DiffId;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::OnceCell;

/// Layers that are downloaded and unpacked at once when nothing else is done.
const LAYERS_AT_ONCE: usize = 4;

/// The base images of one build.
pub struct Bases {
    store: Store,
    client: Client,
    progress: Progress,
    /// Where each layer that was seen in a manifest can be had.
    known: Mutex<HashMap<DiffId, Known>>,
    /// Layers that were found or made. A store that is open loses none, so nobody looks for them twice.
    found: Mutex<HashMap<DiffId, LayerDir>>,
    /// One for each layer that is being unpacked or is there.
    unpacked: Mutex<HashMap<DiffId, Arc<OnceCell<PathBuf>>>>,
    /// The directories of stacks of layers, each layer fitted to those below it.
    stacked: Mutex<HashMap<Vec<DiffId>, Vec<PathBuf>>>,
    budget: Arc<Budget>,
}

/// Where a layer can be had.
#[derive(Clone, Debug)]
struct Known {
    descriptor: Descriptor,
    source: Source,
}

impl Bases {
    /// Bases that are kept in `store`, and come from registries by `client`.
    pub fn new(store: Store, client: Client, progress: Progress) -> Self {
        Self {
            store,
            client,
            progress,
            known: Mutex::default(),
            found: Mutex::default(),
            unpacked: Mutex::default(),
            stacked: Mutex::default(),
            budget: Budget::new(LAYERS_AT_ONCE * TRANSFER / STEP),
        }
    }

    /// The same, which fetch and unpack within `budget`.
    #[must_use]
    pub fn within(self, budget: &Arc<Budget>) -> Self {
        Self { budget: Arc::clone(budget), ..self }
    }

    /// The descriptor that the layer has in the manifest it came from.
    pub fn descriptor(&self, layer: DiffId) -> Option<Descriptor> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&layer).map(|known| known.descriptor.clone())
    }

    /// Where the layer was found.
    pub fn source(&self, layer: DiffId) -> Option<Source> {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(&layer).map(|known| known.source.clone())
    }

    /// Notes where the layers of an image can be had.
    pub fn learn_of(&self, image: &Resolved) {
        self.learn(&image.base.config.rootfs.diff_ids, &image.manifest.layers, &image.source);
    }

    /// Notes where the layers of a manifest can be had.
    fn learn(&self, layers: &[DiffId], descriptors: &[Descriptor], source: &Source) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        for (layer, descriptor) in layers.iter().zip(descriptors) {
            known.insert(*layer, Known { descriptor: descriptor.clone(), source: source.clone() });
        }
    }
}

impl std::fmt::Debug for Bases {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Bases").field("store", &self.store).finish_non_exhaustive()
    }
}
