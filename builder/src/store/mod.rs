//! The store: everything that outlives a build, in plain files.
//!
//! ```text
//! oci-layout index.json blobs/sha256/<hex>   an OCI image layout (image-layout.md) that other tools can read
//! store.json                                 format, and whose overlay marks the directories carry
//! layers/<hex of the DiffID>/{fs,meta.json}  an unpacked layer, in overlay form; or meta.json alone, naming a snapshot
//! layers/<hex>/on/<hash>/{fs,meta.json}      the same, as it must look on certain layers below it
//! layers/<hex>.flattened/                    the same for processes that have one id, to which all its files belong
//! snapshots/<id>/{fs,tree,meta.json}         the result of a step: an overlay upper directory, and what is in it
//! cache/steps/<key>                          step records
//! cache/content/<hash>                       what a step made of which parent -> the first snapshot of that content
//! cache/blobs/<hex of the DiffID>            compressed forms of a layer that are in blobs/
//! cache/synced                               see below
//! cache/total, cache/sizes/<name>            how much there is, and how large directories that change were when last seen
//! cache/files/<hash>                         what servers said of files that were downloaded
//! cache/builds/<hash>, last                  what the last build of a Dockerfile did, and which was the last
//! cache/lists/<id>                           the files a step took, for explaining what changed
//! cache/users/<id>                           that a USER is known to a root file system
//! cache/refs/<hash>                          what refs of git repositories meant when their servers were asked
//! git/<hash>/                                bare repositories of git remotes
//! contexts/ mounts/<hash>/ logs/             stat indexes; directories of cache mounts; a log per build
//! tmp/<random>/                              what a process is making, and its garbage; replaced cache mounts in use
//! locks/                                     `store`, `uses`, and a file per key while it is held
//! ```
//!
//! **Killed at any moment.** Everything is made under `tmp/` and renamed. What refers to something is written after it:
//! index.json after blobs, a step record after its snapshot. So a process that dies leaves nothing but its directory in
//! `tmp/`, which the next [`Store::sweep`] deletes.
//!
//! **The machine stops.** Promises are synced, caches are not:
//! - a blob is synced before it gets its name, and index.json with all directories on its way: a tagged image stays;
//! - documents (`meta.json`, records) carry a checksum; a damaged one is absent;
//! - layers and snapshots carry the boot they were made in. Those of an earlier boot count only if that boot
//!   noted a later [`Store::sync`]. A suspect layer is absent: it is unpacked again from its blob. A suspect snapshot is
//!   offered apart ([`Records::suspect`]), to be compared with its `tree` and [confirmed](Snapshots::confirm) or
//!   [discarded](Snapshots::discard).
//!
//! **Several processes.** Each holds `locks/store` shared while it has the store open; collecting garbage takes it
//! exclusively. [`Store::lock`] keeps two of them from making the same thing. What a process has looked at or made it
//! notes in `locks/uses`, so that room can be made while it runs.

mod automatic;
mod blobs;
mod cache_mounts;
mod collect;
mod document;
mod error;
mod fitted;
mod hasher;
mod history;
mod images;
mod layers;
mod lock;
mod logs;
mod prune;
mod records;
mod room;
mod scratch;
mod snapshots;
mod sources;
mod space;
mod stamp;
mod sync;
#[cfg(test)]
mod tests;
mod uses;

pub use blobs::{BlobInfo, BlobWriter, Blobs, CopyError, FinishedBlob, UnhashedBlob};
pub use cache_mounts::{CacheMount, CacheMountUse, NewCacheMount};
pub use collect::{Collected, Keep};
pub use error::StoreError;
pub use fitted::Fitted;
pub(crate) use hasher::Hasher;
pub use images::{CONTAINERD_NAME, Image, Images, REF_NAME};
pub use layers::{LayerBlob, LayerBuilder, LayerDir, LayerMeta, Layers};
pub use lock::KeyLock;
pub use logs::Logs;
pub use prune::{Prune, Pruned};
pub use records::{Gone, Records, StepRecord};
pub use room::{Limit, Overfull};
pub use snapshots::{ActiveSnapshot, ClampedLayer, Snapshot, SnapshotId, SnapshotMeta, Snapshots};
pub use sources::{KnownCommit, KnownFile};
pub use space::{Item, Kept, Kind};

