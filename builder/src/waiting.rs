//! Waiting for what another build has locked: without a thread, so that a stop is heard at once.

use crate::store::{KeyLock, Store, StoreError};
use std::time::{Duration, Instant};

/// The first pause between two attempts, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(1), Duration::from_millis(50));
/// A longer wait is told.
const PATIENCE: Duration = Duration::from_secs(1);

/// Takes the lock of `key`, as [`Store::lock`] does. `tell` is called once when that takes long. Who does not want to wait any
/// longer drops this.
///
/// # Errors
/// When the lock file cannot be made.
pub(crate) async fn lock(
    store: &Store,
    kind: &str,
    key: &str,
    tell: impl FnOnce(),
) -> Result<KeyLock, StoreError> {
    lock_telling(store, kind, key, PATIENCE, tell).await
}

async fn lock_telling(
    store: &Store,
    kind: &str,
    key: &str,
    patience: Duration,
    tell: impl FnOnce(),
) -> Result<KeyLock, StoreError> {
    let (began, mut pause, mut tell) = (Instant::now(), PAUSES.0, Some(tell));
    loop {
        if let Some(lock) = store.try_lock(kind, key)? {
            return Ok(lock);
        }
        if began.elapsed() > patience
            && let Some(tell) = tell.take()
        {
            tell();
        }
        tokio::time::sleep(pause).await;
        pause = (pause * 2).min(PAUSES.1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rootfs::XattrFlavor;

    #[tokio::test]
    async fn it_is_had_when_it_is_free() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store"), XattrFlavor::Trusted).unwrap();
        let held = store.lock("kind", "key").unwrap();
        let waiting = lock(&store, "kind", "key", || {});
        assert!(tokio::time::timeout(Duration::from_millis(20), waiting).await.is_err());
        let (taken, ()) = tokio::join!(lock(&store, "kind", "key", || {}), async {
            tokio::time::sleep(Duration::from_millis(5)).await;
            drop(held);
        });
        assert!(store.try_lock("kind", "key").unwrap().is_none());
        drop(taken.unwrap());
        assert!(store.try_lock("kind", "key").unwrap().is_some());
    }

    #[tokio::test]
    async fn a_long_wait_is_told_once() {
        let dir = tempfile::tempdir().unwrap();
        let store = Store::open(&dir.path().join("store"), XattrFlavor::Trusted).unwrap();
        let _held = store.lock("kind", "key").unwrap();
        let told = std::cell::Cell::new(0);
        let tell = || told.set(told.get() + 1);
        let waiting = lock_telling(&store, "kind", "key", Duration::from_millis(5), tell);
        assert!(tokio::time::timeout(Duration::from_millis(100), waiting).await.is_err());
        assert_eq!(told.get(), 1);
    }
}
