//! `blobs/`: bytes by digest. What has a name here is whole, verified and synced.

use super::Store;
use super::document;
use super::error::{At, StoreError};
use super::hasher::Hasher;
use super::uses::Thing;
use crate::write_behind::WriteBehind;
use registry_client::descriptor::Descriptor;
use registry_client::digest::Digest;
use std::fs::{File, Permissions};
use std::io::{self, BufWriter, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::PoisonError;

/// A blob that is in the store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlobInfo {
    /// Of its bytes.
    pub digest: Digest,
    /// Bytes.
    pub size: u64,
}

impl BlobInfo {
    fn check(&self, expected: Option<&Descriptor>) -> Result<(), StoreError> {
        match expected {
            Some(e) if e.size != self.size => {
                Err(StoreError::Size { digest: e.digest, want: e.size, got: self.size })
            }
            Some(e) if e.digest != self.digest => {
                Err(StoreError::Digest { want: e.digest.into(), got: self.digest.into() })
            }
            _ => Ok(()),
        }
    }
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
        if !self.store.hold(Thing::Blob(&digest.to_string())) {
            return None;
        }
        self.path(digest).symlink_metadata().ok().filter(|m| m.is_file()).map(|m| m.len())
    }

    /// Opens the blob. Its bytes were verified when they came in; a reader that must be sure verifies them again
    /// ([`copy_to`](Self::copy_to)).
    ///
    /// # Errors
    /// `NoBlob` when it is not there.
    pub fn open(&self, digest: &Digest) -> Result<File, StoreError> {
        let path = self.path(digest);
        if !self.store.hold(Thing::Blob(&digest.to_string())) {
            return Err(StoreError::NoBlob(*digest));
        }
        match File::open(&path) {
            Err(e) if e.kind() == io::ErrorKind::NotFound => Err(StoreError::NoBlob(*digest)),
            other => other.at("open", &path),
        }
    }

    /// Whether the bytes of the blob came in by this process, which hashed them on the way: reading them again, to see
    /// whether the disk kept them, is of no use so soon.
    pub fn is_fresh(&self, digest: &Digest) -> bool {
        self.hashed().contains(digest)
    }

    fn hashed(&self) -> std::sync::MutexGuard<'_, std::collections::HashSet<Digest>> {
        self.store.shared.hashed.lock().unwrap_or_else(PoisonError::into_inner)
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

    /// Moves a blob that turned out to be damaged to the garbage; gives the error that says so.
    pub(crate) fn set_aside(&self, digest: &Digest) -> Result<StoreError, StoreError> {
        self.hashed().remove(digest);
        self.store.discard(&self.path(digest))?;
        Ok(StoreError::Damaged { digest: *digest })
    }

    /// A writer for bytes whose digest is not known yet.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn writer(&self) -> Result<BlobWriter, StoreError> {
        self.start(Hasher::default(), None)
    }

    /// A writer for the bytes of `descriptor`: takes no more of them than it says, and hashes with its algorithm.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn writer_for(&self, descriptor: &Descriptor) -> Result<BlobWriter, StoreError> {
        self.store.reserve(descriptor.size)?;
        self.start(Hasher::like(&descriptor.digest), Some(descriptor.size))
    }

    /// A writer for the bytes of `descriptor` from a reader that gives the last of them only if the digest of all is right,
    /// as the registry client does; hashing them twice would cost a tenth of a pull. More or fewer bytes are an error.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn writer_of_verified(&self, descriptor: &Descriptor) -> Result<BlobWriter, StoreError> {
        self.start(Hasher::Known(descriptor.digest, 0), Some(descriptor.size))
    }

    /// A writer for bytes that should have `digest`, or whose digest is not known. Nothing is compared.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub(crate) fn writer_like(&self, digest: Option<&Digest>) -> Result<BlobWriter, StoreError> {
        self.start(digest.map(Hasher::like).unwrap_or_default(), None)
    }

    fn start(&self, hasher: Hasher, limit: Option<u64>) -> Result<BlobWriter, StoreError> {
        let path = self.store.scratch("blob")?;
        let file = File::create_new(&path).at("create", &path)?;
        let file = BufWriter::with_capacity(128 << 10, WriteBehind::new(file));
        Ok(BlobWriter { store: self.store.clone(), path, file: Some(file), hasher, limit })
    }

    /// A file for bytes that somebody else hashes on the way, as the layer pipeline does; hashing them twice would cost
    /// more than writing them.
    ///
    /// # Errors
    /// When the file cannot be made.
    pub fn unhashed(&self) -> Result<(impl Write + Send + use<>, UnhashedBlob), StoreError> {
        let path = self.store.scratch("blob")?;
        let file = File::create_new(&path).at("create", &path)?;
        Ok((WriteBehind::new(file), UnhashedBlob { store: self.store.clone(), path }))
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
        self.hashed().remove(digest);
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

/// Takes the bytes of a blob and hashes them, unless somebody else does; they are discarded when this is dropped without [`commit`](Self::commit).
#[derive(Debug)]
pub struct BlobWriter {
    store: Store,
    path: PathBuf,
    file: Option<BufWriter<WriteBehind>>,
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

    /// Ends the writing: the bytes are on the disk, still without a name.
    ///
    /// # Errors
    /// When they cannot be written. Nothing is stored then.
    pub fn finish(mut self) -> Result<FinishedBlob, StoreError> {
        let (digest, size) = std::mem::take(&mut self.hasher).finish();
        if let Some(mut file) = self.file.take() {
            file.flush().at("write", &self.path).map_err(|e| e.wanting(Some(size)))?;
            file.get_ref().file().sync_data().at("sync", &self.path)?;
        }
        let path = std::mem::take(&mut self.path);
        Ok(FinishedBlob { store: self.store.clone(), path, info: BlobInfo { digest, size } })
    }

    /// [Finishes](Self::finish) and [commits](FinishedBlob::commit).
    ///
    /// # Errors
    /// `Digest` or `Size` when it is not what `expected` says; when it cannot be written. Nothing is stored then.
    pub fn commit(mut self, expected: Option<&Descriptor>) -> Result<BlobInfo, StoreError> {
        let known = std::mem::take(&mut self.hasher);
        let (digest, size) = known.clone().finish();
        // What is wrong or there already need not wait for the disk.
        let info = BlobInfo { digest, size };
        info.check(expected)?;
        if self.store.blobs().size(&digest) == Some(size) {
            return Ok(info);
        }
        self.hasher = known;
        self.finish()?.commit(expected)
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
        remove_unless_empty(&self.path);
    }
}

/// Removes a file of `tmp/`; one that was handed on has lost its path.
fn remove_unless_empty(path: &Path) {
    if !path.as_os_str().is_empty() {
        let _ = std::fs::remove_file(path);
    }
}

/// A file whose bytes somebody else hashes; discarded when this is dropped without [`commit`](Self::commit).
#[derive(Debug)]
pub struct UnhashedBlob {
    store: Store,
    path: PathBuf,
}

impl UnhashedBlob {
    /// Gives the blob its name, taking the caller's word for the digest. All of it is written and flushed.
    ///
    /// # Errors
    /// `Size` when the file is longer or shorter; when it cannot be synced.
    pub fn commit(mut self, info: BlobInfo) -> Result<BlobInfo, StoreError> {
        let file = File::open(&self.path).at("open", &self.path)?;
        let got = file.metadata().at("read", &self.path)?.len();
        if got != info.size {
            return Err(StoreError::Size { digest: info.digest, want: info.size, got });
        }
        if self.store.blobs().size(&info.digest) != Some(info.size) {
            file.sync_data().at("sync", &self.path)?;
        }
        let path = std::mem::take(&mut self.path);
        FinishedBlob { store: self.store.clone(), path, info }.commit(None)
    }
}

impl Drop for UnhashedBlob {
    fn drop(&mut self) {
        remove_unless_empty(&self.path);
    }
}

/// Bytes that are on the disk and hashed, without a name yet; they are discarded when this is dropped without
/// [`commit`](Self::commit).
#[derive(Debug)]
pub struct FinishedBlob {
    store: Store,
    path: PathBuf,
    info: BlobInfo,
}

impl FinishedBlob {
    /// What they are.
    pub fn info(&self) -> BlobInfo {
        self.info
    }

    /// Reads all of them.
    ///
    /// # Errors
    /// When they cannot be read.
    pub fn read(&self) -> Result<Vec<u8>, StoreError> {
        std::fs::read(&self.path).at("read", &self.path)
    }

    /// Gives the blob its name, when it is what `expected` says. Bytes that the store has already are dropped.
    ///
    /// # Errors
    /// `Digest` or `Size` when it is something else. Nothing is stored then.
    pub fn commit(self, expected: Option<&Descriptor>) -> Result<BlobInfo, StoreError> {
        self.info.check(expected)?;
        let blobs = self.store.blobs();
        let BlobInfo { digest, size } = self.info;
        // A file of another length is a damaged one, and is replaced.
        if blobs.size(&digest) == Some(size) {
            return Ok(self.info);
        }
        std::fs::set_permissions(&self.path, Permissions::from_mode(0o444))
            .at("change the mode of", &self.path)?;
        let path = blobs.path(&digest);
        let _growing = self.store.grow(size)?;
        // Nothing is collected from here on; until here the same blob may have been.
        self.store.hold(Thing::Blob(&digest.to_string()));
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
        blobs.hashed().insert(digest);
        Ok(self.info)
    }
}

impl Drop for FinishedBlob {
    fn drop(&mut self) {
        // After a commit it has another name.
        let _ = std::fs::remove_file(&self.path);
    }
}
