//! Copying one thing that is not a directory into a directory that is open.

use super::content::{self, Ways};
use super::destination::remove;
use super::error::{CopyError, CopyWarning};
use super::meta::Metadata;
use super::path::{join, show};
use super::resolve::file_type;
use super::spec::CopySpec;
use super::xattr;
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Mutex, PoisonError};

/// What all copies of one source share.
pub(crate) struct Session<'a> {
    pub spec: &'a CopySpec,
    /// What messages call the source tree.
    pub place: &'a str,
    pub ways: &'a Ways,
    /// Files with several names that were copied: device and inode to where the copy is (relative to `links_from`).
    pub links: Mutex<HashMap<(u64, u64), Vec<u8>>>,
    /// The directory that the paths of `links` are relative to, and its own path.
    pub links_from: Option<(BorrowedFd<'a>, &'a [u8])>,
}

/// What one thread has.
#[derive(Default)]
pub(crate) struct Worker {
    buffer: Vec<u8>,
    pub warnings: Vec<CopyWarning>,
    pub entries: u64,
    pub bytes: u64,
}

impl Worker {
    pub(crate) fn buffer(&mut self) -> &mut [u8] {
        if self.buffer.is_empty() {
            self.buffer = vec![0; content::BUFFER];
        }
        &mut self.buffer
    }

    /// Remembers an attribute that could not be set.
    pub(crate) fn refused(warnings: &mut Vec<CopyWarning>, path: &[u8], name: &CStr, errno: Errno) {
        warnings.push(CopyWarning::Xattr {
            path: show(path),
            name: name.to_string_lossy().into_owned(),
            reason: std::io::Error::from(errno).to_string(),
        });
    }
}

/// A name in an open directory, and its path for messages.
#[derive(Clone, Copy)]
pub(crate) struct At<'a> {
    pub dir: BorrowedFd<'a>,
    pub name: &'a CStr,
    /// Path of `dir`: relative to its tree, without links.
    pub dir_path: &'a [u8],
}

impl At<'_> {
    pub(crate) fn path(&self) -> Vec<u8> {
        join(self.dir_path, self.name.to_bytes())
    }
}

