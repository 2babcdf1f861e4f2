//! A server that asks for patience is left in peace by all who want something of it, not by the one it told alone; and when
//! the time is over they do not come all at once.

use super::retry::spread;
use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// When a server may be asked again.
#[derive(Default)]
pub(super) struct Gate {
    closed: Mutex<Option<Closed>>,
}

#[derive(Clone, Copy)]
struct Closed {
    until: Instant,
    /// How long that was when it was closed.
    wait: Duration,
}

impl Gate {
    /// Nobody asks before so much time has passed; a longer time that was told before still counts.
    pub(super) fn close(&self, wait: Duration) {
        let Some(until) = Instant::now().checked_add(wait) else { return };
        let mut closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        if closed.is_none_or(|closed| closed.until < until) {
            *closed = Some(Closed { until, wait });
        }
    }

    /// How long to wait; `None` if one may ask now.
    pub(super) fn wait(&self) -> Option<Duration> {
        let mut closed = self.closed.lock().unwrap_or_else(PoisonError::into_inner);
        let Closed { until, wait } = (*closed)?;
        let left = until.saturating_duration_since(Instant::now());
        if left.is_zero() {
            *closed = None;
            return None;
        }
        Some(left + spread(wait))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_time_counts() {
        let gate = Gate::default();
        assert_eq!(gate.wait(), None);
        gate.close(Duration::from_secs(20));
        gate.close(Duration::from_secs(1));
        let waits: Vec<Duration> = (0..20).filter_map(|_| gate.wait()).collect();
        assert!(waits.iter().all(|wait| (19..=25).contains(&wait.as_secs())), "{waits:?}");
        // Several who wait do not come back together.
        let (least, most) = (waits.iter().min().unwrap(), waits.iter().max().unwrap());
        assert!(*most - *least > Duration::from_millis(500), "{waits:?}");
    }

    #[test]
    fn it_opens() {
        let gate = Gate::default();
        gate.close(Duration::from_millis(1));
        std::thread::sleep(Duration::from_millis(2));
        assert_eq!(gate.wait(), None);
    }
}
