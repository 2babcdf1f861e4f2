//! Making the things a layer holds.

use super::super::archive::{Entry, EntryKind, Extent, Reader, Timestamp};
use super::super::walk::to_path;
use super::directories::Attributes;
use super::place::{self, Looked, Name};
use super::{Applier, ApplyError, attributes};
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::rc::Rc;

impl Applier<'_> {
    pub(super) fn directory(&mut self, name: &Name<'_>, entry: &Entry) -> Result<(), ApplyError> {
        let fd = match name.last() {
            None => self.target.root(),
            Some(last) => {
                let parent = self.parent(name)?;
                Rc::new(self.make_directory(&parent, name, last)?)
            }
        };
        self.chown(fd.as_fd(), name, entry.uid, entry.gid)?;
        let writable = Mode::from_raw_mode(entry.mode) | Mode::RWXU;
        fs::fchmod(&fd, writable).map_err(|e| ApplyError::make(name, e))?;
        self.set_xattrs(fd.as_fd(), name, entry)?;
        self.directories.set(name, Attributes { mode: entry.mode, mtime: entry.mtime, implied: false });
        Ok(())
    }

    /// Makes a directory, or takes the one that is there. One that takes the place of a whiteout hides what the whiteout
    /// removed.
    fn make_directory(
        &mut self,
        parent: &OwnedFd,
        name: &Name<'_>,
        last: &[u8],
    ) -> Result<OwnedFd, ApplyError> {
        let failed = |error: Errno| ApplyError::make(name, error);
        let make = || match fs::mkdirat(parent, last, Mode::RWXU) {
            Ok(()) => place::open_directory(parent, last),
            Err(error) => Err(error),
        };
        match make() {
            Err(Errno::EXIST) => {}
            other => return other.map_err(failed),
        }
        let there = fs::statat(parent, last, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
        if FileType::from_raw_mode(there.st_mode) == FileType::Directory {
            let fd = place::open_directory(parent, last).map_err(failed)?;
            attributes::clear_xattrs(fd.as_fd()).map_err(failed)?;
            return Ok(fd);
        }
        self.target.remove(parent, last).map_err(failed)?;
        let fd = make().map_err(failed)?;
        if is_whiteout(&there) {
            self.set_opaque(fd.as_fd(), name)?;
        }
        Ok(fd)
    }

    pub(super) fn file(
        &mut self,
        name: &Name<'_>,
        last: &[u8],
        entry: &Entry,
        reader: &mut Reader<'_>,
    ) -> Result<(), ApplyError> {
        self.stats.file_bytes = self.stats.file_bytes.saturating_add(entry.size);
        if self.stats.file_bytes > self.options.limits.bytes {
            return Err(ApplyError::TooManyBytes { limit: self.options.limits.bytes });
        }
        let dir = self.parent(name)?;
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let mode = Mode::RUSR | Mode::WUSR;
        let fd = self.replacing(name, last, &dir, |dir| fs::openat(dir, last, flags, mode))?;
        let failed = |error: Errno| ApplyError::make(name, error);
        match &entry.extents {
            None => {
                while let Some(bytes) = reader.chunk()? {
                    write_all(&fd, bytes, None).map_err(failed)?;
                }
            }
            Some(extents) => {
                // The data are as long as the extents together: that was checked when the map was read.
                let mut extents = extents.iter().copied();
                let mut extent = Extent { offset: 0, length: 0 };
                while let Some(mut bytes) = reader.chunk()? {
                    while !bytes.is_empty() {
                        if extent.length == 0 {
                            let Some(next) = extents.next() else { break };
                            extent = next;
                            continue;
                        }
                        let length = usize::try_from(extent.length).unwrap_or(usize::MAX).min(bytes.len());
                        write_all(&fd, &bytes[..length], Some(extent.offset)).map_err(failed)?;
                        extent.offset += length as u64;
                        extent.length -= length as u64;
                        bytes = &bytes[length..];
                    }
                }
                fs::ftruncate(&fd, entry.size).map_err(failed)?;
            }
        }
        self.attributes(fd.as_fd(), name, entry)
    }

    pub(super) fn hard_link(
        &mut self,
        name: &Name<'_>,
        last: &[u8],
        entry: &Entry,
    ) -> Result<(), ApplyError> {
        let target = Name::parse(&entry.link)?;
        let missing = || ApplyError::LinkTarget { name: name.to_path(), target: to_path(&entry.link) };
        let file = target.last().ok_or_else(missing)?;
        // A whiteout is no file: a link to one would remove something else from lower layers.
        let target_dir = self.target.existing(&target.parent()).map_err(|_| missing())?;
        let stat = fs::statat(&target_dir, file, AtFlags::SYMLINK_NOFOLLOW).map_err(|_| missing())?;
        if FileType::from_raw_mode(stat.st_mode) == FileType::Directory || is_whiteout(&stat) {
            return Err(missing());
        }
        let dir = self.parent(name)?;
        let same = fs::statat(&dir, last, AtFlags::SYMLINK_NOFOLLOW)
            .is_ok_and(|there| (there.st_dev, there.st_ino) == (stat.st_dev, stat.st_ino));
        if same {
            return Ok(()); // A link to itself: making room for it would remove the file.
        }
        self.replacing(name, last, &dir, |dir| fs::linkat(&target_dir, file, dir, last, AtFlags::empty()))
    }

    pub(super) fn symlink(&mut self, name: &Name<'_>, last: &[u8], entry: &Entry) -> Result<(), ApplyError> {
        if entry.link.is_empty() {
            return Err(ApplyError::Name {
                name: name.to_path(),
                reason: "it is a symbolic link to nothing",
            });
        }
        let dir = self.parent(name)?;
        self.replacing(name, last, &dir, |dir| fs::symlinkat(entry.link.as_slice(), dir, last))?;
        self.attributes_at(&dir, name, last, entry)
    }

    pub(super) fn fifo(&mut self, name: &Name<'_>, last: &[u8], entry: &Entry) -> Result<(), ApplyError> {
        let dir = self.parent(name)?;
        self.replacing(name, last, &dir, |dir| {
            fs::mknodat(dir, last, FileType::Fifo, Mode::from_raw_mode(0o600), 0)
        })?;
        self.attributes_at(&dir, name, last, entry)
    }

    pub(super) fn device(&mut self, name: &Name<'_>, last: &[u8], entry: &Entry) -> Result<(), ApplyError> {
        let numbers = (u32::try_from(entry.device.0), u32::try_from(entry.device.1));
        let (file_type, device) = match (entry.kind, numbers) {
            (EntryKind::CharDevice, (Ok(0), Ok(0))) => {
                return Err(ApplyError::WhiteoutDevice { name: name.to_path() });
            }
            // Linux has twelve bits for the major and twenty for the minor number.
            (kind, (Ok(major), Ok(minor))) if major < 1 << 12 && minor < 1 << 20 => {
                let block = kind == EntryKind::BlockDevice;
                let file_type = if block { FileType::BlockDevice } else { FileType::CharacterDevice };
                (file_type, fs::makedev(major, minor))
            }
            _ => {
                return Err(ApplyError::Name {
                    name: name.to_path(),
                    reason: "its device number is too large",
                });
            }
        };
        let dir = self.parent(name)?;
        let made = self.replacing(name, last, &dir, |dir| {
            match fs::mknodat(dir, last, file_type, Mode::from_raw_mode(0o600), device) {
                Err(Errno::PERM) => Ok(false),
                other => other.map(|()| true),
            }
        })?;
        if made {
            self.attributes_at(&dir, name, last, entry)
        } else if self.options.skip_denied_devices {
            self.stats.devices_skipped += 1;
            Ok(())
        } else {
            Err(ApplyError::Device { name: name.to_path() })
        }
    }

    pub(super) fn opaque(&mut self, name: &Name<'_>) -> Result<(), ApplyError> {
        self.stats.opaques += 1;
        self.stats.opaque_root |= name.last().is_none();
        let fd = self.at(name)?;
        self.set_opaque(fd.as_fd(), name)
    }

    fn set_opaque(&self, fd: BorrowedFd<'_>, name: &Name<'_>) -> Result<(), ApplyError> {
        fs::fsetxattr(fd, self.flavor.opaque(), b"y", fs::XattrFlags::empty())
            .map_err(|e| ApplyError::Opaque { name: name.to_path(), source: e.into() })
    }

    /// Removes a name from lower layers. What this layer has under that name stays, before or after the whiteout.
    pub(super) fn whiteout(&mut self, name: &Name<'_>) -> Result<(), ApplyError> {
        let Some(last) = name.last() else { return Ok(()) };
        let dir = self.parent(name)?;
        let failed = |error: Errno| ApplyError::make(name, error);
        match fs::mknodat(&dir, last, FileType::CharacterDevice, Mode::empty(), 0) {
            Ok(()) => {
                self.stats.whiteouts += 1;
                let time = Timestamp::default();
                attributes::set_times_at(&dir, last, time).map_err(failed)
            }
            Err(Errno::EXIST) => {
                let stat = fs::statat(&dir, last, AtFlags::SYMLINK_NOFOLLOW).map_err(failed)?;
                if FileType::from_raw_mode(stat.st_mode) != FileType::Directory {
                    return Ok(());
                }
                let fd = place::open_directory(&dir, last).map_err(failed)?;
                self.set_opaque(fd.as_fd(), name)
            }
            Err(source) => Err(ApplyError::Whiteout { name: name.to_path(), source: source.into() }),
        }
    }

    /// Makes something new at a name, after removing what stands there.
    fn replacing<T>(
        &mut self,
        name: &Name<'_>,
        last: &[u8],
        dir: &OwnedFd,
        mut make: impl FnMut(BorrowedFd<'_>) -> Result<T, Errno>,
    ) -> Result<T, ApplyError> {
        let made = match make(dir.as_fd()) {
            Err(Errno::EXIST) => {
                self.target.remove(dir, last).map_err(|e| ApplyError::make(name, e))?;
                self.directories.forget(name);
                make(dir.as_fd())
            }
            other => other,
        };
        made.map_err(|e| ApplyError::make(name, e))
    }

    /// The directory a name stands in, made with its own parents where nobody made it.
    fn parent(&mut self, name: &Name<'_>) -> Result<Rc<OwnedFd>, ApplyError> {
        self.at(&name.parent())
    }

    /// A directory, made with its parents where nobody made it.
    fn at(&mut self, name: &Name<'_>) -> Result<Rc<OwnedFd>, ApplyError> {
        loop {
            match self.target.directory(name)? {
                Looked::Found(fd) => return Ok(fd),
                Looked::Missing { parent, depth } => {
                    let missing = name.prefix(depth);
                    let Some(last) = missing.last() else { continue };
                    self.count_made()?;
                    let fd = self.make_directory(&parent, &missing, last)?;
                    // A parent with the setgid bit would pass on its group.
                    self.chown(fd.as_fd(), &missing, 0, 0)?;
                    self.directories.set(&missing, Attributes::IMPLIED);
                }
            }
        }
    }
}

/// What overlayfs takes for a removed name.
pub(super) fn is_whiteout(stat: &Stat) -> bool {
    FileType::from_raw_mode(stat.st_mode) == FileType::CharacterDevice && stat.st_rdev == 0
}

/// Writes all bytes, at an offset or where the file stands.
fn write_all(fd: &OwnedFd, mut bytes: &[u8], mut at: Option<u64>) -> Result<(), Errno> {
    while !bytes.is_empty() {
        let written = match at {
            None => rustix::io::write(fd, bytes),
            Some(at) => rustix::io::pwrite(fd, bytes, at),
        };
        match written {
            Ok(0) => return Err(Errno::IO),
            Ok(length) => {
                bytes = &bytes[length..];
                at = at.map(|at| at + length as u64);
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
