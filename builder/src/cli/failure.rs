//! How a run of the program ends when it does not end well.

use super::environment::EnvironmentError;
use super::spec::SpecError;
use super::style::Style;
use std::io::{self, Write};
use std::path::PathBuf;

/// What is wrong with the command line. The exit status is 2.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    /// What the parser of flags says, rendered by it.
    #[error("{0}")]
    Parser(String),
    /// A value that does not do.
    #[error("{flag} {value:?}: {source}")]
    Value {
        /// The flag or variable.
        flag: &'static str,
        /// Its value.
        value: String,
        /// What is wrong.
        source: SpecError,
    },
    /// A flag of other builders.
    #[error("--{flag} is not supported: {why}")]
    Refused {
        /// Its long name.
        flag: &'static str,
        /// Why, or what to do instead.
        why: &'static str,
    },
    /// No context.
    #[error("the build context is missing; for the current directory write: build .")]
    NoContext,
    /// A context that would have to be fetched.
    #[error("{} is {what}: such contexts are not supported; fetch it first and give its directory", given.display())]
    RemoteContext {
        /// What it is.
        what: &'static str,
        /// What was given.
        given: PathBuf,
    },
    /// A Dockerfile that would have to be fetched.
    #[error("-f {}: a Dockerfile is not fetched; pipe it in with -f -", .0.display())]
    RemoteDockerfile(PathBuf),
    /// `-f -` and the context `-`.
    #[error("standard input cannot be both the build context and the Dockerfile")]
    TwoUsesOfStdin,
    /// Several outputs without a destination.
    #[error("only one output can go to standard output; give the others a dest=")]
    TwoUsesOfStdout,
    /// An archive for the eyes.
    #[error("an archive is not written to a terminal; add dest=FILE to the output, or redirect it")]
    ArchiveOnTerminal,
    /// Several platforms.
    #[error("--platform: one platform is built at a time; run the build once for each")]
    ManyPlatforms,
    /// A live display without a terminal.
    #[error("--progress=tty needs a terminal on standard error; write --progress=plain")]
    NoTerminal,
    /// A value of `$BUILDKIT_PROGRESS` that is no mode.
    #[error("BUILDKIT_PROGRESS={0:?} is not understood: write auto, tty, plain, quiet, rawjson or none")]
    ProgressVariable(String),
}

/// How a run of the program fails.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The command line is wrong.
    #[error(transparent)]
    Usage(#[from] UsageError),
    /// The surroundings do not do.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// Standard output or the runtime.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A verb that needs what this version does not have.
    #[error("not there in this version: {0}")]
    NotThere(String),
}

impl Failure {
    /// The exit status.
    pub fn status(&self) -> u8 {
        match self {
            Self::Usage(_) => 2,
            _ => 1,
        }
    }

    /// Writes the message, and what caused it.
    pub fn show(&self, style: Style, out: &mut dyn Write) {
        // Whoever closed the other end of a pipe knows.
        if matches!(self, Self::Io(error) if error.kind() == io::ErrorKind::BrokenPipe) {
            return;
        }
        let mut text = match self {
            // It has its label already.
            Self::Usage(UsageError::Parser(text)) => text.clone(),
            _ => format!("error: {self}"),
        };
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text.push_str(&format!(": {error}"));
            cause = error.source();
        }
        if !text.ends_with('\n') {
            text.push('\n');
        }
        // There is nobody left to tell that standard error is closed.
        let _ = out.write_all(style.diagnostic(&text).as_bytes());
    }
}
