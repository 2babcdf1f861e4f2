//! The child, from its first instruction to `execve(2)`.
//!
//! It is the copy of one thread of a process with many: nothing here may allocate, take a lock or panic. All it needs is
//! in the [`Plan`]; what fails is reported through a pipe as three numbers.

use super::plan::{Attachment, Input, Origin, Plan};
use super::{raw, seccomp};
use crate::rootfs::mount_api::add_attributes;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{self, AtFlags, CWD, FileType, Mode, OFlags, ResolveFlags};
use rustix::io::Errno;
use rustix::mount::{
    self, FsMountFlags, FsOpenFlags, MountAttrFlags, MountFlags, MountPropagationFlags, MoveMountFlags,
    OpenTreeFlags, UnmountFlags,
};
use rustix::process::{self, Signal};
use rustix::thread::{self, CapabilitySet, CapabilitySets};
use std::convert::Infallible;
use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

/// What the child was doing when it failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub(super) enum Stage {
    Session,
    ControlGroup,
    PrivateMounts,
    AttachRoot,
    Pivot,
    Staging,
    /// With the number of the attachment.
    Attach,
    /// With the number of the path, masked ones first, then read-only ones.
    Mask,
    DetachHost,
    HostName,
    Loopback,
    /// With the number of the limit.
    Limit,
    Keyring,
    Stdio,
    WorkingDirectory,
    UserNamespace,
    Seccomp,
    Capabilities,
    Groups,
    Group,
    User,
    ParentDeath,
    Descriptors,
    Interpreter,
    Execute,
}

impl Stage {
    const ALL: [Self; 25] = [
        Self::Session,
        Self::ControlGroup,
        Self::PrivateMounts,
        Self::AttachRoot,
        Self::Pivot,
        Self::Staging,
        Self::Attach,
        Self::Mask,
        Self::DetachHost,
        Self::HostName,
        Self::Loopback,
        Self::Limit,
        Self::Keyring,
        Self::Stdio,
        Self::WorkingDirectory,
        Self::UserNamespace,
        Self::Seccomp,
        Self::Capabilities,
        Self::Groups,
        Self::Group,
        Self::User,
        Self::ParentDeath,
        Self::Descriptors,
        Self::Interpreter,
        Self::Execute,
    ];

    /// For "cannot ... in the sandbox".
    pub(super) fn doing(self) -> &'static str {
        match self {
            Self::Session => "start a session",
            Self::ControlGroup => "join a control group",
            Self::PrivateMounts => "separate the mounts from this machine's",
            Self::AttachRoot => "attach the root file system",
            Self::Pivot => "change the root directory",
            Self::Staging => "attach the file system of files",
            Self::Attach => "attach a mount",
            Self::Mask => "hide parts of /proc and /sys",
            Self::DetachHost => "let go of this machine's mounts",
            Self::HostName => "set the host name",
            Self::Loopback => "switch the loopback device on",
            Self::Limit => "set a resource limit",
            Self::Keyring => "make a new session keyring",
            Self::Stdio => "connect the standard streams",
            Self::WorkingDirectory => "change the working directory",
            Self::UserNamespace => "move to another user namespace",
            Self::Seccomp => "load the seccomp filter",
            Self::Capabilities => "give capabilities up",
            Self::Groups => "set the supplementary groups",
            Self::Group => "set the group",
            Self::User => "set the user",
            Self::ParentDeath => "tie it to the life of this process",
            Self::Descriptors => "close file descriptors",
            Self::Interpreter | Self::Execute => "execute the program",
        }
    }
}

/// Why the child did not become the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Failure {
    pub(super) stage: Stage,
    pub(super) index: u32,
    pub(super) errno: Errno,
}

impl Failure {
    fn to_bytes(self) -> [u8; 12] {
        let mut bytes = [0; 12];
        let numbers = [self.stage as u32, self.index, self.errno.raw_os_error().cast_unsigned()];
        for (to, number) in bytes.chunks_exact_mut(4).zip(numbers) {
            to.copy_from_slice(&number.to_ne_bytes());
        }
        bytes
    }

    /// `None` for no bytes at all: the program was executed.
    pub(super) fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let mut numbers =
            bytes.chunks_exact(4).filter_map(|chunk| chunk.try_into().ok()).map(u32::from_ne_bytes);
        let (stage, index, errno) = (numbers.next()?, numbers.next()?, numbers.next()?);
        let stage = Stage::ALL.into_iter().find(|known| *known as u32 == stage)?;
        Some(Self { stage, index, errno: Errno::from_raw_os_error(errno.cast_signed()) })
    }
}

