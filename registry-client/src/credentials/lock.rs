//! The lock under which a credentials file is changed: two logins at once would each write what they had read, and the
//! later would lose the entry of the earlier.
//!
//! It is `flock(2)` of a file of its own beside the credentials, since these are replaced by a new file at each change. It
//! stays where it is: whoever removed it could remove one that another process waits for.

use super::CredentialsError;
use rustix::{
    fs::{FlockOperation, flock},
    io::Errno,
};
use std::{
    ffi::OsString,
    fs::{File, OpenOptions, create_dir_all},
    os::unix::fs::OpenOptionsExt,
    path::Path,
    time::{Duration, Instant},
};

/// How often a lock that somebody else has is tried. The holder needs it for a read and a write.
const AGAIN: Duration = Duration::from_millis(5);

/// The right to change a file, until it is dropped.
#[must_use = "the lock ends when this is dropped"]
pub(super) struct Lock {
    _file: File,
}

impl Lock {
    /// Takes the lock of the credentials file `path`, for which it waits at most for `patience`. The directory is made.
    ///
    /// It waits by trying again: a wait in the kernel would stop the other tasks of this thread, the holder among them.
    pub(super) async fn take(path: &Path, patience: Duration) -> Result<Self, CredentialsError> {
        let failed = |source| CredentialsError::Write { path: path.to_owned(), source };
        let file = open(path).map_err(failed)?;
        let begun = Instant::now();
        loop {
            match flock(&file, FlockOperation::NonBlockingLockExclusive) {
                Ok(()) => break,
                Err(Errno::INTR) => {}
                Err(Errno::WOULDBLOCK) if begun.elapsed() < patience => tokio::time::sleep(AGAIN).await,
                Err(Errno::WOULDBLOCK) => return Err(CredentialsError::Busy { path: path.to_owned() }),
                // A file system that has no locks (some network ones) is no reason to have no login.
                Err(Errno::NOLCK | Errno::OPNOTSUPP | Errno::NOSYS) => break,
                Err(error) => return Err(failed(error.into())),
            }
        }
        Ok(Self { _file: file })
    }
}

fn open(path: &Path) -> std::io::Result<File> {
    if let Some(parent) = path.parent() {
        create_dir_all(parent)?;
    }
    let mut name = OsString::from(path);
    name.push(".lock");
    OpenOptions::new().read(true).write(true).create(true).truncate(false).mode(0o600).open(name)
}
