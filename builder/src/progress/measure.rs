//! What is measured of a build when somebody asks where its time went. None of it is sent otherwise.

use super::StepId;
use std::time::Duration;

/// Something measured of a step.
#[derive(Clone, Debug)]
pub enum Measure {
    /// Where it stands in the graph. Sent once for each step of the graph, before any of them begins.
    Place {
        /// The name of its stage, with the platform when there are several.
        stage: String,
        /// The steps whose results it takes.
        inputs: Vec<StepId>,
    },
    /// It has just ended waiting.
    Waited {
        /// What for.
        on: Wait,
        /// How long.
        elapsed: Duration,
    },
    /// Its program has ended.
    Used(Usage),
    /// The files that it made, in bytes.
    Layer {
        /// Their sizes, added up.
        bytes: u64,
    },
    /// Its result is known: those that take it may begin. The layers of an image may have to be fetched still.
    Solved,
    /// It does not fail by itself, but because the build is being stopped.
    Stopped,
}

/// What a step waits for while it does nothing itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Wait {
    /// Another step or another build that has what it wants: a `sharing=locked` cache mount, a layer that is being
    /// unpacked.
    Lock,
    /// A place among the steps that may run at once (`--parallelism`).
    Place,
    /// A server: from the request to the last byte.
    Network,
}

/// What a program, and what it started and waited for, used of the machine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Processor time in programs.
    pub user: Duration,
    /// Processor time in the kernel.
    pub system: Duration,
    /// The most memory that one process had, in bytes. `None` when that is no more than the builder itself had: the
    /// kernel counts what a process was copied from.
    pub peak_memory: Option<u64>,
    /// What was read and written, where the kernel says.
    pub io: Option<IoUsage>,
}

impl Usage {
    /// Processor time.
    pub fn cpu(&self) -> Duration {
        self.user + self.system
    }
}

/// Bytes read and written: proc_pid_io(5).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct IoUsage {
    /// Read by system calls, from files, pipes and sockets (`rchar`).
    pub read: u64,
    /// Written by system calls (`wchar`).
    pub written: u64,
    /// Of which came from a disk (`read_bytes`).
    pub disk_read: u64,
    /// What goes to a disk (`write_bytes`, less what was removed before it got there).
    pub disk_written: u64,
}
