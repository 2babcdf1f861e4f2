//! `cache/builds/` and `cache/lists/`: what the last build of each Dockerfile did, and which files steps took. Only
//! explanations read this; what is lost of it is not explained.

use super::error::StoreError;
use super::{Store, document};
use crate::content::{ContentId, Encoder};
use crate::explain::{BuildHistory, FileList};
use std::path::{Path, PathBuf};

impl Store {
    fn history_path(&self, name: &str) -> PathBuf {
        self.path("cache/builds").join(name)
    }

    /// The name of the history of a Dockerfile with its context and target.
    pub fn history_name(context: &Path, dockerfile: &str, target: Option<&str>) -> ContentId {
        let mut encoder = Encoder::new("slipway store history v1");
        encoder.bytes(context.as_os_str().as_encoded_bytes()).text(dockerfile);
        encoder.option(target.map(str::as_bytes)).finish()
    }

    /// What the last build of that name did.
    pub fn history(&self, name: &ContentId) -> Option<BuildHistory> {
        document::read(&self.history_path(&name.hex()))
    }

    /// What the last build did, of whatever.
    pub fn last_history(&self) -> Option<BuildHistory> {
        let name: ContentId = document::read(&self.history_path("last"))?;
        self.history(&name)
    }

    /// Notes what a build did. Nothing is written when it did what the one before it did.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn note_history(&self, name: &ContentId, history: &BuildHistory) -> Result<(), StoreError> {
        let last = self.history_path("last");
        if document::read::<ContentId>(&last).as_ref() != Some(name) {
            self.write_cache(&last, name)?;
        }
        let same = |known: BuildHistory| BuildHistory { when: history.when, ..known } == *history;
        if self.history(name).is_some_and(same) {
            return Ok(());
        }
        self.write_cache(&self.history_path(&name.hex()), history)
    }

    fn list_path(&self, id: &ContentId) -> PathBuf {
        self.path("cache/lists").join(id.hex())
    }

    /// The files that are named by `id`.
    pub fn file_list(&self, id: &ContentId) -> Option<FileList> {
        FileList::from_bytes(&std::fs::read(self.list_path(id)).ok()?)
    }

    /// Notes the files that are named by `id`.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn note_file_list(&self, id: &ContentId, list: &FileList) -> Result<(), StoreError> {
        let path = self.list_path(id);
        let failed = |source| StoreError::Io { action: "write", path: path.clone(), source };
        let bytes = list.to_bytes().map_err(failed)?;
        self.write_cache_bytes(&path, &bytes)
    }
}
