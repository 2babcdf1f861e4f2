//! Decompressing, hashing and unpacking a blob at once.

use super::{CHUNK, QUEUE, give_back, hash, panicked};
use crate::layer::apply::{ApplyError, ApplyOptions, ApplyStats, apply};
use crate::layer::compress::{Compression, Decoder};
use crate::rootfs::XattrFlavor;
use registry_client::digest::DiffId;
use std::io::{self, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::thread;

/// A layer that was unpacked.
#[derive(Clone, Debug)]
pub struct Unpacked {
    /// Of the uncompressed tar, all of it. Compare it before the directory is used.
    pub diff_id: DiffId,
    /// Bytes of the uncompressed tar.
    pub size: u64,
    /// How the blob was compressed.
    pub compression: Compression,
    /// What was made.
    pub stats: ApplyStats,
}

/// Why a blob cannot be unpacked. The directory is half-written then: discard it.
#[derive(Debug, thiserror::Error)]
pub enum UnpackError {
    /// It cannot be read from its beginning, or is compressed in a way layers are not.
    #[error("cannot read the layer")]
    Read(#[source] io::Error),
    /// It is not a layer, or cannot be made into a directory.
    #[error(transparent)]
    Apply(#[from] ApplyError),
}

/// Unpacks `blob`, compressed or not, into the empty directory `into`; see [`apply`](fn@crate::layer::apply).
///
/// The blob is read to its end. Whoever must verify its digest hashes what `blob` gives.
///
/// # Errors
/// When the blob cannot be read or decompressed, and as `apply`.
pub fn unpack(
    blob: impl Read + Send,
    into: &Path,
    flavor: XattrFlavor,
    options: &ApplyOptions,
) -> Result<Unpacked, UnpackError> {
    let decoder = Decoder::detect(blob).map_err(UnpackError::Read)?;
    let compression = decoder.compression();
    let (recycle, spare) = mpsc::channel();
    let (to_apply, chunks) = mpsc::sync_channel(QUEUE);
    let (to_hash, to_be_hashed) = mpsc::sync_channel(QUEUE);
    thread::scope(|scope| {
        let hashing = {
            let recycle = recycle.clone();
            let builder = thread::Builder::new().name("diff-id".into());
            builder.spawn_scoped(scope, move || hash(&to_be_hashed, &recycle)).map_err(UnpackError::Read)?
        };
        thread::Builder::new()
            .name("decode".into())
            .spawn_scoped(scope, move || decode(decoder, &spare, &to_apply, &to_hash))
            .map_err(UnpackError::Read)?;
        let mut tar = Chunks { chunks, recycle, current: Arc::default(), taken: 0 };
        let applied = apply(&mut tar, into, flavor, options);
        // After an error the decoder must find out that nobody listens.
        drop(tar);
        let stats = applied?;
        let digester = hashing.join().map_err(|_| UnpackError::Read(panicked()))?;
        Ok(Unpacked { size: digester.bytes(), diff_id: DiffId(digester.finish()), compression, stats })
    })
}

type Chunk = Arc<Vec<u8>>;

/// Fills chunks until the end, an error, or until nobody wants them.
fn decode<R: Read>(
    mut decoder: Decoder<R>,
    spare: &Receiver<Vec<u8>>,
    to_apply: &SyncSender<io::Result<Chunk>>,
    to_hash: &SyncSender<Chunk>,
) {
    loop {
        let mut chunk = spare.try_recv().unwrap_or_else(|_| Vec::with_capacity(CHUNK));
        let read = decoder.by_ref().take(CHUNK as u64).read_to_end(&mut chunk);
        if chunk.is_empty() && matches!(read, Ok(0)) {
            return;
        }
        let chunk = Arc::new(chunk);
        let heard = to_hash.send(Arc::clone(&chunk)).is_ok() && to_apply.send(Ok(chunk)).is_ok();
        if let Err(error) = read {
            // Whoever unpacks tells it; what was read before it may be an error of its own.
            let _ = to_apply.send(Err(error));
            return;
        }
        if !heard {
            return;
        }
    }
}

/// Reads what the decoder sends.
struct Chunks {
    chunks: Receiver<io::Result<Chunk>>,
    recycle: Sender<Vec<u8>>,
    current: Chunk,
    taken: usize,
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.taken == self.current.len() {
            let Ok(next) = self.chunks.recv() else { return Ok(0) };
            self.taken = 0;
            give_back(std::mem::replace(&mut self.current, next?), &self.recycle);
        }
        let length = buffer.len().min(self.current.len() - self.taken);
        buffer[..length].copy_from_slice(&self.current[self.taken..self.taken + length]);
        self.taken += length;
        Ok(length)
    }
}
