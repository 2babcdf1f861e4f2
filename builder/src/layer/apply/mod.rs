//! A tar stream becomes a layer directory.
//!
//! The archive is not trusted. Everything happens through directory descriptors below the target; a symbolic link in the
//! middle of a name is followed by the kernel with the target as root, as containerd and Docker follow it, and the last
//! component is never followed. Each layer is unpacked on its own, without looking at the layers below it.
//!
//! | in the archive | in the directory |
//! | --- | --- |
//! | `.wh.name` | character device 0:0, unless the layer has `name` itself; a directory of that name becomes opaque |
//! | `.wh..wh..opq` | the opaque xattr on the directory it stands in |
//! | other names that begin with `.wh..wh.` | nothing: aufs' book-keeping |
//! | a directory nobody mentions but things are in it | 0755, owned by root, from 1970 |
//! | the same name twice | the last one; a directory twice is one directory |
//! | absolute names | relative to the target |
//! | `..` in a name, a character device 0:0 | refused |

mod attributes;
mod error;
mod place;
#[cfg(test)]
mod tests;

pub use error::ApplyError;

use super::archive::{Entry, EntryKind, Extent, Reader, Timestamp};
use super::walk::to_path;
use super::whiteout::{Mark, mark};
use super::xattr;
use crate::rootfs::XattrFlavor;
use place::{Name, Target};
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags};
use rustix::io::Errno;
use std::collections::{BTreeMap, HashSet};
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::rc::Rc;

/// What an archive may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApplyLimits {
    /// Entries, marks and directories nobody mentions included.
    pub entries: u64,
    /// Bytes of the uncompressed stream, and bytes of all files, holes included: each of both.
    pub bytes: u64,
}

impl Default for ApplyLimits {
    /// Ten million entries and one TiB: more than any image has, less than fills a disk with one small blob of nothing.
    fn default() -> Self {
        Self { entries: 10_000_000, bytes: 1 << 40 }
    }
}

/// How a layer is unpacked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ApplyOptions {
    /// What the archive may cost.
    pub limits: ApplyLimits,
    /// Leave the owner as it is where the kernel does not let us set it (a user namespace with one id).
    pub ignore_chown: bool,
    /// Leave out devices where the kernel does not let us make them (any user namespace), as containerd does.
    pub skip_denied_devices: bool,
}

/// What was unpacked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApplyStats {
    /// Entries of the archive.
    pub entries: u64,
    /// Bytes of all files, holes included.
    pub file_bytes: u64,
    /// Bytes of the stream, all of it.
    pub bytes: u64,
    /// Whiteouts made.
    pub whiteouts: u64,
    /// Directories marked opaque by `.wh..wh..opq`.
    pub opaques: u64,
    /// The top of the layer is opaque: it hides every layer below. overlayfs does not look at that mark on the root of a
    /// layer, so whoever mounts must leave the lower layers out.
    pub opaque_root: bool,
    /// Files whose owner could not be set.
    pub chown_ignored: u64,
    /// Devices left out.
    pub devices_skipped: u64,
    /// Xattrs left out: not part of a layer, or not possible on this file system.
    pub xattrs_skipped: u64,
    /// Entries of aufs' book-keeping.
    pub marks_ignored: u64,
    /// Directories that no entry mentions. In an image they take the place of a lower layer's directory, and with it of
    /// its mode and owner; whoever stacks the layers may want to copy those up.
    pub implied_directories: Vec<PathBuf>,
}

/// Unpacks the uncompressed archive `tar` into the empty directory `into`, in overlayfs form.
///
/// The stream is read to its last byte, padding included: hash what passes, and it is the DiffID.
///
/// # Errors
/// When the archive is damaged, hostile or over the limits, or when the kernel refuses. `into` is then half-written:
/// discard it.
pub fn apply(
    tar: &mut dyn Read,
    into: &Path,
    flavor: XattrFlavor,
    options: &ApplyOptions,
) -> Result<ApplyStats, ApplyError> {
    let mut applier = Applier {
        target: Target::open(into)?,
        flavor,
        options,
        stats: ApplyStats::default(),
        directories: BTreeMap::new(),
        whiteouts: HashSet::new(),
        made: 0,
    };
    let implied = Directory { mode: 0o755, mtime: Timestamp::default(), implied: true };
    applier.directories.insert(Vec::new(), implied);
    let mut reader = Reader::new(tar, options.limits.bytes);
    while let Some(entry) = reader.next()? {
        applier.stats.entries += 1;
        applier.count_made()?;
        applier.add(entry, &mut reader)?;
    }
    applier.stats.bytes = reader.offset();
    applier.finish()
}

