//! What a client remembers of one registry.

use super::{Origin, authorize::Authorizer, call::Lane, origin::is_loopback};
use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, PoisonError, Weak,
        atomic::{AtomicBool, Ordering},
    },
};
use tokio::sync::{AcquireError, OnceCell, OwnedSemaphorePermit, Semaphore};
use url::Url;

/// A push of one blob to one repository.
type PushKey = (String, crate::digest::Digest);

/// One registry: where it is, how it wants us to prove who we are, and how much may run at once.
pub(crate) struct Registry {
    pub(crate) name: String,
    /// Whether plain HTTP, or a certificate that nobody vouches for, will do.
    pub(super) insecure: bool,
    /// Whether it is on this machine.
    pub(crate) loopback: bool,
    /// Nobody answered there: a mirror that is not worth asking again.
    gone: AtomicBool,
    /// Found at the first request.
    pub(super) origin: OnceCell<Origin>,
    /// Where it is when plain HTTP turned out to be wrong; `None` in it if that was looked into, and is not so.
    pub(super) https_instead: OnceCell<Option<Origin>>,
    /// Plain HTTP turned out to be right.
    pub(super) speaks_plain: AtomicBool,
    pub(super) authorizer: Authorizer,
    // Apart from each other, because a push may read from a pull, and whoever holds a pull may ask something small:
    // one pool for all could wait for itself.
    requests: Arc<Semaphore>,
    pulls: Arc<Semaphore>,
    pushes: Arc<Semaphore>,
    pushing: Mutex<BTreeMap<PushKey, Weak<tokio::sync::Mutex<()>>>>,
}

impl Registry {
    pub(super) fn new(name: &str, insecure: bool, connections: usize) -> Self {
        let semaphore = || Arc::new(Semaphore::new(connections.max(1)));
        Self {
            name: name.to_owned(),
            insecure,
            loopback: Url::parse(&format!("http://{name}/")).is_ok_and(|url| is_loopback(&url)),
            gone: AtomicBool::new(false),
            origin: OnceCell::new(),
            https_instead: OnceCell::new(),
            speaks_plain: AtomicBool::new(false),
            authorizer: Authorizer::default(),
            requests: semaphore(),
            pulls: semaphore(),
            pushes: semaphore(),
            pushing: Mutex::default(),
        }
    }

    /// Whether [`Self::give_up`] was called.
    pub(crate) fn is_gone(&self) -> bool {
        self.gone.load(Ordering::Relaxed)
    }

    /// Notes that nobody answers there.
    pub(crate) fn give_up(&self) {
        self.gone.store(true, Ordering::Relaxed);
    }

    fn lane(&self, lane: Lane) -> &Arc<Semaphore> {
        match lane {
            Lane::Request => &self.requests,
            Lane::Pull => &self.pulls,
            Lane::Push => &self.pushes,
        }
    }

    pub(super) async fn permit(&self, lane: Lane) -> Result<OwnedSemaphorePermit, AcquireError> {
        self.lane(lane).clone().acquire_owned().await
    }

    /// A place in the pool, if one is free and nobody waits for it.
    pub(crate) fn try_permit(&self, lane: Lane) -> Option<OwnedSemaphorePermit> {
        self.lane(lane).clone().try_acquire_owned().ok()
    }

    /// Places in the pool that are free right now.
    pub(crate) fn free_places(&self, lane: Lane) -> usize {
        self.lane(lane).available_permits()
    }

    /// A lock that only one push of that blob to that repository holds at a time.
    pub(crate) fn push_lock(
        &self,
        repository: &str,
        digest: crate::digest::Digest,
    ) -> Arc<tokio::sync::Mutex<()>> {
        let mut pushing = self.pushing.lock().unwrap_or_else(PoisonError::into_inner);
        pushing.retain(|_, lock| lock.strong_count() > 0);
        let key = (repository.to_owned(), digest);
        if let Some(lock) = pushing.get(&key).and_then(Weak::upgrade) {
            return lock;
        }
        let lock = Arc::new(tokio::sync::Mutex::new(()));
        pushing.insert(key, Arc::downgrade(&lock));
        lock
    }
}
