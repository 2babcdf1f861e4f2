//! Running tasks that make more tasks, on a few threads.
//!
//! Tasks are taken last in, first out: in a tree walk the number of directories held open stays near its depth. Other
//! threads are only started when there is enough waiting for them; a small copy never pays for them.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};

/// Waiting tasks that make another thread worth its start (some 50 microseconds).
const WORTH_A_THREAD: usize = 8;

/// Tasks that are not begun yet.
pub(crate) struct Queue<T> {
    state: Mutex<State<T>>,
    changed: Condvar,
}

struct State<T> {
    waiting: Vec<T>,
    /// How many are being worked on; each may still add some.
    running: usize,
    stopped: bool,
}

impl<T> Queue<T> {
    /// Adds tasks.
    pub(crate) fn add(&self, tasks: impl IntoIterator<Item = T>) {
        let mut state = self.lock();
        let before = state.waiting.len();
        state.waiting.extend(tasks);
        if state.waiting.len() > before {
            self.changed.notify_all();
        }
    }

    /// Workers hold the lock only for a push or a pop, so a panic elsewhere leaves the state good.
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The next task; `None` when all is done or stopped.
    fn next(&self) -> Option<T> {
        let mut state = self.lock();
        loop {
            if state.stopped {
                return None;
            }
            if let Some(task) = state.waiting.pop() {
                state.running += 1;
                return Some(task);
            }
            if state.running == 0 {
                return None;
            }
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn finished(&self, failed: bool) {
        let mut state = self.lock();
        state.running -= 1;
        state.stopped |= failed;
        if state.stopped || (state.running == 0 && state.waiting.is_empty()) {
            self.changed.notify_all();
        }
    }
}

/// Works on `tasks` and on all they add, on at most `threads` threads, each with its own `worker()` state. Returns the
/// states. The first error stops everything that has not begun.
pub(crate) fn run<T: Send, W: Send, E: Send>(
    threads: usize,
    tasks: Vec<T>,
    worker: impl Fn() -> W + Sync,
    work: impl Fn(T, &mut W, &Queue<T>) -> Result<(), E> + Sync,
) -> Result<Vec<W>, E> {
    let queue = Queue {
        state: Mutex::new(State { waiting: tasks, running: 0, stopped: false }),
        changed: Condvar::new(),
    };
    let one = |state: &mut W, task: T| {
        // A panic must wake the others too, or they wait for ever.
        let guard = Running { queue: &queue, failed: true };
        let result = work(task, state, &queue);
        let mut guard = guard;
        guard.failed = result.is_err();
        result
    };
    let rest = |mut state: W| -> Result<W, E> {
        while let Some(task) = queue.next() {
            one(&mut state, task)?;
        }
        Ok(state)
    };
    std::thread::scope(|scope| {
        let mut others = Vec::new();
        let mut state = worker();
        let mut result = Ok(());
        while let Some(task) = queue.next() {
            result = one(&mut state, task);
            if result.is_err() {
                break;
            }
            if others.len() + 1 < threads && queue.lock().waiting.len() >= WORTH_A_THREAD {
                others.push(scope.spawn(|| rest(worker())));
            }
        }
        let mut states = vec![state];
        for other in others {
            match other.join() {
                Ok(Ok(state)) => states.push(state),
                Ok(Err(error)) => result = result.and(Err(error)),
                Err(panic) => std::panic::resume_unwind(panic),
            }
        }
        result.map(|()| states)
    })
}

struct Running<'q, T> {
    queue: &'q Queue<T>,
    failed: bool,
}

impl<T> Drop for Running<'_, T> {
    fn drop(&mut self) {
        self.queue.finished(self.failed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Each task is a number n that adds n tasks n-1: n! leaves in the end.
    fn count(threads: usize, first: Vec<u32>) -> Result<u64, u32> {
        let leaves = run(
            threads,
            first,
            || 0_u64,
            |n, leaves, queue| {
                if n == 99 {
                    return Err(n);
                }
                match n {
                    0 => *leaves += 1,
                    n => queue.add((0..n).map(|_| n - 1)),
                }
                Ok(())
            },
        )?;
        Ok(leaves.iter().sum())
    }

    #[test]
    fn every_task_runs_once() {
        for threads in [1, 2, 5] {
            assert_eq!(count(threads, vec![7, 3]), Ok(5040 + 6));
            assert_eq!(count(threads, vec![]), Ok(0));
        }
    }

    #[test]
    fn an_error_ends_it() {
        for threads in [1, 2, 5] {
            assert_eq!(count(threads, vec![99, 6]), Err(99));
            assert_eq!(count(threads, vec![6, 99]), Err(99));
        }
    }
}
