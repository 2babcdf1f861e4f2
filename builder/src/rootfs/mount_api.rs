//! The mount API that works on file descriptors (`fsopen(2)`, `fsmount(2)`, `open_tree(2)`, `mount_setattr(2)`).
//!
//! A mount made here is *detached*: it is in no mount namespace, nobody finds it by a path, and it is gone when its
//! last file descriptor is closed, also when this process is killed.

use rustix::fs::CWD;
use rustix::io::Errno;
use rustix::mount::{
    self, FsMountFlags, FsOpenFlags, MountAttrFlags, MountPropagationFlags, MoveMountFlags, OpenTreeFlags,
};
use rustix::path::Arg;
use std::ffi::CStr;
use std::fmt;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;

/// A file system that is being configured: `fsopen(2)` to `fsmount(2)`.
pub(crate) struct NewFilesystem {
    fd: OwnedFd,
    kind: &'static str,
}

/// Why the kernel did not make a mount, in its own words where it said some.
#[derive(Debug)]
struct MountRefused {
    doing: String,
    messages: Vec<String>,
    source: Errno,
}

impl fmt::Display for MountRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.doing, io::Error::from(self.source))?;
        for message in &self.messages {
            write!(f, " ({message})")?;
        }
        Ok(())
    }
}

impl std::error::Error for MountRefused {}

/// An error that keeps the kind of `errno`, and says what was being done.
fn refused(doing: impl Into<String>, messages: Vec<String>, source: Errno) -> io::Error {
    io::Error::new(io::Error::from(source).kind(), MountRefused { doing: doing.into(), messages, source })
}

impl NewFilesystem {
    /// `fsopen(2)`.
    pub(crate) fn open(kind: &'static str) -> io::Result<Self> {
        let fd = mount::fsopen(kind, FsOpenFlags::FSOPEN_CLOEXEC)
            .map_err(|source| refused(format!("cannot open a new {kind}"), Vec::new(), source))?;
        Ok(Self { fd, kind })
    }

    /// `name=value`; the kernel takes at most 255 bytes of value.
    pub(crate) fn option(&self, name: &str, value: impl Arg + Copy + fmt::Debug) -> io::Result<()> {
        mount::fsconfig_set_string(&self.fd, name, value)
            .map_err(|source| self.refused(format!("{}: option {name}={value:?}", self.kind), source))
    }

    /// An option without value.
    pub(crate) fn flag(&self, name: &str) -> io::Result<()> {
        mount::fsconfig_set_flag(&self.fd, name)
            .map_err(|source| self.refused(format!("{}: option {name}", self.kind), source))
    }

    /// `name=` the directory that `fd` has open, in errors called `path`.
    pub(crate) fn directory(&self, name: &str, fd: &impl AsFd, path: &Path) -> io::Result<()> {
        mount::fsconfig_set_string(&self.fd, name, proc_link(fd).as_str())
            .map_err(|source| self.refused(format!("{}: {name}={}", self.kind, path.display()), source))
    }

    /// Makes the file system, and a detached mount of it.
    pub(crate) fn mount(self, attributes: MountAttrFlags) -> io::Result<OwnedFd> {
        let failed = |source| self.refused(format!("cannot make a mount of type {}", self.kind), source);
        mount::fsconfig_create(&self.fd).map_err(failed)?;
        mount::fsmount(&self.fd, FsMountFlags::FSMOUNT_CLOEXEC, attributes).map_err(failed)
    }

    fn refused(&self, doing: String, source: Errno) -> io::Error {
        refused(doing, self.messages(), source)
    }

    /// What the kernel logged for this file system; each read gives one message: `e overlay: ...`.
    fn messages(&self) -> Vec<String> {
        let mut buffer = [0; 1024];
        let mut messages = Vec::new();
        while let Ok(length) = rustix::io::read(&self.fd, &mut buffer) {
            let text = String::from_utf8_lossy(&buffer[..length]);
            messages.push(text.get(2..).unwrap_or(&text).trim_end().to_owned());
            if length == 0 || messages.len() == 8 {
                break;
            }
        }
        messages
    }
}

