//! What the child has to do, worked out before it exists.
//!
//! After `clone3` of a process with threads, the child may not allocate: another thread may have held the allocator's
//! lock. So every path, string and file descriptor that it needs is made here.

mod filesystems;
mod limits;
mod mounts;
mod program;

pub(super) use mounts::{Attachment, Origin};

use super::devices::Terminal;
use super::{Network, Sandbox, SandboxError, Security, Stdio};
use crate::cgroup::Cgroup;
use rustix::process::{Resource, Rlimit};
use rustix::thread::{CapabilitySet, Gid, Uid, capabilities};
use std::ffi::CString;
use std::io;
use std::os::fd::OwnedFd;

/// Docker's default capabilities.
const CAPABILITIES: CapabilitySet = CapabilitySet::CHOWN
    .union(CapabilitySet::DAC_OVERRIDE)
    .union(CapabilitySet::FSETID)
    .union(CapabilitySet::FOWNER)
    .union(CapabilitySet::MKNOD)
    .union(CapabilitySet::NET_RAW)
    .union(CapabilitySet::SETGID)
    .union(CapabilitySet::SETUID)
    .union(CapabilitySet::SETFCAP)
    .union(CapabilitySet::SETPCAP)
    .union(CapabilitySet::NET_BIND_SERVICE)
    .union(CapabilitySet::SYS_CHROOT)
    .union(CapabilitySet::KILL)
    .union(CapabilitySet::AUDIT_WRITE);

/// All of it.
pub(super) struct Plan {
    /// `CLONE_NEW*`.
    pub(super) namespaces: u64,
    /// Files to write to, to join control groups; the new namespace of control groups begins there.
    pub(super) cgroups: Vec<OwnedFd>,
    /// The root file system, a detached mount.
    pub(super) root: OwnedFd,
    /// Files that are bound one by one, a detached mount; and the place where it stands meanwhile, which is `/proc`.
    pub(super) staging: OwnedFd,
    /// Mounts in order; the last one is `/proc`.
    pub(super) attachments: Vec<Attachment>,
    /// Covered by something empty, where they exist.
    pub(super) masked: Vec<CString>,
    /// Made read-only, where they exist.
    pub(super) read_only: Vec<CString>,
    /// Host name.
    pub(super) hostname: Vec<u8>,
    /// Switch the loopback device on.
    pub(super) loopback: bool,
    /// Limits, with their names.
    pub(super) limits: Vec<(Resource, Rlimit, String)>,
    /// What it starts.
    pub(super) program: program::Program,
    /// The user namespace to move to, when it is another one.
    pub(super) user_namespace: Option<OwnedFd>,
    /// User.
    pub(super) uid: Uid,
    /// Group.
    pub(super) gid: Gid,
    /// Supplementary groups; `None` where the user namespace forbids to set any.
    pub(super) groups: Option<Vec<Gid>>,
    /// Capabilities that are left; `None` leaves all.
    pub(super) capabilities: Option<CapabilitySet>,
    /// Load the default seccomp profile.
    pub(super) seccomp: bool,
    /// Standard input; `None` opens the sandbox's `/dev/null`.
    pub(super) stdin: Input,
    /// Standard output and error; `None` inherits.
    pub(super) stdout: Option<OwnedFd>,
    pub(super) stderr: Option<OwnedFd>,
    /// The terminal of the new session; takes the place of the three.
    pub(super) terminal: Option<OwnedFd>,
    /// Where the child reports why it failed; closed by `execve`.
    pub(super) report: OwnedFd,
    /// Readable when the meter is there: an eventfd.
    pub(super) metered: Option<OwnedFd>,
}

/// Where standard input comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Input {
    Null,
    Inherit,
}

/// What this process keeps while the child runs.
pub(super) struct Ours {
    pub(super) report: io::PipeReader,
    pub(super) stdout: Option<OwnedFd>,
    pub(super) stderr: Option<OwnedFd>,
    pub(super) terminal: Option<OwnedFd>,
    /// The layer of mount points.
    pub(super) stubs: Option<tempfile::TempDir>,
    /// What it joins.
    pub(super) cgroup: Option<Cgroup>,
}

