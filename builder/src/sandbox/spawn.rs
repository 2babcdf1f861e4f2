use super::child::{self, Failure, Stage};
use super::meter::Meter;
use super::plan::{self, Plan};
use super::process::{Child, OomKills};
use super::{Sandbox, SandboxError, raw};
use rustix::event::{EventfdFlags, eventfd};
use rustix::io::Errno;
use std::io::{self, Read};
use std::os::fd::{AsFd, FromRawFd, OwnedFd};
use std::path::PathBuf;
use std::sync::{OnceLock, mpsc};

impl Sandbox {
    /// Starts the program. When this returns, it runs: every failure before its first instruction is an error here.
    ///
    /// # Errors
    /// [`SandboxError`]; [`SandboxError::exit_code`] tells the ones that concern the program itself.
    pub fn spawn(self) -> Result<Child, SandboxError> {
        self.start(false)
    }

    /// As [`spawn`](Self::spawn), and [`Child::usage`] tells at the end what the program has used.
    ///
    /// # Errors
    /// Those of [`spawn`](Self::spawn): what cannot be measured is none.
    pub fn spawn_measured(self) -> Result<Child, SandboxError> {
        self.start(true)
    }

    fn start(self, measured: bool) -> Result<Child, SandboxError> {
        let cwd = self.cwd.clone();
        let (mut plan, mut ours) = plan::make(self)?;
        if measured {
            let metered = eventfd(0, EventfdFlags::CLOEXEC);
            plan.metered =
                Some(metered.map_err(|errno| SandboxError::setup("make an eventfd")(errno.into()))?);
        }
        let killed = OomKills::count(ours.cgroup);
        let (pidfd, plan) = clone(plan)?;
        let meter = plan.metered.as_ref().map(|metered| {
            let meter = Meter::new(pidfd.as_fd());
            // Without it the process goes on after a while.
            let _ = rustix::io::write(metered, &1_u64.to_ne_bytes());
            meter
        });
        // The program's ends of the pipes close with the plan; only its copies are left.
        let labels = Labels::of(plan, cwd);
        let mut report = Vec::new();
        let read = ours.report.read_to_end(&mut report);
        let mut child =
            Child::new(pidfd, [ours.stdout, ours.stderr, ours.terminal], killed, ours.stubs, meter);
        read.map_err(SandboxError::setup("read the report of the new process"))?;
        match Failure::from_bytes(&report) {
            None => Ok(child),
            Some(failure) => {
                child.wait()?;
                Err(labels.error(failure))
            }
        }
    }
}

/// What a failure is described with.
struct Labels {
    targets: Vec<String>,
    limits: Vec<String>,
    masked: Vec<String>,
    program: String,
    path: Option<String>,
    cwd: PathBuf,
    ids: (u32, u32),
}

impl Labels {
    fn of(plan: Plan, cwd: PathBuf) -> Self {
        let text = |c: &std::ffi::CString| c.to_string_lossy().into_owned();
        Self {
            targets: plan.attachments.iter().map(|attachment| text(&attachment.target)).collect(),
            limits: plan.limits.into_iter().map(|(.., name)| name).collect(),
            masked: plan.masked.iter().chain(&plan.read_only).map(text).collect(),
            program: plan.program.name,
            path: plan.program.path,
            cwd,
            ids: (plan.uid.as_raw(), plan.gid.as_raw()),
        }
    }