impl Session<'_> {
    /// Copies what is at `source`, of a kind that the directory listing told, to `target`.
    pub(crate) fn copy(
        &self,
        source: At<'_>,
        kind: FileType,
        target: At<'_>,
        worker: &mut Worker,
    ) -> Result<(), CopyError> {
        if self.ways.cancellation.is_cancelled() {
            return Err(CopyError::Cancelled);
        }
        worker.entries += 1;
        self.any(source, kind, target, worker).map_err(|error| match error {
            CopyError::FileOverDirectory { destination, .. } => {
                CopyError::FileOverDirectory { written: show(&source.path()), destination }
            }
            error => error,
        })
    }

    fn any(
        &self,
        source: At<'_>,
        kind: FileType,
        target: At<'_>,
        worker: &mut Worker,
    ) -> Result<(), CopyError> {
        if kind == FileType::RegularFile {
            // Opened at once, and looked at through the descriptor: one path look-up less.
            match self.open(source) {
                Ok((fd, stat)) if file_type(&stat) == FileType::RegularFile => {
                    return self.regular(&fd, &stat, source, target, worker);
                }
                // It changed its kind since the directory was read.
                Ok(_) | Err(Errno::LOOP) => {}
                Err(errno) => return Err(self.read(&source.path(), errno)),
            }
        }
        let stat = fs::statat(source.dir, source.name, AtFlags::SYMLINK_NOFOLLOW)
            .map_err(|errno| self.read(&source.path(), errno))?;
        match file_type(&stat) {
            FileType::RegularFile => {
                let (fd, stat) = self.open(source).map_err(|errno| self.read(&source.path(), errno))?;
                self.regular(&fd, &stat, source, target, worker)
            }
            FileType::Symlink => self.link(&stat, source, target),
            _ => self.special(&stat, source, target, worker),
        }
    }

    fn open(&self, source: At<'_>) -> Result<(OwnedFd, Stat), Errno> {
        // O_NONBLOCK: what was a file a moment ago may be a FIFO now, and must not make us wait.
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = fs::openat(source.dir, source.name, flags, Mode::empty())?;
        let stat = fs::fstat(&fd)?;
        Ok((fd, stat))
    }

    fn regular(
        &self,
        fd: &OwnedFd,
        stat: &Stat,
        source: At<'_>,
        target: At<'_>,
        worker: &mut Worker,
    ) -> Result<(), CopyError> {
        if stat.st_nlink < 2 || self.links_from.is_none() {
            return self.file(fd, stat, &source.path(), target, worker);
        }
        // Held while the first of the names is written: the others must find it complete.
        let mut links = self.links.lock().unwrap_or_else(PoisonError::into_inner);
        let inode = (stat.st_dev, stat.st_ino);
        if let Some(first) = links.get(&inode)
            && self.hard_link(first, target)?
        {
            return Ok(());
        }
        self.file(fd, stat, &source.path(), target, worker)?;
        let base = self.links_from.map_or(&b""[..], |(_, path)| path);
        let path = target.path();
        let below = path.strip_prefix(base).unwrap_or(&path);
        links.insert(inode, below.strip_prefix(b"/").unwrap_or(below).to_vec());
        Ok(())
    }

    /// Links to a file that this copy wrote. `false` when it has as many names as the file system allows.
    fn hard_link(&self, first: &[u8], target: At<'_>) -> Result<bool, CopyError> {
        let Some((from, _)) = self.links_from else { return Ok(false) };
        // Every directory on this path was made or checked by this copy: none is a link.
        let link = || fs::linkat(from, first, target.dir, target.name, AtFlags::empty());
        match self.making(target, link) {
            Ok(()) => Ok(true),
            Err(MakeError::Errno(Errno::MLINK)) => Ok(false),
            Err(error) => Err(error.into_copy_error(target)),
        }
    }

    /// Writes a regular file with the content of `fd`.
    pub(crate) fn file(
        &self,
        fd: &OwnedFd,
        stat: &Stat,
        source: &[u8],
        target: At<'_>,
        worker: &mut Worker,
    ) -> Result<(), CopyError> {
        let new = self.create(target)?;
        let path = || target.path();
        worker.bytes +=
            content::copy(self.ways, fd, stat, &new, worker.buffer()).map_err(|errno| match errno {
                Errno::CANCELED => CopyError::Cancelled,
                Errno::NOSPC | Errno::DQUOT | Errno::FBIG => CopyError::write(&path(), errno),
                errno => self.read(source, errno),
            })?;
        let attributes = xattr::read(fd).map_err(|errno| self.read(source, errno))?;
        let metadata = Metadata::copied(self.spec, stat, false);
        metadata
            .apply(&new, &attributes, |name, errno| {
                Worker::refused(&mut worker.warnings, &path(), name, errno);
            })
            .map_err(|errno| CopyError::metadata(&path(), metadata.owner, errno))
    }

    /// Makes an empty file, in place of a file that is there.
    pub(crate) fn create(&self, target: At<'_>) -> Result<OwnedFd, CopyError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        self.making(target, || fs::openat(target.dir, target.name, flags, Mode::RUSR | Mode::WUSR))
            .map_err(|error| error.into_copy_error(target))
    }

    fn link(&self, stat: &Stat, source: At<'_>, target: At<'_>) -> Result<(), CopyError> {
        let text = fs::readlinkat(source.dir, source.name, Vec::new())
            .map_err(|errno| self.read(&source.path(), errno))?;
        self.making(target, || fs::symlinkat(text.as_c_str(), target.dir, target.name))
            .map_err(|error| error.into_copy_error(target))?;
        let metadata = Metadata::copied(self.spec, stat, false);
        metadata
            .apply_at(target.dir, target.name, true)
            .map_err(|errno| CopyError::metadata(&target.path(), metadata.owner, errno))
    }

    /// Devices and FIFOs are made again. A socket becomes an empty file: nobody listens behind a copy of it.
    fn special(
        &self,
        stat: &Stat,
        source: At<'_>,
        target: At<'_>,
        worker: &mut Worker,
    ) -> Result<(), CopyError> {
        let kind = file_type(stat);
        if kind == FileType::CharacterDevice && stat.st_rdev == 0 {
            return Err(CopyError::WhiteoutDevice { path: source.path() });
        }
        if kind == FileType::Socket {
            self.create(target)?;
        } else {
            let device = matches!(kind, FileType::CharacterDevice | FileType::BlockDevice);
            let rdev = if device { stat.st_rdev } else { 0 };
            let node = || fs::mknodat(target.dir, target.name, kind, Mode::RUSR | Mode::WUSR, rdev);
            match self.making(target, node) {
                Ok(()) => {}
                Err(MakeError::Errno(Errno::PERM)) if device => {
                    worker.warnings.push(CopyWarning::Device { path: show(&target.path()) });
                    return Ok(());
                }
                Err(error) => return Err(error.into_copy_error(target)),
            }
        }
        let metadata = Metadata::copied(self.spec, stat, false);
        metadata
            .apply_at(target.dir, target.name, false)
            .map_err(|errno| CopyError::metadata(&target.path(), metadata.owner, errno))
    }

    /// Runs `make`, which makes a new name; when the name is taken by anything but a directory, that is removed first.
    /// With `--link` a directory is removed too.
    pub(crate) fn making<T>(
        &self,
        target: At<'_>,
        mut make: impl FnMut() -> Result<T, Errno>,
    ) -> Result<T, MakeError> {
        match make() {
            Err(Errno::EXIST) => {}
            other => return other.map_err(MakeError::Errno),
        }
        match fs::unlinkat(target.dir, target.name, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            // ext4 and overlayfs say EISDIR, POSIX would have EPERM.
            Err(Errno::ISDIR | Errno::PERM) if self.spec.link => {
                let name: CString = target.name.to_owned();
                remove(target.dir, &name, &target.path()).map_err(MakeError::Copy)?;
            }
            Err(Errno::ISDIR) => return Err(MakeError::Directory),
            Err(errno) => return Err(MakeError::Errno(errno)),
        }
        make().map_err(MakeError::Errno)
    }

    /// Reading `path` failed.
    pub(crate) fn read(&self, path: &[u8], errno: Errno) -> CopyError {
        CopyError::Read { path: path.to_vec(), place: self.place.to_owned(), source: errno.into() }
    }
}

