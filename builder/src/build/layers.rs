//! Packs the layers of the image while later steps run.

use super::forms::Forms;
use crate::blocking::blocking;
use crate::export::{self, ExportError};
use crate::graph::{Graph, VertexId};
use crate::layer::pipeline::Sink;
use crate::layer::{BlobDigest, Compression, LayerWriter, PackError, PackOptions, pack};
use crate::steps::{Layer, OnDone, Rootfs};
use crate::store::{BlobInfo, ClampedLayer, LayerBlob, LayerMeta, Snapshot, SnapshotId, Store, StoreError};
use registry_client::descriptor::Descriptor;
use registry_client::digest::DiffId;
use registry_client::media_type::MediaType;
use std::collections::{HashMap, HashSet};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;
use tokio::sync::Semaphore;
use tokio::task::JoinHandle;

/// A layer as it will be in the image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Packed {
    /// Digest of its uncompressed tar.
    pub(super) diff_id: DiffId,
    /// Bytes of that tar.
    pub(super) size: u64,
    /// The blob of the store that holds it: the tar, when that is kept, and else what it is compressed to.
    pub(super) descriptor: Descriptor,
    /// When its step finished.
    pub(super) created: SystemTime,
}

/// Why a layer cannot be packed.
#[derive(Debug, thiserror::Error)]
pub(super) enum LayerError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Pack(#[from] PackError),
    #[error(transparent)]
    Export(#[from] ExportError),
    #[error("snapshot {0} is gone")]
    Gone(SnapshotId),
    #[error("this layer must be packed, which takes a user namespace")]
    NeedsUserNamespace,
}

/// A layer that is packed, or is being packed.
#[derive(Debug)]
enum Job {
    Known(Box<Packed>),
    Running(JoinHandle<Result<Packed, LayerError>>),
}

/// What is the same for all layers of a build.
#[derive(Clone, Copy, Debug)]
pub(super) struct How {
    /// `SOURCE_DATE_EPOCH`.
    pub(super) epoch: Option<SystemTime>,
    /// Whether this process may read the files of all owners.
    pub(super) privileged: bool,
    /// What the outputs want.
    pub(super) forms: Forms,
}

/// The packing of all layers of a build that reach its image.
#[derive(Clone, Debug)]
pub(super) struct LayerJobs {
    store: Store,
    how: How,
    /// Steps whose results are layers of the image.
    wanted: Arc<HashSet<VertexId>>,
    jobs: Arc<Mutex<HashMap<SnapshotId, Job>>>,
    /// For so many at once.
    budget: Arc<Semaphore>,
}

impl LayerJobs {
    /// Packs what `targets` consist of: none, when no output has layers.
    pub(super) fn new(store: Store, how: How, graph: &Graph, targets: &[VertexId]) -> Self {
        let mut wanted = HashSet::new();
        for target in targets {
            let mut at = Some(*target);
            while let Some(id) = at.filter(|id| wanted.insert(*id)) {
                at = graph.vertex(id).parent;
            }
        }
        let budget = Arc::new(Semaphore::new(at_once(how.forms)));
        Self { store, how, wanted: Arc::new(wanted), jobs: Arc::default(), budget }
    }

    /// The packed form of a snapshot; waits for it when it is on its way.
    pub(super) async fn packed(&self, id: SnapshotId) -> Result<Packed, LayerError> {
        let job = {
            let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
            jobs.remove(&id).unwrap_or_else(|| self.start(id))
        };
        match job {
            Job::Known(packed) => Ok(*packed),
            Job::Running(job) => match job.await {
                Ok(result) => result,
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            },
        }
    }

    /// Packs a snapshot beside what else goes on. To find one packed costs less than handing it to another thread.
    fn start(&self, id: SnapshotId) -> Job {
        let (store, how, budget) = (self.store.clone(), self.how, Arc::clone(&self.budget));
        if let Some(packed) = store.snapshots().get(&id).and_then(|snapshot| known(&store, &snapshot, how)) {
            return Job::Known(packed.into());
        }
        Job::Running(tokio::spawn(async move {
            // The budget is never closed.
            let _permit = budget.acquire().await;
            blocking(move || pack_snapshot(&store, id, how)).await
        }))
    }
}

impl OnDone for LayerJobs {
    fn done(&self, vertex: VertexId, rootfs: &Rootfs) {
        let Some(Layer::Snapshot(id)) = rootfs.layers.last() else { return };
        if self.wanted.contains(&vertex) {
            let job = self.start(*id);
            self.jobs.lock().unwrap_or_else(PoisonError::into_inner).insert(*id, job);
        }
    }
}

/// Layers with fewer bytes of files are packed, hashed and written by one thread: more would cost more than they save.
const SMALL: u64 = 1 << 20;

/// What was made of a snapshot.
struct Made {
    tar: BlobInfo,
    compressed: Option<(Compression, BlobInfo)>,
}

/// Packs a snapshot into blobs of the store, in one pass over its files.
fn write(store: &Store, snapshot: &Snapshot, options: PackOptions, forms: Forms) -> Result<Made, LayerError> {
    let (upper, flavor, small) = (snapshot.upper(), store.flavor(), snapshot.meta.size < SMALL);
    if small && forms == Forms::Plain {
        let mut writer = store.blobs().writer()?;
        pack(&upper, flavor, options, &mut writer)?;
        return Ok(Made { tar: writer.commit(None)?, compressed: None });
    }
    let (mut tar_sink, mut blob_sink, mut tar, mut blob) = (None, None, None, None);
    if forms.plain() {
        let (sink, unhashed) = store.blobs().unhashed()?;
        (tar_sink, tar) = (Some(Box::new(sink) as Sink), Some(unhashed));
    }
    if let Some(compression) = forms.compressed() {
        let (sink, unhashed) = store.blobs().unhashed()?;
        (blob_sink, blob) = (Some((compression, Box::new(sink) as Sink)), Some((compression, unhashed)));
    }
    let threads = if small { NonZeroUsize::MIN } else { threads() };
    let mut writer = LayerWriter::new(tar_sink, blob_sink, threads).map_err(PackError::Write)?;
    let packed = pack(&upper, flavor, options, &mut writer);
    // What stopped the writer is the better reason.
    let digests = writer.finish().map_err(PackError::Write)?;
    packed?;
    let info = BlobInfo { digest: digests.diff_id.0, size: digests.size };
    if let Some(tar) = tar {
        tar.commit(info)?;
    }
    let compressed = match (blob, digests.blob) {
        (Some((compression, blob)), Some(BlobDigest { digest, size })) => {
            Some((compression, blob.commit(BlobInfo { digest, size })?))
        }
        _ => None,
    };
    Ok(Made { tar: info, compressed })
}

/// How many layers are packed at once, whatever the number that is ready: each has some MiB under way. One that is compressed
/// keeps all cores busy by itself; the second does while the first is read.
fn at_once(forms: Forms) -> usize {
    match forms.compressed() {
        Some(_) => 2,
        None => threads().get().min(4),
    }
}

/// How many threads work on one layer.
pub(super) fn threads() -> NonZeroUsize {
    std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN)
}

