//! Why a repository cannot be used.

use std::io;

/// Why a repository cannot be used. Passwords in URLs are not shown.
#[derive(Debug, thiserror::Error)]
pub enum GitError {
    /// There is no git.
    #[error("git is needed for {0}, and there is no such program; install the package git")]
    NoGit(String),
    /// Its server may not be asked.
    #[error("cannot take files from {0}: nothing may be fetched (offline), and the store does not have them")]
    Offline(String),
    /// It cannot be run.
    #[error("git cannot be run")]
    Run(#[source] io::Error),
    /// It says no.
    #[error("git {action} of {remote} failed: {said}")]
    Failed {
        /// What it was to do.
        action: String,
        /// With which remote.
        remote: String,
        /// What it wrote, on one line.
        said: String,
    },
    /// No such branch, tag or commit.
    #[error("{repository} has no branch, tag or commit {reference:?}")]
    NoReference {
        /// The repository.
        repository: String,
        /// What was asked for.
        reference: String,
    },
    /// Another commit than it must be.
    #[error("{repository} is at commit {found}, and must be at {wanted}")]
    Checksum {
        /// The repository.
        repository: String,
        /// What it must be.
        wanted: String,
        /// What it is.
        found: String,
    },
    /// No such directory.
    #[error("{repository} has no directory {subdir:?}")]
    NoSubdir {
        /// The repository.
        repository: String,
        /// What was asked for.
        subdir: String,
    },
    /// A submodule that is not fetched.
    #[error("the submodule {path:?} of {remote} {why}")]
    Submodule {
        /// Where it is in the repository.
        path: String,
        /// The repository.
        remote: String,
        /// What is wrong with it.
        why: String,
    },
    /// An SSH agent.
    #[error(transparent)]
    Agent(#[from] crate::agent::AgentError),
    /// The store.
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
    /// Files cannot be written.
    #[error("cannot {doing}")]
    Io {
        /// What.
        doing: String,
        /// Why.
        source: io::Error,
    },
}
