//! Files of an archive, and tar archives that hold nothing but plain files.

use super::ExportError;
use super::prepare::Inflating;
use crate::store::{Store, StoreError};
use registry_client::descriptor::Descriptor;
use registry_client::digest::DiffId;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufWriter, Read, Write};
use tar::{Builder, EntryType, Header};

/// What a file of an archive holds.
#[derive(Clone, Debug)]
pub(super) enum Body {
    /// These bytes.
    Bytes(Vec<u8>),
    /// A blob of the store.
    Blob(Descriptor),
    /// A layer, out of the blob `from`.
    Inflate { diff_id: DiffId, size: u64, from: Descriptor },
}

impl Body {
    /// Its bytes. Reading fails at the end when they were not what they should be.
    pub(super) fn open<'a>(&'a self, store: &Store) -> Result<(u64, Box<dyn Read + 'a>), ExportError> {
        Ok(match self {
            Self::Bytes(bytes) => (bytes.len() as u64, Box::new(bytes.as_slice())),
            Self::Blob(descriptor) => (descriptor.size, Box::new(Verified::open(store, descriptor)?)),
            Self::Inflate { diff_id, size, from } => {
                (*size, Box::new(Exactly { inner: Inflating::open(store, *diff_id, from)?, left: *size }))
            }
        })
    }
}

/// Files by path; sorted, so that an archive of them is always the same.
pub(super) type Files = BTreeMap<String, Body>;

/// Writes the files, with the directories they are in, as a tar archive: owner root, all times 1970.
pub(super) fn write(store: &Store, files: &Files, out: &mut dyn Write) -> Result<(), ExportError> {
    let mut archive = Builder::new(BufWriter::with_capacity(128 << 10, out));
    let mut directories = BTreeSet::new();
    for (path, body) in files {
        for (at, _) in path.match_indices('/') {
            let directory = &path[..=at];
            if directories.insert(directory) {
                let mut header = header(EntryType::Directory, 0o755, 0);
                archive.append_data(&mut header, directory, io::empty()).map_err(ExportError::from_stream)?;
            }
        }
        let (size, mut reader) = body.open(store)?;
        let mut header = header(EntryType::Regular, 0o644, size);
        // The header alone: what the crate copies, it copies in pieces of 8 KiB.
        archive.append_data(&mut header, path, io::empty()).map_err(ExportError::from_stream)?;
        let out = archive.get_mut();
        let written = pour(&mut reader, out).map_err(ExportError::from_stream)?;
        debug_assert_eq!(written, size, "what is opened says how long it is, or fails");
        let padding = written.next_multiple_of(BLOCK) - written;
        io::copy(&mut io::repeat(0).take(padding), out).map_err(ExportError::Stream)?;
    }
    let mut out = archive.into_inner().map_err(ExportError::Stream)?;
    out.flush().map_err(ExportError::Stream)
}

/// Bytes in a block of a tar archive.
const BLOCK: u64 = 512;
/// Bytes that are copied at once.
const PIECE: usize = 256 << 10;

/// Copies everything, in large pieces; says how many bytes.
pub(super) fn pour(from: &mut dyn Read, to: &mut dyn Write) -> io::Result<u64> {
    let mut piece = vec![0; PIECE];
    let mut copied = 0;
    loop {
        match from.read(&mut piece) {
            Ok(0) => return Ok(copied),
            Ok(read) => {
                to.write_all(&piece[..read])?;
                copied += read as u64;
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

fn header(kind: EntryType, mode: u32, size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

/// Reads a blob of the store; the end is an error when the bytes were not those of its digest and size.
pub(super) struct Verified<R> {
    inner: R,
    check: Check,
    descriptor: Descriptor,
    store: Store,
}

/// What is compared at the end.
enum Check {
    /// Digest and size.
    Digest(crate::store::Hasher),
    /// The size, of which so much was read: this process has just hashed the bytes when it wrote them.
    Length(u64),
    /// Nothing any more.
    Done,
}

impl Verified<File> {
    pub(super) fn open(store: &Store, descriptor: &Descriptor) -> Result<Self, ExportError> {
        let inner = store.blobs().open(&descriptor.digest)?;
        let check = match store.blobs().is_fresh(&descriptor.digest) {
            true => Check::Length(0),
            false => Check::Digest(crate::store::Hasher::like(&descriptor.digest)),
        };
        Ok(Self { inner, check, descriptor: descriptor.clone(), store: store.clone() })
    }
}

impl<R: Read> Verified<R> {
    fn damaged(&self) -> io::Error {
        let error = match self.store.blobs().set_aside(&self.descriptor.digest) {
            Ok(error) | Err(error) => error,
        };
        io::Error::other(ExportError::Store(error))
    }
}

impl<R: Read> Read for Verified<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if matches!(self.check, Check::Done) {
            return Ok(0);
        }
        let read = match self.inner.read(buffer) {
            Ok(read) => read,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => return Err(e),
            Err(e) => {
                let path = self.store.blobs().path(&self.descriptor.digest);
                let error = StoreError::io("read", &path, e);
                return Err(io::Error::other(ExportError::Store(error)));
            }
        };
        let bytes = match &mut self.check {
            Check::Digest(hasher) => {
                hasher.update(&buffer[..read]);
                hasher.bytes()
            }
            Check::Length(bytes) => {
                *bytes += read as u64;
                *bytes
            }
            Check::Done => 0,
        };
        if bytes > self.descriptor.size {
            return Err(self.damaged());
        }
        if read > 0 || buffer.is_empty() {
            return Ok(read);
        }
        let right = match std::mem::replace(&mut self.check, Check::Done) {
            Check::Digest(hasher) => hasher.finish() == (self.descriptor.digest, self.descriptor.size),
            Check::Length(_) => bytes == self.descriptor.size,
            Check::Done => true,
        };
        if right { Ok(0) } else { Err(self.damaged()) }
    }
}

/// Refuses a stream that is longer or shorter than was promised.
struct Exactly<R> {
    inner: R,
    left: u64,
}

impl<R: Read> Read for Exactly<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.inner.read(buffer)?;
        let bad = |what: &str| {
            Err(io::Error::new(
                io::ErrorKind::InvalidData,
                format!("a layer is {what} than it was when it was unpacked"),
            ))
        };
        match self.left.checked_sub(read as u64) {
            None => return bad("longer"),
            Some(left) => self.left = left,
        }
        if read == 0 && !buffer.is_empty() && self.left > 0 { bad("shorter") } else { Ok(read) }
    }
}
