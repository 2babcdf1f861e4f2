//! Why a step failed.

use crate::agent::AgentError;
use crate::bases::BaseError;
use crate::cgroup::CgroupError;
use crate::copy::CopyError;
use crate::emulation::EmulationError;
use crate::fetch::git::GitError;
use crate::fetch::http::HttpError;
use crate::graph::{CopySource, Op, UserName, Vertex, VertexId};
use crate::layer::tree::ScanError;
use crate::rootfs::user::UserError;
use crate::sandbox::{Exit, ExitStatus, SandboxError};
use crate::store::StoreError;
use dockerfile_parser::ast::MountKind;
use dockerfile_parser::diagnostic::Diagnostic;
use dockerfile_parser::span::Span;
use std::io;

/// The code of a USER or `--chown` that names nobody.
pub const UNKNOWN_USER: &str = "unknown-user";

/// Why a step failed, and which.
#[derive(Debug)]
pub struct StepError {
    /// The step.
    pub vertex: VertexId,
    /// Why.
    pub cause: Cause,
}

/// Why a step failed.
#[derive(Debug, thiserror::Error)]
pub enum Cause {
    /// The program ended badly.
    #[error("process {command:?} did not complete successfully: {}", ended(*status))]
    Exit {
        /// What ran, as people read it.
        command: String,
        /// How it ended.
        status: ExitStatus,
    },
    /// The sandbox cannot be made, or the program not started.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
    /// The program is for another processor, which cannot be emulated.
    #[error(transparent)]
    Emulation(Box<EmulationError>),
    /// Files cannot be copied.
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// `--chmod` cannot be understood.
    #[error("--chmod={given}: {why}")]
    Chmod {
        /// As given.
        given: String,
        /// Why.
        why: String,
    },
    /// USER or `--chown` names nobody.
    #[error(transparent)]
    User(#[from] UserError),
    /// A base image cannot be had.
    #[error(transparent)]
    Base(Box<BaseError>),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The new layer cannot be read.
    #[error("cannot read what the step made")]
    Tree(#[from] ScanError),
    /// A mount of this RUN cannot be made.
    #[error("--mount of {target}: {why}")]
    Mount {
        /// Where it was to be.
        target: String,
        /// Why not.
        why: String,
    },
    /// A secret that is required was not given.
    #[error("the secret {id:?} is required, and was not given")]
    Secret {
        /// Its id.
        id: String,
    },
    /// Something on this machine failed.
    #[error("cannot {doing}")]
    Io {
        /// What.
        doing: String,
        /// Why.
        source: io::Error,
    },
    /// A file elsewhere cannot be had.
    #[error(transparent)]
    Http(Box<HttpError>),
    /// A repository cannot be had.
    #[error(transparent)]
    Git(Box<GitError>),
    /// A control group cannot be had.
    #[error(transparent)]
    Cgroup(#[from] CgroupError),
    /// An SSH agent cannot be had.
    #[error(transparent)]
    Agent(#[from] AgentError),
    /// The build was stopped.
    #[error("stopped")]
    Cancelled,
    /// It takes a user namespace to do this, and there is none yet.
    #[error("this step needs a user namespace")]
    NeedsUserNamespace,
}

/// How a program ended, in words.
fn ended(status: ExitStatus) -> String {
    let mut text = match status.exit {
        Exit::Code(code) => format!("exit code: {code}"),
        Exit::Signal(signal) => format!("killed by signal {signal}{}", signal_name(signal)),
    };
    if status.out_of_memory {
        text.push_str(", because memory ran out");
    }
    text
}

fn signal_name(number: i32) -> &'static str {
    match number {
        libc::SIGABRT => " (SIGABRT)",
        libc::SIGBUS => " (SIGBUS)",
        libc::SIGFPE => " (SIGFPE)",
        libc::SIGHUP => " (SIGHUP)",
        libc::SIGILL => " (SIGILL)",
        libc::SIGINT => " (SIGINT)",
        libc::SIGKILL => " (SIGKILL)",
        libc::SIGPIPE => " (SIGPIPE)",
        libc::SIGSEGV => " (SIGSEGV)",
        libc::SIGSYS => " (SIGSYS)",
        libc::SIGTERM => " (SIGTERM)",
        libc::SIGTRAP => " (SIGTRAP)",
        _ => "",
    }
}

impl From<BaseError> for Cause {
    fn from(error: BaseError) -> Self {
        Self::Base(Box::new(error))
    }
}

impl From<HttpError> for Cause {
    fn from(error: HttpError) -> Self {
        Self::Http(Box::new(error))
    }
}

impl From<GitError> for Cause {
    fn from(error: GitError) -> Self {
        Self::Git(Box::new(error))
    }
}

impl From<EmulationError> for Cause {
    fn from(error: EmulationError) -> Self {
        Self::Emulation(Box::new(error))
    }
}

impl Cause {
    /// Something on this machine failed.
    pub(super) fn io(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        move |source| Self::Io { doing, source }
    }
}

impl StepError {
    /// The failure as a finding about the Dockerfile: where the instruction stands, what happened, what to do.
    pub fn diagnostic(&self, vertex: &Vertex) -> Diagnostic {
        let mut message = self.cause.to_string();
        let mut source = std::error::Error::source(&self.cause);
        while let Some(cause) = source {
            let text = cause.to_string();
            if !message.ends_with(&text) {
                message = format!("{message}: {text}");
            }
            source = cause.source();
        }
        let (code, help) = match &self.cause {
            Cause::Exit { .. } => ("run-failed", None),
            Cause::Copy(_) => ("copy-failed", None),
            Cause::Http(_) | Cause::Git(_) => ("fetch-failed", None),
            Cause::User(error) => (UNKNOWN_USER, error.help()),
            Cause::Emulation(error) => ("foreign-platform", error.help()),
            Cause::Cgroup(error) => ("step-failed", error.help().map(str::to_owned)),
            Cause::Sandbox(error) => ("step-failed", error.help().map(str::to_owned)),
            Cause::Secret { id } => {
                ("missing-secret", Some(format!("give it with --secret id={id},src=FILE")))
            }
            _ => ("step-failed", None),
        };
        let help = help.or_else(|| is_full(&self.cause).then(|| FULL.to_owned()));
        if let (Cause::User(_), Some(UserName { text, span: None })) = (&self.cause, user_of(&vertex.op)) {
            message = format!("{message} (USER {text} is set by the base image)");
        }
        let diagnostic = Diagnostic::error(code, self.place(vertex), message);
        match help {
            Some(help) => diagnostic.help(help),
            None => diagnostic,
        }
    }

    /// The source of a COPY or of a mount, the secret or the name of a user that is to blame, else the instruction.
    fn place(&self, vertex: &Vertex) -> Span {
        if let Cause::User(_) = self.cause {
            return user_of(&vertex.op).and_then(|user| user.span).unwrap_or(vertex.span);
        }
        if let Op::Run(run) = &vertex.op {
            let mut mounts = run.mounts.iter();
            let blamed = match &self.cause {
                Cause::Secret { id } => mounts
                    .find(|bound| {
                        bound.mount.kind == MountKind::Secret && bound.mount.id.as_ref() == Some(id)
                    })
                    .map(|bound| bound.span),
                Cause::Copy(error) => written(error)
                    .and_then(|source| mounts.find(|bound| bound.mount.source.as_deref() == Some(source)))
                    .map(|bound| bound.source_span),
                _ => None,
            };
            return blamed.unwrap_or(vertex.span);
        }
        let (Cause::Copy(error), Op::Copy(copy)) = (&self.cause, &vertex.op) else {
            return vertex.span;
        };
        let blamed = written(error);
        let found = copy.sources.iter().find_map(|source| match source {
            CopySource::Path(path, span) if Some(path.as_str()) == blamed => Some(*span),
            _ => None,
        });
        found.unwrap_or(vertex.span)
    }
}

/// The user that a step looks up.
fn user_of(op: &Op) -> Option<&UserName> {
    match op {
        Op::Run(run) => Some(&run.user),
        Op::Workdir(workdir) => Some(&workdir.user),
        Op::Copy(copy) => copy.chown.as_ref(),
        Op::Scratch | Op::Image(_) | Op::Http(_) | Op::Git(_) => None,
    }
}

/// What to do when there is no room.
const FULL: &str = "make room on the file system of the store, or name a store elsewhere with SLIPWAY_ROOT";

/// Whether the file system is full, or the quota used up.
fn is_full(cause: &Cause) -> bool {
    let mut at: Option<&(dyn std::error::Error + 'static)> = Some(cause);
    while let Some(error) = at {
        let number = error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error);
        if matches!(number, Some(libc::ENOSPC | libc::EDQUOT)) {
            return true;
        }
        at = error.source();
    }
    false
}

/// The source that a COPY complains about, as the Dockerfile has it.
fn written(error: &CopyError) -> Option<&str> {
    match error {
        CopyError::NotFound { written, .. }
        | CopyError::Ignored { written, .. }
        | CopyError::NotADirectory { written, .. }
        | CopyError::Pattern { written, .. }
        | CopyError::FileOverDirectory { written, .. }
        | CopyError::DirectoryOverFile { written, .. } => Some(written),
        _ => None,
    }
}
