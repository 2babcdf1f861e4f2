//! Finding the destination in the image, making what is missing on the way.

use super::error::CopyError;
use super::meta::Metadata;
use super::path;
use super::resolve::{self, Policy, Walk};
use super::spec::CopySpec;
use crate::rootfs::Root;
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// A directory of the image that may be written to.
#[derive(Debug)]
pub(crate) struct Directory {
    /// Opened for reading, as `fchmod` and `futimens` need it.
    pub fd: OwnedFd,
    /// Where it is: relative to the image's root, without links.
    pub path: Vec<u8>,
}

/// Where something is to be put.
#[derive(Debug)]
pub(crate) enum Place {
    /// A directory stands there.
    Directory(Directory),
    /// Nothing or something else stands there: `name` in `parent`.
    Name {
        /// The directory.
        parent: Directory,
        /// The name.
        name: CString,
    },
}

/// Looks for the destination. Its parents exist afterwards; with a trailing slash, or `directory`, it exists too.
/// Links are followed inside the image, the last one too and also when they dangle, except with `--link`.
pub(crate) fn find(root: &Root, spec: &CopySpec, directory: bool) -> Result<Place, CopyError> {
    let bytes = std::os::unix::ffi::OsStrExt::as_bytes(spec.destination.as_os_str());
    let components = path::components(bytes);
    let mut policy = Make { spec };
    let shown = || path::show(bytes);
    let walk = resolve::walk(root, &components, &mut policy).map_err(|error| match error.errno {
        Errno::NOTDIR => CopyError::DestinationObstacle { destination: shown(), at: error.path },
        Errno::INVAL => CopyError::metadata(&error.path, spec.made_directory_owner(), Errno::INVAL),
        errno => CopyError::write(&error.path, errno),
    })?;
    let wants_directory = directory || path::names_directory(bytes);
    match walk {
        Walk::Found(found) if found.is_dir() => open(&found.fd, &found.path).map(Place::Directory),
        Walk::Found(found) if wants_directory && !spec.link => {
            Err(CopyError::DestinationObstacle { destination: shown(), at: found.path })
        }
        Walk::Found(found) => {
            let (above, name) = split(&found.path);
            let parent = found.parent.ok_or_else(|| CopyError::write(&found.path, Errno::NOTDIR))?;
            let parent = open(&parent, above)?;
            if wants_directory {
                remove(parent.fd.as_fd(), &name, &found.path)?;
                return make(spec, parent, &name).map(Place::Directory);
            }
            Ok(Place::Name { parent, name })
        }
        Walk::Missing { parent, name } => {
            let parent = open(&parent.fd, &parent.path)?;
            let name = c_name(&name);
            if wants_directory {
                return make(spec, parent, &name).map(Place::Directory);
            }
            Ok(Place::Name { parent, name })
        }
    }
}

/// Makes the directory `name` in `parent`, owned and with the mode of directories on the way to a destination.
pub(crate) fn make(spec: &CopySpec, parent: Directory, name: &CString) -> Result<Directory, CopyError> {
    let path = path::join(&parent.path, name.to_bytes());
    let owner = spec.made_directory_owner();
    make_directory(spec, parent.fd.as_fd(), name)
        .map_err(|errno| CopyError::metadata(&path, owner, errno))?;
    let fd = open_dir(parent.fd.as_fd(), name).map_err(|errno| CopyError::write(&path, errno))?;
    Ok(Directory { fd, path })
}

/// Opens the directory `name` in `parent` for reading, not following a link.
pub(crate) fn open_dir(parent: BorrowedFd<'_>, name: &CStr) -> Result<OwnedFd, Errno> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    fs::openat(parent, name, flags, Mode::empty())
}

/// Removes `name` from `parent`, with all that is in it.
pub(crate) fn remove(parent: BorrowedFd<'_>, name: &CString, path: &[u8]) -> Result<(), CopyError> {
    remove_tree(parent, name).map_err(|errno| CopyError::write(path, errno))
}

fn remove_tree(parent: BorrowedFd<'_>, name: &CString) -> Result<(), Errno> {
    match fs::unlinkat(parent, name, AtFlags::empty()) {
        Err(Errno::ISDIR) => {}
        other => return other,
    }
    let fd = open_dir(parent, name)?;
    for entry in super::dirents::read_dir(&fd)? {
        remove_tree(fd.as_fd(), &entry.name)?;
    }
    fs::unlinkat(parent, name, AtFlags::REMOVEDIR)
}

/// What stands at `name`, not followed; `None` when nothing does.
pub(crate) fn kind_of(parent: BorrowedFd<'_>, name: &CString) -> Result<Option<FileType>, Errno> {
    match fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(Some(resolve::file_type(&stat))),
        Err(Errno::NOENT) => Ok(None),
        Err(errno) => Err(errno),
    }
}

struct Make<'s> {
    spec: &'s CopySpec,
}

impl Policy for Make<'_> {
    fn missing(&mut self, parent: BorrowedFd<'_>, _path: &[u8], name: &[u8]) -> Result<bool, Errno> {
        make_directory(self.spec, parent, &c_name(name))?;
        Ok(true)
    }

    fn obstacle(&mut self, parent: BorrowedFd<'_>, name: &[u8]) -> Result<bool, Errno> {
        if !self.spec.link {
            return Ok(false);
        }
        fs::unlinkat(parent, c_name(name), AtFlags::empty())?;
        make_directory(self.spec, parent, &c_name(name))?;
        Ok(true)
    }

    fn follows_links(&self) -> bool {
        !self.spec.link
    }
}

fn make_directory(spec: &CopySpec, parent: BorrowedFd<'_>, name: &CString) -> Result<(), Errno> {
    fs::mkdirat(parent, name, Mode::from_raw_mode(0o700))?;
    let metadata =
        Metadata { owner: spec.made_directory_owner(), mode: spec.made_directory_mode(), mtime: None };
    metadata.apply_at(parent, name, false)
}

/// Opens a directory that was found at `path` for reading.
fn open(fd: &OwnedFd, path: &[u8]) -> Result<Directory, CopyError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let fd = fs::openat(fd, ".", flags, Mode::empty()).map_err(|errno| CopyError::write(path, errno))?;
    Ok(Directory { fd, path: path.to_vec() })
}

fn split(path: &[u8]) -> (&[u8], CString) {
    match path.iter().rposition(|b| *b == b'/') {
        Some(at) => (&path[..at], c_name(&path[at + 1..])),
        None => (b"", c_name(path)),
    }
}

/// A component as the kernel wants it. Paths with a NUL byte cannot be had from the kernel, and what comes from a
/// Dockerfile is cut at it like every C program would.
pub(crate) fn c_name(name: &[u8]) -> CString {
    let end = name.iter().position(|b| *b == 0).unwrap_or(name.len());
    CString::new(&name[..end]).unwrap_or_default()
}
