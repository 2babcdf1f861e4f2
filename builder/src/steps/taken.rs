//! Whether contexts changed between the lookup of a step and its end.

use crate::content::ContentId;
use crate::graph::VertexId;
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// What steps were looked up with.
#[derive(Debug, Default)]
pub(super) struct Taken(Mutex<HashMap<VertexId, LookedUp>>);

#[derive(Debug)]
struct LookedUp {
    /// The content key; `None` when the step turned out to have taken something else.
    key: Option<ContentId>,
    /// The contents of what it reads, as far as they have names.
    reads: Vec<Option<ContentId>>,
}

impl Taken {
    /// `vertex` is looked up under `key`, because it reads `reads`.
    pub(super) fn looked_up(&self, vertex: VertexId, key: Option<ContentId>, reads: Vec<Option<ContentId>>) {
        if key.is_some() {
            self.lock().insert(vertex, LookedUp { key, reads });
        }
    }

    /// The contents of what `vertex` was found to read when it was looked up, one for each thing that it reads.
    pub(super) fn reads(&self, vertex: VertexId) -> Vec<Option<ContentId>> {
        self.lock().get(&vertex).map(|looked_up| looked_up.reads.clone()).unwrap_or_default()
    }

    /// Whether `vertex` would be looked up under another key now.
    pub(super) fn is_other(&self, vertex: VertexId, now: Option<ContentId>) -> bool {
        self.lock().get(&vertex).is_some_and(|looked_up| looked_up.key != now)
    }

    /// `vertex` takes something else than what it was looked up by.
    pub(super) fn takes_other(&self, vertex: VertexId) {
        if let Some(looked_up) = self.lock().get_mut(&vertex) {
            looked_up.key = None;
        }
    }

    /// Whether `vertex` [takes something else](Self::takes_other).
    pub(super) fn has_changed(&self, vertex: VertexId) -> bool {
        self.lock().get(&vertex).is_some_and(|looked_up| looked_up.key.is_none())
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<VertexId, LookedUp>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
