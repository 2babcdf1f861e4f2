//! Garbage: what no image and no step record refers to any more.

use super::document;
use super::error::{At, StoreError};
use super::images::LIMIT;
use super::records::{Gone, StepRecord};
use super::snapshots::SnapshotId;
use super::uses::{Reaper, Thing};
use super::{LayerBlob, LayerDir, Store};
use crate::content::ContentId;
use registry_client::config::ImageConfig;
use registry_client::descriptor::Descriptor;
use registry_client::digest::{DiffId, Digest};
use registry_client::manifest::{Index, Manifest};
use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::SystemTime;

/// Why results go when only images stay.
const REMOVED: &str = "the image that it was part of was removed";

/// What stays without an image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Results of steps: the next build can use them.
    Cache,
    /// Nothing.
    Images,
}

/// What was collected.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Collected {
    /// Blobs.
    pub blobs: usize,
    /// Unpacked layers.
    pub layers: usize,
    /// Results of steps.
    pub snapshots: usize,
    /// Bytes of all those, as their files are long.
    pub bytes: u64,
}

impl Store {
    /// Moves everything aside that no image needs, and, as `keep` says, the results of steps; it is deleted when the
    /// store is closed. What a running build uses is not known here, so there may be none.
    ///
    /// # Errors
    /// `InUse` while another process has the store open; when something cannot be read or moved.
    pub fn collect(&self, keep: Keep) -> Result<Collected, StoreError> {
        self.exclusively(|store| Collector::mark(store, keep)?.sweep(REMOVED))
    }
}

/// What is to stay.
pub(super) struct Collector<'a> {
    store: &'a Store,
    pub(super) blobs: BTreeSet<Digest>,
    pub(super) layers: BTreeSet<DiffId>,
    pub(super) snapshots: BTreeSet<SnapshotId>,
}

impl<'a> Collector<'a> {
    fn mark(store: &'a Store, keep: Keep) -> Result<Self, StoreError> {
        let mut marked = Self::new(store);
        for image in store.images().list()? {
            marked.image(&image.descriptor);
        }
        if keep == Keep::Cache {
            marked.cache(&BTreeSet::new())?;
        }
        Ok(marked.closed(&store.layers().list()?))
    }

    /// Nothing is marked.
    pub(super) fn new(store: &'a Store) -> Self {
        let (blobs, layers, snapshots) = (BTreeSet::new(), BTreeSet::new(), BTreeSet::new());
        Self { store, blobs, layers, snapshots }
    }

    /// Marks what stands for the layers that are marked, where `unpacked` is every layer of the store.
    pub(super) fn closed(mut self, unpacked: &[LayerDir]) -> Self {
        for layer in unpacked {
            if self.layers.contains(&layer.meta.diff_id) {
                self.snapshots.extend(layer.snapshot);
            }
        }
        // Forms of a layer are as good as the layer.
        for layer in &self.layers {
            let forms = self.store.layers().blobs_of(*layer);
            self.blobs.extend(forms.iter().map(|form| form.digest).chain([layer.0]));
        }
        self
    }

    /// Marks what processes that live need; what is not marked then is claimed, and nobody can begin to use it.
    pub(super) fn spare_used(&mut self, reaper: &Reaper) -> Result<(), StoreError> {
        for snapshot in self.store.snapshots().list()? {
            let (id, name) = (snapshot.id, snapshot.id.to_string());
            if !self.snapshots.contains(&id) && !reaper.claim(Thing::Snapshot(&name)) {
                self.snapshots.insert(id);
            }
        }
        for layer in self.store.layers().list()? {
            let diff_id = layer.meta.diff_id;
            let name = self.store.layers().directory_name(&layer);
            if !self.layers.contains(&diff_id) && !reaper.claim(Thing::Layer(&name)) {
                self.layers.insert(diff_id);
                self.snapshots.extend(layer.snapshot);
            }
        }
        for blob in self.store.blobs().list()? {
            if !self.blobs.contains(&blob.digest) && !reaper.claim(Thing::Blob(&blob.digest.to_string())) {
                self.blobs.insert(blob.digest);
            }
        }
        Ok(())
    }

