//! `blobs/`: bytes by digest. What has a name here is whole, verified and synced.

use super::Store;
use super::document;
use super::error::{At, StoreError};
use registry_client::descriptor::Descriptor;
use registry_client::digest::{Digest, Digester};
use sha2::{Digest as _, Sha512};
use std::fs::{File, Permissions};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// A blob that is in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlobInfo {
    /// Of its bytes.
    pub digest: Digest,
    /// Bytes.
    pub size: u64,
}

/// The blobs of a store.
#[derive(Clone, Debug)]
pub struct Blobs {
    store: Store,
}

impl Blobs {
    pub(super) fn new(store: Store) -> Self {
        Self { store }
    }

    /// Where the blob is, or would be.
    pub fn path(&self, digest: &Digest) -> PathBuf {
        self.store.path("blobs").join(digest.algorithm()).join(digest.hex())
    }

    /// Whether the blob is there.
    pub fn contains(&self, digest: &Digest) -> bool {
        self.size(digest).is_some()
    }

    /// Its size in bytes, when it is there.
    pub fn size(&self, digest: &Digest) -> Option<u64> {
        self.path(digest).symlink_metadata().ok().filter(|m| m.is_file()).map(|m| m.len())
    }

    /// Opens the blob. Its bytes were verified when they came in; a reader that must be sure verifies them again
    /// ([`copy_to`](Self::copy_to)).
    ///
    /// # Errors
    /// `NoBlob` when it is not there.
    pub fn open(&self, digest: &Digest) -> Result<File, StoreError> {
        let path = self.path(digest);
        match File::open(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Err(StoreError::NoBlob(*digest)),
            other => other.at("open", &path),
        }
    }

    /// Reads a small document, verified.
    ///
    /// # Errors
    /// `NoBlob`; `TooLarge` past `limit` bytes; `Damaged` when the bytes are not those of the digest any more: the blob
    /// is then moved aside, so that it can be had again.
    pub fn read(&self, digest: &Digest, limit: u64) -> Result<Vec<u8>, StoreError> {
        let file = self.open(digest)?;
        let path = self.path(digest);
        let size = file.metadata().at("read", &path)?.len();
        if size > limit {
            return Err(StoreError::TooLarge { digest: *digest, size, limit });
        }
        let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or(0));
        file.take(limit + 1).read_to_end(&mut bytes).at("read", &path)?;
        let mut hasher = Hasher::like(digest);
        hasher.update(&bytes);
        if hasher.finish().0 != *digest {
            return Err(self.set_aside(digest)?);
        }
        Ok(bytes)
    }

    /// Copies the blob into `out`, verifying digest and size on the way; says how many bytes.
    ///
    /// # Errors
    /// `NoBlob`; `Damaged` after the last byte, as for [`read`](Self::read); errors of `out` as they are.
    pub fn copy_to(&self, digest: &Digest, out: &mut dyn Write) -> Result<u64, CopyError> {
        let mut file = self.open(digest)?;
        let path = self.path(digest);
        let mut hasher = Hasher::like(digest);
        let mut buffer = vec![0; 128 << 10];
        loop {
            let read = match file.read(&mut buffer) {
                Ok(0) => break,
                Ok(read) => read,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
                Err(e) => return Err(StoreError::io("read", &path, e).into()),
            };
            hasher.update(&buffer[..read]);
            out.write_all(&buffer[..read]).map_err(CopyError::Write)?;
        }
        let (got, bytes) = hasher.finish();
        if got != *digest {
            return Err(self.set_aside(digest)?.into());
        }
        Ok(bytes)
    }

    fn set_aside(&self, digest: &Digest) -> Result<StoreError, StoreError> {
        self.store.discard(&self.path(digest))?;
        Ok(StoreError::Damaged { digest: *digest })
    }

    /// A writer for bytes whose digest is not known yet.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn writer(&self) -> Result<BlobWriter, StoreError> {
        self.start(Hasher::Sha256(Digester::new()), None)
    }

    /// A writer for the bytes of `descriptor`: takes no more of them than it says, and hashes with its algorithm.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn writer_for(&self, descriptor: &Descriptor) -> Result<BlobWriter, StoreError> {
        self.start(Hasher::like(&descriptor.digest), Some(descriptor.size))
    }

    fn start(&self, hasher: Hasher, limit: Option<u64>) -> Result<BlobWriter, StoreError> {
        let path = self.store.scratch("blob")?;
        let file = File::create_new(&path).at("create", &path)?;
        let file = BufWriter::with_capacity(128 << 10, file);
        Ok(BlobWriter { store: self.store.clone(), path, file: Some(file), hasher, limit })
    }

    /// Stores `bytes`.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn insert(&self, bytes: &[u8]) -> Result<BlobInfo, StoreError> {
        let info = BlobInfo { digest: Digest::of(bytes), size: bytes.len() as u64 };
        if self.size(&info.digest) == Some(info.size) {
            return Ok(info);
        }
        let mut writer = self.writer()?;
        let path = writer.path.clone();
        writer.write_all(bytes).at("write", &path).map_err(|e| e.wanting(Some(info.size)))?;
        writer.commit(None)
    }

    /// Moves the blob to the garbage. Only for what nothing refers to.
    ///
    /// # Errors
    /// When it cannot be moved.
    pub fn remove(&self, digest: &Digest) -> Result<(), StoreError> {
        self.store.discard(&self.path(digest))
    }

    /// Every blob of the store.
    ///
    /// # Errors
    /// When a directory cannot be read.
    pub fn list(&self) -> Result<Vec<BlobInfo>, StoreError> {
        let mut blobs = Vec::new();
        for algorithm in ["sha256", "sha512"] {
            let dir = self.store.path("blobs").join(algorithm);
            let entries = match std::fs::read_dir(&dir) {
                Err(e) if e.kind() == io::ErrorKind::NotFound => continue,
                other => other.at("list", &dir)?,
            };
            for entry in entries {
                let entry = entry.at("list", &dir)?;
                let digest = format!("{algorithm}:{}", entry.file_name().to_string_lossy()).parse();
                if let (Ok(digest), Ok(metadata)) = (digest, entry.metadata()) {
                    blobs.push(BlobInfo { digest, size: metadata.len() });
                }
            }
        }
        blobs.sort_by_key(|b| b.digest);
        Ok(blobs)
    }
}

