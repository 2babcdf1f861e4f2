//! Packing, hashing, compressing and writing a layer at the same time.
//!
//! ```text
//! pack ──chunks──┬──▶ thread "diff-id": SHA-256 of the tar
//!                └──▶ thread "layer":   copy of the tar; Encoder (its own threads) ─▶ SHA-256 of the blob ─▶ blob
//! ```
//! And the other way:
//!
//! ```text
//! blob ─▶ thread "decode": Decoder ──chunks──┬──▶ thread "diff-id": SHA-256 of the tar
//!                                            └──▶ apply
//! ```
//! The chunks are shared, not copied, and used again: at most a few MiB are under way.

mod unpack;

pub use unpack::{UnpackError, Unpacked, unpack};

use super::compress::{Compression, Encoder};
use registry_client::digest::{DiffId, Digest, Digester};
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::thread::JoinHandle;

/// The names of a layer's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LayerDigests {
    /// Of the uncompressed tar.
    pub diff_id: DiffId,
    /// Bytes of the uncompressed tar.
    pub size: u64,
    /// Of the blob, when one was written.
    pub blob: Option<BlobDigest>,
}

/// The name of a blob, for its descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BlobDigest {
    /// Of its bytes.
    pub digest: Digest,
    /// How many they are.
    pub size: u64,
}

/// Something a layer is written to.
pub type Sink = Box<dyn Write + Send>;

/// Bytes in a chunk.
const CHUNK: usize = 256 << 10;
/// Chunks that wait for each thread.
const QUEUE: usize = 8;

/// Takes the tar of a layer, and hashes, copies and compresses it on other threads.
pub struct LayerWriter {
    chunk: Vec<u8>,
    consumers: Vec<SyncSender<Arc<Vec<u8>>>>,
    spare: Receiver<Vec<u8>>,
    hashing: JoinHandle<Digester>,
    writing: Option<JoinHandle<io::Result<Option<BlobDigest>>>>,
}

impl LayerWriter {
    /// Starts the threads. The uncompressed tar is copied to `tar`, and to `blob` as its compression says; neither is
    /// needed for the DiffID. `threads` is how many compress.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn new(
        tar: Option<Sink>,
        blob: Option<(Compression, Sink)>,
        threads: NonZeroUsize,
    ) -> io::Result<Self> {
        let (recycle, spare) = mpsc::channel();
        let (to_hash, chunks) = mpsc::sync_channel(QUEUE);
        let hashing = {
            let recycle = recycle.clone();
            std::thread::Builder::new().name("diff-id".into()).spawn(move || hash(&chunks, &recycle))?
        };
        let mut consumers = vec![to_hash];
        let mut writing = None;
        if tar.is_some() || blob.is_some() {
            let blob = blob
                .map(|(compression, out)| {
                    let out = HashingWriter { out, digester: Digester::new() };
                    Encoder::new(out, compression, threads)
                })
                .transpose()?;
            let (to_write, chunks) = mpsc::sync_channel(QUEUE);
            consumers.push(to_write);
            let thread = std::thread::Builder::new().name("layer".into());
            writing = Some(thread.spawn(move || write(&chunks, &recycle, tar, blob))?);
        }
        Ok(Self { chunk: Vec::with_capacity(CHUNK), consumers, spare, hashing, writing })
    }

    /// Waits for everything to be hashed and written. Files are flushed, not synced.
    ///
    /// # Errors
    /// When writing failed, now or before.
    pub fn finish(mut self) -> io::Result<LayerDigests> {
        // An error of a sink is found below, and is better than "the thread is gone".
        let sent = self.send();
        self.consumers.clear();
        let digester = self.hashing.join().map_err(|_| panicked())?;
        let blob = match self.writing {
            Some(thread) => thread.join().map_err(|_| panicked())??,
            None => None,
        };
        sent?;
        Ok(LayerDigests { size: digester.bytes(), diff_id: DiffId(digester.finish()), blob })
    }

    fn send(&mut self) -> io::Result<()> {
        if self.chunk.is_empty() {
            return Ok(());
        }
        let next = self.spare.try_recv().unwrap_or_else(|_| Vec::with_capacity(CHUNK));
        let chunk = Arc::new(std::mem::replace(&mut self.chunk, next));
        for consumer in &self.consumers {
            consumer.send(Arc::clone(&chunk)).map_err(|_| {
                let message = "writing the layer failed; finish() tells why";
                io::Error::new(io::ErrorKind::BrokenPipe, message)
            })?;
        }
        Ok(())
    }
}

impl Write for LayerWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let length = bytes.len().min(CHUNK - self.chunk.len());
        self.chunk.extend_from_slice(&bytes[..length]);
        if self.chunk.len() == CHUNK {
            self.send()?;
        }
        Ok(length)
    }

    /// Chunks go on when they are full.
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn hash(chunks: &Receiver<Arc<Vec<u8>>>, recycle: &Sender<Vec<u8>>) -> Digester {
    let mut digester = Digester::new();
    for chunk in chunks {
        digester.update(&chunk);
        give_back(chunk, recycle);
    }
    digester
}

fn write(
    chunks: &Receiver<Arc<Vec<u8>>>,
    recycle: &Sender<Vec<u8>>,
    mut tar: Option<Sink>,
    mut blob: Option<Encoder<HashingWriter>>,
) -> io::Result<Option<BlobDigest>> {
    for chunk in chunks {
        if let Some(tar) = &mut tar {
            tar.write_all(&chunk)?;
        }
        if let Some(blob) = &mut blob {
            blob.write_all(&chunk)?;
        }
        give_back(chunk, recycle);
    }
    if let Some(tar) = &mut tar {
        tar.flush()?;
    }
    let Some(blob) = blob else { return Ok(None) };
    let HashingWriter { digester, .. } = blob.finish()?;
    Ok(Some(BlobDigest { size: digester.bytes(), digest: digester.finish() }))
}

/// The last one that used a chunk sends it back to be filled again.
fn give_back(chunk: Arc<Vec<u8>>, recycle: &Sender<Vec<u8>>) {
    if let Some(mut chunk) = Arc::into_inner(chunk) {
        chunk.clear();
        // After the last chunk nobody listens.
        let _ = recycle.send(chunk);
    }
}

/// Hashes what goes through it.
struct HashingWriter {
    out: Sink,
    digester: Digester,
}

impl Write for HashingWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.out.write(bytes)?;
        self.digester.update(&bytes[..written]);
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

fn panicked() -> io::Error {
    io::Error::other("a thread that hashes or writes a layer panicked")
}

#[cfg(test)]
mod tests;
