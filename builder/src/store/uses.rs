//! Which results, layers and blobs live processes need: what nobody of them needs may be collected while they run.
//!
//! Each process holds a lock on one byte of the file `locks/uses` for each thing that it has looked at or made, shared with
//! other processes, until it closes the store. The byte's number is a hash of the thing's name; of two things with the same number both
//! count as needed, that is all. These are locks of an open file description (`F_OFD_SETLK` of fcntl(2)): taking one costs a system
//! call, all of them take one descriptor, and the kernel gives them back with the last process that has it.
//!
//! Who needs something takes its lock first and then looks whether it is there. Who removes something has its lock alone before, so
//! it never goes while somebody has seen it.

use super::error::StoreError;
use super::lock::open_lock_file;
use std::collections::HashSet;
use std::fs::File;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock, PoisonError};

/// What is needed, or not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Thing<'a> {
    /// A snapshot, by id.
    Snapshot(&'a str),
    /// An unpacked layer, by the name of its directory.
    Layer(&'a str),
    /// A blob, by digest.
    Blob(&'a str),
    /// A git repository, by the name of its directory.
    Repository(&'a str),
}

impl Thing<'_> {
    /// Its byte. Those of the upper half cannot be locked: numbers are signed.
    fn byte(self) -> i64 {
        let (kind, name) = match self {
            Self::Snapshot(name) => (b's', name),
            Self::Layer(name) => (b'l', name),
            Self::Blob(name) => (b'b', name),
            Self::Repository(name) => (b'r', name),
        };
        let mut hasher = blake3::Hasher::new();
        hasher.update(&[kind]).update(name.as_bytes());
        let mut number = [0; 8];
        hasher.finalize_xof().fill(&mut number);
        i64::from_le_bytes(number) & (i64::MAX >> 1)
    }
}

/// What this process needs.
#[derive(Debug)]
pub(super) struct Uses {
    path: PathBuf,
    /// `None` when it cannot be opened: then nobody can collect, either.
    file: OnceLock<Option<File>>,
    held: Mutex<HashSet<i64>>,
}

impl Uses {
    /// In the file `path`.
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path, file: OnceLock::new(), held: Mutex::default() }
    }

    /// Keeps `thing` from being collected until the store is closed; to be called before looking whether it is there.
    /// `false` when it is just being collected.
    pub(super) fn hold(&self, thing: Thing<'_>) -> bool {
        let byte = thing.byte();
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        if held.contains(&byte) {
            return true;
        }
        let Some(file) = self.file.get_or_init(|| open_lock_file(&self.path).ok()) else { return true };
        match lock_byte(file, byte, libc::F_RDLCK) {
            Ok(true) => held.insert(byte),
            Ok(false) => return false,
            // A file system without such locks has no collection, either.
            Err(_) => true,
        };
        true
    }
}

/// Somebody who removes things that nobody needs; what it has claimed nobody can begin to use while it lives.
#[derive(Debug)]
pub(super) struct Reaper(File);

impl Reaper {
    /// By the file `path`, opened anew: so it sees what this process needs as well.
    pub(super) fn new(path: &Path) -> Result<Self, StoreError> {
        Ok(Self(open_lock_file(path)?))
    }

    /// Whether `thing` can be removed: no process needs it.
    pub(super) fn claim(&self, thing: Thing<'_>) -> bool {
        lock_byte(&self.0, thing.byte(), libc::F_WRLCK).unwrap_or(false)
    }
}

/// Locks a byte for the open file description of `file`; `false` when another one has a lock that does not go together
/// with it.
fn lock_byte(file: &File, byte: i64, kind: libc::c_int) -> io::Result<bool> {
    // SAFETY: all fields of the structure are numbers.
    let mut range: libc::flock = unsafe { std::mem::zeroed() };
    range.l_type = kind as libc::c_short;
    range.l_whence = libc::SEEK_SET as libc::c_short;
    range.l_start = byte;
    range.l_len = 1;
    loop {
        // SAFETY: the descriptor is open, and the structure outlives the call.
        if unsafe { libc::fcntl(file.as_raw_fd(), libc::F_OFD_SETLK, &range) } == 0 {
            return Ok(true);
        }
        let error = io::Error::last_os_error();
        match error.raw_os_error() {
            Some(libc::EAGAIN | libc::EACCES) => return Ok(false),
            Some(libc::EINTR) => {}
            _ => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_needed_cannot_be_claimed() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("uses");
        let (one, other) = (Uses::new(path.clone()), Uses::new(path.clone()));
        let (needed, free) = (Thing::Snapshot("a"), Thing::Layer("a"));
        assert!(one.hold(needed) && other.hold(needed) && one.hold(needed));
        let reaper = Reaper::new(&path).unwrap();
        assert!(!reaper.claim(needed) && reaper.claim(free));
        assert!(!one.hold(free), "it goes just now");
        drop(one);
        assert!(!reaper.claim(needed), "the other still needs it");
        drop(other);
        assert!(reaper.claim(needed));
        drop(reaper);
        assert!(Uses::new(path).hold(free));
    }

    #[test]
    fn things_of_all_kinds_have_bytes_of_their_own() {
        let kinds = [Thing::Snapshot("x"), Thing::Layer("x"), Thing::Blob("x"), Thing::Repository("x")];
        let bytes: HashSet<i64> = kinds.iter().map(|thing| thing.byte()).collect();
        assert!(bytes.len() == 4 && bytes.iter().all(|byte| *byte >= 0));
    }

    #[test]
    fn where_nothing_can_be_locked_everything_can_be_used() {
        assert!(Uses::new(PathBuf::from("/nonexistent/uses")).hold(Thing::Blob("x")));
        assert!(Reaper::new(Path::new("/nonexistent/uses")).is_err());
    }
}
