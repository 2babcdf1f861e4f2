//! What can go wrong in a store.

use crate::rootfs::XattrFlavor;
use registry_client::digest::Digest;
use std::io;
use std::path::{Path, PathBuf};

/// An error of the store. The texts name the file and, where there is something to do, what.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The directory holds something that no store holds.
    #[error(
        "{} is no store: it holds {found:?}; name an empty directory, or one that does not exist yet",
        path.display()
    )]
    NotAStore {
        /// The directory.
        path: PathBuf,
        /// One of the strange entries.
        found: String,
    },
    /// Another version of this program made it.
    #[error("the store {} has format {found}, this program knows {known}: use another directory, or the program that made it", path.display())]
    Format {
        /// The directory.
        path: PathBuf,
        /// Its format.
        found: u32,
        /// Ours.
        known: u32,
    },
    /// Made by root and used without, or the other way round.
    #[error(
        "the store {} was made {}, and cannot be used {}: owners and overlay marks in it differ; use another directory",
        path.display(), privilege(*made), privilege(*wanted)
    )]
    Flavor {
        /// The directory.
        path: PathBuf,
        /// What it was made for.
        made: XattrFlavor,
        /// What was asked for.
        wanted: XattrFlavor,
    },
    /// The file system or the quota is full.
    #[error("no space left for {}: {} free{}; make room, or move the store to a larger file system", path.display(), size(*free), needed(*wanted))]
    NoSpace {
        /// What was being written.
        path: PathBuf,
        /// Bytes free on its file system.
        free: u64,
        /// Bytes that were to be written, when that is known.
        wanted: Option<u64>,
    },
    /// A system call failed; the cause is in `source`.
    #[error("cannot {action} {}", path.display())]
    Io {
        /// What was tried.
        action: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A blob is not there.
    #[error("the store has no blob {0}: pull or build the image again")]
    NoBlob(Digest),
    /// A stored blob does not have its digest any more.
    #[error("the blob {digest} was damaged on disk and is set aside: pull or build the image again")]
    Damaged {
        /// The blob.
        digest: Digest,
    },
    /// What came in is not what its descriptor says.
    #[error("{want}: the bytes that came have digest {got}")]
    Digest {
        /// The digest of the descriptor.
        want: Box<Digest>,
        /// The digest of the bytes.
        got: Box<Digest>,
    },
    /// What came in is longer or shorter than its descriptor says.
    #[error("{digest}: the descriptor says {want} bytes, {got} came")]
    Size {
        /// The digest of the descriptor.
        digest: Digest,
        /// The size of the descriptor.
        want: u64,
        /// Bytes that came; with more than wanted, those until it was noticed.
        got: u64,
    },
    /// A document that should be small is not.
    #[error("{digest} has {size} bytes; at most {limit} are read where it stands")]
    TooLarge {
        /// The blob.
        digest: Digest,
        /// Its size in bytes.
        size: u64,
        /// The most that is read.
        limit: u64,
    },
    /// A file of the store cannot be understood.
    #[error("{} is damaged: {why}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What the reader said.
        why: String,
    },
    /// An abbreviated image id fits several images.
    #[error("the image id {prefix} is ambiguous: it fits {}", candidates.join(", "))]
    Ambiguous {
        /// What was given.
        prefix: String,
        /// Some that it fits.
        candidates: Vec<String>,
    },
    /// Other processes use the store now.
    #[error("the store {} is in use by another build: try again when it is done", path.display())]
    InUse {
        /// The store.
        path: PathBuf,
    },
}

impl StoreError {
    /// An error of a system call; a full file system gets its own variant.
    pub(crate) fn io(action: &'static str, path: &Path, source: impl Into<io::Error>) -> Self {
        let source = source.into();
        match source.kind() {
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => {
                Self::NoSpace { path: path.to_owned(), free: free_bytes(path), wanted: None }
            }
            _ => Self::Io { action, path: path.to_owned(), source },
        }
    }

    /// The same error, knowing how many bytes were to be written.
    pub(super) fn wanting(self, bytes: Option<u64>) -> Self {
        match self {
            Self::NoSpace { path, free, .. } => Self::NoSpace { path, free, wanted: bytes },
            other => other,
        }
    }
}

/// Gives the errors of system calls the file they are about.
pub(super) trait At<T> {
    /// `action` completes "cannot ... PATH".
    fn at(self, action: &'static str, path: &Path) -> Result<T, StoreError>;
}

impl<T, E: Into<io::Error>> At<T> for Result<T, E> {
    fn at(self, action: &'static str, path: &Path) -> Result<T, StoreError> {
        self.map_err(|e| StoreError::io(action, path, e))
    }
}

/// Bytes an ordinary user may still write on the file system of `path`, which need not exist; 0 when unknown.
fn free_bytes(path: &Path) -> u64 {
    path.ancestors()
        .find_map(|p| rustix::fs::statvfs(p).ok())
        .map_or(0, |s| s.f_bavail.saturating_mul(s.f_frsize))
}

fn privilege(flavor: XattrFlavor) -> &'static str {
    match flavor {
        XattrFlavor::Trusted => "by root",
        XattrFlavor::User => "without root",
    }
}

fn needed(bytes: Option<u64>) -> String {
    bytes.map(|b| format!(", {} needed", size(b))).unwrap_or_default()
}

fn size(bytes: u64) -> String {
    match bytes {
        0..10_000 => format!("{bytes} bytes"),
        10_000..10_000_000 => format!("{} kB", bytes / 1_000),
        _ => format!("{} MB", bytes / 1_000_000),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_full_disk_is_called_that() {
        let path = Path::new("/proc/self/no/such/file");
        for kind in [rustix::io::Errno::NOSPC, rustix::io::Errno::DQUOT] {
            let error = StoreError::io("write", path, kind).wanting(Some(12_345_678));
            let text = error.to_string();
            assert!(text.starts_with("no space left for /proc/self/no/such/file: "), "{text}");
            assert!(text.contains(" free, 12 MB needed; make room"), "{text}");
        }
        let other = StoreError::io("write", path, rustix::io::Errno::ROFS).wanting(Some(1));
        assert_eq!(other.to_string(), "cannot write /proc/self/no/such/file");
        assert!(free_bytes(&std::env::temp_dir().join("absent/absent")) > 0);
    }
}
