//! Why a step ran: what its key is made of now, beside what the key of the last build was made of. Pure.
//!
//! ```text
//! last build: stage, text, key ──┐                       Ingredients of that key ─┐
//! this build: stage, text ───────┴─ matching (which of them it was) ──────────────┴─ compare ─▶ Reasons
//! FileList of then and now ──────────────────────────────────────────────────────── files ──▶ FileChanges
//! ```

mod compare;
mod files;
mod history;
#[cfg(test)]
mod tests;

pub use compare::{BELOW, Now, NowFiles, compare};
pub use files::{FileChange, FileChanges, FileKind, FileList, Listed, What};
pub use history::{BuildHistory, HistoricStep, Outcome};

use serde::{Deserialize, Serialize};

/// Why a step ran.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
pub enum Reason {
    /// The command line says so.
    Asked {
        /// `--no-cache`, or `--no-cache-filter`.
        flag: String,
    },
    /// No earlier build of this Dockerfile has such a step.
    First,
    /// The step was built with just this before, and its result is gone.
    Gone {
        /// When it was removed, as RFC 3339, when that is known.
        when: Option<String>,
        /// Why, when that is known.
        why: Option<String>,
    },
    /// A value is another one. Values that look like secrets are left out.
    Input {
        /// Which: `ENV or ARG VERSION`, `command`.
        name: String,
        /// What it was; absent when there was none, or it is hidden.
        from: Option<String>,
        /// What it is.
        to: Option<String>,
        /// It is not shown.
        hidden: bool,
    },
    /// Files that it takes differ.
    Files {
        /// Where they are: `the build context`, `stage "build"`.
        place: String,
        /// Which; absent when the earlier list is gone.
        changes: Option<FileChanges>,
    },
    /// The base image is another one.
    Base {
        /// Its name.
        image: String,
        /// The digest it had.
        from: String,
        /// The digest it has.
        to: String,
    },
    /// The root file system below it differs: another step made it.
    Below {
        /// The step.
        step: String,
    },
}
