//! `snapshots/`: results of steps.

use super::Store;
use super::document::{self, rename_new};
use super::error::{At, StoreError};
use super::stamp::Stamp;
use super::uses::Thing;
use crate::content::ContentId;
use crate::rootfs::RootAttributes;
use registry_client::digest::DiffId;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::collections::HashMap;
use std::fmt;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::PathBuf;
use std::str::FromStr;
use std::sync::{MutexGuard, PoisonError};
use std::time::SystemTime;

/// Names a snapshot: 128 random bits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct SnapshotId([u8; 16]);

impl SnapshotId {
    pub(super) fn random() -> io::Result<Self> {
        let mut bytes = [0; 16];
        let mut filled = 0;
        while filled < bytes.len() {
            filled += rustix::rand::getrandom(&mut bytes[filled..], rustix::rand::GetRandomFlags::empty())?;
        }
        Ok(Self(bytes))
    }
}

impl fmt::Display for SnapshotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for SnapshotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SnapshotId({self})")
    }
}

/// The text is not 32 lower-case hexadecimal digits.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is no snapshot id: 32 hexadecimal digits are")]
pub struct SnapshotIdError(String);

impl FromStr for SnapshotId {
    type Err = SnapshotIdError;

    fn from_str(text: &str) -> Result<Self, SnapshotIdError> {
        let bad = || SnapshotIdError(text.to_owned());
        if text.len() != 32 || !text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f')) {
            return Err(bad());
        }
        u128::from_str_radix(text, 16).map(|n| Self(n.to_be_bytes())).map_err(|_| bad())
    }
}

impl Serialize for SnapshotId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for SnapshotId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// What is known of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SnapshotMeta {
    /// Content id of what is in the upper directory.
    pub content: ContentId,
    /// When the step finished.
    #[serde(with = "document::time")]
    pub created: SystemTime,
    /// The step, as people read it.
    pub description: String,
    /// Bytes of the files in it.
    pub size: u64,
    /// What the step made of `/`. `None` is: nothing, so that it is there as in the layers below, whichever they are.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub root: Option<RootAttributes>,
    /// The layer it packs to, once that was done.
    pub diff_id: Option<DiffId>,
    /// Bytes of that layer's uncompressed tar.
    pub tar_size: Option<u64>,
}

/// The layer that a snapshot packs to when nothing in it may be newer than a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClampedLayer {
    /// That time.
    #[serde(with = "document::time")]
    pub epoch: SystemTime,
    /// The layer.
    pub diff_id: DiffId,
    /// Bytes of its uncompressed tar.
    pub tar_size: u64,
}

/// So many are remembered of a snapshot: one branch after the other, each with the time of its last commit.
const CLAMPED: usize = 8;

/// `meta.json`.
#[derive(Serialize, Deserialize)]
struct Stored {
    meta: SnapshotMeta,
    /// The latest last.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    clamped: Vec<ClampedLayer>,
    stamp: Stamp,
}

/// The result of a step.
#[derive(Clone, Debug)]
pub struct Snapshot {
    /// Its name.
    pub id: SnapshotId,
    /// What is known of it.
    pub meta: SnapshotMeta,
    /// What it packs to with a newest time, as far as that was done and is remembered.
    pub clamped: Vec<ClampedLayer>,
    dir: PathBuf,
    sound: bool,
}

impl Snapshot {
    /// The overlay upper directory, to be used as a lower one.
    pub fn upper(&self) -> PathBuf {
        self.dir.join("fs")
    }

    /// The file that lists what is in it; whoever made the snapshot may have left it out.
    pub fn tree(&self) -> PathBuf {
        self.dir.join("tree")
    }

    /// Whether it has certainly outlived every crash of the machine. What is not sound must be compared with its tree
    /// before it is used, then [confirmed](Snapshots::confirm) or [discarded](Snapshots::discard).
    pub fn is_sound(&self) -> bool {
        self.sound
    }
}

