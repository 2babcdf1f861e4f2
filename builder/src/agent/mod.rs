//! SSH agents for `RUN --mount=type=ssh`, and for git.
//!
//! ```text
//! a RUN ── socket in its sandbox ── proxy: lists keys and signs, nothing else ──┬─▶ the user's agent
//! git ──────────────────────────────────────────────────────────────────────────┴─▶ an ssh-agent with the keys of --ssh id=FILE
//! ```
//!
//! Keys of files are given to an `ssh-agent` of our own, for the time of the build: it knows every kind of key, and they
//! stay in its memory.

mod proxy;

pub use proxy::Proxy;

use crate::request::SshSource;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long an agent of our own may take to be there.
const PATIENCE: Duration = Duration::from_secs(10);

/// Why there is no agent.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// A program of OpenSSH is missing.
    #[error(
        "{0} is needed for --ssh with a key file, and there is no such program; install the package openssh-client"
    )]
    NoProgram(&'static str),
    /// A program of OpenSSH says no.
    #[error("{program} refuses {}: {said}", key.display())]
    Refused {
        /// Which.
        program: &'static str,
        /// The key.
        key: PathBuf,
        /// What it says.
        said: String,
    },
    /// The agent cannot be reached or made.
    #[error("cannot {doing}")]
    Io {
        /// What.
        doing: String,
        /// Why.
        source: io::Error,
    },
}

/// The agents of one build, by the id of `--ssh`.
pub struct Agents {
    sources: BTreeMap<String, SshSource>,
    path: Option<OsString>,
    /// Those that were started, with their sockets.
    own: Mutex<BTreeMap<String, Own>>,
}

struct Own {
    socket: PathBuf,
    process: Child,
}

impl Drop for Own {
    fn drop(&mut self) {
        // It may have ended; its socket goes with the directory.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

impl fmt::Debug for Agents {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Agents").field("sources", &self.sources).finish_non_exhaustive()
    }
}

impl Agents {
    /// Agents for `sources`. Nothing is started before somebody asks for it. `path` is where programs are looked for.
    pub fn new(sources: BTreeMap<String, SshSource>, path: Option<OsString>) -> Self {
        Self { sources, path, own: Mutex::default() }
    }

    /// The socket of the agent `id`, which can do all that agents can; `None` when none was given. `scratch` gives a
    /// directory for one of our own.
    ///
    /// # Errors
    /// When the agent cannot be started, or does not take a key.
    pub fn socket(
        &self,
        id: &str,
        scratch: &dyn Fn() -> io::Result<PathBuf>,
    ) -> Result<Option<PathBuf>, AgentError> {
        let keys = match self.sources.get(id) {
            None => return Ok(None),
            Some(SshSource::Agent(socket)) => return Ok(Some(socket.clone())),
            Some(SshSource::Keys(keys)) => keys,
        };
        let mut own = self.own.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(running) = own.get(id) {
            return Ok(Some(running.socket.clone()));
        }
        let directory = scratch().map_err(failed("make a directory for an SSH agent"))?;
        let started = self.start(&directory.join("agent"))?;
        for key in keys {
            self.add(&started.socket, key)?;
        }
        let socket = started.socket.clone();
        own.insert(id.to_owned(), started);
        Ok(Some(socket))
    }

    fn command(&self, program: &'static str) -> Command {
        let mut command = Command::new(program);
        command.env_clear().envs(self.path.iter().map(|path| ("PATH", path)));
        command.stdin(Stdio::null()).stdout(Stdio::null());
        command
    }

    fn start(&self, socket: &Path) -> Result<Own, AgentError> {
        let mut command = self.command("ssh-agent");
        command.arg("-D").arg("-a").arg(socket).stderr(Stdio::null());
        let process = command.spawn().map_err(missing("ssh-agent"))?;
        let mut own = Own { socket: socket.to_owned(), process };
        let deadline = Instant::now() + PATIENCE;
        while !socket.exists() {
            let ended = own.process.try_wait().map_err(failed("watch ssh-agent"))?;
            if ended.is_some() || Instant::now() > deadline {
                let source = io::Error::other("it does not start");
                return Err(AgentError::Io { doing: "use ssh-agent".to_owned(), source });
            }
            std::thread::sleep(Duration::from_millis(5));
        }
        Ok(own)
    }

    fn add(&self, socket: &Path, key: &Path) -> Result<(), AgentError> {
        let mut command = self.command("ssh-add");
        // Without a terminal and with no program to ask for it, a passphrase cannot be given.
        command.arg("-q").arg("--").arg(key).env("SSH_AUTH_SOCK", socket).env("SSH_ASKPASS_REQUIRE", "never");
        let output = command.stderr(Stdio::piped()).output().map_err(missing("ssh-add"))?;
        if output.status.success() {
            return Ok(());
        }
        let said = String::from_utf8_lossy(&output.stderr);
        let said: Vec<String> =
            said.lines().map(|line| crate::progress::sanitize::line(line.as_bytes())).collect();
        Err(AgentError::Refused { program: "ssh-add", key: key.to_owned(), said: said.join("; ") })
    }
}

fn failed(doing: &str) -> impl FnOnce(io::Error) -> AgentError {
    let doing = doing.to_owned();
    move |source| AgentError::Io { doing, source }
}

fn missing(program: &'static str) -> impl FnOnce(io::Error) -> AgentError {
    move |source| match source.kind() {
        io::ErrorKind::NotFound => AgentError::NoProgram(program),
        _ => AgentError::Io { doing: format!("run {program}"), source },
    }
}
