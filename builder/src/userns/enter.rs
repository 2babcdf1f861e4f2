use super::error::{SingleBecause, Sysctls, UsernsError};
use super::helper::{self, Waiting};
use super::privilege::{Mapping, Privilege, can_mount};
use super::subid::{self, IdRange};
use rustix::io::Errno;
use rustix::process::{getgid, getuid};
use rustix::thread::{CapabilitySet, capabilities};
use std::ffi::{CStr, OsStr};
use std::io;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// The variable through which [`reexec`] tells the new start of the program to enter a namespace. It never reaches a
/// RUN, whose environment is given in full.
pub const MARKER: &str = "_SLIPWAY_ENTER_USER_NAMESPACE";

/// A user namespace was entered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entered {
    /// Which ids it has.
    pub mapping: Mapping,
    /// With [`Mapping::Single`], why.
    pub single_because: Option<SingleBecause>,
}

/// Replaces this process by a new start of the same program with the same arguments, which enters a user namespace
/// first thing, by [`enter_if_asked`].
///
/// A namespace can only be entered by a process with one thread, which is what `execve(2)` leaves. The process keeps
/// its id, its standard streams and its place in its job, so that signals and the exit status need no forwarding. All
/// else is lost: locks, temporary files that are removed on drop, what was read from standard input.
///
/// Returns only the reason why it could not.
pub fn reexec() -> UsernsError {
    // What can be known now is said now, while the caller can still show it in its own way.
    let admin = capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_ADMIN));
    if !admin && Sysctls::read().max.as_deref() == Some("0") {
        return UsernsError::MaxIsZero;
    }
    let mut args = std::env::args_os();
    // The link still works when the program's file was replaced meanwhile.
    let mut command = Command::new("/proc/self/exe");
    if let Some(name) = args.next() {
        command.arg0(name);
    }
    let source = command.args(args).env(MARKER, "1").exec();
    UsernsError::Io { doing: "start this program again", source }
}

/// The first thing `main` must call, before any thread exists: enters when [`reexec`] asked for it. `marker` is the
/// value of the variable [`MARKER`].
///
/// # Errors
/// As [`enter`].
pub fn enter_if_asked(marker: Option<&OsStr>) -> Result<Option<Entered>, UsernsError> {
    if marker.is_none() {
        return Ok(None);
    }
    // The kernel named the process after the link it was started by.
    let name = std::env::args_os().next().unwrap_or_default();
    if let Some(name) = std::path::Path::new(&name).file_name().and_then(OsStr::to_str)
        && let Ok(name) = std::ffi::CString::new(name)
    {
        let _ = rustix::thread::set_name(&name);
    }
    enter().map(Some)
}

/// Moves this process, which must have no other thread, into a new user namespace, where it is root, and a mount
/// namespace that belongs to it. Where it may mount already, nothing is done.
///
/// Id 0 is the user; then come the ranges of `/etc/subuid` and `/etc/subgid`, which need `newuidmap(1)` and
/// `newgidmap(1)`. Where there are none, 0 is all there is.
///
/// # Errors
/// [`UsernsError`], which names the setting of the machine that is in the way.
pub fn enter() -> Result<Entered, UsernsError> {
    if Privilege::detect() != Privilege::Unprivileged {
        return Ok(Entered { mapping: Mapping::detect(), single_because: None });
    }
    // In a user namespace that came without a mount namespace, that alone is missing.
    if unshare(libc::CLONE_NEWNS).is_ok() && can_mount() {
        return Ok(Entered { mapping: Mapping::detect(), single_because: None });
    }
    match ranges() {
        Ok(ranges) => {
            enter_with_ranges(ranges).map(|()| Entered { mapping: Mapping::Ranges, single_because: None })
        }
        Err(because) => {
            enter_alone().map(|()| Entered { mapping: Mapping::Single, single_because: Some(because) })
        }
    }
}

struct Ranges {
    uids: (std::path::PathBuf, Vec<IdRange>),
    gids: (std::path::PathBuf, Vec<IdRange>),
}

/// What this user may map, and the programs that do it.
fn ranges() -> Result<Ranges, SingleBecause> {
    let (uid, gid) = (getuid().as_raw(), getgid().as_raw());
    let name = user_name(uid);
    let lookup = |own, file| {
        let text = std::fs::read_to_string(file).unwrap_or_default();
        let map = subid::map(own, &text, name.as_deref(), uid);
        if map.len() > 1 {
            return Ok(map);
        }
        Err(SingleBecause::NoRange { file, user: name.clone().unwrap_or_else(|| uid.to_string()) })
    };
    let uids = lookup(uid, "/etc/subuid")?;
    let gids = lookup(gid, "/etc/subgid")?;
    Ok(Ranges { uids: (helper::find("newuidmap")?, uids), gids: (helper::find("newgidmap")?, gids) })
}

fn enter_with_ranges(ranges: Ranges) -> Result<(), UsernsError> {
    let failed = |doing| move |source| UsernsError::Io { doing, source };
    let start = |(program, map): (std::path::PathBuf, Vec<IdRange>)| {
        Waiting::start(program, &map).map_err(failed("start a helper"))
    };
    let mut helpers = [start(ranges.uids)?, start(ranges.gids)?];
    unshare_user()?;
    for helper in &mut helpers {
        helper.go().map_err(failed("start a helper"))?;
    }
    for helper in helpers {
        helper.finish()?;
    }
    check()
}

/// Maps the user alone, which needs nobody's help. The kernel wants `setgroups(2)` given up first.
fn enter_alone() -> Result<(), UsernsError> {
    let (uid, gid) = (getuid().as_raw(), getgid().as_raw());
    unshare_user()?;
    let alone = |own| IdRange { inside: 0, outside: own, count: 1 }.to_string();
    for (file, text) in [("setgroups", "deny".to_owned()), ("gid_map", alone(gid)), ("uid_map", alone(uid))] {
        std::fs::write(format!("/proc/self/{file}"), text)
            .map_err(|source| UsernsError::MapRefused { uid, source })?;
    }
    check()
}

fn unshare_user() -> Result<(), UsernsError> {
    unshare(libc::CLONE_NEWUSER | libc::CLONE_NEWNS)
        .map_err(|errno| UsernsError::of_unshare(errno, &Sysctls::read()))
}

fn check() -> Result<(), UsernsError> {
    if can_mount() { Ok(()) } else { Err(UsernsError::of_powerless(&Sysctls::read())) }
}

fn unshare(flags: libc::c_int) -> Result<(), Errno> {
    // SAFETY: no memory is involved; neither the file table nor anything else that Rust relies on is unshared.
    match unsafe { libc::unshare(flags) } {
        0 => Ok(()),
        _ => Err(Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::INVAL)),
    }
}

/// The account name of `uid`, from wherever this machine keeps its accounts.
fn user_name(uid: u32) -> Option<String> {
    let mut buffer = vec![0; 16 << 10];
    // SAFETY: all-zero is a valid `passwd`: pointers and integers.
    let mut entry: libc::passwd = unsafe { std::mem::zeroed() };
    let mut found = std::ptr::null_mut();
    // SAFETY: the pointers are to living memory of the sizes given.
    let status =
        unsafe { libc::getpwuid_r(uid, &raw mut entry, buffer.as_mut_ptr(), buffer.len(), &raw mut found) };
    if status != 0 || found.is_null() || entry.pw_name.is_null() {
        return None;
    }
    // SAFETY: on success `pw_name` points into `buffer`, at a C string.
    unsafe { CStr::from_ptr(entry.pw_name) }.to_str().ok().map(str::to_owned)
}