/// Gives the stage to an error.
trait At<T> {
    fn at(self, stage: Stage) -> Result<T, Failure>;
    fn at_nth(self, stage: Stage, index: usize) -> Result<T, Failure>;
}

impl<T> At<T> for Result<T, Errno> {
    fn at(self, stage: Stage) -> Result<T, Failure> {
        self.at_nth(stage, 0)
    }

    fn at_nth(self, stage: Stage, index: usize) -> Result<T, Failure> {
        self.map_err(|errno| Failure { stage, index: index as u32, errno })
    }
}

/// How long the process waits to be measured: as good as for ever, for a builder that lives.
const METER_PATIENCE: Timespec = Timespec { tv_sec: 2, tv_nsec: 0 };

/// Becomes the program, or reports and ends.
pub(super) fn run(plan: &Plan) -> ! {
    let Err(failure) = become_program(plan);
    let _ = rustix::io::write(&plan.report, &failure.to_bytes());
    // SAFETY: ends the process without running anything that belongs to the parent.
    unsafe { libc::_exit(125) }
}

fn become_program(plan: &Plan) -> Result<Infallible, Failure> {
    process::setsid().at(Stage::Session)?;
    control_groups(&plan.cgroups).at(Stage::ControlGroup)?;
    file_system(plan)?;
    rustix::system::sethostname(&plan.hostname).at(Stage::HostName)?;
    if plan.loopback {
        raw::loopback_up().at(Stage::Loopback)?;
    }
    for (index, (resource, limit, _)) in plan.limits.iter().enumerate() {
        process::setrlimit(*resource, *limit).at_nth(Stage::Limit, index)?;
    }
    match raw::new_session_keyring() {
        // A kernel without keyrings, or a container that forbids them: there is none to leave.
        Ok(()) | Err(Errno::NOSYS | Errno::PERM) => {}
        Err(errno) => return Err(errno).at(Stage::Keyring),
    }
    standard_streams(plan).at(Stage::Stdio)?;
    process::umask(Mode::from_raw_mode(0o022));
    // Before the identity changes: root may have put the directory where the user cannot reach it.
    process::chdir(plan.program.cwd.as_c_str()).at(Stage::WorkingDirectory)?;
    if let Some(metered) = &plan.metered {
        // A process that has changed its identity is no longer open to those who measure it. A builder that is gone
        // meanwhile measures nothing; what that means for this process is seen below.
        let _ = poll(&mut [PollFd::new(metered, PollFlags::IN)], Some(&METER_PATIENCE));
    }
    if let Some(namespace) = &plan.user_namespace {
        // After everything that takes rights in the namespace it leaves.
        let kind = Some(thread::LinkNameSpaceType::User);
        thread::move_into_link_name_space(namespace.as_fd(), kind).at(Stage::UserNamespace)?;
    }
    if plan.seccomp {
        // While the right to is still there; the filter allows everything that follows.
        seccomp::load_default().at(Stage::Seccomp)?;
    }
    identity(plan)?;
    parent_death(plan.report.as_fd()).at(Stage::ParentDeath)?;
    raw::close_on_exec_from(3).at(Stage::Descriptors)?;
    raw::reset_signals();
    execute(plan)
}

/// Joins the groups. Inside, they are the root of all that can be seen.
fn control_groups(doors: &[OwnedFd]) -> Result<(), Errno> {
    for door in doors {
        rustix::io::write(door, b"0")?;
    }
    if doors.is_empty() {
        return Ok(());
    }
    // SAFETY: a system call that takes no memory of this process.
    raw::check(unsafe { libc::unshare(libc::CLONE_NEWCGROUP) }.into()).map(|_| ())
}

