//! What was written into a directory: two trees may not write the same file, and what was not written can be removed.

use super::ExportError;
use std::collections::HashSet;
use std::path::{Path, PathBuf};

/// Paths relative to the destination.
#[derive(Debug, Default)]
pub(super) struct Written {
    directories: HashSet<PathBuf>,
    files: HashSet<PathBuf>,
}

impl Written {
    /// Notes a directory; several trees may have it.
    pub(super) fn directory(&mut self, path: PathBuf) {
        self.directories.insert(path);
    }

    /// Notes anything else.
    ///
    /// # Errors
    /// `Overwrites` when another tree has written it.
    pub(super) fn file(&mut self, path: PathBuf) -> Result<(), ExportError> {
        match self.files.insert(path.clone()) {
            true => Ok(()),
            false => Err(ExportError::Overwrites(path)),
        }
    }

    /// Removes everything in `dest` that was not written. Links are removed, never followed.
    ///
    /// # Errors
    /// When something cannot be listed or removed.
    pub(super) fn remove_others(&self, dest: &Path) -> Result<(), ExportError> {
        let mut open = vec![PathBuf::new()];
        while let Some(directory) = open.pop() {
            let at = dest.join(&directory);
            let failed = |action, path: &Path| {
                let path = path.to_owned();
                move |source| ExportError::File { action, path, source }
            };
            for entry in std::fs::read_dir(&at).map_err(failed("list", &at))? {
                let entry = entry.map_err(failed("list", &at))?;
                let is_directory = entry.file_type().map_err(failed("read", &entry.path()))?.is_dir();
                let path = directory.join(entry.file_name());
                if is_directory && self.directories.contains(&path) {
                    open.push(path);
                } else if is_directory {
                    std::fs::remove_dir_all(entry.path()).map_err(failed("remove", &entry.path()))?;
                } else if !self.files.contains(&path) {
                    std::fs::remove_file(entry.path()).map_err(failed("remove", &entry.path()))?;
                }
            }
        }
        Ok(())
    }
}