/// Why [`Blobs::copy_to`] stopped: the two ends fail for different reasons.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// Reading.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Writing.
    #[error("cannot write what is copied out of the store")]
    Write(#[source] io::Error),
}

/// Takes the bytes of a blob and hashes them; they are discarded when this is dropped without [`commit`](Self::commit).
#[derive(Debug)]
pub struct BlobWriter {
    store: Store,
    path: PathBuf,
    file: Option<BufWriter<File>>,
    hasher: Hasher,
    limit: Option<u64>,
}

impl BlobWriter {
    /// Bytes taken until now.
    pub fn bytes(&self) -> u64 {
        self.hasher.bytes()
    }

    /// The file that is being written, for errors.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Gives the blob its name, when it is what `expected` says. Bytes that the store has already are dropped.
    ///
    /// # Errors
    /// `Digest` or `Size` when it is something else; when it cannot be written. Nothing is stored then.
    pub fn commit(mut self, expected: Option<&Descriptor>) -> Result<BlobInfo, StoreError> {
        let (digest, size) = std::mem::take(&mut self.hasher).finish();
        if let Some(expected) = expected {
            if expected.size != size {
                return Err(StoreError::Size { digest: expected.digest, want: expected.size, got: size });
            }
            if expected.digest != digest {
                return Err(StoreError::Digest { want: expected.digest.into(), got: digest.into() });
            }
        }
        let blobs = self.store.blobs();
        let info = BlobInfo { digest, size };
        // A file of another length is a damaged one, and is replaced.
        if blobs.size(&digest) == Some(size) {
            return Ok(info);
        }
        let Some(file) = self.file.take() else { return Err(StoreError::NoBlob(digest)) };
        let file = file
            .into_inner()
            .map_err(io::IntoInnerError::into_error)
            .at("write", &self.path)
            .map_err(|e| e.wanting(Some(size)))?;
        file.set_permissions(Permissions::from_mode(0o444)).at("change the mode of", &self.path)?;
        file.sync_data().at("sync", &self.path)?;
        let path = blobs.path(&digest);
        match std::fs::rename(&self.path, &path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound && matches!(digest, Digest::Sha512(_)) => {
                let dir = self.store.path("blobs/sha512");
                std::fs::create_dir_all(&dir).at("create", &dir)?;
                document::sync_parent(&dir)?;
                std::fs::rename(&self.path, &path)
            }
            other => other,
        }
        .at("write", &path)?;
        Ok(info)
    }
}

impl Write for BlobWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if let Some(limit) = self.limit
            && self.hasher.bytes() + bytes.len() as u64 > limit
        {
            return Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("more bytes come than the {limit} that the descriptor says"),
            ));
        }
        let Some(file) = &mut self.file else { return Err(io::ErrorKind::BrokenPipe.into()) };
        let written = file.write(bytes)?;
        self.hasher.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.as_mut().map_or(Ok(()), Write::flush)
    }
}

impl Drop for BlobWriter {
    fn drop(&mut self) {
        // After a commit it has another name.
        let _ = std::fs::remove_file(&self.path);
    }
}

/// A hasher of either algorithm that counts.
#[derive(Debug)]
enum Hasher {
    Sha256(Digester),
    Sha512(Box<Sha512>, u64),
}

impl Default for Hasher {
    fn default() -> Self {
        Self::Sha256(Digester::new())
    }
}

impl Hasher {
    fn like(digest: &Digest) -> Self {
        match digest {
            Digest::Sha256(_) => Self::default(),
            Digest::Sha512(_) => Self::Sha512(Box::default(), 0),
        }
    }

    fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Sha512(hasher, count) => {
                hasher.update(bytes);
                *count += bytes.len() as u64;
            }
        }
    }

    fn bytes(&self) -> u64 {
        match self {
            Self::Sha256(hasher) => hasher.bytes(),
            Self::Sha512(_, count) => *count,
        }
    }

    fn finish(self) -> (Digest, u64) {
        let bytes = self.bytes();
        let digest = match self {
            Self::Sha256(hasher) => hasher.finish(),
            Self::Sha512(hasher, _) => Digest::Sha512(hasher.finalize().into()),
        };
        (digest, bytes)
    }
}
