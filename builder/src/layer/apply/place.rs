//! Names of an archive, and where they lead in the target directory.

use super::super::walk::to_path;
use super::ApplyError;
use crate::rootfs::Root;
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// A name of an archive, relative to the target, without `.` and `..`.
#[derive(Clone, Debug)]
pub(super) struct Name<'a>(Vec<&'a [u8]>);

/// Longer names are refused. The kernel takes 4 KiB at once; a tree made step by step can have longer ones.
const MAX_NAME: usize = 32 << 10;

impl<'a> Name<'a> {
    /// Reads a name. Absolute ones are taken relative to the target; `..` is refused wherever it stands.
    pub(super) fn parse(bytes: &'a [u8]) -> Result<Self, ApplyError> {
        if bytes.len() > MAX_NAME {
            return Err(ApplyError::Name {
                name: to_path(&bytes[..64]),
                reason: "the name, of which this is the beginning, is longer than 32 KiB",
            });
        }
        let components: Vec<_> =
            bytes.split(|b| *b == b'/').filter(|c| !c.is_empty() && *c != b".").collect();
        if components.contains(&&b".."[..]) {
            return Err(ApplyError::Name { name: to_path(bytes), reason: "a layer has no .. in its names" });
        }
        Ok(Self(components))
    }

    /// A name whose components were checked before.
    pub(super) fn from_components(components: Vec<&'a [u8]>) -> Self {
        Self(components)
    }

    /// All components.
    pub(super) fn components(&self) -> &[&'a [u8]] {
        &self.0
    }

    /// The last component; `None` for the target itself.
    pub(super) fn last(&self) -> Option<&'a [u8]> {
        self.0.last().copied()
    }

    /// The components before the last one.
    pub(super) fn parents(&self) -> &[&'a [u8]] {
        self.0.split_last().map_or(&[], |(_, parents)| parents)
    }

    /// The directory it stands in; that of the target is itself.
    pub(super) fn parent(&self) -> Self {
        Self(self.parents().to_vec())
    }

    /// Its first components.
    pub(super) fn prefix(&self, components: usize) -> Self {
        Self(self.0[..components.min(self.0.len())].to_vec())
    }

    /// Something in this directory.
    pub(super) fn join(mut self, component: &'a [u8]) -> Self {
        self.0.push(component);
        self
    }

    /// With slashes between the components.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        self.0.join(&b'/')
    }

    pub(super) fn to_path(&self) -> PathBuf {
        to_path(&self.to_bytes())
    }
}

/// Of the name looked up last, the first directories are kept open, and further down every so many. A tar goes through
/// directories in order, so the next name mostly begins like the last one; and a name of 2000 components must not cost
/// 2000 look-ups each time it is met, nor hold 2000 descriptors.
fn keeps_open(depth: usize) -> bool {
    depth <= 64 || depth.is_multiple_of(32)
}

/// The directory that is unpacked into.
pub(super) struct Target {
    root: Root,
    top: Rc<OwnedFd>,
    /// The components of the name looked up last, with the directories that were kept open.
    open: Vec<(Vec<u8>, Option<Rc<OwnedFd>>)>,
}

/// What a look-up finds.
pub(super) enum Looked {
    /// The directory, open.
    Found(Rc<OwnedFd>),
    /// The first `depth - 1` components lead to `parent`, which has no directory named as component `depth`.
    Missing { parent: Rc<OwnedFd>, depth: usize },
}

impl Target {
    pub(super) fn open(path: &Path) -> Result<Self, ApplyError> {
        let failed = |source: io::Error| ApplyError::Target { path: path.to_owned(), source };
        let root = Root::open(path).map_err(failed)?;
        let top = fs::openat(&root, c".", DIRECTORY, Mode::empty()).map_err(|e| failed(e.into()))?;
        Ok(Self { root, top: Rc::new(top), open: Vec::new() })
    }

    /// The target itself.
    pub(super) fn root(&self) -> Rc<OwnedFd> {
        Rc::clone(&self.top)
    }

