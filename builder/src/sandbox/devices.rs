//! `/dev`, and the files in memory that are bound into a sandbox one by one.

use super::{SandboxError, Security, WindowSize};
use crate::rootfs::mount_api::{NewFilesystem, add_attributes, clone_tree};
use rustix::fs::{self, FileType, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;
use rustix::pty::{OpenptFlags, ioctl_tiocgptpeer, unlockpt};
use std::ffi::CString;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

/// The devices that every sandbox has: name, major and minor number.
pub(super) const DEVICES: [(&str, u32, u32); 6] =
    [("null", 1, 3), ("zero", 1, 5), ("full", 1, 7), ("random", 1, 8), ("urandom", 1, 9), ("tty", 5, 0)];

/// What `--security=insecure` adds, where this machine has it.
const INSECURE_DEVICES: [&str; 12] = [
    "fuse",
    "kvm",
    "net/tun",
    "loop-control",
    "loop0",
    "loop1",
    "loop2",
    "loop3",
    "loop4",
    "loop5",
    "loop6",
    "loop7",
];

/// The empty frame of `/dev`: mount points and links. With `locked`, device nodes that a program makes here cannot be
/// opened.
pub(super) fn frame<'a>(devices: impl Iterator<Item = &'a str>, locked: bool) -> io::Result<OwnedFd> {
    let tmpfs = NewFilesystem::open("tmpfs")?;
    tmpfs.option("mode", "0755")?;
    tmpfs.option("size", "65536k")?;
    let no_devices = if locked { MountAttrFlags::MOUNT_ATTR_NODEV } else { MountAttrFlags::empty() };
    let dev = tmpfs.mount(MountAttrFlags::MOUNT_ATTR_NOSUID | no_devices)?;
    for directory in ["pts", "shm", "mqueue"] {
        make_directory(&dev, directory)?;
    }
    for device in devices {
        if let Some((directory, _)) = device.split_once('/') {
            make_directory(&dev, directory)?;
        }
        drop(create(&dev, device, 0o666)?);
    }
    for (link, target) in [
        ("fd", "/proc/self/fd"),
        ("stdin", "/proc/self/fd/0"),
        ("stdout", "/proc/self/fd/1"),
        ("stderr", "/proc/self/fd/2"),
        ("ptmx", "pts/ptmx"),
    ] {
        fs::symlinkat(target, &dev, link)?;
    }
    Ok(dev)
}

fn make_directory(dev: &OwnedFd, name: &str) -> io::Result<()> {
    match fs::mkdirat(dev, name, Mode::empty()) {
        Err(Errno::EXIST) => return Ok(()),
        other => other?,
    }
    Ok(fs::chmodat(dev, name, Mode::from_raw_mode(0o755), fs::AtFlags::empty())?)
}

fn create(directory: impl AsFd, name: &str, mode: u32) -> io::Result<OwnedFd> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    let fd = fs::openat(directory, name, flags, Mode::empty())?;
    // Apart, because open obeys the umask.
    fs::fchmod(&fd, Mode::from_raw_mode(mode))?;
    Ok(fd)
}

/// The names of the devices that a sandbox gets.
pub(super) fn names(security: Security) -> Vec<String> {
    let mut names: Vec<String> = DEVICES.iter().map(|(name, ..)| (*name).to_owned()).collect();
    if security == Security::Insecure {
        let more = INSECURE_DEVICES.iter().filter(|name| Path::new("/dev").join(name).exists());
        names.extend(more.map(|name| (*name).to_owned()));
    }
    names
}

/// A file system in memory that no sandbox sees as a whole: its files are bound one by one.
pub(super) struct Staging {
    /// The detached mount.
    pub(super) fd: OwnedFd,
    next: u32,
}

impl Staging {
    pub(super) fn new() -> io::Result<Self> {
        let tmpfs = NewFilesystem::open("tmpfs")?;
        tmpfs.option("mode", "0700")?;
        // Secrets stay out of swap where the kernel can do that; it is for root only, and new in 6.4.
        let _ = tmpfs.flag("noswap");
        Ok(Self { fd: tmpfs.mount(MountAttrFlags::MOUNT_ATTR_NOSUID)?, next: 0 })
    }

