//! Locks between processes: `flock(2)`, which ends with the process that holds it, however it ends.

use super::error::{At, StoreError};
use rustix::fs::{FlockOperation, flock};
use rustix::io::Errno;
use std::fs::{File, OpenOptions};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// Exclusive right to make or change one thing of the store, until it is dropped. Threads exclude each other as
/// processes do.
#[derive(Debug)]
#[must_use = "the lock ends when this is dropped"]
pub struct KeyLock {
    path: PathBuf,
    _file: File,
}

impl KeyLock {
    /// Takes the lock of the file `path`, waiting for it when `wait` is set; `None` when somebody else has it.
    pub(super) fn take(path: &Path, wait: bool) -> Result<Option<Self>, StoreError> {
        loop {
            let file = open_lock_file(path)?;
            let how =
                if wait { FlockOperation::LockExclusive } else { FlockOperation::NonBlockingLockExclusive };
            if !lock(&file, how).at("lock", path)? {
                return Ok(None);
            }
            // Its last holder may have removed the file while we waited: then somebody else can hold a new one.
            let ours = file.metadata().at("read", path)?;
            match path.symlink_metadata() {
                Ok(now) if now.ino() == ours.ino() && now.dev() == ours.dev() => {
                    return Ok(Some(Self { path: path.to_owned(), _file: file }));
                }
                _ => {}
            }
        }
    }
}

impl Drop for KeyLock {
    fn drop(&mut self) {
        // While we still hold it. A file that stays is harmless.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Opens a file to lock, made when it is missing.
pub(super) fn open_lock_file(path: &Path) -> Result<File, StoreError> {
    OpenOptions::new()
        .read(true)
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(path)
        .at("open", path)
}

/// `false` when a lock that does not wait is held by somebody else.
pub(super) fn lock(file: &File, how: FlockOperation) -> Result<bool, Errno> {
    loop {
        match flock(file, how) {
            Ok(()) => return Ok(true),
            Err(Errno::WOULDBLOCK) => return Ok(false),
            Err(Errno::INTR) => {}
            Err(e) => return Err(e),
        }
    }
}