use crate::rootfs::{Owners, XattrFlavor};
use document::Durability;
use error::At;
use registry_client::digest::Digest;
use room::Room;
use rustix::fs::FlockOperation;
use scratch::Scratch;
use serde::{Deserialize, Serialize};
use stamp::Boots;
use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, PoisonError};
use uses::{Thing, Uses};

/// The format of the directories, in `store.json`.
const FORMAT: u32 = 1;

/// Every directory of a store, apart from those within them. One that is made later is here as well: what is not, is
/// nothing of a store.
const DIRECTORIES: [&str; 19] = [
    "blobs/sha256",
    "layers",
    "snapshots",
    "cache",
    "cache/steps",
    "cache/content",
    "cache/blobs",
    "cache/files",
    "cache/refs",
    "cache/users",
    "cache/builds",
    "cache/lists",
    "cache/sizes",
    "git",
    "contexts",
    "mounts",
    "logs",
    "tmp",
    "locks",
];

/// What is moved aside is called.
const GARBAGE: &str = "garbage";

/// What `store.json` says.
#[derive(Serialize, Deserialize)]
struct Header {
    format: u32,
    xattrs: XattrFlavor,
}

/// The process that opens a store.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Opener {
    /// Whose marks its overlay mounts know.
    pub flavor: XattrFlavor,
    /// Whether it can give files to every owner.
    pub owners: Owners,
    /// Names this boot of the machine, where the kernel's name of it is not to be taken.
    pub boot: Option<String>,
    /// How much the store may hold when this process makes something.
    pub limit: Limit,
}

/// An open store. Cloning gives another handle of the same one; it is closed with the last of them and of what they
/// gave out.
#[derive(Clone, Debug)]
pub struct Store {
    shared: Arc<Shared>,
    /// What is looked at counts as needed.
    holding: bool,
}

#[derive(Debug)]
struct Shared {
    root: PathBuf,
    flavor: XattrFlavor,
    owners: Owners,
    scratch: Mutex<Option<Arc<Scratch>>>,
    /// Snapshots that were looked at.
    known: Mutex<HashMap<SnapshotId, Snapshot>>,
    /// Blobs whose bytes this process has hashed on their way in.
    hashed: Mutex<HashSet<Digest>>,
    boots: Boots,
    uses: Uses,
    room: Room,
    /// Something was made since the last sync.
    unsynced: AtomicBool,
    lock: File,
}

impl Store {
    /// Opens the store at `root`, made when it is not there. Waits while another process collects garbage in it.
    ///
    /// # Errors
    /// When the directory is something else, has another format or flavor, or cannot be used.
    pub fn open(root: &Path, flavor: XattrFlavor) -> Result<Self, StoreError> {
        Self::open_as(root, Opener { flavor, owners: Owners::Kept, boot: None, limit: Limit::Unlimited })
    }