/// What a directory gets when everything is in it: until then it must be writable, and its time changes.
struct Directory {
    mode: u32,
    mtime: Timestamp,
    /// No entry mentions it.
    implied: bool,
}

struct Applier<'a> {
    target: Target,
    flavor: XattrFlavor,
    options: &'a ApplyOptions,
    stats: ApplyStats,
    directories: BTreeMap<Vec<u8>, Directory>,
    /// Names removed from lower layers.
    whiteouts: HashSet<Vec<u8>>,
    made: u64,
}

impl Applier<'_> {
    fn add(&mut self, entry: Entry, reader: &mut Reader<'_>) -> Result<(), ApplyError> {
        let name = Name::parse(&entry.name)?;
        let Some(last) = name.last() else {
            if entry.kind != EntryKind::Directory {
                return Err(ApplyError::Name {
                    name: to_path(&entry.name),
                    reason: "the root is a directory",
                });
            }
            return self.directory(&name, &entry);
        };
        for component in name.parents() {
            match mark(component) {
                Mark::None => {}
                Mark::Ignored => {
                    self.stats.marks_ignored += 1;
                    return Ok(());
                }
                Mark::Whiteout(_) | Mark::Opaque | Mark::Invalid => {
                    return Err(ApplyError::Name {
                        name: to_path(&entry.name),
                        reason: "a whiteout is not a directory",
                    });
                }
            }
        }
        match mark(last) {
            Mark::None => {}
            Mark::Ignored => {
                self.stats.marks_ignored += 1;
                return Ok(());
            }
            Mark::Invalid => {
                return Err(ApplyError::Name {
                    name: to_path(&entry.name),
                    reason: "it is a whiteout of nothing",
                });
            }
            Mark::Opaque => return self.opaque(&name.parent()),
            Mark::Whiteout(removed) => return self.whiteout(&name.parent().join(removed)),
        }
        match entry.kind {
            EntryKind::Directory => self.directory(&name, &entry),
            EntryKind::File => self.file(&name, last, &entry, reader),
            EntryKind::HardLink => self.hard_link(&name, last, &entry),
            EntryKind::Symlink => self.symlink(&name, last, &entry),
            EntryKind::CharDevice | EntryKind::BlockDevice => self.device(&name, last, &entry),
            EntryKind::Fifo => {
                let dir = self.parent(&name)?;
                self.replacing(&name, last, &dir, |dir| {
                    fs::mknodat(dir, last, FileType::Fifo, Mode::from_raw_mode(0o600), 0)
                })?;
                self.attributes_at(&dir, &name, last, &entry)
            }
        }
    }

    fn directory(&mut self, name: &Name<'_>, entry: &Entry) -> Result<(), ApplyError> {
        let fd = match name.last() {
            None => self.target.root(),
            Some(last) => {
                let parent = self.parent(name)?;
                let exists = fs::statat(&parent, last, AtFlags::SYMLINK_NOFOLLOW)
                    .is_ok_and(|stat| FileType::from_raw_mode(stat.st_mode) == FileType::Directory);
                if exists {
                    let fd = place::open_directory(&parent, last).map_err(|e| ApplyError::make(name, e))?;
                    attributes::clear_xattrs(fd.as_fd()).map_err(|e| ApplyError::make(name, e))?;
                    Rc::new(fd)
                } else {
                    self.replacing(name, last, &parent, |dir| fs::mkdirat(dir, last, Mode::RWXU))?;
                    Rc::new(self.new_directory(&parent, name, last)?)
                }
            }
        };
        self.chown(fd.as_fd(), name, entry.uid, entry.gid)?;
        let writable = Mode::from_raw_mode(entry.mode) | Mode::RWXU;
        fs::fchmod(&fd, writable).map_err(|e| ApplyError::make(name, e))?;
        self.set_xattrs(fd.as_fd(), name, entry)?;
        let directory = Directory { mode: entry.mode, mtime: entry.mtime, implied: false };
        self.directories.insert(name.to_bytes(), directory);
        Ok(())
    }

    /// Opens a directory just made, and hides with it what a whiteout of the same name removed.
    fn new_directory(
        &mut self,
        parent: &OwnedFd,
        name: &Name<'_>,
        last: &[u8],
    ) -> Result<OwnedFd, ApplyError> {
        let fd = place::open_directory(parent, last).map_err(|e| ApplyError::make(name, e))?;
        if self.whiteouts.contains(&name.to_bytes()) {
            self.set_opaque(fd.as_fd(), name)?;
        }
        Ok(fd)
    }

    fn file(
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

    fn hard_link(&mut self, name: &Name<'_>, last: &[u8], entry: &Entry) -> Result<(), ApplyError> {
        let target = Name::parse(&entry.link)?;
        let missing = || ApplyError::LinkTarget { name: name.to_path(), target: to_path(&entry.link) };
        let file = target.last().ok_or_else(missing)?;
        // A whiteout is no file: a link to one would remove something else from lower layers.
        let target_dir = self.target.existing(&target.parent()).map_err(|_| missing())?;
        let stat = fs::statat(&target_dir, file, AtFlags::SYMLINK_NOFOLLOW).map_err(|_| missing())?;
        let file_type = FileType::from_raw_mode(stat.st_mode);
        let is_whiteout = file_type == FileType::CharacterDevice && stat.st_rdev == 0;
        if file_type == FileType::Directory || is_whiteout {
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

    fn symlink(&mut self, name: &Name<'_>, last: &[u8], entry: &Entry) -> Result<(), ApplyError> {
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

    fn device(&mut self, name: &Name<'_>, last: &[u8], entry: &Entry) -> Result<(), ApplyError> {
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

    fn opaque(&mut self, name: &Name<'_>) -> Result<(), ApplyError> {
        self.stats.opaques += 1;
        self.stats.opaque_root |= name.last().is_none();
        let fd = self.at(name)?;
        self.set_opaque(fd.as_fd(), name)
    }

    fn set_opaque(&self, fd: BorrowedFd<'_>, name: &Name<'_>) -> Result<(), ApplyError> {
        fs::fsetxattr(fd, xattr::opaque(self.flavor), b"y", fs::XattrFlags::empty())
            .map_err(|e| ApplyError::Opaque { name: name.to_path(), source: e.into() })
    }

    /// Removes a name from lower layers. What this layer has under that name stays, before or after the whiteout.
    fn whiteout(&mut self, name: &Name<'_>) -> Result<(), ApplyError> {
        let Some(last) = name.last() else { return Ok(()) };
        self.whiteouts.insert(name.to_bytes());
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
                self.forget(name);
                make(dir.as_fd())
            }
            other => other,
        };
        made.map_err(|e| ApplyError::make(name, e))
    }

    /// Forgets the directories at and below a name that was removed.
    fn forget(&mut self, name: &Name<'_>) {
        let name = name.to_bytes();
        self.directories.remove(&name);
        let below = [&name, &b"/"[..]].concat();
        let mut gone = self.directories.split_off(&below);
        let past = [&name, &b"0"[..]].concat(); // '0' is the byte after '/'.
        self.directories.append(&mut gone.split_off(&past));
    }

    /// The directory a name stands in, made with its own parents where nobody made it.
    fn parent(&mut self, name: &Name<'_>) -> Result<Rc<OwnedFd>, ApplyError> {
        self.at(&name.parent())
    }

    /// A directory, made with its parents where nobody made it.
    fn at(&mut self, name: &Name<'_>) -> Result<Rc<OwnedFd>, ApplyError> {
        loop {
            match self.target.directory(name)? {
                place::Looked::Found(fd) => return Ok(fd),
                place::Looked::Missing { parent, depth } => {
                    let missing = name.prefix(depth);
                    let Some(last) = missing.last() else { continue };
                    self.count_made()?;
                    self.replacing(&missing, last, &parent, |dir| fs::mkdirat(dir, last, Mode::RWXU))?;
                    let fd = self.new_directory(&parent, &missing, last)?;
                    // A parent with the setgid bit would pass on its group.
                    self.chown(fd.as_fd(), &missing, 0, 0)?;
                    let implied = Directory { mode: 0o755, mtime: Timestamp::default(), implied: true };
                    self.directories.insert(missing.to_bytes(), implied);
                }
            }
        }
    }

    /// Counts something made, against the limit.
    fn count_made(&mut self) -> Result<(), ApplyError> {
        self.made += 1;
        if self.made > self.options.limits.entries {
            return Err(ApplyError::TooManyEntries { limit: self.options.limits.entries });
        }
        Ok(())
    }

    /// Gives directories their modes and times, the deepest first: a mode may forbid going into it.
    fn finish(mut self) -> Result<ApplyStats, ApplyError> {
        for (path, directory) in std::mem::take(&mut self.directories).iter().rev() {
            let name = Name::parse(path)?;
            let failed = |error: Errno| ApplyError::make(&name, error);
            // A symbolic link on the way may have changed its target since.
            let Ok(fd) = self.target.existing(&name) else { continue };
            if directory.implied || directory.mode & 0o700 != 0o700 {
                fs::fchmod(&fd, Mode::from_raw_mode(directory.mode)).map_err(failed)?;
            }
            fs::futimens(&fd, &attributes::times(directory.mtime)).map_err(failed)?;
            if directory.implied && !path.is_empty() {
                self.stats.implied_directories.push(to_path(path));
            }
        }
        self.stats.implied_directories.reverse();
        Ok(self.stats)
    }
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
