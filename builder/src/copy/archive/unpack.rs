//! Extracting an archive into a directory, as `tar -x` does it: what is there is merged with what comes, and on
//! conflicts the archive wins.
//!
//! The directory is the root of everything in the archive: links that lead through it are followed inside it, `..`
//! ends there, and no entry can reach anything else.

use crate::copy::content::write_all;
use crate::copy::destination::{c_name, kind_of, open_dir, remove, set_times};
use crate::copy::error::{CopyError, CopyWarning};
use crate::copy::meta::Metadata;
use crate::copy::path::{self, join, show};
use crate::copy::resolve::{self, Policy, Walk};
use crate::copy::spec::Times;
use crate::copy::xattr::Xattrs;
use crate::layer::archive::{ArchiveError, Entry, EntryKind, Reader};
use crate::layer::xattr::belongs_to_layer;
use crate::rootfs::Root;
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, SeekFrom, Timespec};
use rustix::io::Errno;
use std::ffi::{CStr, CString};
use std::io::Read;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// How to extract.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Options<'a> {
    /// The archive, for messages.
    pub archive: &'a str,
    /// Where the directory is in the image, for messages.
    pub path: &'a [u8],
    /// Owns everything; the archive's owners when absent.
    pub owner: Option<(u32, u32)>,
    pub times: Times,
}

/// What was extracted.
#[derive(Debug, Default)]
pub(crate) struct Unpacked {
    pub warnings: Vec<CopyWarning>,
    pub entries: u64,
    pub bytes: u64,
}

/// Extracts the tar stream `stream` into `root`. After an error the directory is half-written.
pub(crate) fn unpack(
    stream: &mut dyn Read,
    root: &Root,
    options: Options<'_>,
) -> Result<Unpacked, CopyError> {
    let mut reader = Reader::new(stream, u64::MAX);
    let mut unpacker =
        Unpacker { root, options, parent: None, directories: Vec::new(), done: Unpacked::default() };
    loop {
        match reader.next() {
            Ok(Some(entry)) => unpacker.entry(&entry, &mut reader)?,
            Ok(None) => return unpacker.finish(),
            Err(error) => return Err(damaged(&options, &error)),
        }
    }
}

/// The archive cannot be read.
fn damaged(options: &Options<'_>, error: &ArchiveError) -> CopyError {
    let reason = match std::error::Error::source(error) {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    };
    CopyError::Archive { archive: options.archive.to_owned(), reason }
}

struct Unpacker<'a> {
    root: &'a Root,
    options: Options<'a>,
    /// The directory of the last entry: the next one is usually in it too. Forgotten when anything is removed.
    parent: Option<(Vec<u8>, OwnedFd)>,
    /// Directories of the archive and their times, set when all is written.
    directories: Vec<(Vec<u8>, Timespec)>,
    done: Unpacked,
}

/// Makes missing directories: archives need not have entries for them.
struct Implied<'a> {
    options: &'a Options<'a>,
}

impl Policy for Implied<'_> {
    fn missing(&mut self, parent: BorrowedFd<'_>, _: &[u8], name: &[u8]) -> Result<bool, Errno> {
        implied_directory(parent, &c_name(name), self.options)?;
        Ok(true)
    }
}

fn implied_directory(parent: BorrowedFd<'_>, name: &CString, options: &Options<'_>) -> Result<(), Errno> {
    fs::mkdirat(parent, name, Mode::RWXU)?;
    let metadata =
        Metadata { owner: options.owner.unwrap_or((0, 0)), mode: 0o755, mtime: options.times.of_made() };
    metadata.apply_at(parent, name, false)
}

/// An entry, checked.
struct Head<'e> {
    entry: &'e Entry,
    /// Relative to the destination, clean.
    path: Vec<u8>,
    name: CString,
    metadata: Metadata,
    attributes: Xattrs,
    mtime: Timespec,
}

