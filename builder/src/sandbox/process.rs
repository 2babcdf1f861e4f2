use super::devices::set_size;
use super::meter::Meter;
use super::{SandboxError, WindowSize};
use crate::cgroup::Cgroup;
use crate::progress::measure::Usage;
use rustix::io::Errno;
use rustix::process::{Signal, WaitId, WaitIdOptions, pidfd_send_signal, waitid};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A program that runs in its sandbox.
///
/// Dropping it kills the program and all it started, and waits for their end.
#[derive(Debug)]
pub struct Child {
    pidfd: OwnedFd,
    /// What it writes to its standard output, with [`Stdio::Pipes`](super::Stdio::Pipes). Read both until their end:
    /// a full pipe stops the program.
    pub stdout: Option<OwnedFd>,
    /// What it writes to its standard error.
    pub stderr: Option<OwnedFd>,
    /// Our end of its terminal, with [`Stdio::Terminal`](super::Stdio::Terminal). Reading fails with `EIO` when the
    /// program has closed its end.
    pub terminal: Option<OwnedFd>,
    status: Option<ExitStatus>,
    meter: Option<Meter>,
    usage: Option<Usage>,
    oom_kills: OomKills,
    /// Directories that live as long as it.
    scratch: Option<tempfile::TempDir>,
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ExitStatus {
    /// By itself or not.
    pub exit: Exit,
    /// It, or a program it started, was killed while the kernel was short of memory: seen when it ended by `SIGKILL` or
    /// with status 137, and the kernel's count of such kills rose meanwhile.
    pub out_of_memory: bool,
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    /// With this status.
    Code(i32),
    /// By this signal.
    Signal(i32),
}

impl ExitStatus {
    /// Status 0.
    pub fn success(&self) -> bool {
        self.exit == Exit::Code(0)
    }

    /// What a shell would say: 128 and the number for a signal.
    pub fn code(&self) -> i32 {
        match self.exit {
            Exit::Code(code) => code,
            Exit::Signal(signal) => 128 + signal,
        }
    }
}

impl Child {
    pub(super) fn new(
        pidfd: OwnedFd,
        [stdout, stderr, terminal]: [Option<OwnedFd>; 3],
        oom_kills: OomKills,
        scratch: Option<tempfile::TempDir>,
        meter: Option<Meter>,
    ) -> Self {
        let (status, usage) = (None, None);
        Self { pidfd, stdout, stderr, terminal, status, meter, usage, oom_kills, scratch }
    }

    /// Waits for the end of the program. By then all that it started has ended too, and its mounts are gone.
    ///
    /// # Errors
    /// Somebody else in this process has waited for it.
    pub fn wait(&mut self) -> Result<ExitStatus, SandboxError> {
        if let Some(status) = self.status {
            return Ok(status);
        }
        if let Some(meter) = self.meter.take() {
            self.usage = meter.read(self.pidfd.as_fd());
        }
        let failed = || SandboxError::setup("wait for a program");
        let status = loop {
            match waitid(WaitId::PidFd(self.pidfd.as_fd()), WaitIdOptions::EXITED) {
                Err(Errno::INTR) | Ok(None) => {}
                Err(errno) => return Err(failed()(errno.into())),
                Ok(Some(status)) => break status,
            }
        };
        let exit = match (status.exit_status(), status.terminating_signal()) {
            (Some(code), _) => Exit::Code(code),
            (None, Some(signal)) => Exit::Signal(signal),
            (None, None) => return Err(failed()(io::Error::other("it neither exited nor was killed"))),
        };
        let killed = matches!(exit, Exit::Signal(libc::SIGKILL) | Exit::Code(137));
        let status = ExitStatus { exit, out_of_memory: killed && self.oom_kills.have_risen() };
        self.status = Some(status);
        self.oom_kills.cgroup = None;
        self.scratch = None;
        Ok(status)
    }

    /// What the program used, once it has been waited for; only of one started by
    /// [`spawn_measured`](super::Sandbox::spawn_measured).
    pub fn usage(&self) -> Option<Usage> {
        self.usage
    }

    /// Something that can kill it from another thread.
    ///
    /// # Errors
    /// No file descriptor is left.
    pub fn killer(&self) -> io::Result<Killer> {
        Ok(Killer(self.pidfd.try_clone()?))
    }

    /// Changes the size of its terminal.
    ///
    /// # Errors
    /// It has none (`ENOTTY`).
    pub fn resize(&self, size: WindowSize) -> io::Result<()> {
        set_size(self.terminal.as_ref().ok_or(Errno::NOTTY)?, size)
    }
}

impl AsFd for Child {
    /// The pidfd, which becomes readable when the program has ended.
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.pidfd.as_fd()
    }
}

impl Drop for Child {
    fn drop(&mut self) {
        if self.status.is_none() {
            let _ = pidfd_send_signal(&self.pidfd, Signal::KILL);
            let _ = self.wait();
        }
    }
}

/// Ends a program from anywhere: it refers to the process itself, not to a number that may be given away again.
#[derive(Debug)]
pub struct Killer(OwnedFd);

impl Killer {
    /// Kills the program and all it started. One that has ended already stays so.
    pub fn kill(&self) {
        let _ = pidfd_send_signal(&self.0, Signal::KILL);
    }

    /// Sends a signal to the program alone. As the first process of its namespace it gets only those that it handles.
    ///
    /// # Errors
    /// It has ended (`ESRCH`); there is no such signal.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        Ok(pidfd_send_signal(&self.0, signal)?)
    }
}

/// How many processes the kernel had killed for want of memory: in the program's control group where it has one that
/// counts, else on this machine.
#[derive(Debug)]
pub(super) struct OomKills {
    cgroup: Option<Cgroup>,
    before: Option<u64>,
}

impl OomKills {
    /// Counts now.
    pub(super) fn count(cgroup: Option<Cgroup>) -> Self {
        let mut kills = Self { cgroup, before: None };
        kills.before = kills.now();
        kills
    }

    fn now(&self) -> Option<u64> {
        self.cgroup.as_ref().and_then(Cgroup::oom_kills).or_else(|| {
            let text = std::fs::read_to_string("/proc/vmstat").ok()?;
            text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
        })
    }

    fn have_risen(&self) -> bool {
        self.before.is_some() && self.now() > self.before
    }
}
