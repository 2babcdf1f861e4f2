//! One walk over a layer directory, in the order every layer has.
//!
//! A directory comes before what is in it. In it, whiteouts come first (layer.md asks for that), then everything else; both
//! sorted by the bytes of their names. Everything is reached through directory descriptors, so the depth of the tree and
//! the length of a path have no limit, and a link cannot lead outside.

use super::xattr::{self, Xattr};
use crate::rootfs::XattrFlavor;
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, RawDir, Stat};
use rustix::io::Errno;
use std::ffi::{CStr, OsString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};

/// How many directories are held open on the way down. Those further up are opened again through `..` on the way back,
/// because a program may hold only 1024 files open by default and a path can have 2000 components.
const MAX_OPEN: usize = 128;

/// Xattr lists and values are at most this long (`XATTR_LIST_MAX`, `XATTR_SIZE_MAX`).
const XATTR_MAX: usize = 64 << 10;

/// Why a layer directory cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum WalkError {
    /// The kernel says no.
    #[error("cannot read {} in the layer", path.display())]
    Read {
        /// What, relative to the layer.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Somebody writes in the directory.
    #[error("{} changed while the layer was read", path.display())]
    Changed {
        /// What, relative to the layer.
        path: PathBuf,
    },
    /// overlayfs kept a part of it elsewhere.
    #[error("{} is not complete in its layer (it has the xattr {xattr}): mount with redirect_dir=off and metacopy=off", path.display())]
    Incomplete {
        /// What, relative to the layer.
        path: PathBuf,
        /// The xattr that says so.
        xattr: String,
    },
}

impl WalkError {
    pub(super) fn read(path: &[u8], source: impl Into<io::Error>) -> Self {
        Self::Read { path: to_path(path), source: source.into() }
    }
}

/// Something in a layer directory. `path` is relative to it, without a slash at either end; the layer itself is empty.
pub(super) struct Found<'a> {
    pub(super) path: &'a [u8],
    pub(super) stat: Stat,
    pub(super) kind: FoundKind,
    /// Those that belong to the layer, sorted by name.
    pub(super) xattrs: Vec<Xattr>,
}

/// What it is.
pub(super) enum FoundKind {
    /// The directory's own entry; what it holds follows.
    Directory {
        opaque: bool,
    },
    /// Open for reading, at its start.
    File(OwnedFd),
    Symlink(Vec<u8>),
    CharDevice,
    BlockDevice,
    Fifo,
    Socket,
    Whiteout,
}

impl Found<'_> {
    /// What names the file when it has several names: device and inode.
    pub(super) fn link_id(&self) -> Option<(u64, u64)> {
        let linked = self.stat.st_nlink > 1
            && !matches!(self.kind, FoundKind::Directory { .. } | FoundKind::Whiteout | FoundKind::Socket);
        linked.then_some((self.stat.st_dev, self.stat.st_ino))
    }
}

/// The names of one directory, one after another in one allocation, and which one is next.
struct Frame {
    fd: Option<OwnedFd>,
    id: (u64, u64),
    text: Vec<u8>,
    names: Vec<Name>,
    next: usize,
    /// How long the path is up to this directory.
    path_length: usize,
}

struct Name {
    start: usize,
    /// Without the NUL behind it.
    length: usize,
    /// A whiteout; else what it seems to be.
    whiteout: bool,
    file_type: FileType,
}

struct Walk<'a, F> {
    flavor: XattrFlavor,
    visit: &'a mut F,
    path: Vec<u8>,
    list: Vec<u8>,
    value: Vec<u8>,
    /// Whether `O_NOATIME` may be used: reading a new file would otherwise write its inode. Only its owner may.
    no_atime: bool,
}

