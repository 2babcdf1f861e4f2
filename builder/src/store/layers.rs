//! `layers/`: unpacked layers by DiffID, and which blobs hold a layer.

use super::Store;
use super::document::{self, rename_new};
use super::error::{At, StoreError};
use super::snapshots::SnapshotId;
use super::stamp::Stamp;
use super::uses::Thing;
use crate::rootfs::Owners;
use registry_client::digest::{DiffId, Digest};
use registry_client::media_type::MediaType;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// What is known of an unpacked layer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerMeta {
    /// The layer.
    pub diff_id: DiffId,
    /// Bytes of its uncompressed tar.
    pub size: u64,
}

/// An unpacked layer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LayerDir {
    /// The directory, in overlay form. It is shared: mount it as a lower directory, never write to it.
    pub path: PathBuf,
    /// What is known of it.
    pub meta: LayerMeta,
    /// Whether its files have their own owners.
    pub owners: Owners,
    /// The snapshot it is, when it was built here.
    pub snapshot: Option<SnapshotId>,
    /// Directories that its archive does not mention, the layer's own (the empty path) among them: their attributes are
    /// those of the layers below.
    pub implied: Vec<PathBuf>,
}

/// A form of a layer that is in `blobs/`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerBlob {
    /// Of the stored bytes.
    pub digest: Digest,
    /// Bytes stored.
    pub size: u64,
    /// Tells the compression.
    pub media_type: MediaType,
    /// Its level, when it was compressed here.
    pub level: Option<u8>,
}

/// `meta.json`.
#[derive(Serialize, Deserialize)]
struct Stored {
    meta: LayerMeta,
    #[serde(default, skip_serializing_if = "Owners::is_kept")]
    owners: Owners,
    snapshot: Option<SnapshotId>,
    #[serde(default, with = "document::paths", skip_serializing_if = "Vec::is_empty")]
    implied: Vec<PathBuf>,
    stamp: Stamp,
}

const OWNERS: [Owners; 2] = [Owners::Kept, Owners::Flattened];

/// The layers of a store.
#[derive(Clone, Debug)]
pub struct Layers {
    store: Store,
}

impl Layers {
    pub(super) fn new(store: Store) -> Self {
        Self { store }
    }

    pub(super) fn store(&self) -> &Store {
        &self.store
    }

    pub(super) fn dir(&self, diff_id: &DiffId) -> PathBuf {
        self.dir_of(diff_id, self.store.owners())
    }

    fn dir_of(&self, diff_id: &DiffId, owners: Owners) -> PathBuf {
        let hex = diff_id.0.hex();
        self.store.path("layers").join(match owners {
            Owners::Kept => hex,
            Owners::Flattened => format!("{hex}.flattened"),
        })
    }

    fn hold(&self, dir: &Path) -> bool {
        let name = dir.file_name().and_then(|name| name.to_str()).unwrap_or_default();
        self.store.hold(Thing::Layer(name))
    }

    /// The unpacked layer, when it is there and whole, and its files have the owners that they have with this process.
    pub fn get(&self, diff_id: DiffId) -> Option<LayerDir> {
        self.get_of(diff_id, self.store.owners())
    }

    /// Bytes of the layer's uncompressed tar, when anybody has unpacked it.
    pub fn size(&self, diff_id: DiffId) -> Option<u64> {
        let sizes = OWNERS.map(|owners| self.get_of(diff_id, owners).map(|layer| layer.meta.size));
        sizes.into_iter().flatten().next()
    }

    fn get_of(&self, diff_id: DiffId, owners: Owners) -> Option<LayerDir> {
        let dir = self.dir_of(&diff_id, owners);
        if !self.hold(&dir) {
            return None;
        }
        let stored: Stored = document::read(&dir.join("meta.json"))?;
        if stored.meta.diff_id != diff_id || stored.owners != owners {
            return None;
        }
        let path = match &stored.snapshot {
            Some(id) => {
                let snapshot = self.store.snapshots().get(id)?;
                if !snapshot.is_sound() {
                    return None;
                }
                snapshot.upper()
            }
            None if self.store.is_sound(&stored.stamp) => dir.join("fs"),
            None => return None,
        };
        let Stored { meta, snapshot, implied, .. } = stored;
        path.is_dir().then_some(LayerDir { path, meta, owners, snapshot, implied })
    }

    /// How the exclusive right to fetch and unpack the layer is called among the [locks](Store::lock) of the store. Look again
    /// after taking it.
    pub fn lock_name(diff_id: DiffId) -> (&'static str, String) {
        ("layer", diff_id.0.hex().to_owned())
    }

    /// Starts unpacking a layer into an empty directory.
    ///
    /// # Errors
    /// When the directory cannot be made.
    pub fn begin(&self, diff_id: DiffId) -> Result<LayerBuilder, StoreError> {
        let dir = self.store.scratch("layer")?;
        let root = dir.join("fs");
        std::fs::create_dir_all(&root).at("create", &root)?;
        // A layer need not mention `/`; whatever the umask is here, programs of the image must get through it.
        std::fs::set_permissions(&root, std::os::unix::fs::PermissionsExt::from_mode(0o755))
            .at("change the mode of", &root)?;
        Ok(LayerBuilder { store: self.store.clone(), dir, diff_id })
    }

