//! How much may run at one server at once, and when: shared by all who ask it, also by clients that differ in what they
//! trust ([`crate::client::Client::trusting`]).

use super::{call::Lane, error::RequestError, gate::Gate, retry::RetryPolicy};
use crate::digest::Digest;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError, Weak},
};
use tokio::sync::{AcquireError, OwnedSemaphorePermit, Semaphore};

/// A push of one blob to one repository.
type PushKey = (String, Digest);

/// The places of one server.
pub(super) struct Budget {
    gate: Gate,
    // Apart from each other, because a push may read from a pull, and whoever holds a pull may ask something small:
    // one pool for all could wait for itself.
    requests: Arc<Semaphore>,
    pulls: Arc<Semaphore>,
    pushes: Arc<Semaphore>,
    tokens: Arc<Semaphore>,
    pushing: Mutex<BTreeMap<PushKey, Weak<tokio::sync::Mutex<()>>>>,
}

impl Budget {
    /// So many places of each kind.
    pub(super) fn new(connections: usize) -> Self {
        let semaphore = || Arc::new(Semaphore::new(connections.max(1)));
        Self {
            gate: Gate::default(),
            requests: semaphore(),
            pulls: semaphore(),
            pushes: semaphore(),
            tokens: semaphore(),
            pushing: Mutex::default(),
        }
    }

    fn lane(&self, lane: Lane) -> &Arc<Semaphore> {
        match lane {
            Lane::Request => &self.requests,
            Lane::Pull => &self.pulls,
            Lane::Push => &self.pushes,
            Lane::Token => &self.tokens,
        }
    }

    /// A place in the pool, when the server may be asked.
    pub(super) async fn permit(&self, lane: Lane) -> Result<OwnedSemaphorePermit, AcquireError> {
        loop {
            let permit = self.lane(lane).clone().acquire_owned().await?;
            // Looked at last: whoever had the place before may have been told to wait.
            let Some(wait) = self.gate.wait() else { return Ok(permit) };
            drop(permit);
            tokio::time::sleep(wait).await;
        }
    }

    /// A place in the pool, if one is free, nobody waits for it, and the server may be asked.
    pub(super) fn try_permit(&self, lane: Lane) -> Option<OwnedSemaphorePermit> {
        if self.gate.wait().is_some() {
            return None;
        }
        self.lane(lane).clone().try_acquire_owned().ok()
    }

    /// Places in the pool that are free right now.
    pub(super) fn free_places(&self, lane: Lane) -> usize {
        self.lane(lane).available_permits()
    }

    /// Lets nobody ask for as long as the server says by this answer, if that is no longer than `policy` waits.
    pub(super) fn heed(&self, error: &RequestError, policy: &RetryPolicy) {
        let wanted = error.retry_after().filter(|_| error.is_transient());
        if let Some(wanted) = wanted.filter(|wanted| *wanted <= policy.longest_retry_after) {
            self.gate.close(wanted);
        }
    }

    /// A lock that only one push of that blob to that repository holds at a time.
    pub(super) fn push_lock(&self, repository: &str, digest: Digest) -> Arc<tokio::sync::Mutex<()>> {
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
