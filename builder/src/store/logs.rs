//! `logs/`: the full log of each build.

use super::Store;
use super::error::{At, StoreError};
use std::fs::File;
use std::path::PathBuf;
use std::time::SystemTime;

/// How many logs are kept.
const KEPT: usize = 200;

/// The logs of a store.
#[derive(Clone, Debug)]
pub struct Logs {
    store: Store,
}

impl Logs {
    pub(super) fn new(store: Store) -> Self {
        Self { store }
    }

    /// Starts the log of a build that began at `started`; names sort by time. The oldest logs go when there are many.
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn create(&self, started: SystemTime) -> Result<(PathBuf, File), StoreError> {
        let dir = self.store.path("logs");
        let time = crate::timestamp::rfc3339(started).replace(':', "-");
        let name = super::scratch::random_name().at("get random bytes for", &dir)?;
        let path = dir.join(format!("{time}-{}.log", &name[..8]));
        let file = File::create_new(&path).at("create", &path)?;
        self.drop_oldest()?;
        Ok((path, file))
    }

    fn drop_oldest(&self) -> Result<(), StoreError> {
        let mut logs = self.list()?;
        logs.truncate(logs.len().saturating_sub(KEPT));
        for path in logs {
            // Another build may have been faster.
            let _ = std::fs::remove_file(path);
        }
        Ok(())
    }

    /// All logs, oldest first.
    ///
    /// # Errors
    /// When the directory cannot be read.
    pub fn list(&self) -> Result<Vec<PathBuf>, StoreError> {
        let dir = self.store.path("logs");
        let entries = std::fs::read_dir(&dir).at("list", &dir)?;
        let mut logs = Vec::new();
        for entry in entries {
            logs.push(entry.at("list", &dir)?.path());
        }
        logs.sort();
        Ok(logs)
    }
}