/// Prepares everything.
pub(super) fn make(mut sandbox: Sandbox) -> Result<(Plan, Ours), SandboxError> {
    let program = program::Program::new(&sandbox)?;
    let limits = limits::limits(&sandbox.rlimits)?;
    let (report, report_writer) = io::pipe().map_err(SandboxError::setup("make a pipe"))?;
    let mut plan_stdio = PlanStdio::default();

    let devpts = super::devices::devpts().map_err(SandboxError::setup("make /dev/pts"))?;
    let mut ours = Ours { report, stdout: None, stderr: None, terminal: None, stubs: None, cgroup: None };
    match sandbox.stdio {
        Stdio::Pipes => {
            let pipe = || io::pipe().map_err(SandboxError::setup("make a pipe"));
            let ((out, out_writer), (err, err_writer)) = (pipe()?, pipe()?);
            (ours.stdout, ours.stderr) = (Some(out.into()), Some(err.into()));
            (plan_stdio.stdout, plan_stdio.stderr) = (Some(out_writer.into()), Some(err_writer.into()));
        }
        Stdio::Inherit { stdin } => plan_stdio.inherit = stdin,
        Stdio::Terminal(size) => {
            let terminal = Terminal::open(&devpts, size)?;
            ours.terminal = Some(terminal.controller);
            plan_stdio.terminal = Some(terminal.user_end);
        }
    }

    let sandboxed = sandbox.security == Security::Sandboxed;
    let mounted = mounts::mount_all(&mut sandbox, devpts, plan_stdio.terminal.is_some())?;
    ours.stubs = mounted.stubs;
    let hidden = |list: fn() -> Vec<CString>| if sandboxed { list() } else { Vec::new() };
    ours.cgroup = sandbox.cgroup;
    let cgroups = ours.cgroup.as_mut().map(Cgroup::take_doors).unwrap_or_default();
    let plan = Plan {
        namespaces: namespaces(sandbox.network, cgroups.is_empty()),
        cgroups,
        root: mounted.root,
        staging: mounted.staging,
        attachments: mounted.attachments,
        masked: hidden(filesystems::masked),
        read_only: hidden(filesystems::read_only),
        hostname: sandbox.hostname.into_bytes(),
        loopback: sandbox.network == Network::None,
        limits,
        program,
        user_namespace: sandbox.user_namespace,
        uid: Uid::from_raw(sandbox.user.uid),
        gid: Gid::from_raw(sandbox.user.gid),
        groups: groups(&sandbox.user.groups),
        capabilities: sandboxed.then(allowed_capabilities),
        seccomp: sandboxed,
        stdin: if plan_stdio.inherit { Input::Inherit } else { Input::Null },
        stdout: plan_stdio.stdout,
        stderr: plan_stdio.stderr,
        terminal: plan_stdio.terminal,
        report: report_writer.into(),
        metered: None,
    };
    Ok((plan, ours))
}

#[derive(Default)]
struct PlanStdio {
    inherit: bool,
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
    terminal: Option<OwnedFd>,
}

/// Whoever joins a control group makes the namespace of them afterwards.
fn namespaces(network: Network, with_cgroup: bool) -> u64 {
    let common = libc::CLONE_NEWNS | libc::CLONE_NEWPID | libc::CLONE_NEWIPC | libc::CLONE_NEWUTS;
    let common = if with_cgroup { common | libc::CLONE_NEWCGROUP } else { common };
    let network = if network == Network::None { libc::CLONE_NEWNET } else { 0 };
    // The highest of these flags is the sign bit of no type here.
    u64::from((common | network).cast_unsigned())
}

/// In a namespace of a single id nobody may change groups. The ones that an image gives to its users cannot be had there.
fn groups(wanted: &[u32]) -> Option<Vec<Gid>> {
    let denied = std::fs::read("/proc/self/setgroups").is_ok_and(|text| text.starts_with(b"deny"));
    (!denied).then(|| wanted.iter().map(|&gid| Gid::from_raw(gid)).collect())
}

/// Some of the default ones may be missing already, when this is a container itself.
fn allowed_capabilities() -> CapabilitySet {
    capabilities(None).map_or(CAPABILITIES, |own| own.permitted & CAPABILITIES)
}
