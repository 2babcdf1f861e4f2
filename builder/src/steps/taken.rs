//! Whether contexts changed between the lookup of a step and its end.

use crate::content::ContentId;
use crate::graph::VertexId;
use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

/// The content keys under which steps were looked up; `None` for those that turned out to have taken something else.
#[derive(Debug, Default)]
pub(super) struct Taken(Mutex<HashMap<VertexId, Option<ContentId>>>);

impl Taken {
    /// `vertex` is looked up under `key`.
    pub(super) fn looked_up(&self, vertex: VertexId, key: Option<ContentId>) {
        if key.is_some() {
            self.lock().insert(vertex, key);
        }
    }

    /// Whether `vertex` would be looked up under another key now. That is kept in mind.
    pub(super) fn is_other(&self, vertex: VertexId, now: Option<ContentId>) -> bool {
        let mut keys = self.lock();
        let Some(key) = keys.get_mut(&vertex).filter(|key| **key != now) else { return false };
        *key = None;
        true
    }

    /// Whether [`is_other`](Self::is_other) was true once.
    pub(super) fn has_changed(&self, vertex: VertexId) -> bool {
        self.lock().get(&vertex).is_some_and(Option::is_none)
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<VertexId, Option<ContentId>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