impl Unpacker<'_> {
    fn entry(&mut self, entry: &Entry, reader: &mut Reader<'_>) -> Result<(), CopyError> {
        let Some(head) = self.head(entry)? else { return Ok(()) };
        let parent = self.parent_of(&head.path)?;
        self.make_room(parent.as_fd(), &head)?;
        self.done.entries += 1;
        match entry.kind {
            EntryKind::Directory => self.directory(parent.as_fd(), &head)?,
            EntryKind::File => self.file(parent.as_fd(), &head, reader)?,
            EntryKind::HardLink => self.hard_link(parent.as_fd(), &head)?,
            EntryKind::Symlink => {
                fs::symlinkat(c_name(&entry.link), parent.as_fd(), &head.name)
                    .map_err(|errno| self.write(&head, errno))?;
                self.apply_at(parent.as_fd(), &head, true)?;
            }
            EntryKind::Fifo => self.node(parent.as_fd(), &head, FileType::Fifo)?,
            EntryKind::CharDevice => self.node(parent.as_fd(), &head, FileType::CharacterDevice)?,
            EntryKind::BlockDevice => self.node(parent.as_fd(), &head, FileType::BlockDevice)?,
        }
        self.parent = Some((path_above(&head.path).to_vec(), parent));
        Ok(())
    }

    /// Checks what stands before the data. `None` for the root: the destination keeps its owner and mode.
    fn head<'e>(&self, entry: &'e Entry) -> Result<Option<Head<'e>>, CopyError> {
        let components = path::components(&entry.name);
        let Some(name) = components.last() else { return Ok(None) };
        let path = components.join(&b'/');
        for component in &components {
            crate::copy::entry::check_name(component, &path)?;
        }
        let id = |id: u64| u32::try_from(id).map_err(|_| self.bad(&path, "its owner is not a 32-bit number"));
        let owner = match self.options.owner {
            Some(owner) => owner,
            None => (id(entry.uid)?, id(entry.gid)?),
        };
        let mtime = Timespec { tv_sec: entry.mtime.seconds, tv_nsec: entry.mtime.nanoseconds.into() };
        let mtime = self.options.times.limit(mtime);
        let metadata = Metadata { owner, mode: entry.mode, mtime: Some(mtime) };
        let attributes = entry
            .xattrs
            .iter()
            .filter(|(name, _)| belongs_to_layer(name))
            .map(|(name, value)| (c_name(name), value.clone()))
            .collect();
        let name = c_name(name);
        Ok(Some(Head { entry, path, name, metadata, attributes, mtime }))
    }

    /// The directory of an entry, made where it is missing.
    fn parent_of(&mut self, path: &[u8]) -> Result<OwnedFd, CopyError> {
        let above = path_above(path);
        if let Some((known, fd)) = self.parent.take()
            && known == above
        {
            return Ok(fd);
        }
        let components = path::components(above);
        let mut policy = Implied { options: &self.options };
        let shown = |path: &[u8]| join(self.options.path, path);
        let walk = resolve::walk(self.root, &components, &mut policy).map_err(|error| match error.errno {
            Errno::NOTDIR => {
                CopyError::DestinationObstacle { destination: show(&shown(path)), at: shown(&error.path) }
            }
            errno => CopyError::metadata(&shown(&error.path), self.options.owner.unwrap_or((0, 0)), errno),
        })?;
        let write = |errno| CopyError::write(&shown(above), errno);
        let fd = match walk {
            Walk::Found(found) if found.is_dir() => found.fd,
            Walk::Found(found) => {
                return Err(CopyError::DestinationObstacle {
                    destination: show(&shown(path)),
                    at: shown(&found.path),
                });
            }
            Walk::Missing { parent, name } => {
                let name = c_name(&name);
                implied_directory(parent.fd.as_fd(), &name, &self.options).map_err(write)?;
                open_dir(parent.fd.as_fd(), &name).map_err(write)?
            }
        };
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        fs::openat(&fd, ".", flags, Mode::empty()).map_err(write)
    }

    /// Removes what is in the way. Directories are merged.
    fn make_room(&mut self, parent: BorrowedFd<'_>, head: &Head<'_>) -> Result<(), CopyError> {
        match kind_of(parent, &head.name).map_err(|errno| self.write(head, errno))? {
            None => Ok(()),
            Some(FileType::Directory) if head.entry.kind == EntryKind::Directory => Ok(()),
            Some(_) => remove(parent, &head.name, &self.shown(head)),
        }
    }

    fn directory(&mut self, parent: BorrowedFd<'_>, head: &Head<'_>) -> Result<(), CopyError> {
        match fs::mkdirat(parent, &head.name, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(self.write(head, errno)),
        }
        let fd = open_dir(parent, &head.name).map_err(|errno| self.write(head, errno))?;
        self.apply(&fd, head)?;
        self.directories.push((head.path.clone(), head.mtime));
        Ok(())
    }

    fn file(
        &mut self,
        parent: BorrowedFd<'_>,
        head: &Head<'_>,
        reader: &mut Reader<'_>,
    ) -> Result<(), CopyError> {
        let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let file = fs::openat(parent, &head.name, flags, Mode::RUSR | Mode::WUSR)
            .map_err(|errno| self.write(head, errno))?;
        match &head.entry.extents {
            None => self.data(&file, head, reader, u64::MAX, &mut Vec::new())?,
            Some(extents) => {
                // Holes stay holes. The reader checked that the pieces are in order and as long as the data.
                let mut left_over = Vec::new();
                for extent in extents {
                    fs::seek(&file, SeekFrom::Start(extent.offset))
                        .map_err(|errno| self.write(head, errno))?;
                    self.data(&file, head, reader, extent.length, &mut left_over)?;
                }
                fs::ftruncate(&file, head.entry.size).map_err(|errno| self.write(head, errno))?;
            }
        }
        self.done.bytes += head.entry.size;
        self.apply(&file, head)
    }

    /// Writes up to `length` bytes of the entry's data where the file stands; what was read beyond goes to `left_over`.
    fn data(
        &self,
        file: &OwnedFd,
        head: &Head<'_>,
        reader: &mut Reader<'_>,
        mut length: u64,
        left_over: &mut Vec<u8>,
    ) -> Result<(), CopyError> {
        let cut = |length: u64, bytes: &[u8]| bytes.len().min(usize::try_from(length).unwrap_or(usize::MAX));
        let old = std::mem::take(left_over);
        let now = cut(length, &old);
        write_all(file, &old[..now]).map_err(|errno| self.write(head, errno))?;
        length -= now as u64;
        left_over.extend_from_slice(&old[now..]);
        while length > 0 {
            let Some(chunk) = reader.chunk().map_err(|error| damaged(&self.options, &error))? else { break };
            let now = cut(length, chunk);
            write_all(file, &chunk[..now]).map_err(|errno| self.write(head, errno))?;
            length -= now as u64;
            left_over.extend_from_slice(&chunk[now..]);
        }
        Ok(())
    }

    fn hard_link(&self, parent: BorrowedFd<'_>, head: &Head<'_>) -> Result<(), CopyError> {
        let target = &head.entry.link;
        let components = path::components(target);
        let missing =
            || self.bad(&head.path, format_args!("a hard link to {}, which is not there", show(target)));
        let Some((name, above)) = components.split_last() else { return Err(missing()) };
        let walk = resolve::walk(self.root, above, &mut resolve::Plain).map_err(|_| missing())?;
        let Walk::Found(found) = walk else { return Err(missing()) };
        match fs::linkat(&found.fd, c_name(name), parent, &head.name, AtFlags::empty()) {
            Ok(()) => Ok(()),
            Err(Errno::NOENT | Errno::NOTDIR) => Err(missing()),
            Err(errno) => Err(self.write(head, errno)),
        }
    }

    fn node(&mut self, parent: BorrowedFd<'_>, head: &Head<'_>, kind: FileType) -> Result<(), CopyError> {
        let device = kind != FileType::Fifo;
        let part = |number: u64| {
            u32::try_from(number).map_err(|_| self.bad(&head.path, "its device number is too large"))
        };
        let number = match device {
            true => fs::makedev(part(head.entry.device.0)?, part(head.entry.device.1)?),
            false => 0,
        };
        if kind == FileType::CharacterDevice && number == 0 {
            return Err(CopyError::WhiteoutDevice { path: head.path.clone() });
        }
        match fs::mknodat(parent, &head.name, kind, Mode::RUSR | Mode::WUSR, number) {
            Ok(()) => self.apply_at(parent, head, false),
            Err(Errno::PERM) if device => {
                let path = show(&self.shown(head));
                self.done.warnings.push(CopyWarning::Device { path });
                Ok(())
            }
            Err(errno) => Err(self.write(head, errno)),
        }
    }

    fn apply(&mut self, fd: &OwnedFd, head: &Head<'_>) -> Result<(), CopyError> {
        let path = self.shown(head);
        let warnings = &mut self.done.warnings;
        let refused = |name: &CStr, errno| {
            crate::copy::entry::Worker::refused(warnings, &path, name, errno);
        };
        let result = head.metadata.apply(fd, &head.attributes, refused);
        result.map_err(|errno| CopyError::metadata(&path, head.metadata.owner, errno))
    }

    fn apply_at(&self, parent: BorrowedFd<'_>, head: &Head<'_>, link: bool) -> Result<(), CopyError> {
        let result = head.metadata.apply_at(parent, &head.name, link);
        result.map_err(|errno| CopyError::metadata(&self.shown(head), head.metadata.owner, errno))
    }

    /// Directories get their times last: writing into them changed them.
    fn finish(self) -> Result<Unpacked, CopyError> {
        for (path, time) in &self.directories {
            set_times(self.root, std::slice::from_ref(path), *time)?;
        }
        Ok(self.done)
    }

    fn shown(&self, head: &Head<'_>) -> Vec<u8> {
        join(self.options.path, &head.path)
    }

    fn write(&self, head: &Head<'_>, errno: Errno) -> CopyError {
        CopyError::write(&self.shown(head), errno)
    }

    fn bad(&self, path: &[u8], reason: impl std::fmt::Display) -> CopyError {
        let reason = format!("{}: {reason}", show(path));
        CopyError::Archive { archive: self.options.archive.to_owned(), reason }
    }
}

/// The directory part of a path; empty when it has none.
fn path_above(path: &[u8]) -> &[u8] {
    path.iter().rposition(|b| *b == b'/').map_or(b"", |at| &path[..at])
}
