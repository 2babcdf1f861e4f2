//! `tmp/`: where everything is made before it gets its name, and where garbage waits to be deleted.
//!
//! Each process that writes has one directory here and holds its `flock(2)`; so does what makes or still uses a cache
//! mount. A directory that can be locked has lost its process and is deleted by whoever finds it.

use super::error::{At, StoreError};
use super::lock::lock;
use rustix::fs::FlockOperation;
use std::fs::File;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// A directory under `tmp`, which lasts as long as this process does and this is not dropped.
#[derive(Debug)]
pub(super) struct LockedDirectory {
    /// `None` once it is something else.
    path: Option<PathBuf>,
    _lock: File,
}

impl LockedDirectory {
    /// Makes one.
    pub(super) fn create(tmp: &Path) -> Result<Self, StoreError> {
        loop {
            let path = tmp.join(random_name().at("get random bytes for", tmp)?);
            std::fs::create_dir(&path).at("create", &path)?;
            // Until it is locked a sweep may take it for garbage; then we make another.
            let Ok(dir) = File::open(&path) else { continue };
            let locked = lock(&dir, FlockOperation::NonBlockingLockExclusive).at("lock", &path)?;
            let still_there = path.symlink_metadata().is_ok_and(|now| {
                dir.metadata().is_ok_and(|ours| (ours.dev(), ours.ino()) == (now.dev(), now.ino()))
            });
            if locked && still_there {
                return Ok(Self { path: Some(path), _lock: dir });
            }
        }
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        self.path.as_deref().unwrap_or(Path::new(""))
    }

    /// It has been moved to where it stays.
    pub(super) fn forget(mut self) {
        self.path = None;
    }
}

impl Drop for LockedDirectory {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // What cannot be deleted now, a later sweep finds.
            let _ = std::fs::remove_dir_all(path);
        }
    }
}

/// The directory of this process.
#[derive(Debug)]
pub(super) struct Scratch {
    directory: LockedDirectory,
    next: AtomicU64,
}

impl Scratch {
    /// Makes one under `tmp`.
    pub(super) fn create(tmp: &Path) -> Result<Self, StoreError> {
        Ok(Self { directory: LockedDirectory::create(tmp)?, next: AtomicU64::new(0) })
    }

    /// Where it is.
    pub(super) fn path(&self) -> &Path {
        self.directory.path()
    }

    /// A name that nothing has yet; `what` is for people who look.
    pub(super) fn name(&self, what: &str) -> PathBuf {
        self.directory.path().join(format!("{what}-{}", self.next.fetch_add(1, Ordering::Relaxed)))
    }
}

/// Deletes the directories whose process is gone; says how many. What cannot be deleted (files of other users, when
/// outside the user namespace they were made in) stays for a later sweep.
pub(super) fn sweep(tmp: &Path) -> Result<usize, StoreError> {
    let mut swept = 0;
    for entry in std::fs::read_dir(tmp).at("list", tmp)? {
        let path = entry.at("list", tmp)?.path();
        let Ok(dir) = File::open(&path) else { continue };
        if let Ok(true) = lock(&dir, FlockOperation::NonBlockingLockExclusive) {
            swept += usize::from(std::fs::remove_dir_all(&path).is_ok());
        }
    }
    Ok(swept)
}

/// 128 random bits in hexadecimal.
pub(super) fn random_name() -> std::io::Result<String> {
    Ok(super::snapshots::SnapshotId::random()?.to_string())
}
