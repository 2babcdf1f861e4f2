//! Extracting an archive into a directory, as `tar -x` does it: what is there is merged with what comes, and on
//! conflicts the archive wins.
//!
//! The directory is the root of everything in the archive: links that lead through it are followed inside it, `..`
//! ends there, and no entry can reach anything else.

use crate::cancel::Cancellation;
use crate::copy::content::write_all;
use crate::copy::destination::{c_name, kind_of, open_dir, remove};
use crate::copy::entry::{Worker, check_name};
use crate::copy::error::{CopyError, CopyWarning};
use crate::copy::meta::Metadata;
use crate::copy::path::{self, join, show};
use crate::copy::resolve::{self, Policy, Walk};
use crate::copy::xattr::Xattrs;
use crate::layer::archive::{ArchiveError, Entry, EntryKind, Reader};
use crate::layer::xattr::belongs_to_layer;
use crate::rootfs::Root;
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, SeekFrom, Timespec};
use rustix::io::Errno;
use std::collections::BTreeMap;
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
    /// Asked between two pieces.
    pub cancellation: &'a Cancellation,
}

impl Options<'_> {
    fn check(&self) -> Result<(), CopyError> {
        if self.cancellation.is_cancelled() { Err(CopyError::Cancelled) } else { Ok(()) }
    }
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
        Unpacker { root, options, parent: None, directories: BTreeMap::new(), done: Unpacked::default() };
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
    parent: Option<Parent>,
    /// Directories of the archive, and what they get when all in them is written. The last entry of a path counts.
    directories: BTreeMap<Vec<u8>, (Metadata, Xattrs)>,
    done: Unpacked,
}

/// The directory that an entry is in.
struct Parent {
    /// Its path in the archive.
    written: Vec<u8>,
    /// Where it is, links followed.
    path: Vec<u8>,
    fd: OwnedFd,
}

/// Makes missing directories: archives need not have entries for them.
struct Implied<'a> {
    options: &'a Options<'a>,
    directories: &'a mut BTreeMap<Vec<u8>, (Metadata, Xattrs)>,
}

impl Implied<'_> {
    fn make(&mut self, parent: BorrowedFd<'_>, path: &[u8], name: &CStr) -> Result<(), Errno> {
        fs::mkdirat(parent, name, Mode::RWXU)?;
        let owner = self.options.owner.unwrap_or((0, 0));
        let metadata = Metadata { owner, mode: 0o755, mtime: None };
        self.directories.insert(path.to_vec(), (metadata, Xattrs::new()));
        Ok(())
    }
}

impl Policy for Implied<'_> {
    fn missing(&mut self, parent: BorrowedFd<'_>, path: &[u8], name: &[u8]) -> Result<bool, Errno> {
        self.make(parent, path, &c_name(name)).map(|()| true)
    }
}

/// An entry, checked.
struct Head<'e> {
    entry: &'e Entry,
    /// Relative to the destination, clean.
    path: Vec<u8>,
    name: CString,
    metadata: Metadata,
    attributes: Xattrs,
}

