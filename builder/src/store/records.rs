//! `cache/`: what a step gave, by the key of the step.

use super::Store;
use super::document;
use super::error::StoreError;
use super::snapshots::{Snapshot, SnapshotId};
use crate::content::{ContentId, Encoder, Ingredient, Ingredients};
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, UTIME_NOW, utimensat};
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// What a step gave, and what it was made of.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StepRecord {
    /// Its result.
    pub snapshot: SnapshotId,
    /// Content id of the root file system it started from.
    pub parent: ContentId,
    /// Content id of what it added: that of the snapshot.
    pub diff: ContentId,
    /// Content id of the root file system that it left.
    pub content: ContentId,
    /// When it finished.
    #[serde(with = "document::time")]
    pub created: SystemTime,
    /// The step, as people read it.
    pub description: String,
    /// How long the step ran, when it did: what it costs to have its result again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took: Option<Duration>,
    /// What the step was made of by content, for explaining why a later key differs.
    pub inputs: Ingredients,
    /// When and why its snapshot was removed; the record stays for explaining.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gone: Option<Gone>,
}

/// How long a record says that its result is gone.
const TOLD: Duration = Duration::from_secs(30 * 24 * 3600);

/// How exactly the last use is known.
const DAY: Duration = Duration::from_secs(24 * 3600);

/// Gives a file the time of now, when its own is not of this day: a use costs a `stat`, and nothing more most times. That
/// it fails costs nothing but the knowledge.
fn note_use(path: &Path) {
    let modified = path.symlink_metadata().and_then(|metadata| metadata.modified());
    if modified.is_ok_and(|time| time.elapsed().is_ok_and(|age| age < DAY)) {
        return;
    }
    let now = Timespec { tv_sec: 0, tv_nsec: UTIME_NOW };
    let times = Timestamps { last_access: now, last_modification: now };
    let _ = utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW);
}

impl StepRecord {
    /// The contents that it was made of.
    pub(super) fn contents(&self) -> impl Iterator<Item = ContentId> {
        self.inputs.0.iter().filter_map(|(_, value)| match value {
            Ingredient::Content(id) => Some(*id),
            _ => None,
        })
    }

    /// Whether somebody may still wonder where the result is.
    pub(super) fn is_worth_telling(&self, now: SystemTime) -> bool {
        let recent = |gone: &Gone| now.duration_since(gone.when).is_ok_and(|age| age < TOLD);
        self.gone.as_ref().is_none_or(recent)
    }
}

/// Why a result is not there any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gone {
    /// When it was removed.
    #[serde(with = "document::time")]
    pub when: SystemTime,
    /// Why.
    pub why: String,
}

/// The step records of a store.
#[derive(Clone, Debug)]
pub struct Records {
    store: Store,
}

impl Records {
    pub(super) fn new(store: Store) -> Self {
        Self { store }
    }

    fn step_path(&self, key: &ContentId) -> PathBuf {
        self.store.path("cache/steps").join(key.hex())
    }

    fn content_path(&self, parent: &ContentId, diff: &ContentId) -> PathBuf {
        let name = Encoder::new("slipway store content v1").id(parent).id(diff).finish();
        self.store.path("cache/content").join(name.hex())
    }

    /// What the step with this key gave, with a sound snapshot. Absent, damaged and suspect are all `None`.
    ///
    /// The record's file has the time of its last use, to the day: that is what `get` leaves there.
    pub fn get(&self, key: &ContentId) -> Option<(StepRecord, Snapshot)> {
        let found = self.look_up(key).filter(|(_, snapshot)| snapshot.is_sound())?;
        note_use(&self.step_path(key));
        Some(found)
    }

    /// As [`get`](Self::get), for a snapshot that may not have outlived a crash of the machine: to be compared with its
    /// tree first, then [confirmed](super::Snapshots::confirm) or [discarded](super::Snapshots::discard).
    pub fn suspect(&self, key: &ContentId) -> Option<(StepRecord, Snapshot)> {
        self.look_up(key).filter(|(_, snapshot)| !snapshot.is_sound())
    }

    fn look_up(&self, key: &ContentId) -> Option<(StepRecord, Snapshot)> {
        let record: StepRecord = document::read(&self.step_path(key))?;
        if record.gone.is_some() {
            return None;
        }
        let snapshot = self.store.snapshots().get(&record.snapshot)?;
        Some((record, snapshot))
    }

    /// Records what the step with this key gave; its snapshot is committed already. The first snapshot of a content
    /// stays the one that [`by_content`](Self::by_content) gives.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn put(&self, key: &ContentId, record: &StepRecord) -> Result<(), StoreError> {
        if self.by_content(&record.parent, &record.diff).is_none() {
            self.store.write_cache(&self.content_path(&record.parent, &record.diff), &record.snapshot)?;
        }
        self.store.write_cache(&self.step_path(key), record)
    }

    /// The snapshot that some step made when it started from `parent` and added `diff`: a step that did the same can take
    /// it instead of its own, and what follows stays as it was, byte for byte.
    pub fn by_content(&self, parent: &ContentId, diff: &ContentId) -> Option<Snapshot> {
        let id: SnapshotId = document::read(&self.content_path(parent, diff))?;
        self.store.snapshots().get(&id).filter(Snapshot::is_sound)
    }

    /// What the step with this key was made of, whether its result is there or not.
    pub fn described(&self, key: &ContentId) -> Option<StepRecord> {
        document::read(&self.step_path(key))
    }
}