    /// Makes the snapshot serve as the unpacked form of a layer that was packed from it. A layer that is there already
    /// stays.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn link_snapshot(&self, meta: LayerMeta, snapshot: SnapshotId) -> Result<(), StoreError> {
        if self.get(meta.diff_id).is_some() {
            return Ok(());
        }
        let dir = self.store.scratch("layer")?;
        std::fs::create_dir(&dir).at("create", &dir)?;
        let diff_id = meta.diff_id;
        let (owners, stamp) = (self.store.owners(), self.store.stamp());
        // The archive of a snapshot has no entry for `/`.
        let implied = vec![PathBuf::new()];
        let stored = Stored { meta, owners, snapshot: Some(snapshot), implied, stamp };
        self.publish(&dir, &stored, diff_id)
    }

    /// Writes `meta.json` into `dir` and gives the directory its name.
    fn publish(&self, dir: &Path, stored: &Stored, diff_id: DiffId) -> Result<(), StoreError> {
        let meta = dir.join("meta.json");
        std::fs::write(&meta, document::encode(stored, &meta)?).at("write", &meta)?;
        let target = self.dir(&diff_id);
        // One that is a snapshot takes no room of its own.
        let size = if stored.snapshot.is_none() { stored.meta.size } else { 0 };
        let growing = self.store.grow(size)?;
        // Nothing is collected from here on; until here the same layer may have been.
        self.hold(&target);
        while !rename_new(dir, &target)? {
            if self.get(diff_id).is_some() {
                // Somebody was faster, with the same content.
                drop(growing);
                self.store.grow_from(size, 0)?;
                return self.store.discard(dir);
            }
            self.store.discard(&target)?;
        }
        Ok(())
    }

    /// Moves the unpacked layer to the garbage; its blobs stay. Only while nobody can be using it.
    ///
    /// # Errors
    /// When it cannot be moved.
    pub fn remove(&self, layer: &LayerDir) -> Result<(), StoreError> {
        self.store.discard(&self.dir_of(&layer.meta.diff_id, layer.owners))
    }

    /// The name of the directory that holds the layer, or says where it is.
    pub(super) fn directory_name(&self, layer: &LayerDir) -> String {
        let dir = self.dir_of(&layer.meta.diff_id, layer.owners);
        dir.file_name().unwrap_or_default().to_string_lossy().into_owned()
    }

    fn blobs_path(&self, diff_id: &DiffId) -> PathBuf {
        self.store.path("cache/blobs").join(diff_id.0.hex())
    }

    /// Remembers that `blob`, which is in the store, unpacks to the layer.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn add_blob(&self, diff_id: DiffId, blob: LayerBlob) -> Result<(), StoreError> {
        let path = self.blobs_path(&diff_id);
        let _lock = self.store.lock("blobs of", &diff_id.0.hex())?;
        let mut blobs: Vec<LayerBlob> = document::read(&path).unwrap_or_default();
        if blobs.contains(&blob) {
            return Ok(());
        }
        blobs.push(blob);
        self.store.write_cache(&path, &blobs)
    }

    /// The blobs of the store that unpack to the layer, in the order they became known.
    pub fn blobs_of(&self, diff_id: DiffId) -> Vec<LayerBlob> {
        let mut blobs: Vec<LayerBlob> = document::read(&self.blobs_path(&diff_id)).unwrap_or_default();
        blobs.retain(|blob| self.store.blobs().size(&blob.digest) == Some(blob.size));
        blobs
    }

    /// Every unpacked layer that is whole, also those that this process cannot use because of their owners.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn list(&self) -> Result<Vec<LayerDir>, StoreError> {
        let dir = self.store.path("layers");
        let looking = Self::new(self.store.observing());
        let mut layers = Vec::new();
        for entry in std::fs::read_dir(&dir).at("list", &dir)? {
            let meta = entry.at("list", &dir)?.path().join("meta.json");
            let found =
                document::read::<Stored>(&meta).and_then(|s| looking.get_of(s.meta.diff_id, s.owners));
            layers.extend(found);
        }
        layers.sort_by_key(|l| (l.meta.diff_id, l.owners == Owners::Flattened));
        Ok(layers)
    }
}

/// A layer that is being unpacked. Without a [`commit`](Self::commit) it is garbage, deleted when the store is closed.
#[derive(Debug)]
pub struct LayerBuilder {
    store: Store,
    dir: PathBuf,
    diff_id: DiffId,
}

impl LayerBuilder {
    /// The empty directory to unpack into.
    pub fn path(&self) -> PathBuf {
        self.dir.join("fs")
    }

    /// Gives the layer its name; `size` is that of its uncompressed tar, whose digest the caller has compared with the
    /// DiffID.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn commit(self, size: u64) -> Result<LayerDir, StoreError> {
        self.commit_with(size, Vec::new())
    }

    /// The same, with the directories that nothing in the archive mentions; the empty path is the layer itself.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn commit_with(self, size: u64, implied: Vec<PathBuf>) -> Result<LayerDir, StoreError> {
        let (layers, diff_id) = (self.store.layers(), self.diff_id);
        let meta = LayerMeta { diff_id, size };
        let (owners, stamp) = (self.store.owners(), self.store.stamp());
        let stored = Stored { meta, owners, snapshot: None, implied, stamp };
        layers.publish(&self.dir, &stored, diff_id)?;
        let path = layers.dir(&diff_id).join("fs");
        let Stored { meta, implied, .. } = stored;
        Ok(layers.get(diff_id).unwrap_or(LayerDir { path, meta, owners, snapshot: None, implied }))
    }
}