impl Unpacker<'_> {
    fn entry(&mut self, entry: &Entry, reader: &mut Reader<'_>) -> Result<(), CopyError> {
        self.options.check()?;
        let Some(head) = self.head(entry)? else { return Ok(()) };
        let parent = self.parent_of(&head.path)?;
        let at = parent.fd.as_fd();
        self.make_room(at, &head)?;
        self.done.entries += 1;
        match entry.kind {
            EntryKind::Directory => self.directory(&parent, &head)?,
            EntryKind::File => self.file(at, &head, reader)?,
            EntryKind::HardLink => self.hard_link(at, &head)?,
            EntryKind::Symlink => {
                fs::symlinkat(c_name(&entry.link), at, &head.name)
                    .map_err(|errno| self.write(&head, errno))?;
                self.apply_at(at, &head, true)?;
            }
            EntryKind::Fifo => self.node(at, &head, FileType::Fifo)?,
            EntryKind::CharDevice => self.node(at, &head, FileType::CharacterDevice)?,
            EntryKind::BlockDevice => self.node(at, &head, FileType::BlockDevice)?,
        }
        self.parent = Some(parent);
        Ok(())
    }

    /// Checks what stands before the data. `None` for the root: the destination keeps its owner and mode.
    fn head<'e>(&self, entry: &'e Entry) -> Result<Option<Head<'e>>, CopyError> {
        let components = path::components(&entry.name);
        let Some(name) = components.last() else { return Ok(None) };
        let path = components.join(&b'/');
        for component in &components {
            check_name(component, &path)?;
        }
        let id = |id: u64| u32::try_from(id).map_err(|_| self.bad(&path, "its owner is not a 32-bit number"));
        let owner = match self.options.owner {
            Some(owner) => owner,
            None => (id(entry.uid)?, id(entry.gid)?),
        };
        let mtime = Timespec { tv_sec: entry.mtime.seconds, tv_nsec: entry.mtime.nanoseconds.into() };
        let metadata = Metadata { owner, mode: entry.mode, mtime: Some(mtime) };
        let attributes = entry
            .xattrs
            .iter()
            .filter(|(name, _)| belongs_to_layer(name))
            .map(|(name, value)| (c_name(name), value.clone()))
            .collect();
        let name = c_name(name);
        Ok(Some(Head { entry, path, name, metadata, attributes }))
    }

    /// The directory of an entry, made where it is missing.
    fn parent_of(&mut self, path: &[u8]) -> Result<Parent, CopyError> {
        let above = path_above(path);
        if let Some(parent) = self.parent.take()
            && parent.written == above
        {
            return Ok(parent);
        }
        let options = self.options;
        let shown = |path: &[u8]| join(options.path, path);
        let obstacle =
            |at: &[u8]| CopyError::DestinationObstacle { destination: show(&shown(path)), at: shown(at) };
        let mut policy = Implied { options: &options, directories: &mut self.directories };
        let walk = resolve::walk(self.root, &path::components(above), &mut policy).map_err(|error| {
            match error.errno {
                Errno::NOTDIR => obstacle(&error.path),
                errno => CopyError::write(&shown(&error.path), errno),
            }
        })?;
        let write = |errno| CopyError::write(&shown(above), errno);
        let (fd, path) = match walk {
            Walk::Found(found) if found.is_dir() => (found.fd, found.path),
            Walk::Found(found) => return Err(obstacle(&found.path)),
            Walk::Missing { parent, name } => {
                let (path, name) = (join(&parent.path, &name), c_name(&name));
                policy.make(parent.fd.as_fd(), &path, &name).map_err(write)?;
                (open_dir(parent.fd.as_fd(), &name).map_err(write)?, path)
            }
        };
        Ok(Parent { written: above.to_vec(), path, fd })
    }

    /// Removes what is in the way. Directories are merged.
    fn make_room(&mut self, parent: BorrowedFd<'_>, head: &Head<'_>) -> Result<(), CopyError> {
        match kind_of(parent, &head.name).map_err(|errno| self.write(head, errno))? {
            None => Ok(()),
            Some(FileType::Directory) if head.entry.kind == EntryKind::Directory => Ok(()),
            Some(_) => remove(parent, &head.name, &self.shown(head)),
        }
    }

    /// Owner, mode and times wait until everything in the directory is written: the mode may not allow that.
    fn directory(&mut self, parent: &Parent, head: &Head<'_>) -> Result<(), CopyError> {
        match fs::mkdirat(&parent.fd, &head.name, Mode::RWXU) {
            Ok(()) | Err(Errno::EXIST) => {}
            Err(errno) => return Err(self.write(head, errno)),
        }
        let path = join(&parent.path, head.name.to_bytes());
        self.directories.insert(path, (head.metadata.clone(), head.attributes.clone()));
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
            self.options.check()?;
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
        self.apply_to(fd, path, &head.metadata, &head.attributes)
    }

    fn apply_to(
        &mut self,
        fd: &OwnedFd,
        path: Vec<u8>,
        metadata: &Metadata,
        attributes: &Xattrs,
    ) -> Result<(), CopyError> {
        let warnings = &mut self.done.warnings;
        let refused = |name: &CStr, errno| Worker::refused(warnings, &path, name, errno);
        let result = metadata.apply(fd, attributes, refused);
        result.map_err(|errno| CopyError::metadata(&path, metadata.owner, errno))
    }

    fn apply_at(&self, parent: BorrowedFd<'_>, head: &Head<'_>, link: bool) -> Result<(), CopyError> {
        let result = head.metadata.apply_at(parent, &head.name, link);
        result.map_err(|errno| CopyError::metadata(&self.shown(head), head.metadata.owner, errno))
    }

    /// Gives directories what they waited for, those inside others first.
    fn finish(mut self) -> Result<Unpacked, CopyError> {
        for (path, (metadata, attributes)) in std::mem::take(&mut self.directories).into_iter().rev() {
            let walk = resolve::walk(self.root, &path::components(&path), &mut resolve::NoLinks);
            let Ok(Walk::Found(found)) = walk else { continue };
            // A later entry may have replaced it.
            if found.is_dir() {
                let shown = join(self.options.path, &path);
                let fd = open_dir(found.fd.as_fd(), c".").map_err(|errno| CopyError::write(&shown, errno))?;
                self.apply_to(&fd, shown, &metadata, &attributes)?;
            }
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
