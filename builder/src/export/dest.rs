//! Where exports go: files that appear whole or not at all.

use super::ExportError;
use super::archive::pour;
use crate::write_behind::WriteBehind;
use std::fs::File;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

fn failed(action: &'static str, path: &Path, source: io::Error) -> ExportError {
    ExportError::File { action, path: path.to_owned(), source }
}

/// Writes the file `path` with `write`: beside it first, then renamed, so that an export that fails leaves what was
/// there. A pipe or a device is written to as it is.
///
/// # Errors
/// Those of `write`; when the file cannot be made.
pub fn write_file(
    path: &Path,
    write: impl FnOnce(&mut dyn Write) -> Result<(), ExportError>,
) -> Result<(), ExportError> {
    let special = match std::fs::metadata(path) {
        Ok(metadata) if metadata.is_dir() => {
            return Err(failed("write", path, io::ErrorKind::IsADirectory.into()));
        }
        Ok(metadata) => !metadata.is_file(),
        Err(_) => false,
    };
    if special {
        let mut file = File::options().write(true).open(path).map_err(|e| failed("open", path, e))?;
        return write(&mut file).map_err(|e| name_stream(e, path));
    }
    // A link is followed: the file it names is the one to replace.
    let path = &std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
    let temporary = beside(path)?;
    let file = temporary.as_file().try_clone().map_err(|e| failed("write", path, e))?;
    write(&mut WriteBehind::new(file)).map_err(|e| name_stream(e, path))?;
    publish(temporary, path)
}

/// Says which file it was.
fn name_stream(error: ExportError, path: &Path) -> ExportError {
    match error {
        ExportError::Stream(source) => failed("write", path, source),
        other => other,
    }
}

/// Makes `bytes` the content of `path`, at once.
pub(super) fn replace_file(path: &Path, bytes: &[u8]) -> Result<(), ExportError> {
    let mut temporary = beside(path)?;
    temporary.write_all(bytes).map_err(|e| failed("write", path, e))?;
    publish(temporary, path)
}

fn beside(path: &Path) -> Result<tempfile::NamedTempFile, ExportError> {
    let directory = match path.parent() {
        Some(parent) if parent.as_os_str().is_empty() => Path::new("."),
        Some(parent) => parent,
        None => Path::new("/"),
    };
    tempfile::Builder::new()
        .prefix(".slipway-")
        // What the umask leaves of it, as for any file.
        .permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666))
        .tempfile_in(directory)
        .map_err(|e| failed("create a file in", directory, e))
}

fn publish(temporary: tempfile::NamedTempFile, path: &Path) -> Result<(), ExportError> {
    temporary.as_file().sync_data().map_err(|e| failed("sync", path, e))?;
    temporary.persist(path).map(drop).map_err(|e| failed("write", path, e.error))
}

/// A layout directory.
pub(super) struct Directory {
    path: PathBuf,
}

impl Directory {
    /// Makes it when it is not there.
    pub(super) fn make(path: &Path) -> Result<Self, ExportError> {
        std::fs::create_dir_all(path).map_err(|e| failed("create", path, e))?;
        Ok(Self { path: path.to_owned() })
    }

    /// Writes the blob `name`, unless one of this size is there.
    pub(super) fn write_blob(&self, name: &str, size: u64, bytes: &mut dyn Read) -> Result<(), ExportError> {
        let path = self.path.join(name);
        if path.symlink_metadata().is_ok_and(|m| m.is_file() && m.len() == size) {
            return Ok(());
        }
        if let Some(parent) = path.parent() {
            std::fs::create_dir_all(parent).map_err(|e| failed("create", parent, e))?;
        }
        let temporary = beside(&path)?;
        let file = temporary.as_file().try_clone().map_err(|e| failed("write", &path, e))?;
        pour(bytes, &mut WriteBehind::new(file))
            .map_err(|e| name_stream(ExportError::from_stream(e), &path))?;
        publish(temporary, &path)
    }
}
