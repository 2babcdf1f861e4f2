//! `mounts/`: the directories of cache mounts, which outlive builds.
//!
//! Whoever uses one holds `flock(2)` of the directory itself, together with others or alone. A new one is made in `tmp/`
//! and renamed, so that there is none with half of its seed. When another takes the place of one that is in use, the old
//! one goes to `tmp/`, where it lasts as long as somebody holds it: the next sweep after that deletes it.

use super::error::{At, StoreError};
use super::lock::{KeyLock, lock};
use super::scratch::{LockedDirectory, random_name};
use super::uses::{Reaper, Thing};
use super::{Store, hash_name};
use crate::rootfs::Owners;
use rustix::fs::{FlockOperation, OFlags};
use std::fs::{File, OpenOptions};
use std::io::ErrorKind;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A directory of a cache mount in use. Others can have it, or the next one alone, once this is dropped.
#[derive(Debug)]
#[must_use = "it is in use until this is dropped"]
pub struct CacheMount(File);

impl CacheMount {
    /// The directory, opened. It stays in use as long as this descriptor or a copy of it is open.
    ///
    /// # Errors
    /// When there are too many descriptors.
    pub fn directory(&self) -> std::io::Result<OwnedFd> {
        Ok(self.0.try_clone()?.into())
    }
}

/// Whether the directory of a cache mount could be had.
#[derive(Debug)]
pub enum CacheMountUse {
    /// Yes.
    Had(CacheMount),
    /// Not now: somebody else uses it in a way that does not go together with this.
    Busy,
    /// There is none.
    Absent,
}

/// A directory of a cache mount that is being made. Dropped before it is [kept](Self::keep), it is deleted.
#[derive(Debug)]
pub struct NewCacheMount {
    store: Store,
    directory: LockedDirectory,
}

impl Store {
    /// Whether cache mount `name` has a directory.
    pub fn has_cache_mount(&self, name: &str) -> bool {
        self.cache_mount_path(name).symlink_metadata().is_ok()
    }

    /// Uses the directory of cache mount `name`, `alone` or with others that do not want to be alone. Does not wait.
    ///
    /// # Errors
    /// When the directory cannot be opened.
    pub fn use_cache_mount(&self, name: &str, alone: bool) -> Result<CacheMountUse, StoreError> {
        let path = self.cache_mount_path(name);
        let how = if alone {
            FlockOperation::NonBlockingLockExclusive
        } else {
            FlockOperation::NonBlockingLockShared
        };
        loop {
            let flags = (OFlags::DIRECTORY | OFlags::NOFOLLOW).bits().cast_signed();
            let directory = match OpenOptions::new().read(true).custom_flags(flags).open(&path) {
                Err(error) if error.kind() == ErrorKind::NotFound => return Ok(CacheMountUse::Absent),
                other => other.at("open", &path)?,
            };
            if !lock(&directory, how).at("lock", &path)? {
                return Ok(CacheMountUse::Busy);
            }
            // Another may have taken its place meanwhile.
            let ours = directory.metadata().at("read", &path)?;
            let now = path.symlink_metadata();
            if now.is_ok_and(|now| (now.dev(), now.ino()) == (ours.dev(), ours.ino())) {
                return Ok(CacheMountUse::Had(CacheMount(directory)));
            }
        }
    }

    /// The right to make the directory of cache mount `name`; `None` while somebody else has it.
    ///
    /// # Errors
    /// When the lock file cannot be made.
    pub fn lock_cache_mount(&self, name: &str) -> Result<Option<KeyLock>, StoreError> {
        self.try_lock("cache mount", name)
    }

    /// Begins an empty directory for a cache mount.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn new_cache_mount(&self) -> Result<NewCacheMount, StoreError> {
        let directory = LockedDirectory::create(&self.path("tmp"))?;
        Ok(NewCacheMount { store: self.clone(), directory })
    }

    /// Notes how large the directory of cache mount `name` is now.
    ///
    /// # Errors
    /// When that cannot be written.
    pub fn measure_cache_mount(&self, name: &str) -> Result<(), StoreError> {
        self.measure(&self.cache_mount_path(name))
    }

    /// Moves aside a directory that nothing refers to, of a cache mount or a repository, unless somebody uses it.
    pub(super) fn remove_directory(&self, path: &Path, reaper: &Reaper) -> Result<bool, StoreError> {
        if path.parent() != Some(&self.path("mounts")) {
            let name = path.file_name().and_then(|name| name.to_str()).unwrap_or_default();
            return match reaper.claim(Thing::Repository(name)) {
                true => self.discard_directory(path).map(|()| true),
                false => Ok(false),
            };
        }
        let Ok(directory) = File::open(path) else { return Ok(false) };
        if !lock(&directory, FlockOperation::NonBlockingLockExclusive).at("lock", path)? {
            return Ok(false);
        }
        self.discard_directory(path).map(|()| true)
    }

    fn cache_mount_path(&self, name: &str) -> PathBuf {
        // Files that belong to subordinate ids are of no use to a process that has one id, and the other way round.
        match self.owners() {
            Owners::Kept => self.path("mounts").join(hash_name(name.as_bytes())),
            Owners::Flattened => {
                self.path("mounts").join(hash_name(&[name.as_bytes(), b"\0flattened"].concat()))
            }
        }
    }
}

impl NewCacheMount {
    /// Where it is made.
    pub fn path(&self) -> &Path {
        self.directory.path()
    }

    /// Makes it the directory of cache mount `name`, instead of the one that has been until now. The caller holds the
    /// [right](Store::lock_cache_mount) to it.
    ///
    /// # Errors
    /// When it cannot be moved.
    pub fn keep(self, name: &str) -> Result<(), StoreError> {
        let place = self.store.cache_mount_path(name);
        let tmp = self.store.path("tmp");
        let aside = tmp.join(random_name().at("get random bytes for", &tmp)?);
        match std::fs::rename(&place, aside) {
            Err(error) if error.kind() != ErrorKind::NotFound => {
                return Err(StoreError::io("move aside", &place, error));
            }
            _ => {}
        }
        std::fs::rename(self.directory.path(), &place).at("make", &place)?;
        self.directory.forget();
        Ok(())
    }
}