    /// A new file; gives its name.
    pub(super) fn file(&mut self, bytes: &[u8], mode: u32, uid: u32, gid: u32) -> io::Result<CString> {
        let name = self.name();
        let fd = create(&self.fd, &name, mode)?;
        if (uid, gid) != (0, 0) {
            fs::fchown(&fd, Some(fs::Uid::from_raw(uid)), Some(fs::Gid::from_raw(gid)))?;
            // Giving a file away clears some of its permissions.
            fs::fchmod(&fd, Mode::from_raw_mode(mode))?;
        }
        std::fs::File::from(fd).write_all(bytes)?;
        Ok(CString::new(name)?)
    }

    /// A new device node, which the sandbox owns: it may change its permissions without changing this machine's.
    /// `None` where making one is not allowed.
    pub(super) fn device(&mut self, major: u32, minor: u32) -> io::Result<Option<CString>> {
        let name = self.name();
        let mode = Mode::from_raw_mode(0o666);
        match fs::mknodat(&self.fd, &name, FileType::CharacterDevice, mode, fs::makedev(major, minor)) {
            Ok(()) => fs::chmodat(&self.fd, &name, mode, fs::AtFlags::empty())?,
            Err(Errno::PERM) => return Ok(None),
            Err(errno) => return Err(errno.into()),
        }
        Ok(Some(CString::new(name)?))
    }

    fn name(&mut self) -> String {
        self.next += 1;
        self.next.to_string()
    }
}

/// This machine's own device node, as a mount. Read-only: it can be written to all the same, as device nodes can, but its
/// permissions and owner, which are this machine's, cannot be changed.
pub(super) fn host_device(name: &str) -> io::Result<OwnedFd> {
    let device = clone_tree(&Path::new("/dev").join(name), false)?;
    let attributes = MountAttrFlags::MOUNT_ATTR_RDONLY
        | MountAttrFlags::MOUNT_ATTR_NOSUID
        | MountAttrFlags::MOUNT_ATTR_NOEXEC;
    add_attributes(&device, false, attributes)?;
    Ok(device)
}

/// The pseudo terminals of one sandbox. The group `tty` (5) owns them where it exists in this user namespace.
pub(super) fn devpts() -> io::Result<OwnedFd> {
    let make = |gid: Option<&str>| {
        let devpts = NewFilesystem::open("devpts")?;
        devpts.option("mode", "0620")?;
        devpts.option("ptmxmode", "0666")?;
        if let Some(gid) = gid {
            devpts.option("gid", gid)?;
        }
        devpts.mount(MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NOEXEC)
    };
    make(Some("5")).or_else(|_| make(None))
}

/// A terminal: the end for us, and the one for the program.
pub(super) struct Terminal {
    pub(super) controller: OwnedFd,
    pub(super) user_end: OwnedFd,
}

impl Terminal {
    /// Makes the first terminal of `devpts`.
    pub(super) fn open(devpts: &OwnedFd, size: WindowSize) -> Result<Self, SandboxError> {
        let make = || -> io::Result<Self> {
            let flags = OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC;
            let controller = fs::openat(devpts, "ptmx", flags, Mode::empty())?;
            unlockpt(&controller)?;
            let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
            let user_end = ioctl_tiocgptpeer(&controller, flags)?;
            set_size(&controller, size)?;
            Ok(Self { controller, user_end })
        };
        make().map_err(SandboxError::setup("make a terminal"))
    }
}

/// Changes the size of a terminal; programs in it are told.
pub(super) fn set_size(terminal: impl AsFd, size: WindowSize) -> io::Result<()> {
    let size =
        rustix::termios::Winsize { ws_row: size.rows, ws_col: size.columns, ws_xpixel: 0, ws_ypixel: 0 };
    Ok(rustix::termios::tcsetwinsize(terminal, size)?)
}
