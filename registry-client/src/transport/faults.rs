//! What speaks against a mirror: who has found it useless need not find that out again for each blob.

use crate::digest::Digest;
use std::{
    collections::BTreeSet,
    sync::{Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

/// How long a mirror that failed is not asked.
const REST: Duration = Duration::from_secs(5 * 60);

/// What went wrong at one registry.
#[derive(Default)]
pub(super) struct Faults {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    rests_until: Option<Instant>,
    /// Blobs of which it sent wrong bytes.
    wrong: BTreeSet<Digest>,
    /// Repositories of which it was told that the mirror is of no use.
    told: BTreeSet<String>,
}

impl Faults {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn rest(&self) {
        self.state().rests_until = Instant::now().checked_add(REST);
    }

    pub(super) fn is_resting(&self) -> bool {
        self.state().rests_until.is_some_and(|until| Instant::now() < until)
    }

    pub(super) fn sent_wrong(&self, digest: Digest) {
        self.state().wrong.insert(digest);
    }

    pub(super) fn has_wrong(&self, digest: &Digest) -> bool {
        self.state().wrong.contains(digest)
    }

    pub(super) fn is_first(&self, repository: &str) -> bool {
        self.state().told.insert(repository.to_owned())
    }
}
