//! What a build tells while it runs. Every module sends [`Event`]s through one [`Progress`]; one renderer shows them.
//!
//! | module | who listens |
//! | --- | --- |
//! | [`tty`] | somebody at a terminal: running steps are redrawn in place |
//! | [`plain`] | a pipe or a file: one line after the other |
//! | [`rawjson`] | a program: one JSON object a line |
//! | [`log_file`] | whoever asks later: everything, byte for byte |
//! | [`tally`] | the summary at the end |
//! | [`tee`] | several of these |
//! | [`held`] | nobody yet |
//! | [`timeline`] | whoever asks where the time went: `--timeline`, `--trace` |

pub mod bytes;
pub mod held;
pub mod log_file;
pub mod measure;
pub mod plain;
pub mod rate;
pub mod rawjson;
pub mod sanitize;
pub mod tally;
pub mod tee;
pub mod timeline;
pub mod tty;

use crate::explain::BuildHistory;
use measure::{Measure, Wait};
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Numbers the steps of one build, in the order they were announced.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StepId(pub u32);

/// Which of a program's two outputs a log line came from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Stream {
    /// Standard output.
    Stdout,
    /// Standard error.
    Stderr,
}

/// Gives a line of a warning its colours.
pub type Paint = Box<dyn Fn(&str) -> String + Send + Sync>;

/// Something that happened.
#[derive(Clone, Debug)]
pub enum Event {
    /// A step exists. `name` is what is shown: `[build 2/5] RUN make`.
    Announced {
        /// Its number.
        step: StepId,
        /// Its name.
        name: String,
    },
    /// It runs now.
    Started {
        /// Its number.
        step: StepId,
    },
    /// An earlier result was taken; it did not run.
    Cached {
        /// Its number.
        step: StepId,
    },
    /// A line of output, without its line ending, exactly as the program wrote it.
    Log {
        /// Its number.
        step: StepId,
        /// Where it came from.
        stream: Stream,
        /// The bytes.
        line: Vec<u8>,
    },
    /// Some bytes of something were moved; sent often.
    Transfer {
        /// The step they belong to.
        step: StepId,
        /// What is moved: a short digest, a file name.
        item: String,
        /// Bytes moved until now.
        current: u64,
        /// Bytes in all, when that is known.
        total: Option<u64>,
    },
    /// It is done.
    Finished {
        /// Its number.
        step: StepId,
        /// How long it ran.
        elapsed: Duration,
    },
    /// It failed.
    Failed {
        /// Its number.
        step: StepId,
        /// How long it ran.
        elapsed: Duration,
        /// What went wrong, in one line.
        error: String,
    },
    /// What the whole build did, and why; when that was asked for.
    Explained {
        /// It.
        history: Arc<BuildHistory>,
    },
    /// Something the user should know; not tied to a step.
    Warning {
        /// The whole text; may have several lines.
        text: String,
    },
    /// Something measured of a step; only where it [is asked for](Progress::is_measured).
    Measured {
        /// Its number.
        step: StepId,
        /// What.
        what: Measure,
    },
}

/// Takes events. It is called from many threads and must not block for long.
pub trait Sink: Send + Sync {
    /// Takes one event.
    fn event(&self, event: Event);
}

/// The handle every module sends its events through.
#[derive(Clone)]
pub struct Progress {
    sink: Arc<dyn Sink>,
    measured: bool,
}

impl Progress {
    /// Sends to `sink`.
    pub fn new(sink: Arc<dyn Sink>) -> Self {
        Self { sink, measured: false }
    }

    /// Sends to `sink`, with what can be measured.
    pub fn measured(sink: Arc<dyn Sink>) -> Self {
        Self { sink, measured: true }
    }

    /// Sends to nobody.
    pub fn none() -> Self {
        struct Nobody;
        impl Sink for Nobody {
            fn event(&self, _: Event) {}
        }
        Self::new(Arc::new(Nobody))
    }

    /// Sends one event.
    pub fn send(&self, event: Event) {
        self.sink.event(event);
    }

    /// Sends a warning.
    pub fn warn(&self, text: impl Into<String>) {
        self.send(Event::Warning { text: text.into() });
    }

    /// Whether somebody wants measures: what takes work to find out is found out only then.
    pub fn is_measured(&self) -> bool {
        self.measured
    }

    /// Sends something measured, when that is wanted.
    pub fn measure(&self, step: StepId, what: Measure) {
        if self.measured {
            self.send(Event::Measured { step, what });
        }
    }

    /// Says that `step` has waited since `since`, until now.
    pub fn waited(&self, step: StepId, on: Wait, since: Instant) {
        self.measure(step, Measure::Waited { on, elapsed: since.elapsed() });
    }
}

impl fmt::Debug for Progress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Progress")
    }
}
