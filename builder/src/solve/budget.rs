//! How much a build does at once: one budget for its steps and for what they fetch and unpack.
//!
//! The budget is counted in shares. A step takes [`STEP`] of them; a transfer, which waits for the network half of its
//! time, takes [`TRANSFER`]. Who waits is served by priority, and nobody overtakes: a large request is not starved by
//! small ones. Nobody may wait for shares while holding some.

use std::cmp::Ordering;
use std::collections::BinaryHeap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// The shares of a step that runs.
pub const STEP: usize = 2;
/// The shares of a layer that is fetched and unpacked, of a file or a repository that is fetched.
pub const TRANSFER: usize = 1;

/// What may be done at once.
#[derive(Debug)]
pub struct Budget(Mutex<State>);

#[derive(Debug)]
struct State {
    free: usize,
    waiting: BinaryHeap<Waiting>,
    next: u64,
}

#[derive(Debug)]
struct Waiting {
    priority: u64,
    /// Of the same priority, who came first.
    number: u64,
    shares: usize,
    wake: oneshot::Sender<Place>,
}

impl Ord for Waiting {
    fn cmp(&self, other: &Self) -> Ordering {
        self.priority.cmp(&other.priority).then(other.number.cmp(&self.number))
    }
}

impl PartialOrd for Waiting {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Waiting {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Waiting {}

/// Shares of a budget, given back when this is dropped.
#[derive(Debug)]
#[must_use = "the shares are given back when this is dropped"]
pub struct Place {
    budget: Arc<Budget>,
    shares: usize,
}

impl Budget {
    /// A budget for `steps` steps at once, one at least.
    pub fn new(steps: usize) -> Arc<Self> {
        let state = State { free: steps.max(1).saturating_mul(STEP), waiting: BinaryHeap::new(), next: 0 };
        Arc::new(Self(Mutex::new(state)))
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `shares` of it, if they are free and nobody waits.
    pub fn try_take(self: &Arc<Self>, shares: usize) -> Option<Place> {
        let mut state = self.lock();
        if state.free < shares || !state.waiting.is_empty() {
            return None;
        }
        state.free -= shares;
        Some(Place { budget: Arc::clone(self), shares })
    }

    /// The priority of who is served next; `None` when nobody waits.
    pub fn most_urgent(&self) -> Option<u64> {
        self.lock().waiting.peek().map(|first| first.priority)
    }

    /// `shares` of it, after all who wait with a higher `priority`.
    pub async fn take(self: &Arc<Self>, shares: usize, priority: u64) -> Place {
        loop {
            if let Some(place) = self.try_take(shares) {
                return place;
            }
            let (wake, woken) = oneshot::channel();
            {
                let mut state = self.lock();
                let number = state.next;
                state.next += 1;
                state.waiting.push(Waiting { priority, number, shares, wake });
            }
            // Some may have become free before we were in the queue.
            self.serve();
            // Nobody drops the other end without sending.
            if let Ok(place) = woken.await {
                return place;
            }
        }
    }

    /// Gives what is free to those who wait.
    fn serve(self: &Arc<Self>) {
        loop {
            let (wake, place) = {
                let mut state = self.lock();
                let fits = state.waiting.peek().is_some_and(|first| first.shares <= state.free);
                let Some(first) = fits.then(|| state.waiting.pop()).flatten() else { return };
                state.free -= first.shares;
                (first.wake, Place { budget: Arc::clone(self), shares: first.shares })
            };
            // Whoever does not wait any more gives it back at once.
            drop(wake.send(place));
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.budget.lock().free += self.shares;
        self.budget.serve();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    async fn pending<T>(future: impl Future<Output = T>) -> bool {
        tokio::time::timeout(Duration::from_millis(2), future).await.is_err()
    }

    #[tokio::test]
    async fn the_highest_priority_is_served_first() {
        let budget = Budget::new(1);
        let place = budget.take(STEP, 0).await;
        let (told, mut heard) = tokio::sync::mpsc::unbounded_channel();
        for (name, priority) in [("low", 1), ("first of two", 5), ("second of two", 5), ("high", 9)] {
            let (budget, told) = (Arc::clone(&budget), told.clone());
            tokio::spawn(async move {
                let place = budget.take(STEP, priority).await;
                told.send(name).unwrap();
                drop(place);
            });
            tokio::task::yield_now().await;
        }
        assert!(heard.try_recv().is_err());
        drop((place, told));
        let mut order = Vec::new();
        while let Some(name) = heard.recv().await {
            order.push(name);
        }
        assert_eq!(order, ["high", "first of two", "second of two", "low"]);
    }

    #[tokio::test]
    async fn transfers_are_half_a_step_and_do_not_overtake() {
        let budget = Budget::new(2);
        let transfers = [budget.take(TRANSFER, 0).await, budget.take(TRANSFER, 0).await];
        let step = budget.take(STEP, 0).await;
        assert!(budget.try_take(TRANSFER).is_none());
        let mut waiting = Box::pin(budget.take(STEP, 3));
        assert!(pending(&mut waiting).await);
        let [one, other] = transfers;
        drop(one);
        // There is a share, but it is for whoever came with the higher priority.
        assert!(budget.try_take(TRANSFER).is_none());
        assert!(pending(&mut waiting).await);
        drop(other);
        let second = waiting.await;
        drop((step, second));
        assert!(budget.try_take(2 * STEP).is_some());
    }

    #[tokio::test]
    async fn who_gave_up_keeps_nothing() {
        let budget = Budget::new(1);
        let place = budget.take(STEP, 0).await;
        let mut given_up = Box::pin(budget.take(STEP, 9));
        assert!(pending(&mut given_up).await);
        let mut waiting = Box::pin(budget.take(STEP, 1));
        assert!(pending(&mut waiting).await);
        // It is served, and never looks.
        drop(place);
        drop(given_up);
        drop(waiting.await);
        assert!(budget.try_take(STEP).is_some());
    }
}
