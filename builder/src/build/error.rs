//! Why a build failed.

use crate::cgroup::CgroupError;
use dockerfile_parser::diagnostic::{Diagnostic, render};
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

/// The text of a Dockerfile and what to call it.
#[derive(Debug, PartialEq, Eq)]
pub struct DockerfileText {
    /// As messages name it.
    pub name: String,
    /// The bytes.
    pub source: Vec<u8>,
}

/// Why a build failed.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// The Dockerfile cannot be built as it is; no step ran.
    #[error(transparent)]
    Dockerfile(#[from] DockerfileError),
    /// A step failed.
    #[error(transparent)]
    Step(#[from] Box<StepFailure>),
    /// The Dockerfile, the context or an ignore file cannot be read.
    #[error(transparent)]
    Input(#[from] super::input::InputError),
    /// A tag or an output name is no reference.
    #[error("{given:?} is no image name: {why}")]
    Name {
        /// What was given.
        given: String,
        /// What is wrong with it.
        why: String,
    },
    /// `ARG SOURCE_DATE_EPOCH` of the Dockerfile.
    #[error("ARG SOURCE_DATE_EPOCH={given:?} is no number of seconds since 1970; nor is it \"context\"")]
    Epoch {
        /// Its value.
        given: String,
    },
    /// `SOURCE_DATE_EPOCH=git`.
    #[error(
        "SOURCE_DATE_EPOCH=git: the time of the commit is {found:?}, and must be a number of seconds since 1970"
    )]
    EpochOfCommit {
        /// What git says.
        found: String,
    },
    /// The lock file.
    #[error(transparent)]
    Lock(#[from] super::lock::LockError),
    /// Limits of RUN steps cannot be set on this machine.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    /// The store.
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
    /// The image cannot be put together or written out.
    #[error("the {what} output failed")]
    Output {
        /// Which output.
        what: String,
        /// Why not.
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// A result file cannot be written.
    #[error("cannot write {}", path.display())]
    ResultFile {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// The user asked to stop.
    #[error("the build was stopped")]
    Cancelled,
    /// Something must be done that needs a user namespace: enter one and build again. Nothing was changed.
    #[error("this build needs a user namespace")]
    NeedsUserNamespace,
}

/// What is wrong in a Dockerfile. Displayed as the diagnostics with their source excerpts.
#[derive(Debug)]
pub struct DockerfileError {
    /// The file.
    pub file: Arc<DockerfileText>,
    /// All findings, at least one.
    pub diagnostics: Vec<Diagnostic>,
}

impl fmt::Display for DockerfileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rendered: Vec<String> = self
            .diagnostics
            .iter()
            .map(|diagnostic| render(&self.file.name, &self.file.source, diagnostic))
            .collect();
        f.write_str(rendered.join("\n").trim_end())
    }
}

impl std::error::Error for DockerfileError {}

/// A step that failed, with its place in the Dockerfile.
#[derive(Debug)]
pub struct StepFailure {
    /// The file.
    pub file: Arc<DockerfileText>,
    /// The step as progress shows it.
    pub step: String,
    /// What happened and where.
    pub diagnostic: Diagnostic,
}

impl fmt::Display for StepFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(render(&self.file.name, &self.file.source, &self.diagnostic).trim_end())
    }
}

impl std::error::Error for StepFailure {}
