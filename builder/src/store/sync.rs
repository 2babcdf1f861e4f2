//! Getting on the disk what was made, and noting that it is there.

use super::Store;
use super::error::{At, StoreError};
use super::stamp::Stamp;
use std::fs::File;
use std::sync::atomic::Ordering;

impl Store {
    /// Waits until everything that is in the store now is on the disk, and notes that. It costs what the disk costs:
    /// call it beside other work.
    ///
    /// # Errors
    /// When the disk refuses.
    pub fn sync(&self) -> Result<(), StoreError> {
        // In this order: what is finished from here on is for the next sync.
        self.shared.unsynced.store(false, Ordering::SeqCst);
        let before = self.shared.boots.now();
        self.sync_until(&before).inspect_err(|_| self.shared.unsynced.store(true, Ordering::SeqCst))
    }

    fn sync_until(&self, before: &Stamp) -> Result<(), StoreError> {
        let root = File::open(self.root()).at("open", self.root())?;
        rustix::fs::syncfs(&root).at("sync", self.root())?;
        let _lock = self.lock("cache", "synced")?;
        self.shared.boots.note_sync(&self.scratch("synced")?, before)
    }

    /// Whether layers or snapshots were made, with this handle or its clones, that no [`sync`](Self::sync) has seen.
    pub fn needs_sync(&self) -> bool {
        self.shared.unsynced.load(Ordering::SeqCst)
    }

    /// The stamp of a directory whose files are written.
    pub(super) fn stamp(&self) -> Stamp {
        let stamp = self.shared.boots.now();
        self.shared.unsynced.store(true, Ordering::SeqCst);
        stamp
    }

    /// Whether a directory with this stamp is whole.
    pub(super) fn is_sound(&self, stamp: &Stamp) -> bool {
        self.shared.boots.trust(stamp)
    }
}