/// Walks over the layer directory `upper`, itself first, and calls `visit` for everything in it.
pub(super) fn walk<E, F>(upper: &Path, flavor: XattrFlavor, visit: &mut F) -> Result<(), E>
where
    E: From<WalkError>,
    F: FnMut(Found<'_>) -> Result<(), E>,
{
    let mut walk = Walk {
        flavor,
        visit,
        path: Vec::new(),
        list: vec![0; XATTR_MAX],
        value: vec![0; XATTR_MAX],
        no_atime: true,
    };
    let fd = fs::open(upper, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
        .map_err(|source| WalkError::Read { path: upper.to_owned(), source: source.into() })?;
    walk.run(fd)
}

impl<F> Walk<'_, F> {
    fn run<E>(&mut self, root: OwnedFd) -> Result<(), E>
    where
        E: From<WalkError>,
        F: FnMut(Found<'_>) -> Result<(), E>,
    {
        let mut stack = vec![self.enter(root)?];
        while let Some(frame) = stack.last_mut() {
            let Some(name) = frame.names.get(frame.next) else {
                self.leave(&mut stack)?;
                continue;
            };
            frame.next += 1;
            // With the NUL behind it.
            let text = &frame.text[name.start..=name.start + name.length];
            let Ok(text) = CStr::from_bytes_with_nul(text) else { continue };
            self.path.truncate(frame.path_length);
            if frame.path_length > 0 {
                self.path.push(b'/');
            }
            self.path.extend_from_slice(text.to_bytes());
            let Some(dir) = &frame.fd else { continue };
            match self.look(dir.as_fd(), text, name.file_type).map_err(|e| self.failed(e))? {
                Looked::Directory(fd) => {
                    if stack.len() >= MAX_OPEN
                        && let Some(frame) = stack.last_mut()
                    {
                        frame.fd = None;
                    }
                    stack.push(self.enter(fd)?);
                }
                Looked::Other(stat, kind) => {
                    let xattrs = match &kind {
                        FoundKind::File(fd) => self.xattrs(fd.as_fd())?.0,
                        _ => Vec::new(), // Linux lets only files and directories have those that belong to a layer.
                    };
                    (self.visit)(Found { path: &self.path, stat, kind, xattrs })?;
                }
            }
        }
        Ok(())
    }

    /// Tells of a directory and reads its names.
    fn enter<E>(&mut self, fd: OwnedFd) -> Result<Frame, E>
    where
        E: From<WalkError>,
        F: FnMut(Found<'_>) -> Result<(), E>,
    {
        let stat = fs::fstat(&fd).map_err(|e| self.failed(e))?;
        let (xattrs, opaque) = self.xattrs(fd.as_fd())?;
        (self.visit)(Found { path: &self.path, stat, kind: FoundKind::Directory { opaque }, xattrs })?;
        let (text, names) = read_names(fd.as_fd()).map_err(|e| self.failed(e))?;
        let id = (stat.st_dev, stat.st_ino);
        Ok(Frame { fd: Some(fd), id, text, names, next: 0, path_length: self.path.len() })
    }

    /// Goes back to the parent, opening it again if it had to be closed.
    fn leave(&self, stack: &mut Vec<Frame>) -> Result<(), WalkError> {
        let Some(child) = stack.pop() else { return Ok(()) };
        let (Some(parent), Some(fd)) = (stack.last_mut(), child.fd) else { return Ok(()) };
        if parent.fd.is_some() {
            return Ok(());
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let opened = fs::openat(&fd, c"..", flags, Mode::empty()).map_err(|e| self.failed(e))?;
        let stat = fs::fstat(&opened).map_err(|e| self.failed(e))?;
        if (stat.st_dev, stat.st_ino) != parent.id {
            return Err(WalkError::Changed { path: to_path(&self.path) });
        }
        parent.fd = Some(opened);
        Ok(())
    }

    /// What stands at a name, opened when it can be read.
    fn look(&mut self, dir: BorrowedFd<'_>, name: &CStr, file_type: FileType) -> Result<Looked, Errno> {
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        match file_type {
            FileType::Directory => {
                return Ok(Looked::Directory(fs::openat(
                    dir,
                    name,
                    flags | OFlags::DIRECTORY,
                    Mode::empty(),
                )?));
            }
            FileType::RegularFile => {
                let fd = self.open_file(dir, name, flags)?;
                return Ok(Looked::Other(fs::fstat(&fd)?, FoundKind::File(fd)));
            }
            _ => {}
        }
        let stat = fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
        let kind = match FileType::from_raw_mode(stat.st_mode) {
            FileType::Symlink => {
                FoundKind::Symlink(fs::readlinkat(dir, name, Vec::with_capacity(256))?.into_bytes())
            }
            FileType::CharacterDevice if stat.st_rdev == 0 => FoundKind::Whiteout,
            FileType::CharacterDevice => FoundKind::CharDevice,
            FileType::BlockDevice => FoundKind::BlockDevice,
            FileType::Fifo => FoundKind::Fifo,
            FileType::Socket => FoundKind::Socket,
            // The type was looked up when the names were read; now it is another one.
            FileType::RegularFile | FileType::Directory | FileType::Unknown => return Err(Errno::STALE),
        };
        Ok(Looked::Other(stat, kind))
    }

    fn open_file(&mut self, dir: BorrowedFd<'_>, name: &CStr, flags: OFlags) -> Result<OwnedFd, Errno> {
        if self.no_atime {
            match fs::openat(dir, name, flags | OFlags::NOATIME, Mode::empty()) {
                Err(Errno::PERM) => self.no_atime = false,
                other => return other,
            }
        }
        fs::openat(dir, name, flags, Mode::empty())
    }

    /// The xattrs of a layer, and whether the opaque mark is among the others.
    fn xattrs(&mut self, fd: BorrowedFd<'_>) -> Result<(Vec<Xattr>, bool), WalkError> {
        let length = match fs::flistxattr(fd, &mut self.list[..]) {
            Ok(length) => length,
            Err(Errno::NOTSUP) => 0,
            Err(error) => return Err(self.failed(error)),
        };
        let (mut xattrs, mut is_opaque) = (Vec::new(), false);
        let opaque = self.flavor.opaque().to_bytes();
        for name in self.list[..length].split(|b| *b == 0).filter(|name| !name.is_empty()) {
            if xattr::makes_incomplete(self.flavor, name) {
                let xattr = String::from_utf8_lossy(name).into_owned();
                return Err(WalkError::Incomplete { path: to_path(&self.path), xattr });
            }
            if name != opaque && !xattr::belongs_to_layer(name) {
                continue;
            }
            match fs::fgetxattr(fd, name, &mut self.value[..]) {
                Ok(length) if name == opaque => is_opaque = &self.value[..length] == b"y",
                Ok(length) => xattrs.push((name.to_vec(), self.value[..length].to_vec())),
                Err(Errno::NODATA) => return Err(WalkError::Changed { path: to_path(&self.path) }),
                Err(error) => return Err(self.failed(error)),
            }
        }
        xattrs.sort();
        Ok((xattrs, is_opaque))
    }

    fn failed(&self, error: Errno) -> WalkError {
        match error {
            Errno::STALE | Errno::NOENT => WalkError::Changed { path: to_path(&self.path) },
            error => WalkError::read(&self.path, error),
        }
    }
}

enum Looked {
    Directory(OwnedFd),
    Other(Stat, FoundKind),
}

/// The names in a directory, in the order of a layer. A whiteout must be known before anything is told, and only a
/// character device can be one: no other name costs a `stat` here.
fn read_names(dir: BorrowedFd<'_>) -> Result<(Vec<u8>, Vec<Name>), Errno> {
    let mut buffer = [const { MaybeUninit::uninit() }; 32 << 10];
    let mut entries = RawDir::new(dir, &mut buffer);
    let (mut text, mut names) = (Vec::new(), Vec::new());
    while let Some(entry) = entries.next() {
        let entry = entry?;
        let name = entry.file_name();
        if matches!(name.to_bytes(), b"." | b"..") {
            continue;
        }
        let mut file_type = entry.file_type();
        let mut whiteout = false;
        if matches!(file_type, FileType::CharacterDevice | FileType::Unknown) {
            let stat = fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW)?;
            file_type = FileType::from_raw_mode(stat.st_mode);
            whiteout = file_type == FileType::CharacterDevice && stat.st_rdev == 0;
        }
        names.push(Name { start: text.len(), length: name.to_bytes().len(), whiteout, file_type });
        text.extend_from_slice(name.to_bytes_with_nul());
    }
    let bytes = |name: &Name| &text[name.start..name.start + name.length];
    names.sort_unstable_by(|a, b| b.whiteout.cmp(&a.whiteout).then_with(|| bytes(a).cmp(bytes(b))));
    Ok((text, names))
}

/// A path made of bytes.
pub(super) fn to_path(bytes: &[u8]) -> PathBuf {
    PathBuf::from(OsString::from_vec(bytes.to_vec()))
}