/// The snapshots of a store.
#[derive(Clone, Debug)]
pub struct Snapshots {
    store: Store,
}

impl Snapshots {
    pub(super) fn new(store: Store) -> Self {
        Self { store }
    }

    fn dir(&self, id: &SnapshotId) -> PathBuf {
        self.store.path("snapshots").join(id.to_string())
    }

    /// Starts a snapshot: two empty directories for an overlay mount.
    ///
    /// # Errors
    /// When they cannot be made.
    pub fn begin(&self) -> Result<ActiveSnapshot, StoreError> {
        self.begin_on(RootAttributes::DEFAULT)
    }

    /// The same, for layers in which `/` has these attributes.
    ///
    /// # Errors
    /// When the directories cannot be made.
    pub fn begin_on(&self, root: RootAttributes) -> Result<ActiveSnapshot, StoreError> {
        let dir = self.store.scratch("snapshot")?;
        let id = SnapshotId::random().at("get random bytes for", &dir)?;
        std::fs::create_dir(&dir).at("create", &dir)?;
        // The mode of the upper directory is that of `/` in the mount, whatever the umask is here.
        for (name, root) in [("fs", root), ("work", RootAttributes::DEFAULT)] {
            let path = dir.join(name);
            std::fs::DirBuilder::new().mode(0o755).create(&path).at("create", &path)?;
            root.give(&path).at("change the owner and mode of", &path)?;
        }
        Ok(ActiveSnapshot { store: self.store.clone(), dir, id, root })
    }

    /// The snapshot, sound or not; `None` when it is absent or its record is damaged.
    ///
    /// Its record is read once: a cached step asks for it, and so does what packs its layer. What other processes add
    /// to it meanwhile is not seen, and would only spare work; none of them takes a sound one away while the store is
    /// open.
    pub fn get(&self, id: &SnapshotId) -> Option<Snapshot> {
        if !self.store.holding {
            return self.read(id);
        }
        if let Some(known) = self.known().get(id) {
            return Some(known.clone());
        }
        if !self.store.hold(Thing::Snapshot(&id.to_string())) {
            return None;
        }
        let read = self.read(id)?;
        self.known().insert(*id, read.clone());
        Some(read)
    }

    fn known(&self) -> MutexGuard<'_, HashMap<SnapshotId, Snapshot>> {
        self.store.shared.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn read(&self, id: &SnapshotId) -> Option<Snapshot> {
        let dir = self.dir(id);
        let stored: Stored = document::read(&dir.join("meta.json"))?;
        let sound = self.store.is_sound(&stored.stamp);
        Some(Snapshot { id: *id, meta: stored.meta, clamped: stored.clamped, dir, sound })
    }

