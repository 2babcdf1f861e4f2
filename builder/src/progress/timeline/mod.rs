//! Where the time of a build went: `--timeline` and `--trace`.
//!
//! ```text
//! events ──▶ recorder ──finish──▶ Timeline (plain data; critical marks the path) ─┬▶ html   one page
//!                                                                                └▶ trace  Chrome's trace events
//! ```
//! A [`Recorder`] listens only where one of the two is asked for.

pub mod critical;
pub mod html;
mod recorder;
pub mod trace;

pub use recorder::Recorder;

use super::measure::{Usage, Wait};
use std::time::{Duration, SystemTime};

/// A build in time. All times count from its beginning.
#[derive(Clone, Debug)]
pub struct Timeline {
    /// What was built.
    pub title: String,
    /// When it began.
    pub began: SystemTime,
    /// How long it took.
    pub elapsed: Duration,
    /// Why it failed, in one line.
    pub failure: Option<String>,
    /// What was done, inputs before what takes them.
    pub spans: Vec<Span>,
    /// The longest chain of spans, the first one first: the build cannot be faster than that. Waiting for a place does
    /// not count, for it depends on how many may run at once.
    pub critical: critical::Path,
}

/// One step, or what was done before or after the steps.
#[derive(Clone, Debug)]
pub struct Span {
    /// What it is called.
    pub name: String,
    /// Where it belongs.
    pub group: Group,
    /// The spans whose results it takes, by their position.
    pub inputs: Vec<usize>,
    /// When everything that it takes was there. From then until `start` its cached result was looked for, or it waited
    /// for a place.
    pub ready: Duration,
    /// When it began to run. The same as `end` for one that did not run.
    pub start: Duration,
    /// When it was done.
    pub end: Duration,
    /// How it ended.
    pub state: State,
    /// Why it failed.
    pub error: Option<String>,
    /// When it waited; in order, and those for the same thing do not overlap.
    pub pauses: Vec<Pause>,
    /// What was moved from or to a server or a file.
    pub moved: Vec<Moved>,
    /// What its program used; `None` where none ran, or it could not be measured.
    pub usage: Option<Usage>,
    /// The bytes of the files that it made.
    pub layer: Option<u64>,
}

/// What a span belongs to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Group {
    /// What comes before the steps: reading the Dockerfile, finding base images.
    Before,
    /// A stage.
    Stage(String),
    /// What comes after the steps: packing what is not packed yet, writing and pushing the result.
    After,
}

/// How a span ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It ran to its end.
    Ran,
    /// An earlier result was taken.
    Cached,
    /// It failed.
    Failed,
    /// The build ended before it did.
    Stopped,
    /// The build ended before it began.
    NotReached,
}

/// A time of waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pause {
    /// What for.
    pub on: Wait,
    /// Its beginning.
    pub from: Duration,
    /// Its end.
    pub to: Duration,
}

/// Something that was moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Moved {
    /// What: a short digest, a file name.
    pub item: String,
    /// How many bytes came or went.
    pub bytes: u64,
}

impl Timeline {
    /// Whether a span is on the critical path.
    pub fn is_critical(&self, position: usize) -> bool {
        self.critical.nodes.contains(&position)
    }

    /// The groups in the order of their first span, each with the positions of its spans.
    pub fn groups(&self) -> Vec<(&Group, Vec<usize>)> {
        let mut groups: Vec<(&Group, Vec<usize>)> = Vec::new();
        for (index, span) in self.spans.iter().enumerate() {
            match groups.iter_mut().find(|(group, _)| *group == &span.group) {
                Some((_, spans)) => spans.push(index),
                None => groups.push((&span.group, vec![index])),
            }
        }
        // What is before the steps is first and what is after them last, whenever it was announced.
        groups.sort_by_key(|(group, _)| match group {
            Group::Before => 0,
            Group::Stage(_) => 1,
            Group::After => 2,
        });
        groups
    }
}

impl Span {
    /// How long it ran.
    pub fn ran_for(&self) -> Duration {
        self.end.saturating_sub(self.start)
    }

    /// When its cached result was looked for, if that took any time.
    pub fn lookup(&self) -> Option<(Duration, Duration)> {
        let place = self.pauses.iter().find(|pause| pause.on == Wait::Place).map(|pause| pause.from);
        let until = place.unwrap_or(self.start).min(self.start);
        (until > self.ready).then_some((self.ready, until))
    }

    /// What it adds to a chain that it is part of: all from when it could begin, but for waiting for a place.
    pub fn cost(&self) -> Duration {
        self.end.saturating_sub(self.ready).saturating_sub(self.waited(Wait::Place))
    }

    /// How long it waited for something.
    pub fn waited(&self, on: Wait) -> Duration {
        self.pauses.iter().filter(|pause| pause.on == on).map(|pause| pause.to - pause.from).sum()
    }

    /// Bytes that were moved.
    pub fn bytes_moved(&self) -> u64 {
        self.moved.iter().map(|moved| moved.bytes).sum()
    }
}

impl Group {
    /// What it is called.
    pub fn title(&self) -> String {
        match self {
            Self::Before => "before the steps".to_owned(),
            Self::Stage(stage) => format!("stage {stage}"),
            Self::After => "after the steps".to_owned(),
        }
    }
}

impl State {
    /// In a word or two.
    pub fn word(self) -> &'static str {
        match self {
            Self::Ran => "ran",
            Self::Cached => "cached",
            Self::Failed => "failed",
            Self::Stopped => "stopped",
            Self::NotReached => "not reached",
        }
    }
}

/// What is waited for, in a word.
pub fn wait_word(on: Wait) -> &'static str {
    match on {
        Wait::Lock => "lock",
        Wait::Place => "place",
        Wait::Network => "network",
    }
}

#[cfg(test)]
mod tests;