    /// Marks a document and what it refers to. What is absent or damaged refers to nothing.
    pub(super) fn image(&mut self, descriptor: &Descriptor) {
        if !self.blobs.insert(descriptor.digest) {
            return;
        }
        let Ok(text) = self.store.blobs().read(&descriptor.digest, LIMIT) else { return };
        if descriptor.media_type.is_index() {
            let Ok(index) = serde_json::from_slice::<Index>(&text) else { return };
            index.manifests.iter().chain(&index.subject).for_each(|child| self.image(child));
            return;
        }
        let Ok(manifest) = serde_json::from_slice::<Manifest>(&text) else { return };
        self.blobs.extend(manifest.layers.iter().map(|layer| layer.digest));
        self.blobs.insert(manifest.config.digest);
        manifest.subject.iter().for_each(|subject| self.image(subject));
        if let Ok(text) = self.store.blobs().read(&manifest.config.digest, LIMIT)
            && let Ok(config) = serde_json::from_slice::<ImageConfig>(&text)
        {
            self.layers.extend(config.rootfs.diff_ids);
        }
    }

    /// Marks the results that records name, but for those of `unwanted`, and the layers they were packed to.
    pub(super) fn cache(&mut self, unwanted: &BTreeSet<SnapshotId>) -> Result<(), StoreError> {
        for path in entries(self.store.path("cache/steps"))? {
            let Some(record) = document::read::<StepRecord>(&path) else { continue };
            if record.gone.is_some() || unwanted.contains(&record.snapshot) {
                continue;
            }
            let Some(snapshot) = self.store.snapshots().get(&record.snapshot) else { continue };
            self.snapshots.insert(snapshot.id);
            self.layers.extend(snapshot.meta.diff_id);
            self.layers.extend(snapshot.clamped.iter().map(|layer| layer.diff_id));
        }
        Ok(())
    }

    /// Moves away what is not marked; what refers to something goes before it. Records say `why`.
    pub(super) fn sweep(self, why: &str) -> Result<Collected, StoreError> {
        let store = self.store;
        let mut collected = Collected::default();
        let (now, mut lists) = (SystemTime::now(), BTreeSet::new());
        for path in entries(store.path("cache/steps"))? {
            let record: Option<StepRecord> = document::read(&path);
            match record {
                Some(record) if self.snapshots.contains(&record.snapshot) => lists.extend(record.contents()),
                Some(record) if record.is_worth_telling(now) => {
                    // It goes on to say what was known, and why it is not any more.
                    lists.extend(record.contents());
                    if record.gone.is_none() {
                        let gone = Some(Gone { when: now, why: why.to_owned() });
                        store.write_cache(&path, &StepRecord { gone, ..record })?;
                    }
                }
                _ => store.discard(&path)?,
            }
        }
        for path in entries(store.path("cache/lists"))? {
            let id = path.file_name().and_then(|name| name.to_str()?.parse::<ContentId>().ok());
            if !id.is_some_and(|id| lists.contains(&id)) {
                store.discard(&path)?;
            }
        }
        // They are found out again by a look.
        for path in entries(store.path("cache/users"))? {
            store.discard(&path)?;
        }
        for path in entries(store.path("cache/content"))? {
            let id: Option<SnapshotId> = document::read(&path);
            if !id.is_some_and(|id| self.snapshots.contains(&id)) {
                store.discard(&path)?;
            }
        }
        for layer in store.layers().list()? {
            if !self.layers.contains(&layer.meta.diff_id) {
                store.layers().remove(&layer)?;
                collected.layers += 1;
                // A linked one takes no space of its own.
                collected.bytes += if layer.snapshot.is_none() { layer.meta.size } else { 0 };
            }
        }
        for snapshot in store.snapshots().list()? {
            if !self.snapshots.contains(&snapshot.id) {
                store.snapshots().discard(&snapshot.id)?;
                collected.snapshots += 1;
                collected.bytes += snapshot.meta.size;
            }
        }
        for blob in store.blobs().list()? {
            if !self.blobs.contains(&blob.digest) {
                store.blobs().remove(&blob.digest)?;
                collected.blobs += 1;
                collected.bytes += blob.size;
            }
        }
        for path in entries(store.path("cache/blobs"))? {
            let forms: Option<Vec<LayerBlob>> = document::read(&path);
            if !forms.is_some_and(|forms| forms.iter().any(|form| store.blobs().contains(&form.digest))) {
                store.discard(&path)?;
            }
        }
        Ok(collected)
    }
}

pub(super) fn entries(directory: PathBuf) -> Result<Vec<PathBuf>, StoreError> {
    let mut paths = Vec::new();
    let listed = match std::fs::read_dir(&directory) {
        // It was removed by hand.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(paths),
        listed => listed.at("list", &directory)?,
    };
    for entry in listed {
        paths.push(entry.at("list", &directory)?.path());
    }
    Ok(paths)
}