    /// Looks up a directory. Symbolic links in its name are followed inside the target.
    pub(super) fn directory(&mut self, name: &Name<'_>) -> Result<Looked, ApplyError> {
        let known = self.open.iter().zip(&name.0).take_while(|((open, _), want)| open == *want).count();
        let deepest = self.open[..known].iter().rposition(|(_, fd)| fd.is_some()).map_or(0, |at| at + 1);
        self.open.truncate(deepest);
        let kept = self.open.last().and_then(|(_, fd)| fd.clone());
        let mut current = kept.unwrap_or_else(|| self.root());
        for depth in deepest + 1..=name.0.len() {
            let component = name.0[depth - 1];
            let fd = match open_directory(&current, component) {
                Ok(fd) => fd,
                Err(Errno::NOENT) => return Ok(Looked::Missing { parent: current, depth }),
                Err(Errno::NOTDIR | Errno::LOOP) => {
                    let stat = fs::statat(&current, component, AtFlags::SYMLINK_NOFOLLOW)
                        .map_err(|e| ApplyError::make(name, e))?;
                    match FileType::from_raw_mode(stat.st_mode) {
                        FileType::Symlink => self.follow(name, depth)?,
                        // A whiteout makes way for what this layer has.
                        FileType::CharacterDevice if stat.st_rdev == 0 => {
                            return Ok(Looked::Missing { parent: current, depth });
                        }
                        _ => {
                            return Err(ApplyError::NotADirectory {
                                name: name.to_path(),
                                parent: name.prefix(depth).to_path(),
                            });
                        }
                    }
                }
                Err(error) => return Err(ApplyError::make(name, error)),
            };
            current = Rc::new(fd);
            let kept = (keeps_open(depth) || depth == name.0.len()).then(|| Rc::clone(&current));
            self.open.push((component.to_vec(), kept));
        }
        Ok(Looked::Found(current))
    }

    /// A directory that must be there.
    pub(super) fn existing(&mut self, name: &Name<'_>) -> Result<Rc<OwnedFd>, ApplyError> {
        match self.directory(name)? {
            Looked::Found(fd) => Ok(fd),
            Looked::Missing { .. } => Err(ApplyError::make(name, Errno::NOENT)),
        }
    }

    /// A directory reached through a symbolic link: the kernel follows it with the target as root.
    fn follow(&self, name: &Name<'_>, depth: usize) -> Result<OwnedFd, ApplyError> {
        let prefix = name.prefix(depth).to_path();
        let flags = OFlags::RDONLY | OFlags::DIRECTORY;
        self.root.open_at(&prefix, flags, Mode::empty()).map_err(|error| match error.raw_os_error() {
            Some(libc::ENOENT | libc::ENOTDIR | libc::ELOOP) => {
                ApplyError::NotADirectory { name: name.to_path(), parent: prefix }
            }
            _ => ApplyError::make(name, error),
        })
    }

    /// Removes what stands at a name in an open directory, with all that is in it.
    pub(super) fn remove(&mut self, dir: &OwnedFd, last: &[u8]) -> Result<(), Errno> {
        match fs::unlinkat(dir, last, AtFlags::empty()) {
            Err(Errno::ISDIR | Errno::PERM) => {}
            other => {
                self.open.clear(); // It may have been a link that a kept directory was reached through.
                return other;
            }
        }
        self.open.clear();
        remove_tree(dir, last)
    }
}

const DIRECTORY: OFlags =
    OFlags::RDONLY.union(OFlags::DIRECTORY).union(OFlags::NOFOLLOW).union(OFlags::CLOEXEC);

/// Opens a directory that is no link.
pub(super) fn open_directory(parent: &OwnedFd, name: &[u8]) -> Result<OwnedFd, Errno> {
    fs::openat(parent, name, DIRECTORY, Mode::empty())
}

/// Removes a directory with all that is in it.
///
/// A level of recursion holds two descriptors open, so the limit on open files ends it long before the stack does.
fn remove_tree(parent: &OwnedFd, name: &[u8]) -> Result<(), Errno> {
    let dir = open_directory(parent, name)?;
    fs::fchmod(&dir, Mode::RWXU)?;
    let mut names = Vec::new();
    for entry in fs::Dir::read_from(dir.as_fd())? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(entry.file_name().to_owned());
        }
    }
    for name in names {
        match fs::unlinkat(&dir, &name, AtFlags::empty()) {
            Err(Errno::ISDIR | Errno::PERM) => remove_tree(&dir, name.to_bytes())?,
            other => other?,
        }
    }
    fs::unlinkat(parent, name, AtFlags::REMOVEDIR)
}
