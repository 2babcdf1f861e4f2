//! Packs the layers of the image while later steps run.

use crate::graph::{Graph, VertexId};
use crate::layer::{LayerWriter, PackError, PackOptions, pack};
use crate::steps::{Layer, OnDone, Rootfs};
use crate::store::{BlobInfo, ClampedLayer, LayerBlob, LayerMeta, Snapshot, SnapshotId, Store, StoreError};
use registry_client::digest::DiffId;
use registry_client::media_type::MediaType;
use std::collections::{HashMap, HashSet};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::SystemTime;
use tokio::task::JoinHandle;

/// A layer as it will be in the image.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Packed {
    /// Digest of its uncompressed tar.
    pub(super) diff_id: DiffId,
    /// Bytes of that tar.
    pub(super) size: u64,
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
    #[error("snapshot {0} is gone")]
    Gone(SnapshotId),
    #[error("this layer must be packed, which takes a user namespace")]
    NeedsUserNamespace,
}

/// A layer that is packed, or is being packed.
#[derive(Debug)]
enum Job {
    Known(Packed),
    Running(JoinHandle<Result<Packed, LayerError>>),
}

/// The packing of all layers of a build that reach its image.
#[derive(Clone, Debug)]
pub(super) struct LayerJobs {
    store: Store,
    epoch: Option<SystemTime>,
    privileged: bool,
    /// Steps whose results are layers of the image.
    wanted: Arc<HashSet<VertexId>>,
    jobs: Arc<Mutex<HashMap<SnapshotId, Job>>>,
}

impl LayerJobs {
    /// Packs what `targets` consist of: none, when no output has layers.
    pub(super) fn new(
        store: Store,
        epoch: Option<SystemTime>,
        privileged: bool,
        graph: &Graph,
        targets: &[VertexId],
    ) -> Self {
        let mut wanted = HashSet::new();
        for target in targets {
            let mut at = Some(*target);
            while let Some(id) = at.filter(|id| wanted.insert(*id)) {
                at = graph.vertex(id).parent;
            }
        }
        Self { store, epoch, privileged, wanted: Arc::new(wanted), jobs: Arc::default() }
    }

    /// The packed form of a snapshot; waits for it when it is on its way.
    pub(super) async fn packed(&self, id: SnapshotId) -> Result<Packed, LayerError> {
        let job = {
            let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
            jobs.remove(&id).unwrap_or_else(|| self.start(id))
        };
        match job {
            Job::Known(packed) => Ok(packed),
            Job::Running(job) => match job.await {
                Ok(result) => result,
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            },
        }
    }

    /// Packs a snapshot beside what else goes on. To find one packed costs less than handing it to another thread.
    fn start(&self, id: SnapshotId) -> Job {
        let (store, epoch, privileged) = (self.store.clone(), self.epoch, self.privileged);
        if let Some(packed) = store.snapshots().get(&id).and_then(|snapshot| known(&store, &snapshot, epoch))
        {
            return Job::Known(packed);
        }
        Job::Running(tokio::task::spawn_blocking(move || pack_snapshot(&store, id, epoch, privileged)))
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

/// Packs a snapshot into a blob.
fn write_tar(store: &Store, snapshot: &Snapshot, options: PackOptions) -> Result<BlobInfo, LayerError> {
    let (upper, flavor) = (snapshot.upper(), store.flavor());
    if snapshot.meta.size < SMALL {
        let mut writer = store.blobs().writer()?;
        pack(&upper, flavor, options, &mut writer)?;
        return Ok(writer.commit(None)?);
    }
    let (file, blob) = store.blobs().unhashed()?;
    let mut writer =
        LayerWriter::new(Some(Box::new(file)), None, NonZeroUsize::MIN).map_err(PackError::Write)?;
    let packed = pack(&upper, flavor, options, &mut writer);
    // What stopped the writer is the better reason.
    let digests = writer.finish().map_err(PackError::Write)?;
    packed?;
    let info = BlobInfo { digest: digests.diff_id.0, size: digests.size };
    blob.commit(info)?;
    Ok(info)
}

/// The layer of a snapshot that was packed before.
fn known(store: &Store, snapshot: &Snapshot, epoch: Option<SystemTime>) -> Option<Packed> {
    // Times are part of a layer, so what was packed with another newest time is another layer.
    let (diff_id, size) = match epoch {
        None => snapshot.meta.diff_id.zip(snapshot.meta.tar_size)?,
        Some(epoch) => {
            let clamped = snapshot.clamped.iter().find(|layer| layer.epoch == epoch)?;
            (clamped.diff_id, clamped.tar_size)
        }
    };
    let there = store.blobs().size(&diff_id.0) == Some(size);
    there.then_some(Packed { diff_id, size, created: snapshot.meta.created })
}

/// Packs a snapshot into a blob of the store, unless that was done before.
fn pack_snapshot(
    store: &Store,
    id: SnapshotId,
    epoch: Option<SystemTime>,
    privileged: bool,
) -> Result<Packed, LayerError> {
    let snapshot = store.snapshots().get(&id).ok_or(LayerError::Gone(id))?;
    if let Some(known) = known(store, &snapshot, epoch) {
        return Ok(known);
    }
    if !privileged {
        return Err(LayerError::NeedsUserNamespace);
    }
    let options = PackOptions { clamp_mtime: epoch, ..PackOptions::default() };
    let blob = write_tar(store, &snapshot, options)?;
    let (diff_id, size) = (DiffId(blob.digest), blob.size);
    store.layers().add_blob(
        diff_id,
        LayerBlob { digest: blob.digest, size, media_type: MediaType::OciLayer, level: None },
    )?;
    match epoch {
        None => {
            store.snapshots().set_diff_id(&id, diff_id, size)?;
            store.layers().link_snapshot(LayerMeta { diff_id, size }, id)?;
        }
        Some(epoch) => store.snapshots().set_clamped(&id, ClampedLayer { epoch, diff_id, tar_size: size })?,
    }
    Ok(Packed { diff_id, size, created: snapshot.meta.created })
}
