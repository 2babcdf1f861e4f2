//! Gets what a build makes on the disk, beside the build, so that it is known to be whole after the next boot.

use crate::blocking::blocking;
use crate::progress::Progress;
use crate::store::Store;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

/// How long what was made waits at most for being synced while steps run. Often enough that little is left for the end;
/// seldom enough that files which a step soon deletes again are not written.
const PAUSE: Duration = Duration::from_secs(10);

/// Syncs a store now and then. A build that makes nothing causes none.
#[derive(Debug)]
pub(super) struct Syncing {
    wanted: Arc<Wanted>,
    task: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Wanted {
    now: Notify,
    end: Notify,
}

impl Syncing {
    /// Begins.
    pub(super) fn beside(store: &Store, progress: &Progress) -> Self {
        Self::every(PAUSE, store, progress)
    }

    fn every(pause: Duration, store: &Store, progress: &Progress) -> Self {
        let wanted = Arc::<Wanted>::default();
        let task = tokio::spawn(watch(store.clone(), progress.clone(), Arc::clone(&wanted), pause));
        Self { wanted, task }
    }

    /// All steps have run: what they made is synced from now on, beside the outputs.
    pub(super) fn start(&self) {
        self.wanted.now.notify_one();
    }

    /// Waits until all that was made is synced.
    pub(super) async fn finish(self) {
        self.wanted.end.notify_one();
        if let Err(error) = self.task.await
            && error.is_panic()
        {
            std::panic::resume_unwind(error.into_panic());
        }
    }

    /// Leaves what is not synced to a later build.
    pub(super) fn abandon(self) {
        self.task.abort();
    }
}

async fn watch(store: Store, progress: Progress, wanted: Arc<Wanted>, pause: Duration) {
    let mut told = false;
    loop {
        let ends = tokio::select! {
            biased;
            () = wanted.end.notified() => true,
            () = wanted.now.notified() => false,
            () = tokio::time::sleep(pause) => false,
        };
        if store.needs_sync() {
            let store = store.clone();
            if let Err(error) = blocking(move || store.sync()).await
                && !std::mem::replace(&mut told, true)
            {
                // What was built is right all the same.
                progress
                    .warn(format!("warning: what was built may be built again after the next boot: {error}"));
            }
        }
        if ends {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rootfs::XattrFlavor;
    use registry_client::digest::{DiffId, Digest};

    fn store() -> (tempfile::TempDir, Store) {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store"), XattrFlavor::Trusted).unwrap();
        (dir, store)
    }

    fn make(store: &Store, name: &[u8]) {
        store.layers().begin(DiffId(Digest::of(name))).unwrap().commit(1).unwrap();
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn what_is_made_is_synced_and_nothing_else() {
        let (_dir, store) = store();
        let note = store.root().join("cache/synced");
        let syncing = Syncing::beside(&store, &Progress::none());
        syncing.start();
        syncing.finish().await;
        assert!(!note.exists(), "there was nothing to sync");

        let syncing = Syncing::beside(&store, &Progress::none());
        make(&store, b"before the outputs");
        syncing.start();
        while store.needs_sync() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        make(&store, b"an output");
        assert!(store.needs_sync());
        syncing.finish().await;
        assert!(!store.needs_sync() && note.exists());

        make(&store, b"stopped");
        Syncing::beside(&store, &Progress::none()).abandon();
        assert!(store.needs_sync());
    }

    #[tokio::test(flavor = "multi_thread", worker_threads = 1)]
    async fn a_long_build_is_synced_beside_it() {
        let (_dir, store) = store();
        let syncing = Syncing::every(Duration::from_millis(5), &store, &Progress::none());
        for name in ["early", "later"] {
            make(&store, name.as_bytes());
            while store.needs_sync() {
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
        syncing.abandon();
    }
}