    fn error(self, Failure { stage, index, errno }: Failure) -> SandboxError {
        let source = io::Error::from(errno);
        let nth = |list: &[String]| list.get(index as usize).cloned().unwrap_or_default();
        let program = self.program.clone();
        let (uid, gid) = self.ids;
        match stage {
            Stage::Attach => SandboxError::Attach { target: nth(&self.targets).into(), source },
            Stage::Mask => {
                SandboxError::Setup { doing: format!("hide {} in the sandbox", nth(&self.masked)), source }
            }
            Stage::Limit => SandboxError::Limit { name: nth(&self.limits), source },
            Stage::WorkingDirectory => SandboxError::WorkingDirectory { path: self.cwd, source },
            Stage::Groups if errno == Errno::INVAL => {
                SandboxError::NotMapped { uid, gid, what: "one of the user's other groups" }
            }
            Stage::Group if errno == Errno::INVAL => SandboxError::NotMapped { uid, gid, what: "that group" },
            Stage::User if errno == Errno::INVAL => SandboxError::NotMapped { uid, gid, what: "that user" },
            Stage::Interpreter => SandboxError::NoInterpreter { program },
            Stage::Execute => match (errno, self.path) {
                (Errno::NOENT | Errno::NOTDIR, Some(path)) => SandboxError::NotInPath { program, path },
                (Errno::NOENT | Errno::NOTDIR, None) => SandboxError::NotFound { program },
                (Errno::NOEXEC, _) => {
                    let hint =
                        ": it is no program for this kind of processor, or a script without a first line #!";
                    SandboxError::NotExecutable { program, hint, source }
                }
                (Errno::ACCESS, _) => {
                    let hint = ": it is a directory, or its permissions forbid it";
                    SandboxError::NotExecutable { program, hint, source }
                }
                _ => SandboxError::NotExecutable { program, hint: "", source },
            },
            other => SandboxError::Setup { doing: format!("{} in the sandbox", other.doing()), source },
        }
    }
}

type Request = (Box<Plan>, mpsc::SyncSender<(Result<OwnedFd, Errno>, Box<Plan>)>);

/// Makes the child on a thread that lives as long as this process: when the *thread* that made a child ends, the kernel
/// sends the child its parent-death signal, and threads of a pool do end. That thread has all signals blocked, so that
/// no handler of this process runs in the child.
fn clone(plan: Plan) -> Result<(OwnedFd, Plan), SandboxError> {
    static REQUESTS: OnceLock<Result<mpsc::Sender<Request>, i32>> = OnceLock::new();
    let requests = REQUESTS.get_or_init(|| {
        let (sender, receiver) = mpsc::channel::<Request>();
        let serve = move || {
            block_signals();
            for (plan, answer) in receiver {
                let result = clone_here(&plan);
                // A caller that is gone has no use for the child: its pidfd closes, and its plan with the report.
                let _ = answer.send((result, plan));
            }
        };
        let thread = std::thread::Builder::new().name("sandboxes".to_owned()).spawn(serve);
        thread.map(|_| sender).map_err(|error| error.raw_os_error().unwrap_or(libc::EAGAIN))
    });
    let failed = |source| SandboxError::Clone { source };
    let requests = requests.as_ref().map_err(|&errno| failed(io::Error::from_raw_os_error(errno)))?;
    let (answer, answers) = mpsc::sync_channel(1);
    let gone = |_| failed(io::Error::other("the thread that starts sandboxes is gone"));
    requests.send((Box::new(plan), answer)).map_err(|_| gone(mpsc::RecvError))?;
    let (pidfd, plan) = answers.recv().map_err(gone)?;
    Ok((pidfd.map_err(|errno| failed(errno.into()))?, *plan))
}

fn block_signals() {
    // SAFETY: the set is filled before it is used; only this thread's mask changes.
    unsafe {
        let mut all = std::mem::zeroed();
        libc::sigfillset(&raw mut all);
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const all, std::ptr::null_mut());
    }
}

/// `struct clone_args` of `clone3(2)`, its first version.
#[repr(C)]
#[derive(Default)]
struct CloneArgs {
    flags: u64,
    pidfd: u64,
    child_tid: u64,
    parent_tid: u64,
    exit_signal: u64,
    stack: u64,
    stack_size: u64,
    tls: u64,
}

/// `fork(2)` with namespaces and a pidfd. In the child this does not return.
fn clone_here(plan: &Plan) -> Result<OwnedFd, Errno> {
    let mut pidfd: libc::c_int = -1;
    let arguments = CloneArgs {
        flags: plan.namespaces | libc::CLONE_PIDFD as u64,
        pidfd: (&raw mut pidfd).addr() as u64,
        exit_signal: libc::SIGCHLD as u64,
        ..CloneArgs::default()
    };
    // SAFETY: without CLONE_VM the child is a copy that goes on here, as after fork. This process has other threads, so
    // the child must stay with async-signal-safe functions; `child::run` does, and does not return.
    let result = unsafe { libc::syscall(libc::SYS_clone3, &raw const arguments, size_of::<CloneArgs>()) };
    match raw::check(result)? {
        0 => child::run(plan),
        // SAFETY: the kernel has put a new descriptor there, which nobody else knows.
        _ => Ok(unsafe { OwnedFd::from_raw_fd(pidfd) }),
    }
}
