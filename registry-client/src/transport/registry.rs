//! What a client remembers of one registry.

use super::{
    Origin,
    authorize::Authorizer,
    budget::Budget,
    call::{Lane, Permit},
    error::RequestError,
    faults::Faults,
    origin::is_loopback,
    retry::RetryPolicy,
};
use crate::digest::Digest;
use std::sync::{Arc, atomic::AtomicBool};
use tokio::sync::{AcquireError, OnceCell};
use url::Url;

/// One registry: where it is, how it wants us to prove who we are, and how much may run at once.
pub(crate) struct Registry {
    pub(crate) name: String,
    /// Whether plain HTTP, or a certificate that nobody vouches for, will do.
    pub(super) insecure: bool,
    /// Whether it is on this machine.
    pub(crate) loopback: bool,
    faults: Faults,
    /// Found at the first request.
    pub(super) origin: OnceCell<Origin>,
    /// Where it is when plain HTTP turned out to be wrong; `None` in it if that was looked into, and is not so.
    pub(super) https_instead: OnceCell<Option<Origin>>,
    /// Plain HTTP turned out to be right.
    pub(super) speaks_plain: AtomicBool,
    pub(super) authorizer: Authorizer,
    budget: Arc<Budget>,
}

impl Registry {
    pub(super) fn new(name: &str, insecure: bool, budget: Arc<Budget>) -> Self {
        Self {
            name: name.to_owned(),
            insecure,
            loopback: Url::parse(&format!("http://{name}/")).is_ok_and(|url| is_loopback(&url)),
            faults: Faults::default(),
            origin: OnceCell::new(),
            https_instead: OnceCell::new(),
            speaks_plain: AtomicBool::new(false),
            authorizer: Authorizer::default(),
            budget,
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

    /// A place in the pool, when the registry may be asked.
    pub(super) async fn permit(&self, lane: Lane) -> Result<Permit, AcquireError> {
        self.budget.permit(lane).await
    }

    /// A place in the pool, if one is free, nobody waits for it, and the registry may be asked.
    pub(crate) fn try_permit(&self, lane: Lane) -> Option<Permit> {
        self.budget.try_permit(lane)
    }

    /// Places in the pool that are free right now.
    pub(crate) fn free_places(&self, lane: Lane) -> usize {
        self.budget.free_places(lane)
    }

    /// Lets nobody ask the registry for as long as it says by this answer, if that is no longer than `policy` waits.
    pub(crate) fn heed(&self, error: &RequestError, policy: &RetryPolicy) {
        self.budget.heed(error, policy);
    }

    /// A lock that only one push of that blob to that repository holds at a time.
    pub(crate) fn push_lock(&self, repository: &str, digest: Digest) -> Arc<tokio::sync::Mutex<()>> {
        self.budget.push_lock(repository, digest)
    }
}
