//! Remembers what is told at the end: how many steps ran, how many were cached, and the last lines of the one that failed.

use super::{Event, Sink, StepId};
use crate::explain::BuildHistory;
use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How many lines of a step's log are kept.
const LINES: usize = 20;

/// Counts.
#[derive(Debug, Default)]
pub struct Tally(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    counted: Counted,
    names: BTreeMap<StepId, String>,
    logs: BTreeMap<StepId, VecDeque<Vec<u8>>>,
}

/// What was counted.
#[derive(Clone, Debug, Default)]
pub struct Counted {
    /// Steps that ran to their end.
    pub ran: usize,
    /// Steps whose earlier result was taken.
    pub cached: usize,
    /// What the build did, when that was told.
    pub history: Option<Arc<BuildHistory>>,
    /// The step that failed first.
    pub failed: Option<FailedStep>,
}

/// A step that failed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FailedStep {
    /// Its name, as announced.
    pub name: String,
    /// The last lines it wrote, as it wrote them.
    pub last_lines: Vec<Vec<u8>>,
}

impl Tally {
    /// What was counted until now.
    pub fn counted(&self) -> Counted {
        self.lock().counted.clone()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for Tally {
    fn event(&self, event: Event) {
        let mut state = self.lock();
        match event {
            Event::Announced { step, name } => drop(state.names.insert(step, name)),
            Event::Explained { history } => state.counted.history = Some(history),
            Event::Cached { .. } => state.counted.cached += 1,
            Event::Log { step, line, .. } => {
                let lines = state.logs.entry(step).or_default();
                if lines.len() == LINES {
                    lines.pop_front();
                }
                lines.push_back(line);
            }
            Event::Finished { step, .. } => {
                state.counted.ran += 1;
                state.logs.remove(&step);
            }
            Event::Failed { step, .. } => {
                let name = state.names.get(&step).cloned().unwrap_or_default();
                let last_lines = state.logs.remove(&step).unwrap_or_default().into();
                state.counted.failed.get_or_insert(FailedStep { name, last_lines });
            }
            Event::Started { .. }
            | Event::Transfer { .. }
            | Event::Warning { .. }
            | Event::Measured { .. } => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Stream;
    use std::time::Duration;

    #[test]
    fn counts_and_last_lines() {
        let tally = Tally::default();
        for step in 0..4 {
            tally.event(Event::Announced { step: StepId(step), name: format!("step {step}") });
        }
        tally.event(Event::Cached { step: StepId(0) });
        tally.event(Event::Finished { step: StepId(1), elapsed: Duration::ZERO });
        for line in 0..50 {
            let line = line.to_string().into_bytes();
            tally.event(Event::Log { step: StepId(2), stream: Stream::Stderr, line });
        }
        for step in [2, 3] {
            let error = "exit code 1".to_owned();
            tally.event(Event::Failed { step: StepId(step), elapsed: Duration::ZERO, error });
        }
        let counted = tally.counted();
        assert_eq!((counted.ran, counted.cached), (1, 1));
        let failed = counted.failed.expect("a step failed");
        assert_eq!(failed.name, "step 2");
        assert_eq!(failed.last_lines.len(), LINES);
        assert_eq!(failed.last_lines[LINES - 1], b"49");
    }
}