    /// Notes the layer that the snapshot packs to.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn set_diff_id(&self, id: &SnapshotId, diff_id: DiffId, tar_size: u64) -> Result<(), StoreError> {
        self.update(id, |stored| {
            stored.meta.diff_id = Some(diff_id);
            stored.meta.tar_size = Some(tar_size);
        })
    }

    /// Notes the layer that the snapshot packs to with a newest time.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn set_clamped(&self, id: &SnapshotId, layer: ClampedLayer) -> Result<(), StoreError> {
        self.update(id, |stored| {
            stored.clamped.retain(|known| known.epoch != layer.epoch);
            stored.clamped.push(layer);
            let surplus = stored.clamped.len().saturating_sub(CLAMPED);
            stored.clamped.drain(..surplus);
        })
    }

    /// Notes that the snapshot was compared with its tree and is whole: it is sound from now on.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn confirm(&self, id: &SnapshotId) -> Result<(), StoreError> {
        self.update(id, |stored| stored.stamp = Stamp::verified())
    }

    /// Moves a snapshot that is not whole, or not wanted, to the garbage; records of it become absent. Only while nobody
    /// can be using it.
    ///
    /// # Errors
    /// When it cannot be moved.
    pub fn discard(&self, id: &SnapshotId) -> Result<(), StoreError> {
        self.store.discard(&self.dir(id))?;
        self.known().remove(id);
        Ok(())
    }

    fn update(&self, id: &SnapshotId, change: impl FnOnce(&mut Stored)) -> Result<(), StoreError> {
        let path = self.dir(id).join("meta.json");
        let _lock = self.store.lock("snapshot", &id.to_string())?;
        let Some(mut stored) = document::read::<Stored>(&path) else {
            return Err(StoreError::Malformed { path, why: "it has no valid content".to_owned() });
        };
        change(&mut stored);
        self.store.write_cache(&path, &stored)?;
        self.known().remove(id);
        Ok(())
    }

    /// Makes the snapshot look as if it came from an earlier boot of the machine that noted no sync.
    #[cfg(test)]
    pub(super) fn age(&self, id: &SnapshotId) {
        self.update(id, |stored| stored.stamp = Stamp::of_another_boot(7)).unwrap();
    }

    /// Every snapshot, sound or not.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn list(&self) -> Result<Vec<Snapshot>, StoreError> {
        let dir = self.store.path("snapshots");
        let mut snapshots = Vec::new();
        for entry in std::fs::read_dir(&dir).at("list", &dir)? {
            let name = entry.at("list", &dir)?.file_name();
            if let Some(snapshot) = name.to_str().and_then(|n| n.parse().ok()).and_then(|id| self.read(&id)) {
                snapshots.push(snapshot);
            }
        }
        snapshots.sort_by_key(|s| s.id);
        Ok(snapshots)
    }
}

/// A snapshot that a step is writing. Without a [`commit`](Self::commit) it is garbage, deleted when the store is closed.
#[derive(Debug)]
pub struct ActiveSnapshot {
    store: Store,
    dir: PathBuf,
    id: SnapshotId,
    /// What `/` was at the beginning.
    root: RootAttributes,
}

impl ActiveSnapshot {
    /// The name it will have.
    pub fn id(&self) -> SnapshotId {
        self.id
    }

    /// For `upperdir=`.
    pub fn upper(&self) -> PathBuf {
        self.dir.join("fs")
    }

    /// What was made of `/`; `None` when it is as it was.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn changed_root(&self) -> Result<Option<RootAttributes>, StoreError> {
        let upper = self.upper();
        let now = RootAttributes::of(&upper).at("read", &upper)?;
        Ok((now != self.root).then_some(now))
    }

    /// For `workdir=`.
    pub fn work(&self) -> PathBuf {
        self.dir.join("work")
    }

    /// Where the list of what is in it goes, before the commit.
    pub fn tree(&self) -> PathBuf {
        self.dir.join("tree")
    }

    /// Ends the writing and gives the snapshot its name. Nothing may be mounted on it any more.
    ///
    /// # Errors
    /// When it cannot be written; it is discarded then.
    pub fn commit(self, meta: SnapshotMeta) -> Result<Snapshot, StoreError> {
        // The kernel keeps a directory of mode 0 in it, and whiteouts on their way.
        self.store.discard(&self.work())?;
        let stored = Stored { meta, clamped: Vec::new(), stamp: self.store.stamp() };
        let path = self.dir.join("meta.json");
        std::fs::write(&path, document::encode(&stored, &path)?).at("write", &path)?;
        let target = self.store.snapshots().dir(&self.id);
        self.store.hold(Thing::Snapshot(&self.id.to_string()));
        let _growing = self.store.grow(stored.meta.size)?;
        if !rename_new(&self.dir, &target)? {
            let source = io::ErrorKind::AlreadyExists.into();
            return Err(StoreError::Io { action: "create", path: target, source });
        }
        Ok(Snapshot { id: self.id, meta: stored.meta, clamped: Vec::new(), dir: target, sound: true })
    }
}