/// What the snapshot packs to, when it was packed before.
fn named(snapshot: &Snapshot, epoch: Option<SystemTime>) -> Option<(DiffId, u64)> {
    // Times are part of a layer, so what was packed with another newest time is another layer.
    match epoch {
        None => snapshot.meta.diff_id.zip(snapshot.meta.tar_size),
        Some(epoch) => {
            let clamped = snapshot.clamped.iter().find(|layer| layer.epoch == epoch)?;
            Some((clamped.diff_id, clamped.tar_size))
        }
    }
}

/// The tar of a layer, when the store has it.
fn plain(store: &Store, (diff_id, size): (DiffId, u64)) -> Option<Descriptor> {
    let there = store.blobs().size(&diff_id.0) == Some(size);
    there.then(|| Descriptor::new(MediaType::OciLayer, diff_id.0, size))
}

/// The layer of a snapshot that the store has in the form that is wanted. Of two forms the tar is enough: the other can be
/// made of it when it is needed.
fn known(store: &Store, snapshot: &Snapshot, how: How) -> Option<Packed> {
    let (diff_id, size) = named(snapshot, how.epoch)?;
    let descriptor = match how.forms {
        Forms::Plain | Forms::Both(_) => plain(store, (diff_id, size)),
        Forms::Compressed(compression) => export::remembered(store, diff_id, compression),
    };
    Some(Packed { diff_id, size, descriptor: descriptor?, created: snapshot.meta.created })
}

/// Packs a snapshot into blobs of the store, as far as that was not done before.
fn pack_snapshot(store: &Store, id: SnapshotId, how: How) -> Result<Packed, LayerError> {
    let snapshot = store.snapshots().get(&id).ok_or(LayerError::Gone(id))?;
    if let Some(known) = known(store, &snapshot, how) {
        return Ok(known);
    }
    let created = snapshot.meta.created;
    // To compress a tar that is there takes no privileges.
    if let Forms::Compressed(compression) = how.forms
        && let Some((diff_id, size)) = named(&snapshot, how.epoch)
        && let Some(tar) = plain(store, (diff_id, size))
    {
        let descriptor = export::compressed(store, diff_id, &tar, compression, threads())?;
        return Ok(Packed { diff_id, size, descriptor, created });
    }
    if !how.privileged {
        return Err(LayerError::NeedsUserNamespace);
    }
    let options = PackOptions { clamp_mtime: how.epoch, ..PackOptions::default() };
    let Made { tar, compressed } = write(store, &snapshot, options, how.forms)?;
    let (diff_id, size) = (DiffId(tar.digest), tar.size);
    let mut descriptor = Descriptor::new(MediaType::OciLayer, tar.digest, size);
    if let Some((compression, BlobInfo { digest, size })) = compressed {
        let media_type = compression.oci_media_type();
        if !how.forms.plain() {
            descriptor = Descriptor::new(media_type.clone(), digest, size);
        }
        let blob = LayerBlob { digest, size, media_type, level: compression.level() };
        store.layers().add_blob(diff_id, blob)?;
    }
    if how.forms.plain() {
        let blob = LayerBlob { digest: tar.digest, size, media_type: MediaType::OciLayer, level: None };
        store.layers().add_blob(diff_id, blob)?;
    }
    match how.epoch {
        None => {
            store.snapshots().set_diff_id(&id, diff_id, size)?;
            store.layers().link_snapshot(LayerMeta { diff_id, size }, id)?;
        }
        Some(epoch) => store.snapshots().set_clamped(&id, ClampedLayer { epoch, diff_id, tar_size: size })?,
    }
    Ok(Packed { diff_id, size, descriptor, created })
}