/// A path to what `fd` has open, valid in this process while it stays open.
pub(crate) fn proc_link(fd: &impl AsFd) -> String {
    format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd())
}

/// A detached copy of the mount tree at `path`; without `recursive`, of the top mount alone.
pub(crate) fn clone_tree(path: &Path, recursive: bool) -> io::Result<OwnedFd> {
    mount::open_tree(CWD, path, clone_flags(recursive))
        .map_err(|source| refused(format!("cannot bind {}", path.display()), Vec::new(), source))
}

/// A detached copy of the mount tree at an open directory or file.
pub(crate) fn clone_tree_at(fd: impl AsFd, recursive: bool) -> Result<OwnedFd, Errno> {
    mount::open_tree(fd.as_fd(), c"", clone_flags(recursive) | OpenTreeFlags::AT_EMPTY_PATH)
}

fn clone_flags(recursive: bool) -> OpenTreeFlags {
    let flags = OpenTreeFlags::OPEN_TREE_CLONE | OpenTreeFlags::OPEN_TREE_CLOEXEC;
    if recursive { flags | OpenTreeFlags::AT_RECURSIVE } else { flags }
}

/// Attaches a detached mount at a path of this thread's mount namespace.
pub(crate) fn move_to(mount: impl AsFd, path: &CStr) -> Result<(), Errno> {
    mount::move_mount(mount.as_fd(), c"", CWD, path, MoveMountFlags::MOVE_MOUNT_F_EMPTY_PATH)
}

/// Runs `work` on a thread with a copy of the mount namespace, in which it can attach what nobody else sees.
pub(crate) fn in_private_mounts<T: Send>(work: impl FnOnce() -> io::Result<T> + Send) -> io::Result<T> {
    in_new_namespace(libc::CLONE_NEWNS, || {
        mount::mount_change(c"/", MountPropagationFlags::PRIVATE | MountPropagationFlags::REC)?;
        work()
    })
}

/// Runs `work` on a thread of its own that has moved to new namespaces, and ends in them.
pub(crate) fn in_new_namespace<T: Send>(
    flags: libc::c_int,
    work: impl FnOnce() -> io::Result<T> + Send,
) -> io::Result<T> {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            // SAFETY: no memory is involved. Only this thread moves, and with CLONE_NEWNS it stops sharing its root
            // and working directory with the others.
            if unsafe { libc::unshare(flags) } != 0 {
                return Err(io::Error::last_os_error());
            }
            work()
        });
        thread.join().unwrap_or_else(|_| Err(io::Error::other("a thread in a namespace of its own panicked")))
    })
}

/// `struct mount_attr` of `mount_setattr(2)`.
#[repr(C)]
struct MountAttr {
    set: u64,
    clear: u64,
    propagation: u64,
    userns: u64,
}

/// Adds attributes to the mount whose root `fd` has open, and with `recursive` to every mount under it. (A classic
/// read-only remount covers the top mount only.) Safe between fork and exec: allocates nothing.
pub(crate) fn add_attributes(
    fd: impl AsFd,
    recursive: bool,
    attributes: MountAttrFlags,
) -> Result<(), Errno> {
    let attr = MountAttr { set: attributes.bits().into(), clear: 0, propagation: 0, userns: 0 };
    let flags = libc::AT_EMPTY_PATH | if recursive { libc::AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a NUL-terminated string, `attr` is a `struct mount_attr` of the size given, and both live
    // through the call.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            fd.as_fd().as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const attr,
            size_of::<MountAttr>(),
        )
    };
    // SAFETY: errno belongs to this thread and is always readable.
    if result == 0 { Ok(()) } else { Err(Errno::from_raw_os_error(unsafe { *libc::__errno_location() })) }
}
