//! Tries a program.

use super::elf::Machine;
use rustix::thread::LinkNameSpaceType;
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::time::Duration;

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// It ran.
    Runs,
    /// The kernel knows no way to run it.
    Unknown,
    /// The kernel knows an interpreter that was not there: images do not have it either.
    NoInterpreter,
}

/// Statuses of a child that could not become the program.
const NOT_EXECUTABLE: i32 = 101;
const NOT_FOUND: i32 = 102;
const BUSY: i32 = 103;
const NOT_TRIED: i32 = 104;

/// Runs the shortest program of `machine`, in a user namespace when one is given, with the empty directory `scratch` as its
/// root: a sandbox has nothing of this machine either.
pub(super) fn run(machine: &Machine, scratch: &Path, namespace: Option<&OwnedFd>) -> io::Result<Outcome> {
    let file = scratch.join("probe");
    match std::fs::remove_file(&file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    File::options().write(true).create_new(true).mode(0o755).open(&file)?.write_all(&machine.program())?;
    let root = CString::new(scratch.as_os_str().as_bytes())?;
    for _ in 0..200 {
        match status(&root, namespace)? {
            // A child of another thread has the file open for writing, until it executes something.
            BUSY => std::thread::sleep(Duration::from_millis(5)),
            0 => return Ok(Outcome::Runs),
            NOT_FOUND => return Ok(Outcome::NoInterpreter),
            NOT_TRIED => return Err(io::Error::other("the directory for it cannot be entered")),
            _ => return Ok(Outcome::Unknown),
        }
    }
    Err(io::ErrorKind::ExecutableFileBusy.into())
}

/// The exit status of the program, or of the child that could not become it; a signal counts as one.
fn status(root: &CString, namespace: Option<&OwnedFd>) -> io::Result<i32> {
    // SAFETY: the child calls nothing but `become_probe`, which is made of system calls, and ends there.
    let pid = match unsafe { libc::fork() } {
        -1 => return Err(io::Error::last_os_error()),
        0 => become_probe(root, namespace),
        pid => pid,
    };
    let mut status = 0;
    // SAFETY: `status` is an integer to write to.
    while unsafe { libc::waitpid(pid, &raw mut status, 0) } == -1 {
        let error = io::Error::last_os_error();
        if error.kind() != io::ErrorKind::Interrupted {
            return Err(error);
        }
    }
    Ok(if libc::WIFEXITED(status) { libc::WEXITSTATUS(status) } else { NOT_EXECUTABLE })
}

fn become_probe(root: &CString, namespace: Option<&OwnedFd>) -> ! {
    let entered = namespace.is_none_or(|namespace| {
        let kind = Some(LinkNameSpaceType::User);
        rustix::thread::move_into_link_name_space(namespace.as_fd(), kind).is_ok()
    });
    // SAFETY: system calls on living C strings and null-terminated arrays; the process ends here.
    unsafe {
        if !entered || libc::chroot(root.as_ptr()) != 0 || libc::chdir(c"/".as_ptr()) != 0 {
            libc::_exit(NOT_TRIED);
        }
        let (arguments, environment) = ([c"/probe".as_ptr(), std::ptr::null()], [std::ptr::null()]);
        libc::execve(c"/probe".as_ptr(), arguments.as_ptr(), environment.as_ptr());
        libc::_exit(match *libc::__errno_location() {
            libc::ENOENT => NOT_FOUND,
            libc::ETXTBSY => BUSY,
            _ => NOT_EXECUTABLE,
        })
    }
}
