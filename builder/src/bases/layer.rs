//! From a DiffID to an unpacked layer.

use super::layout::blob_path;
use super::{BaseError, Bases, Known, Source};
use crate::blocking::blocking;
use crate::layer::{self, ApplyLimits, ApplyOptions};
use crate::progress::measure::Wait;
use crate::progress::{Event, StepId, Stream};
use crate::rootfs::Owners;
use crate::solve::TRANSFER;
use crate::store::{LayerBlob, LayerBuilder, LayerDir, Layers, Store};
use crate::waiting;
use bytes::Bytes;
use registry_client::descriptor::Descriptor;
use registry_client::digest::DiffId;
use registry_client::reference::Reference;
use std::io::{self, Read, Write};
use std::path::PathBuf;
use std::sync::{Arc, PoisonError};
use std::time::Instant;
use tokio::sync::{OnceCell, mpsc};

/// Chunks of a download that wait for being unpacked; each has some hundred KiB at most.
const CHUNKS_AHEAD: usize = 16;

impl Bases {
    /// Whether the layer is unpacked in the store.
    pub fn is_unpacked(&self, layer: DiffId) -> bool {
        self.found(layer).is_some()
    }

    /// The layer, when it is unpacked in the store.
    fn found(&self, layer: DiffId) -> Option<LayerDir> {
        let memory = || self.found.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = memory().get(&layer) {
            return Some(found.clone());
        }
        let found = self.store.layers().get(layer)?;
        memory().insert(layer, found.clone());
        Some(found)
    }

    /// Bytes of the layer's uncompressed tar, when it is unpacked in the store.
    pub fn size(&self, layer: DiffId) -> Option<u64> {
        self.found(layer).map(|layer| layer.meta.size)
    }

    /// The directories of `layers`, in their order; what is missing is fetched and unpacked, several at once. Transfers
    /// are told as part of `step`; of all that wait for a place in the budget, those of the highest `priority` go first.
    ///
    /// # Errors
    /// When a layer cannot be had or unpacked.
    pub async fn unpack(
        self: &Arc<Self>,
        layers: &[DiffId],
        step: StepId,
        priority: u64,
    ) -> Result<Vec<PathBuf>, BaseError> {
        let mut tasks = tokio::task::JoinSet::new();
        for (position, &layer) in layers.iter().enumerate() {
            let bases = Arc::clone(self);
            tasks.spawn(async move { (position, bases.one(layer, step, priority).await) });
        }
        let mut paths = vec![PathBuf::new(); layers.len()];
        while let Some(joined) = tasks.join_next().await {
            match joined {
                Ok((position, path)) => paths[position] = path?,
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            }
        }
        Ok(paths)
    }

    /// The directory of one layer; two who ask at once wait for the same work.
    async fn one(&self, layer: DiffId, step: StepId, priority: u64) -> Result<PathBuf, BaseError> {
        let cell = {
            let mut unpacked = self.unpacked.lock().unwrap_or_else(PoisonError::into_inner);
            Arc::<OnceCell<PathBuf>>::clone(unpacked.entry(layer).or_default())
        };
        let path = cell
            .get_or_try_init(|| async {
                if let Some(there) = self.found(layer) {
                    return Ok(there.path);
                }
                self.make(layer, step, priority).await
            })
            .await?;
        Ok(path.clone())
    }

    /// Makes the layer, unless another process does or did.
    async fn make(&self, layer: DiffId, step: StepId, priority: u64) -> Result<PathBuf, BaseError> {
        let asked = Instant::now();
        let tell = || {
            let line = format!("waiting for the layer {}, which another build fetches", layer.0.short());
            self.progress.send(Event::Log { step, stream: Stream::Stderr, line: line.into_bytes() });
        };
        let (kind, key) = Layers::lock_name(layer);
        let lock = waiting::lock(&self.store, kind, &key, tell).await?;
        self.progress.waited(step, Wait::Lock, asked);
        if let Some(there) = self.found(layer) {
            return Ok(there.path);
        }
        let asked = Instant::now();
        let place = self.budget.take(TRANSFER, priority).await;
        self.progress.waited(step, Wait::Place, asked);
        let known = {
            let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            known.get(&layer).cloned()
        };
        let path = match (self.stored_blob(layer, known.as_ref()), known) {
            (Some(blob), _) => self.unpack_file(layer, blob).await?,
            (None, Some(Known { descriptor, source: Source::Layout(path) })) => {
                let from = blob_path(&path, &descriptor.digest);
                let chunks = file_chunks(from);
                self.unpack_chunks(layer, &descriptor, chunks, false, step).await?
            }
            (None, Some(Known { descriptor, source: Source::Registry(reference) })) => loop {
                match self.unpack_download(layer, &reference, &descriptor, step).await {
                    // What a mirror sent so far is thrown away; the next comes from elsewhere.
                    Err(error) if error.is_of_mirror() => {}
                    other => break other?,
                }
            },
            (None, None) => return Err(BaseError::UnknownLayer(layer)),
        };
        drop((place, lock));
        Ok(path)
    }

