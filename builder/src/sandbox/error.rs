use std::io;
use std::path::PathBuf;

/// A program was not started in its sandbox.
#[derive(Debug, thiserror::Error)]
pub enum SandboxError {
    /// The layers cannot be mounted.
    #[error("cannot mount the root file system")]
    RootFs {
        /// Why.
        source: io::Error,
    },
    /// The source of a mount, or the mount itself, cannot be made.
    #[error("cannot make the mount for {}", target.display())]
    Source {
        /// Where it was to go.
        target: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// There is no place for a mount.
    #[error("cannot mount on {}: {reason}", target.display())]
    Target {
        /// The place.
        target: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The kernel refused to attach a mount.
    #[error("cannot mount on {} in the sandbox", target.display())]
    Attach {
        /// The place.
        target: PathBuf,
        /// Why; `ENOTDIR` when a directory meets a file.
        source: io::Error,
    },
    /// A string that the kernel cannot take.
    #[error("{what} has a NUL byte in it: {text:?}")]
    NulByte {
        /// Which string.
        what: &'static str,
        /// The string.
        text: String,
    },
    /// There is no program to run.
    #[error("no program is given")]
    NoProgram,
    /// The program does not exist: exit status 127.
    #[error("exec: {program:?}: not found in PATH ({path})")]
    NotInPath {
        /// The program.
        program: String,
        /// What was searched.
        path: String,
    },
    /// The program does not exist: exit status 127.
    #[error("exec: {program:?}: no such file{}", no_shell(program))]
    NotFound {
        /// The program.
        program: String,
    },
    /// The program is there, but what must interpret it is not: exit status 127.
    #[error(
        "exec: {program:?} exists, but not its interpreter: the one in its first line (#!), or the dynamic loader of \
         the C library that it was built for"
    )]
    NoInterpreter {
        /// The program.
        program: String,
    },
    /// The program cannot be executed: exit status 126.
    #[error("exec: {program:?} cannot be executed{hint}")]
    NotExecutable {
        /// The program.
        program: String,
        /// What that usually means, or nothing.
        hint: &'static str,
        /// Why.
        source: io::Error,
    },
    /// The working directory does not exist, or is none.
    #[error("cannot change to the working directory {}", path.display())]
    WorkingDirectory {
        /// Which.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The user or group has no place in the user namespace.
    #[error("cannot become user {uid}, group {gid}: this user namespace does not map {what}")]
    NotMapped {
        /// User id.
        uid: u32,
        /// Group id.
        gid: u32,
        /// What is missing.
        what: &'static str,
    },
    /// There is no such limit.
    #[error("no resource limit is called {name:?}: known are {known}")]
    UnknownLimit {
        /// Its name.
        name: String,
        /// All names.
        known: String,
    },
    /// A limit cannot be set.
    #[error("cannot set the resource limit {name}")]
    Limit {
        /// Its name.
        name: String,
        /// Why; `EPERM` when it would be raised and this process may not.
        source: io::Error,
    },
    /// A process with its own namespaces cannot be made.
    #[error("cannot make a process in new namespaces")]
    Clone {
        /// Why.
        source: io::Error,
    },
    /// Anything else, before or inside the new process.
    #[error("cannot {doing}")]
    Setup {
        /// What.
        doing: String,
        /// Why.
        source: io::Error,
    },
}

/// What the lack of the default shell means.
fn no_shell(program: &str) -> &'static str {
    match program {
        "/bin/sh" => {
            "; the stage has no shell: write RUN [\"program\", \"argument\"], or start FROM an image that has one"
        }
        _ => "",
    }
}

impl SandboxError {
    /// The exit status that a shell, `docker` and `runc` report for this: 127 for a program that does not exist, 126
    /// for one that cannot be executed. `None` when the program had no part in it.
    pub fn exit_code(&self) -> Option<i32> {
        match self {
            Self::NotInPath { .. } | Self::NotFound { .. } | Self::NoInterpreter { .. } => Some(127),
            Self::NotExecutable { .. } => Some(126),
            _ => None,
        }
    }

    /// What to do about it, where that can be said.
    pub fn help(&self) -> Option<&'static str> {
        let permission = |source: &io::Error| source.kind() == io::ErrorKind::PermissionDenied;
        match self {
            Self::NotMapped { .. } => {
                Some("give the user who builds more ids in /etc/subuid and /etc/subgid, or build as root")
            }
            Self::RootFs { source } if source.kind() == io::ErrorKind::InvalidInput => Some(
                "layers need a file system that overlayfs can write to, which another overlay (the root of most \
                 containers) is not: set SLIPWAY_ROOT to a directory on a volume",
            ),
            Self::Attach { target, source } if target.starts_with("/proc") && permission(source) => Some(
                "the container around this build hides parts of /proc, and then the kernel gives no other one: start \
                 it with --security-opt systempaths=unconfined, or --privileged",
            ),
            Self::Clone { source } if permission(source) => Some(
                "a seccomp profile or security module forbids namespaces: start the container around this build \
                 with --privileged",
            ),
            Self::Limit { source, .. } if permission(source) => {
                Some("only a process with CAP_SYS_RESOURCE may raise a hard limit")
            }
            _ => None,
        }
    }

    pub(super) fn setup(doing: impl Into<String>) -> impl FnOnce(io::Error) -> Self {
        let doing = doing.into();
        |source| Self::Setup { doing, source }
    }
}
