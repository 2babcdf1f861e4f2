//! What a client remembers of one registry.

use super::{
    Origin, authorize::Authorizer, call::Lane, error::RequestError, faults::Faults, gate::Gate,
    origin::is_loopback, retry::RetryPolicy,
};
use crate::digest::Digest;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, Weak, atomic::AtomicBool},
};
use tokio::sync::{AcquireError, OnceCell, OwnedSemaphorePermit, Semaphore};
use url::Url;

/// A push of one blob to one repository.
type PushKey = (String, Digest);

/// One registry: where it is, how it wants us to prove who we are, and how much may run at once.
pub(crate) struct Registry {
    pub(crate) name: String,
    /// Whether plain HTTP, or a certificate that nobody vouches for, will do.
    pub(super) insecure: bool,
    /// Whether it is on this machine.
    pub(crate) loopback: bool,
    faults: Faults,
    gate: Gate,
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
    tokens: Arc<Semaphore>,
    pushing: Mutex<BTreeMap<PushKey, Weak<tokio::sync::Mutex<()>>>>,
}

impl Registry {
    pub(super) fn new(name: &str, insecure: bool, connections: usize) -> Self {
        let semaphore = || Arc::new(Semaphore::new(connections.max(1)));
        Self {
            name: name.to_owned(),
            insecure,
            loopback: Url::parse(&format!("http://{name}/")).is_ok_and(|url| is_loopback(&url)),
            faults: Faults::default(),
            gate: Gate::default(),
            origin: OnceCell::new(),
            https_instead: OnceCell::new(),
            speaks_plain: AtomicBool::new(false),
            authorizer: Authorizer::default(),
            requests: semaphore(),
            pulls: semaphore(),
            pushes: semaphore(),
            tokens: semaphore(),
            pushing: Mutex::default(),
        }
    }

    /// Notes that nobody answers there, or no answer was of use: as a mirror it is not asked for a while.
    pub(crate) fn rest(&self) {
        self.faults.rest();
    }

    /// Whether [`Self::rest`] was called a short while ago.
    pub(crate) fn is_resting(&self) -> bool {
        self.faults.is_resting()
    }

    /// Notes that it sent other bytes than those of a blob: as a mirror it is not asked for that again.
    pub(crate) fn sent_wrong(&self, digest: Digest) {
        self.faults.sent_wrong(digest);
    }

    /// Whether [`Self::sent_wrong`] was called.
    pub(crate) fn has_wrong(&self, digest: &Digest) -> bool {
        self.faults.has_wrong(digest)
    }

    /// Whether nobody was told yet that it is of no use for a repository.
    pub(crate) fn is_first_fault(&self, repository: &str) -> bool {
        self.faults.is_first(repository)
    }

    fn lane(&self, lane: Lane) -> &Arc<Semaphore> {
        match lane {
            Lane::Request => &self.requests,
            Lane::Pull => &self.pulls,
            Lane::Push => &self.pushes,
            Lane::Token => &self.tokens,
        }
    }

    /// A place in the pool, when the registry may be asked.
    pub(super) async fn permit(&self, lane: Lane) -> Result<OwnedSemaphorePermit, AcquireError> {
        loop {
            let permit = self.lane(lane).clone().acquire_owned().await?;
            // Looked at last: whoever had the place before may have been told to wait.
            let Some(wait) = self.gate.wait() else { return Ok(permit) };
            drop(permit);
            tokio::time::sleep(wait).await;
        }
    }

    /// A place in the pool, if one is free, nobody waits for it, and the registry may be asked.
    pub(crate) fn try_permit(&self, lane: Lane) -> Option<OwnedSemaphorePermit> {
        if self.gate.wait().is_some() {
            return None;
        }
        self.lane(lane).clone().try_acquire_owned().ok()
    }

    /// Lets nobody ask the registry for as long as it says by this answer, if that is no longer than `policy` waits.
    pub(crate) fn heed(&self, error: &RequestError, policy: &RetryPolicy) {
        let wanted = error.retry_after().filter(|_| error.is_transient());
        if let Some(wanted) = wanted.filter(|wanted| *wanted <= policy.longest_retry_after) {
            self.gate.close(wanted);
        }
    }

    /// Places in the pool that are free right now.
    pub(crate) fn free_places(&self, lane: Lane) -> usize {
        self.lane(lane).available_permits()
    }

    /// A lock that only one push of that blob to that repository holds at a time.
    pub(crate) fn push_lock(&self, repository: &str, digest: Digest) -> Arc<tokio::sync::Mutex<()>> {
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
