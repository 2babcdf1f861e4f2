//! Tells several sinks the same.

use super::{Event, Sink};
use std::sync::Arc;

/// Passes every event on to all of its sinks, in order.
pub struct Tee(pub Vec<Arc<dyn Sink>>);

impl Sink for Tee {
    fn event(&self, event: Event) {
        let Some((last, others)) = self.0.split_last() else { return };
        for sink in others {
            sink.event(event.clone());
        }
        last.event(event);
    }
}
