//! Events that wait until it is known who shows them.

use super::{Event, Sink};
use std::sync::{Arc, Mutex, PoisonError};

/// Keeps events back until [`release`](Held::release), then passes them on at once.
///
/// An unprivileged build first tries to do without a user namespace; when it needs one after all, the program starts
/// again and tells everything from the beginning, so what the first try had to tell must not have been shown.
pub struct Held {
    state: Mutex<State>,
    to: Arc<dyn Sink>,
}

enum State {
    Holding(Vec<Event>),
    Passing,
}

impl Held {
    /// Keeps events from `to`.
    pub fn new(to: Arc<dyn Sink>) -> Self {
        Self { state: Mutex::new(State::Holding(Vec::new())), to }
    }

    /// Passes on what was kept, and everything from now on.
    pub fn release(&self) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let State::Holding(events) = std::mem::replace(&mut *state, State::Passing) {
            // Under the lock, so that nothing that happens meanwhile gets before it.
            for event in events {
                self.to.event(event);
            }
        }
    }
}

impl Sink for Held {
    fn event(&self, event: Event) {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut *state {
            State::Holding(events) => events.push(event),
            State::Passing => {
                drop(state);
                self.to.event(event);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Default)]
    struct Texts(Mutex<Vec<String>>);

    impl Sink for Texts {
        fn event(&self, event: Event) {
            if let Event::Warning { text } = event {
                self.0.lock().unwrap().push(text);
            }
        }
    }

    #[test]
    fn nothing_is_shown_before_and_nothing_is_lost_after() {
        let texts = Arc::new(Texts::default());
        let held = Held::new(texts.clone());
        let warn = |text: &str| held.event(Event::Warning { text: text.to_owned() });
        warn("a");
        warn("b");
        assert!(texts.0.lock().unwrap().is_empty());
        held.release();
        held.release();
        warn("c");
        assert_eq!(*texts.0.lock().unwrap(), ["a", "b", "c"]);
    }
}
