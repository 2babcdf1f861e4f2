//! Images on their way in: archives of `docker save`, `podman save` and `skopeo`, and OCI layouts.
//!
//! Nothing in them is trusted. Every blob is verified against its digest, every plain or docker-archive layer against its
//! DiffID; names are looked up in a table or resolved inside their directory; documents and the number of files have
//! limits. Names are given to images when everything is in the store.

mod archive;
mod directory;
mod docker;
mod oci;
#[cfg(test)]
mod tests;

use crate::image::ImageError;
use crate::store::{BlobInfo, Store, StoreError};
use archive::Spool;
use directory::Directory;
use registry_client::descriptor::Descriptor;
use registry_client::digest::{DiffId, Digest};
use registry_client::media_type::MediaType;
use registry_client::reference::ReferenceError;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

/// The most that is read of a document, in bytes.
const DOCUMENT: u64 = 8 << 20;

/// An image that was brought in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loaded {
    /// Its full canonical names; none when it is known by its id only.
    pub names: Vec<String>,
    /// Its manifest or index.
    pub descriptor: Descriptor,
    /// The image id.
    pub id: Digest,
}

/// An error of an import. Nothing got a name then; blobs that came before it are garbage.
#[derive(Debug, thiserror::Error)]
pub enum ImportError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An image.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The archive has a name that is no reference.
    #[error(transparent)]
    Reference(#[from] ReferenceError),
    /// The archive cannot be read: not a tar, or cut off.
    #[error("cannot read the archive")]
    Read(#[source] io::Error),
    /// The directory cannot be read.
    #[error("cannot read {}", path.display())]
    Open {
        /// The file or directory.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// It is something else.
    #[error("this holds no image: it has neither index.json (OCI) nor manifest.json (docker save)")]
    NoImages,
    /// A file that another names is missing.
    #[error("{wanted} is missing, which {by} names")]
    Missing {
        /// The file.
        wanted: String,
        /// Who names it.
        by: String,
    },
    /// A document does not follow its format.
    #[error("{name} cannot be understood: {why}")]
    Malformed {
        /// The file.
        name: String,
        /// What the reader said.
        why: String,
    },
    /// A file is larger than any of its kind.
    #[error("{name} has {size} bytes; such a document has at most {DOCUMENT}")]
    TooLarge {
        /// The file.
        name: String,
        /// Its size in bytes.
        size: u64,
    },
    /// An archive of very many files.
    #[error("the archive has more than {0} files: no image has")]
    TooMany(usize),
    /// Bytes that are not those of their digest.
    #[error("{name} is damaged: its bytes have digest {found}")]
    Digest {
        /// The file.
        name: String,
        /// What it is.
        found: Box<Digest>,
    },
    /// A layer is not what the config says.
    #[error("{name} unpacks to {found}, the config says {wanted}")]
    Layer {
        /// The file.
        name: String,
        /// The DiffID of the config.
        wanted: Box<DiffId>,
        /// What it is.
        found: Box<DiffId>,
    },
    /// A kind of document that is no image.
    #[error("{digest} has media type {media_type}: no image has")]
    MediaType {
        /// The document.
        digest: Box<Digest>,
        /// Its type.
        media_type: MediaType,
    },
}

/// Files by name: a spooled archive, or a directory.
trait Files {
    /// A small document; `None` when there is no such file.
    fn document(&mut self, name: &str) -> Result<Option<Vec<u8>>, ImportError>;

    /// Puts a file into the store as a blob. When `expected` is given it must be that. `None` when there is no such file.
    fn blob(&mut self, name: &str, expected: Option<&Descriptor>) -> Result<Option<BlobInfo>, ImportError>;
}

/// Brings in all images of an archive: tar, plain or compressed, with files in any order.
///
/// # Errors
/// When the archive cannot be read, holds no image, or something in it is not what it should be.
pub fn load_archive(store: &Store, archive: impl Read) -> Result<Vec<Loaded>, ImportError> {
    load(store, &mut Spool::read(store, archive)?)
}

/// Brings in all images of a directory: an OCI layout, or an unpacked archive.
///
/// # Errors
/// As for [`load_archive`].
pub fn load_directory(store: &Store, path: &Path) -> Result<Vec<Loaded>, ImportError> {
    load(store, &mut Directory::open(store, path)?)
}

/// Brings in what is at `path`, a file or a directory.
///
/// # Errors
/// As for [`load_archive`].
pub fn load_path(store: &Store, path: &Path) -> Result<Vec<Loaded>, ImportError> {
    let failed = |source| ImportError::Open { path: path.to_owned(), source };
    let file = std::fs::File::open(path).map_err(failed)?;
    if file.metadata().map_err(failed)?.is_dir() {
        return load_directory(store, path);
    }
    load_archive(store, file)
}

fn load(store: &Store, files: &mut dyn Files) -> Result<Vec<Loaded>, ImportError> {
    // Newer `docker save` writes both; index.json has digests for everything.
    let images = match (files.document("index.json")?, files.document("manifest.json")?) {
        (Some(index), _) => oci::load(store, files, &index)?,
        (None, Some(manifest)) => docker::load(store, files, &manifest)?,
        (None, None) => return Err(ImportError::NoImages),
    };
    for image in &images {
        store.images().add(&image.descriptor, &image.names)?;
    }
    Ok(images)
}

fn parse<T: serde::de::DeserializeOwned>(name: &str, bytes: &[u8]) -> Result<T, ImportError> {
    serde_json::from_slice(bytes)
        .map_err(|e| ImportError::Malformed { name: name.to_owned(), why: e.to_string() })
}

/// Errors of reading a stream into the store: a descriptor that lied, a full disk, or the stream itself.
fn copy(name: &str, from: &mut dyn Read, to: &mut crate::store::BlobWriter) -> Result<(), ImportError> {
    use io::Write;
    let mut buffer = vec![0; 128 << 10];
    loop {
        let read = match from.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(read) => read,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(ImportError::Read(e)),
        };
        if let Err(e) = to.write_all(&buffer[..read]) {
            if e.kind() == io::ErrorKind::InvalidData {
                return Err(ImportError::Malformed { name: name.to_owned(), why: e.to_string() });
            }
            let path = to.path().to_owned();
            return Err(StoreError::io("write", &path, e).into());
        }
    }
}