/// From this machine's mounts to the sandbox's.
fn file_system(plan: &Plan) -> Result<(), Failure> {
    let private = MountPropagationFlags::PRIVATE | MountPropagationFlags::REC;
    mount::mount_change(c"/", private).at(Stage::PrivateMounts)?;
    let onto_root = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH;
    mount::move_mount(&plan.root, c"", CWD, c"/", onto_root).at(Stage::AttachRoot)?;
    // The new root lies on top of the old one; pivot_root(2), "pivot_root(".", ".")", turns them round.
    process::fchdir(&plan.root).at(Stage::Pivot)?;
    process::pivot_root(c".", c".").at(Stage::Pivot)?;

    // The files stand on /proc until they are bound. A new /proc may only be mounted while the old one is still in
    // this mount namespace (in a user namespace the kernel looks), so the host's mounts go last.
    let staging_point = open_target(c"/proc").at(Stage::Staging)?;
    attach_at(&plan.staging, &staging_point).at(Stage::Staging)?;
    let mut staged = true;
    for (index, attachment) in plan.attachments.iter().enumerate() {
        if index + 1 == plan.attachments.len() {
            mount::unmount(c"/proc", UnmountFlags::DETACH).at(Stage::Staging)?;
            staged = false;
        }
        match attach(plan, attachment, staged) {
            Err(_) if attachment.optional => {}
            other => other.at_nth(Stage::Attach, index)?,
        }
    }
    mask(plan)?;
    mount::unmount(c".", UnmountFlags::DETACH).at(Stage::DetachHost)
}

/// Opens a mount point of the new root: `path` has no links, and none is followed.
fn open_target(path: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::PATH | OFlags::CLOEXEC | OFlags::NOFOLLOW;
    fs::openat2(CWD, path, flags, Mode::empty(), ResolveFlags::NO_SYMLINKS)
}

fn attach_at(mount: &OwnedFd, target: &OwnedFd) -> Result<(), Errno> {
    let flags = MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH | MoveMountFlags::MOVE_MOUNT_T_EMPTY_PATH;
    mount::move_mount(mount, c"", target, c"", flags)
}

fn attach(plan: &Plan, attachment: &Attachment, staged: bool) -> Result<(), Errno> {
    let target = open_target(&attachment.target)?;
    let clone = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    let made;
    let mount = match &attachment.origin {
        Origin::Mount(mount) => return attach_at(mount, &target),
        Origin::Staged(_) if !staged => return Err(Errno::NOENT),
        Origin::Staged(file) => {
            made = mount::open_tree(&plan.staging, file.as_c_str(), clone)?;
            &made
        }
        Origin::Inside(path) => {
            made = mount::open_tree(CWD, *path, clone)?;
            &made
        }
        Origin::New(kind) => {
            let context = mount::fsopen(*kind, FsOpenFlags::FSOPEN_CLOEXEC)?;
            mount::fsconfig_create(&context)?;
            made = mount::fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, attachment.attributes)?;
            return attach_at(&made, &target);
        }
    };
    if !attachment.attributes.is_empty() {
        add_attributes(mount, false, attachment.attributes)?;
    }
    attach_at(mount, &target)
}

/// Covers files with `/dev/null`, directories with an empty one that is read-only, and makes others read-only.
fn mask(plan: &Plan) -> Result<(), Failure> {
    let mut empty: Option<&CStr> = None;
    for (index, path) in plan.masked.iter().enumerate() {
        let Some(directory) = is_directory(path).at_nth(Stage::Mask, index)? else { continue };
        let covered = match (directory, empty) {
            (false, _) => mount::mount_bind(c"/dev/null", path.as_c_str()),
            (true, Some(empty)) => mount::mount_bind(empty, path.as_c_str()),
            (true, None) => {
                empty = Some(path);
                let flags = MountFlags::RDONLY | MountFlags::NOSUID | MountFlags::NODEV | MountFlags::NOEXEC;
                mount::mount(c"tmpfs", path.as_c_str(), c"tmpfs", flags, Some(c"nr_inodes=2,mode=755"))
            }
        };
        covered.at_nth(Stage::Mask, index)?;
    }
    for (index, path) in plan.read_only.iter().enumerate() {
        let index = plan.masked.len() + index;
        if is_directory(path).at_nth(Stage::Mask, index)?.is_none() {
            continue;
        }
        let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
        let bound = mount::open_tree(CWD, path.as_c_str(), flags).at_nth(Stage::Mask, index)?;
        add_attributes(&bound, false, MountAttrFlags::MOUNT_ATTR_RDONLY).at_nth(Stage::Mask, index)?;
        let target = open_target(path).at_nth(Stage::Mask, index)?;
        attach_at(&bound, &target).at_nth(Stage::Mask, index)?;
    }
    Ok(())
}

/// `None` when there is nothing.
fn is_directory(path: &CStr) -> Result<Option<bool>, Errno> {
    match fs::statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(FileType::from_raw_mode(stat.st_mode) == FileType::Directory)),
        Err(Errno::NOENT | Errno::NOTDIR) => Ok(None),
        Err(errno) => Err(errno),
    }
}

