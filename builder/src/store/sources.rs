//! What is kept of sources elsewhere: repositories, and what servers said of files; and of the users of images.

use super::document;
use super::error::{At, StoreError};
use super::uses::Thing;
use super::{Store, hash_name};
use crate::content::ContentId;
use registry_client::digest::Digest;
use serde::{Deserialize, Serialize};
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

/// How far the clock of file systems is behind at most.
const CLOCK_TICKS: Duration = Duration::from_millis(20);

/// What a server said of a file when it was downloaded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownFile {
    /// `ETag`.
    pub etag: Option<String>,
    /// `Last-Modified`.
    pub last_modified: Option<String>,
    /// Of its bytes.
    pub digest: Digest,
}

/// What a ref of a repository meant when its server was asked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KnownCommit {
    /// The commit, in full.
    pub id: String,
    /// The ids that stand for it: its own, and that of the tag that was asked for.
    pub ids: Vec<String>,
    /// The ref that led to it.
    pub reference: Option<String>,
}

impl Store {
    /// The bare repository of a git remote, which may not be there yet; its directory is.
    ///
    /// # Errors
    /// When the directory of all repositories cannot be made.
    pub fn repository(&self, remote: &str) -> Result<PathBuf, StoreError> {
        let all = self.path("git");
        match std::fs::create_dir(&all) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                Err(error).at("create", &all)?
            }
            _ => {
                let name = hash_name(remote.as_bytes());
                self.hold(Thing::Repository(&name));
                Ok(all.join(name))
            }
        }
    }

    /// Notes how large the repository of a remote is now.
    ///
    /// # Errors
    /// When that cannot be written.
    pub fn measure_repository(&self, remote: &str) -> Result<(), StoreError> {
        self.measure(&self.path("git").join(hash_name(remote.as_bytes())))
    }

    /// What is known of the file that was downloaded from `url`.
    pub fn known_file(&self, url: &str) -> Option<KnownFile> {
        document::read(&self.path("cache/files").join(hash_name(url.as_bytes())))
    }

    /// The same, when it was noted since `time`.
    pub fn known_file_since(&self, url: &str, time: SystemTime) -> Option<KnownFile> {
        let path = self.path("cache/files").join(hash_name(url.as_bytes()));
        // The clock of file systems is behind by a tick or two.
        let noted = path.symlink_metadata().ok()?.modified().ok()? + CLOCK_TICKS;
        (noted >= time).then(|| document::read(&path)).flatten()
    }

    /// Notes what is known of it.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn note_file(&self, url: &str, known: &KnownFile) -> Result<(), StoreError> {
        self.note("cache/files", url, known)
    }

    /// What `name` meant in the repository at `remote`.
    pub fn known_commit(&self, remote: &str, name: &str) -> Option<KnownCommit> {
        document::read(&self.path("cache/refs").join(hash_name(format!("{remote}#{name}").as_bytes())))
    }

    /// Notes what it means.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn note_commit(&self, remote: &str, name: &str, known: &KnownCommit) -> Result<(), StoreError> {
        if self.known_commit(remote, name).as_ref() == Some(known) {
            return Ok(());
        }
        self.note("cache/refs", &format!("{remote}#{name}"), known)
    }

    /// Whether a USER is known to a root file system; `id` names both.
    pub fn knows_user(&self, id: &ContentId) -> bool {
        document::read(&self.path("cache/users").join(hash_name(id.hex().as_bytes()))).unwrap_or(false)
    }

    /// Notes that it is.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn note_user(&self, id: &ContentId) -> Result<(), StoreError> {
        self.note("cache/users", &id.hex(), &true)
    }

    fn note(&self, kind: &str, name: &str, known: &impl Serialize) -> Result<(), StoreError> {
        let all = self.path(kind);
        match std::fs::create_dir(&all) {
            Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => {
                return Err(error).at("create", &all);
            }
            _ => {}
        }
        self.write_cache(&all.join(hash_name(name.as_bytes())), known)
    }
}