/// Why a name could not be made.
pub(crate) enum MakeError {
    /// A directory has it.
    Directory,
    Errno(Errno),
    Copy(CopyError),
}

impl MakeError {
    pub(crate) fn into_copy_error(self, target: At<'_>) -> CopyError {
        match self {
            Self::Directory => CopyError::FileOverDirectory {
                written: target.name.to_string_lossy().into_owned(),
                destination: target.path(),
            },
            Self::Errno(errno) => CopyError::write(&target.path(), errno),
            Self::Copy(error) => error,
        }
    }
}

/// Refuses what is no name of a file in a directory, which would lead out of that directory, and names that a layer would
/// take for deleted files. Every name that something is made under comes through here or from a directory that was read.
pub(crate) fn check_name(name: &[u8], path: &[u8]) -> Result<(), CopyError> {
    if matches!(name, b"" | b"." | b"..") || name.contains(&b'/') {
        return Err(CopyError::NoName { path: path.to_vec() });
    }
    if name.starts_with(b".wh.") {
        return Err(CopyError::WhiteoutName { path: path.to_vec() });
    }
    Ok(())
}

/// The descriptor of a worker's open directory as [`At`].
pub(crate) fn at<'a>(dir: &'a impl AsFd, dir_path: &'a [u8], name: &'a CStr) -> At<'a> {
    At { dir: dir.as_fd(), name, dir_path }
}