    /// Unpacks a layer while it is downloaded.
    async fn unpack_download(
        &self,
        layer: DiffId,
        reference: &Reference,
        descriptor: &Descriptor,
        step: StepId,
    ) -> Result<PathBuf, BaseError> {
        let asked = Instant::now();
        let mut blob = self.client.blob(reference, descriptor)?;
        let (sender, receiver) = mpsc::channel(CHUNKS_AHEAD);
        let feed = async {
            let sender = sender;
            while let Some(chunk) = blob.chunk().await? {
                if sender.send(Ok(chunk)).await.is_err() {
                    // The other side stopped reading: it has an error to tell.
                    break;
                }
            }
            self.progress.waited(step, Wait::Network, asked);
            Ok::<(), BaseError>(())
        };
        let (fed, made) = tokio::join!(feed, self.unpack_chunks(layer, descriptor, receiver, true, step));
        fed?;
        if made.as_ref().is_err_and(BaseError::is_of_content) {
            // It may be that the bytes are not those of the layer: what is wrong is the way they came then.
            while blob.chunk().await?.is_some() {}
        }
        made
    }

    /// A blob of the store that unpacks to the layer.
    fn stored_blob(&self, layer: DiffId, known: Option<&Known>) -> Option<PathBuf> {
        let blobs = self.store.blobs();
        let by_manifest = known.map(|known| known.descriptor.digest).filter(|digest| blobs.contains(digest));
        let by_layer = || self.store.layers().blobs_of(layer).first().map(|blob| blob.digest);
        by_manifest.or_else(by_layer).map(|digest| blobs.path(&digest))
    }

    /// Unpacks a blob of the store.
    async fn unpack_file(&self, layer: DiffId, blob: PathBuf) -> Result<PathBuf, BaseError> {
        let store = self.store.clone();
        blocking(move || {
            let file = std::fs::File::open(blob).map_err(|source| BaseError::Read { layer, source })?;
            unpack(&store, layer, file)
        })
        .await
    }

    /// Unpacks what comes in, and keeps it as a blob as well. `verified` if the last bytes come only when the digest is right.
    async fn unpack_chunks(
        &self,
        layer: DiffId,
        descriptor: &Descriptor,
        chunks: mpsc::Receiver<io::Result<Bytes>>,
        verified: bool,
        step: StepId,
    ) -> Result<PathBuf, BaseError> {
        let (store, progress) = (self.store.clone(), self.progress.clone());
        let descriptor = descriptor.clone();
        blocking(move || {
            let item = descriptor.digest.short();
            let total = Some(descriptor.size);
            let told = move |current| {
                progress.send(Event::Transfer { step, item: item.clone(), current, total });
            };
            let blobs = store.blobs();
            let mut writer =
                if verified { blobs.writer_of_verified(&descriptor) } else { blobs.writer_for(&descriptor) }?;
            let mut tee =
                Chunks { chunks, now: Bytes::new(), copy: &mut writer, told: &told, count: 0, last_told: 0 };
            let path = unpack(&store, layer, &mut tee)?;
            told(tee.count);
            writer.commit(Some(&descriptor))?;
            let blob = LayerBlob {
                digest: descriptor.digest,
                size: descriptor.size,
                media_type: descriptor.media_type.clone(),
                level: None,
            };
            store.layers().add_blob(layer, blob)?;
            Ok(path)
        })
        .await
    }
}

/// Decompresses, hashes and applies a layer.
fn unpack(store: &Store, layer: DiffId, blob: impl Read + Send) -> Result<PathBuf, BaseError> {
    let builder: LayerBuilder = store.layers().begin(layer)?;
    let options = ApplyOptions {
        limits: ApplyLimits::default(),
        ignore_chown: store.owners() == Owners::Flattened,
        // A user namespace cannot hold device nodes; a sandbox has its own in /dev.
        skip_denied_devices: true,
    };
    let unpacked = layer::unpack(blob, &builder.path(), store.flavor(), &options)
        .map_err(|source| BaseError::Unpack { layer, source })?;
    if unpacked.diff_id != layer {
        return Err(BaseError::DiffId { want: Box::new(layer), got: Box::new(unpacked.diff_id) });
    }
    let mut implied = unpacked.stats.implied_directories;
    if unpacked.stats.implied_root {
        implied.push(PathBuf::new());
    }
    Ok(builder.commit_with(unpacked.size, implied)?.path)
}

/// Chunks of a download as a reader; what is read is copied to a writer and counted.
struct Chunks<'w, W, T> {
    chunks: mpsc::Receiver<io::Result<Bytes>>,
    now: Bytes,
    copy: &'w mut W,
    told: &'w T,
    count: u64,
    last_told: u64,
}

impl<W: Write, T: Fn(u64)> Read for Chunks<'_, W, T> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.now.is_empty() {
            match self.chunks.blocking_recv() {
                None => return Ok(0),
                Some(chunk) => self.now = chunk?,
            }
            self.copy.write_all(&self.now)?;
            self.count += self.now.len() as u64;
            if self.count - self.last_told >= 1 << 20 {
                self.last_told = self.count;
                (self.told)(self.count);
            }
        }
        let n = buffer.len().min(self.now.len());
        buffer[..n].copy_from_slice(&self.now.split_to(n));
        Ok(n)
    }
}

/// The chunks of a file, read by a thread of its own.
fn file_chunks(path: PathBuf) -> mpsc::Receiver<io::Result<Bytes>> {
    let (sender, receiver) = mpsc::channel(CHUNKS_AHEAD);
    tokio::task::spawn_blocking(move || {
        let read = || -> io::Result<()> {
            let mut file = std::fs::File::open(&path)?;
            loop {
                let mut chunk = vec![0; 256 << 10];
                let n = file.read(&mut chunk)?;
                chunk.truncate(n);
                if n == 0 || sender.blocking_send(Ok(chunk.into())).is_err() {
                    return Ok(());
                }
            }
        };
        if let Err(error) = read() {
            // Nobody left to tell is fine.
            let _ = sender.blocking_send(Err(error));
        }
    });
    receiver
}
