//! A user namespace with a table of interpreters of its own.

use rustix::fs::{self, Mode, OFlags};
use rustix::io::Errno;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

/// What was made; both end when nobody has them open.
pub(super) struct Made {
    /// The user namespace: `setns(2)`.
    pub(super) namespace: OwnedFd,
    /// The root directory of its binfmt_misc.
    pub(super) table: OwnedFd,
}

/// A failure, with what was being done.
type Failed = (&'static str, io::Error);

/// Makes the namespace, whose ids are those of this one. A helper process does, for only a process with a single thread
/// can enter a user namespace; it has ended when this returns.
pub(super) fn with_table() -> Result<Made, Failed> {
    let failed = |error| ("start a helper", error);
    let maps = (map("uid_map").map_err(failed)?, map("gid_map").map_err(failed)?);
    let (from_helper, to_parent) = io::pipe().map_err(failed)?;
    let (from_parent, to_helper) = io::pipe().map_err(failed)?;
    // SAFETY: the child calls nothing but `helper`, which is made of system calls, and ends there.
    let pid = match unsafe { libc::fork() } {
        -1 => return Err(failed(io::Error::last_os_error())),
        0 => helper(&to_parent, &from_parent, to_helper.as_raw_fd()),
        pid => pid,
    };
    drop((to_parent, from_parent));
    let result = attend(pid, maps, from_helper, to_helper);
    // SAFETY: it is our child; the pipes are closed, so it ends.
    while unsafe { libc::waitpid(pid, std::ptr::null_mut(), 0) } == -1 {
        if io::Error::last_os_error().kind() != io::ErrorKind::Interrupted {
            break;
        }
    }
    result
}

/// What the helper says: the number of an error, or 0.
fn answer(from_helper: &mut PipeReader, doing: &'static str) -> Result<(), Failed> {
    let mut number = [0; 4];
    from_helper.read_exact(&mut number).map_err(|error| (doing, error))?;
    match i32::from_ne_bytes(number) {
        0 => Ok(()),
        errno => Err((doing, io::Error::from_raw_os_error(errno))),
    }
}

/// This process's side.
fn attend(
    pid: libc::pid_t,
    (uids, gids): (String, String),
    mut from_helper: PipeReader,
    mut to_helper: PipeWriter,
) -> Result<Made, Failed> {
    answer(&mut from_helper, "make a user namespace")?;
    let mapping = |error| ("map the ids of a user namespace", error);
    std::fs::write(format!("/proc/{pid}/uid_map"), uids).map_err(mapping)?;
    std::fs::write(format!("/proc/{pid}/gid_map"), gids).map_err(mapping)?;
    to_helper.write_all(&[1]).map_err(mapping)?;
    answer(&mut from_helper, "mount binfmt_misc in a user namespace")?;
    let open =
        |path: String, flags| fs::open(path, flags | OFlags::CLOEXEC, Mode::empty()).map_err(io::Error::from);
    let opening = |error| ("open a user namespace", error);
    let namespace = open(format!("/proc/{pid}/ns/user"), OFlags::RDONLY).map_err(opening)?;
    let table =
        open(format!("/proc/{pid}/root/proc"), OFlags::RDONLY | OFlags::DIRECTORY).map_err(opening)?;
    Ok(Made { namespace, table })
}

/// Every id of this namespace, mapped to itself.
fn map(file: &str) -> io::Result<String> {
    let own = std::fs::read_to_string(format!("/proc/self/{file}"))?;
    let lines = own.lines().filter_map(|line| {
        let mut numbers = line.split_whitespace();
        let (inside, count) = (numbers.next()?, numbers.nth(1)?);
        Some(format!("{inside} {inside} {count}\n"))
    });
    Ok(lines.collect())
}

/// Writes a line into a table.
pub(super) fn write_entry(table: &OwnedFd, line: &[u8]) -> io::Result<()> {
    let register = fs::openat(table, c"register", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    // The kernel takes a line in one piece.
    match rustix::io::write(&register, line)? {
        all if all == line.len() => Ok(()),
        _ => Err(Errno::INVAL.into()),
    }
}

/// The helper: moves, waits for its ids, mounts, and waits until the parent has what it wants.
fn helper(to_parent: &PipeWriter, from_parent: &PipeReader, other_end: libc::c_int) -> ! {
    let say = |errno: i32| {
        let _ = rustix::io::write(to_parent.as_fd(), &errno.to_ne_bytes());
    };
    let errno = || io::Error::last_os_error().raw_os_error().unwrap_or(libc::EINVAL);
    let mut byte = [0];
    // SAFETY: plain system calls on literal strings; the process is the copy of one thread and ends here.
    unsafe {
        // Its own copy of the writing end would keep the pipe open for ever.
        libc::close(other_end);
        if libc::unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS) != 0 {
            say(errno());
            libc::_exit(1);
        }
        say(0);
        if rustix::io::read(from_parent.as_fd(), &mut byte) == Ok(1) {
            // A directory that every machine has. Nobody else sees this mount.
            let (none, proc, kind) = (c"none".as_ptr(), c"/proc".as_ptr(), c"binfmt_misc".as_ptr());
            let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
            let mounted = libc::mount(none, proc, kind, flags, std::ptr::null());
            say(if mounted == 0 { 0 } else { errno() });
            let _ = rustix::io::read(from_parent.as_fd(), &mut byte);
        }
        libc::_exit(0)
    }
}