fn standard_streams(plan: &Plan) -> Result<(), Errno> {
    if let Some(terminal) = &plan.terminal {
        give_to_user(plan, terminal.as_fd())?;
        for number in 0..3 {
            duplicate(terminal, number)?;
        }
        return process::ioctl_tiocsctty(terminal);
    }
    if plan.stdin == Input::Null {
        let null = fs::openat(CWD, c"/dev/null", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        duplicate(&null, 0)?;
    }
    for (stream, number) in [(&plan.stdout, 1), (&plan.stderr, 2)] {
        if let Some(stream) = stream {
            give_to_user(plan, stream.as_fd())?;
            duplicate(stream, number)?;
        }
    }
    Ok(())
}

/// So that the program can open `/dev/stdout`. Where the user has no place in the namespace, becoming him fails later.
fn give_to_user(plan: &Plan, fd: BorrowedFd<'_>) -> Result<(), Errno> {
    match fs::fchown(fd, Some(plan.uid), None) {
        Ok(()) | Err(Errno::PERM | Errno::INVAL) => Ok(()),
        Err(errno) => Err(errno),
    }
}

fn duplicate(fd: &OwnedFd, number: libc::c_int) -> Result<(), Errno> {
    // SAFETY: nobody in this process owns the descriptors 0 to 2.
    raw::check(unsafe { libc::dup2(fd.as_raw_fd(), number) }.into()).map(|_| ())
}

/// Capabilities, groups and ids, in the order in which each can still be changed.
fn identity(plan: &Plan) -> Result<(), Failure> {
    if let Some(allowed) = plan.capabilities {
        for number in 0..64 {
            let capability = CapabilitySet::from_bits_retain(1 << number);
            if allowed.contains(capability) {
                continue;
            }
            match thread::remove_capability_from_bounding_set(capability) {
                Ok(()) => {}
                // One more than the kernel knows.
                Err(Errno::INVAL) => break,
                Err(errno) => return Err(errno).at(Stage::Capabilities),
            }
        }
    }
    thread::clear_ambient_capability_set().at(Stage::Capabilities)?;
    if let Some(groups) = &plan.groups {
        thread::set_thread_groups(groups).at(Stage::Groups)?;
    }
    thread::set_thread_res_gid(plan.gid, plan.gid, plan.gid).at(Stage::Group)?;
    // For anyone but root this ends all capabilities that are in effect, as the kernel has it.
    thread::set_thread_res_uid(plan.uid, plan.uid, plan.uid).at(Stage::User)?;
    if let Some(allowed) = plan.capabilities {
        let own = thread::capabilities(None).at(Stage::Capabilities)?;
        let kept = own.permitted & allowed;
        let inheritable = CapabilitySet::empty();
        let sets = CapabilitySets { effective: kept, permitted: kept, inheritable };
        thread::set_capabilities(None, sets).at(Stage::Capabilities)?;
    }
    Ok(())
}

/// Dies with the thread that made this process, also when it has died already: then nobody reads the report any more.
fn parent_death(report: BorrowedFd<'_>) -> Result<(), Errno> {
    process::set_parent_process_death_signal(Some(Signal::KILL))?;
    let mut poll = [rustix::event::PollFd::from_borrowed_fd(report, rustix::event::PollFlags::empty())];
    rustix::event::poll(&mut poll, Some(&rustix::event::Timespec { tv_sec: 0, tv_nsec: 0 }))?;
    if poll[0].revents().contains(rustix::event::PollFlags::ERR) { Err(Errno::PIPE) } else { Ok(()) }
}

/// Tries one file after the other.
fn execute(plan: &Plan) -> Result<Infallible, Failure> {
    let mut result = Errno::NOENT;
    for candidate in plan.program.candidates.iter() {
        // SAFETY: three living C strings and null-terminated arrays of such.
        unsafe {
            libc::execve(
                candidate.as_ptr(),
                plan.program.arguments.as_ptr(),
                plan.program.environment.as_ptr(),
            );
        }
        match raw::errno() {
            Errno::NOENT => {
                if fs::accessat(CWD, candidate, fs::Access::EXISTS, AtFlags::empty()).is_ok() {
                    return Err(Errno::NOENT).at(Stage::Interpreter);
                }
            }
            Errno::NOTDIR => {}
            Errno::ACCESS => result = Errno::ACCESS,
            errno => return Err(errno).at(Stage::Execute),
        }
    }
    Err(result).at(Stage::Execute)
}