    /// As [`open`](Self::open), for a process that says more about itself.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    pub fn open_as(root: &Path, opener: Opener) -> Result<Self, StoreError> {
        let root = std::path::absolute(root).at("open", root)?;
        let lock_path = root.join("locks/store");
        let lock = match lock::open_lock_file(&lock_path) {
            Err(StoreError::Io { source, .. }) if source.kind() == std::io::ErrorKind::NotFound => {
                make_directories(&root)?;
                lock::open_lock_file(&lock_path)?
            }
            other => other?,
        };
        lock::lock(&lock, FlockOperation::LockShared).at("lock", &lock_path)?;
        let boots = Boots::new(opener.boot, root.join("cache/synced"));
        let store = Self {
            holding: true,
            shared: Arc::new(Shared {
                uses: Uses::new(root.join("locks/uses")),
                room: Room::new(opener.limit),
                root,
                flavor: opener.flavor,
                owners: opener.owners,
                scratch: Mutex::default(),
                known: Mutex::default(),
                hashed: Mutex::default(),
                boots,
                unsynced: AtomicBool::new(false),
                lock,
            }),
        };
        store.check_header()?;
        Ok(store)
    }

    /// Reads `store.json`, made when it is not there.
    fn check_header(&self) -> Result<(), StoreError> {
        let path = self.path("store.json");
        let text = match std::fs::read(&path) {
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => {
                make_directories(self.root())?;
                let index = images::empty_index();
                let layout = br#"{"imageLayoutVersion":"1.0.0"}"#;
                document::create(&self.scratch("layout")?, &self.path("oci-layout"), layout)?;
                document::create(&self.scratch("index")?, &self.path("index.json"), &index)?;
                let header = serde_json::json!({ "format": FORMAT, "xattrs": self.flavor() }).to_string();
                document::create(&self.scratch("header")?, &path, header.as_bytes())?;
                std::fs::read(&path)
            }
            other => other,
        }
        .at("read", &path)?;
        let header: Header = serde_json::from_slice(&text)
            .map_err(|e| StoreError::Malformed { path: path.clone(), why: e.to_string() })?;
        let root = self.root().to_owned();
        if header.format != FORMAT {
            return Err(StoreError::Format { path: root, found: header.format, known: FORMAT });
        }
        if header.xattrs != self.flavor() {
            return Err(StoreError::Flavor { path: root, made: header.xattrs, wanted: self.flavor() });
        }
        Ok(())
    }

    /// The directory of the store, absolute.
    pub fn root(&self) -> &Path {
        &self.shared.root
    }

    /// Whose marks the layers and snapshots in it carry.
    pub fn flavor(&self) -> XattrFlavor {
        self.shared.flavor
    }

    /// Whether files in it get the owners they should have. What a process made that has one id is kept apart: to
    /// another one it is wrong, and the other's files cannot be read by this one.
    pub fn owners(&self) -> Owners {
        self.shared.owners
    }

    /// Blobs, by digest.
    pub fn blobs(&self) -> Blobs {
        Blobs::new(self.clone())
    }

    /// Unpacked layers, by DiffID.
    pub fn layers(&self) -> Layers {
        Layers::new(self.clone())
    }

    /// Results of steps, by id.
    pub fn snapshots(&self) -> Snapshots {
        Snapshots::new(self.clone())
    }

    /// What steps gave, by key.
    pub fn records(&self) -> Records {
        Records::new(self.clone())
    }

    /// Images, by name and id.
    pub fn images(&self) -> Images {
        Images::new(self.clone())
    }

    /// Logs of builds.
    pub fn logs(&self) -> Logs {
        Logs::new(self.clone())
    }

    /// The file of the stat index of the context `canonical`, a path without links.
    pub fn context_index(&self, canonical: &Path) -> PathBuf {
        use std::os::unix::ffi::OsStrExt;
        self.path("contexts").join(hash_name(canonical.as_os_str().as_bytes()))
    }

    /// The exclusive right to make one thing, across threads and processes: waits until it is free. `kind` and `key`
    /// are free text.
    ///
    /// # Errors
    /// When the lock file cannot be made.
    pub fn lock(&self, kind: &str, key: &str) -> Result<KeyLock, StoreError> {
        loop {
            if let Some(lock) = KeyLock::take(&self.lock_path(kind, key), true)? {
                return Ok(lock);
            }
        }
    }

    /// As [`lock`](Self::lock), without waiting: `None` when it is taken.
    ///
    /// # Errors
    /// When the lock file cannot be made.
    pub fn try_lock(&self, kind: &str, key: &str) -> Result<Option<KeyLock>, StoreError> {
        KeyLock::take(&self.lock_path(kind, key), false)
    }

    fn lock_path(&self, kind: &str, key: &str) -> PathBuf {
        // `.` cannot be in the hash, so no key can meet the lock of the store.
        self.path("locks").join(format!("{}.lock", hash_name(format!("{kind}\0{key}").as_bytes())))
    }

    /// Deletes what processes that died have left in `tmp/`; says how many had. It may take long: call it when nobody
    /// waits.
    ///
    /// # Errors
    /// When `tmp/` cannot be read.
    pub fn sweep(&self) -> Result<usize, StoreError> {
        scratch::sweep(&self.path("tmp"))
    }

    /// Runs `f` while no other process has the store open: what nobody refers to can be moved away. Handles of this
    /// process are the caller's affair.
    ///
    /// # Errors
    /// `InUse` when another process has it open, and what `f` says.
    pub fn exclusively<T>(&self, f: impl FnOnce(&Self) -> Result<T, StoreError>) -> Result<T, StoreError> {
        let path = self.path("locks/store");
        if !lock::lock(&self.shared.lock, FlockOperation::NonBlockingLockExclusive).at("lock", &path)? {
            // Converting a lock is not atomic: a failed attempt can have dropped the shared one.
            lock::lock(&self.shared.lock, FlockOperation::LockShared).at("lock", &path)?;
            return Err(StoreError::InUse { path: self.root().to_owned() });
        }
        let result = f(self);
        self.forget_total();
        lock::lock(&self.shared.lock, FlockOperation::LockShared).at("lock", &path)?;
        result
    }

    /// A directory of its own under `tmp/`, on the file system of the store; deleted when the store is closed.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn scratch_dir(&self) -> Result<PathBuf, StoreError> {
        let path = self.scratch("dir")?;
        std::fs::create_dir(&path).at("create", &path)?;
        Ok(path)
    }

    /// Deletes what this process has under `tmp/` now rather than when the last handle is dropped: the program is about to
    /// end, and tasks that nobody waits for may have handles still.
    pub fn clear_scratch(&self) {
        drop(self.shared.scratch.lock().unwrap_or_else(PoisonError::into_inner).take());
    }

    /// The same store for who only looks around: what is looked at does not count as needed.
    fn observing(&self) -> Self {
        Self { shared: Arc::clone(&self.shared), holding: false }
    }

    /// Keeps `thing` from being collected while this process lives; `false` when it is just being collected.
    fn hold(&self, thing: Thing<'_>) -> bool {
        !self.holding || self.shared.uses.hold(thing)
    }

    /// Deletes what was moved aside until now.
    fn empty_garbage(&self) {
        let scratch = self.shared.scratch.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let Some(entries) = scratch.and_then(|scratch| std::fs::read_dir(scratch.path()).ok()) else {
            return;
        };
        let garbage = |name: &std::ffi::OsStr| name.as_encoded_bytes().starts_with(GARBAGE.as_bytes());
        for entry in entries.flatten().filter(|entry| garbage(&entry.file_name())) {
            // What cannot be deleted now goes when the store is closed, or later.
            let path = entry.path();
            let _ = std::fs::remove_file(&path).or_else(|_| std::fs::remove_dir_all(&path));
        }
    }

    /// Moves `path` of the store aside, to be deleted when the store is closed.
    fn discard(&self, path: &Path) -> Result<(), StoreError> {
        match std::fs::rename(path, self.scratch(GARBAGE)?) {
            Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(StoreError::io("remove", path, e)),
            _ => Ok(()),
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.shared.root.join(name)
    }

    /// A name under `tmp/` that nothing has.
    fn scratch(&self, what: &str) -> Result<PathBuf, StoreError> {
        let mut scratch = self.shared.scratch.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(scratch) = &*scratch {
            return Ok(scratch.name(what));
        }
        let made = Arc::new(Scratch::create(&self.path("tmp"))?);
        let name = made.name(what);
        *scratch = Some(made);
        Ok(name)
    }

    /// Writes a cache document.
    fn write_cache<T: Serialize>(&self, path: &Path, value: &T) -> Result<(), StoreError> {
        self.write_cache_bytes(path, &document::encode(value, path)?)
    }

    fn write_cache_bytes(&self, path: &Path, bytes: &[u8]) -> Result<(), StoreError> {
        let write = || document::replace(&self.scratch("document")?, path, bytes, Durability::Cache);
        match (write(), path.parent()) {
            // Somebody emptied the cache by deleting it.
            (Err(StoreError::Io { source, .. }), Some(parent))
                if source.kind() == std::io::ErrorKind::NotFound && !parent.exists() =>
            {
                std::fs::create_dir_all(parent).at("create", parent)?;
                write()
            }
            (result, _) => result,
        }
    }
}

/// A file name for any bytes.
fn hash_name(bytes: &[u8]) -> String {
    blake3::hash(bytes).to_hex().to_string()
}

/// Makes the directories of a store, after a look at what is there.
fn make_directories(root: &Path) -> Result<(), StoreError> {
    // Layers hold setuid programs as old as the images: nobody else gets in.
    std::fs::DirBuilder::new().recursive(true).mode(0o700).create(root).at("create", root)?;
    for entry in std::fs::read_dir(root).at("list", root)? {
        let name = entry.at("list", root)?.file_name();
        let known = ["oci-layout", "index.json", "store.json"];
        let ours = name.to_str().is_some_and(|n| {
            known.contains(&n) || DIRECTORIES.iter().any(|d| d.split('/').next() == Some(n))
        });
        if !ours {
            let found = name.to_string_lossy().into_owned();
            return Err(StoreError::NotAStore { path: root.to_owned(), found });
        }
    }
    for name in DIRECTORIES {
        let path = root.join(name);
        std::fs::create_dir_all(&path).at("create", &path)?;
    }
    Ok(())
}
