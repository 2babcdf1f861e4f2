//! A file tree that is somebody else's: an image's root file system, a build context, a stage.
//!
//! Every path in it is resolved by the kernel as if the tree were `/` (`openat2(2)` with `RESOLVE_IN_ROOT`): absolute
//! symbolic links and `..` stay inside, whatever the tree holds and whoever changes it meanwhile.

mod directories;
pub(crate) mod mount_api;
pub mod overlay;
mod owners;
mod root_attributes;
pub mod user;
mod xattr_flavor;

pub use directories::make_directories;
pub use owners::Owners;
pub use root_attributes::RootAttributes;
pub use xattr_flavor::XattrFlavor;

use rustix::fs::{self, AtFlags, Mode, OFlags, ResolveFlags, Stat};
use rustix::io::Errno;
use std::ffi::OsString;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// The directory at the top of such a tree, held open.
#[derive(Debug)]
pub struct Root {
    fd: OwnedFd,
}

impl Root {
    /// Opens the directory `path` of this machine as a root.
    ///
    /// # Errors
    /// What `open(2)` says.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::DIRECTORY | OFlags::CLOEXEC | OFlags::PATH;
        Ok(Self { fd: fs::open(path, flags, Mode::empty())? })
    }

    /// Takes a directory that is open already, for example a detached mount.
    pub fn from_fd(fd: OwnedFd) -> Self {
        Self { fd }
    }

    /// Gives the directory back.
    pub fn into_fd(self) -> OwnedFd {
        self.fd
    }

    /// Opens `path` inside the root, following symbolic links inside it. Magic links of /proc are refused.
    ///
    /// # Errors
    /// What `openat2(2)` says; `ENOENT` for what is not there.
    pub fn open_at(&self, path: &Path, flags: OFlags, mode: Mode) -> io::Result<OwnedFd> {
        let path = inside(path);
        let resolve = ResolveFlags::IN_ROOT | ResolveFlags::NO_MAGICLINKS;
        loop {
            match fs::openat2(&self.fd, &path, flags | OFlags::CLOEXEC, mode, resolve) {
                // The kernel answers EAGAIN when something moved under its feet, and EINTR for a signal.
                Err(Errno::AGAIN | Errno::INTR) => {}
                other => return Ok(other?),
            }
        }
    }

    /// The directory that holds the last component of `path`, opened, and that component. The directory's links are
    /// followed; the component is not looked at.
    ///
    /// # Errors
    /// As [`open_at`](Self::open_at); `EINVAL` when `path` has no last component.
    pub fn parent_of(&self, path: &Path) -> io::Result<(OwnedFd, OsString)> {
        let path = inside(path);
        let name = path.file_name().ok_or(Errno::INVAL)?.to_owned();
        let parent = path.parent().unwrap_or(Path::new("."));
        let fd = self.open_at(parent, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
        Ok((fd, name))
    }

    /// What stands at `path`, its last component not followed when it is a link.
    ///
    /// # Errors
    /// As [`open_at`](Self::open_at).
    pub fn lstat(&self, path: &Path) -> io::Result<Stat> {
        let fd = self.open_at(path, OFlags::PATH | OFlags::NOFOLLOW, Mode::empty())?;
        Ok(fs::statat(&fd, "", AtFlags::EMPTY_PATH)?)
    }

    /// What stands at `path`, links followed.
    ///
    /// # Errors
    /// As [`open_at`](Self::open_at).
    pub fn stat(&self, path: &Path) -> io::Result<Stat> {
        let fd = self.open_at(path, OFlags::PATH, Mode::empty())?;
        Ok(fs::statat(&fd, "", AtFlags::EMPTY_PATH)?)
    }

    /// The target of the symbolic link at `path`.
    ///
    /// # Errors
    /// As [`open_at`](Self::open_at); `EINVAL` when it is no link.
    pub fn read_link(&self, path: &Path) -> io::Result<PathBuf> {
        let (parent, name) = self.parent_of(path)?;
        let target = fs::readlinkat(&parent, &name, Vec::new())?;
        Ok(OsString::from_vec(target.into_bytes()).into())
    }

    /// Reads the regular file at `path`, links followed, refusing more than `limit` bytes.
    ///
    /// # Errors
    /// As [`open_at`](Self::open_at); `EFBIG` past the limit, `EINVAL` when it is no regular file.
    pub fn read(&self, path: &Path, limit: u64) -> io::Result<Vec<u8>> {
        use std::io::Read;
        // O_NONBLOCK: a FIFO in the tree must not make us wait for a writer.
        let fd = self.open_at(path, OFlags::RDONLY | OFlags::NONBLOCK, Mode::empty())?;
        let stat = fs::fstat(&fd)?;
        if fs::FileType::from_raw_mode(stat.st_mode) != fs::FileType::RegularFile {
            return Err(Errno::INVAL.into());
        }
        let mut bytes = Vec::new();
        std::fs::File::from(fd).take(limit + 1).read_to_end(&mut bytes)?;
        if bytes.len() as u64 > limit {
            return Err(Errno::FBIG.into());
        }
        Ok(bytes)
    }
}

impl AsFd for Root {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.fd.as_fd()
    }
}

/// `path` relative to the root: a leading `/` is dropped, and the root itself is `.`.
fn inside(path: &Path) -> PathBuf {
    let relative: PathBuf =
        path.components().filter(|c| !matches!(c, std::path::Component::RootDir)).collect();
    if relative.as_os_str().is_empty() { PathBuf::from(".") } else { relative }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;

    #[test]
    fn links_stay_inside() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir(dir.path().join("etc")).unwrap();
        std::fs::write(dir.path().join("etc/passwd"), "inside").unwrap();
        symlink("/etc/passwd", dir.path().join("absolute")).unwrap();
        symlink("../../../../etc/passwd", dir.path().join("dots")).unwrap();
        let root = Root::open(dir.path()).unwrap();
        for path in ["absolute", "/absolute", "dots", "../../etc/passwd"] {
            assert_eq!(root.read(Path::new(path), 100).unwrap(), b"inside", "{path}");
        }
        assert_eq!(root.read_link(Path::new("absolute")).unwrap(), Path::new("/etc/passwd"));
        let refused = root.read(Path::new("etc/passwd"), 3).unwrap_err();
        assert_eq!(refused.raw_os_error(), Some(libc::EFBIG));
        assert!(root.parent_of(Path::new("/")).is_err());
    }
}
