//! A directory, read in place; no name leads out of it.

use super::{DOCUMENT, Files, ImportError, copy};
use crate::rootfs::Root;
use crate::store::{BlobInfo, Store};
use registry_client::descriptor::Descriptor;
use rustix::fs::{Mode, OFlags};
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// The directory of an image.
pub(super) struct Directory {
    store: Store,
    root: Root,
    path: PathBuf,
}

impl Directory {
    pub(super) fn open(store: &Store, path: &Path) -> Result<Self, ImportError> {
        let root = Root::open(path).map_err(|source| ImportError::Open { path: path.to_owned(), source })?;
        Ok(Self { store: store.clone(), root, path: path.to_owned() })
    }

    /// Opens a regular file; `None` when there is nothing of this name.
    fn file(&self, name: &str) -> Result<Option<(File, u64)>, ImportError> {
        let failed = |source| ImportError::Open { path: self.path.join(name), source };
        // O_NONBLOCK: a pipe in its place must not make us wait for a writer.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK;
        let file = match self.root.open_at(Path::new(name), flags, Mode::empty()) {
            Ok(fd) => File::from(fd),
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(failed(e)),
        };
        let metadata = file.metadata().map_err(failed)?;
        if !metadata.is_file() {
            return Err(failed(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file")));
        }
        Ok(Some((file, metadata.len())))
    }
}

impl Files for Directory {
    fn document(&mut self, name: &str) -> Result<Option<Vec<u8>>, ImportError> {
        let Some((_, size)) = self.file(name)? else { return Ok(None) };
        if size > DOCUMENT {
            return Err(ImportError::TooLarge { name: name.to_owned(), size });
        }
        let bytes = self.root.read(Path::new(name), DOCUMENT);
        bytes.map(Some).map_err(|source| ImportError::Open { path: self.path.join(name), source })
    }

    fn blob(&mut self, name: &str, expected: Option<&Descriptor>) -> Result<Option<BlobInfo>, ImportError> {
        let blobs = self.store.blobs();
        if let Some(expected) = expected
            && blobs.size(&expected.digest) == Some(expected.size)
        {
            return Ok(Some(BlobInfo { digest: expected.digest, size: expected.size }));
        }
        let Some((mut file, _)) = self.file(name)? else { return Ok(None) };
        let mut writer = match expected {
            Some(descriptor) => blobs.writer_for(descriptor)?,
            None => blobs.writer()?,
        };
        copy(name, &mut file, &mut writer)?;
        Ok(Some(writer.commit(expected)?))
    }
}
