//! Finding out what each entry is: one task per directory, a `stat` per entry, and the bytes of files that the index does
//! not know.

use super::digest::{EntryKind, EntrySummary};
use super::index::{Index, Known};
use crate::content::{ContentId, Encoder};
use crate::copy::destination::open_dir;
use crate::copy::dirents::{Dirent, read_dir};
use crate::copy::filter::{Cursor, Filter, Verdict};
use crate::copy::lookup::is_directory;
use crate::copy::resolve::file_type;
use crate::copy::work::{self, Queue};
use crate::copy::xattr;
use crate::copy::{CopyError, CopySpec, SourceTree};
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use std::ffi::CString;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What all entries of one instruction have in common.
#[derive(Clone, Copy)]
pub(super) struct Walk<'a> {
    pub spec: &'a CopySpec,
    pub tree: &'a SourceTree<'a>,
    pub index: Option<&'a Index>,
}

/// A directory to be read.
struct Task {
    /// Its number.
    id: usize,
    fd: DirectoryFd,
    cursor: Cursor,
}

enum DirectoryFd {
    Open(OwnedFd),
    Below(Arc<OwnedFd>, CString),
}

/// One thing in a directory.
struct Record {
    summary: EntrySummary,
    /// The number of a directory.
    directory: Option<usize>,
    /// Taken itself, not only for what is in it.
    taken: bool,
}

/// A directory that was read.
#[derive(Default)]
struct Directory {
    /// Names its extended attributes.
    attributes: u64,
    /// What is in it, sorted by name.
    records: Vec<Record>,
}

#[derive(Default)]
struct Worker {
    /// What was read.
    directories: Vec<(usize, Directory)>,
    buffer: Vec<u8>,
}

/// A `stat` is a matter of the processor, not of the disk: more threads than processors are of no use.
const MAX_THREADS: usize = 16;

impl Walk<'_> {
    /// Everything that `filter` takes below a directory.
    pub(super) fn directory(
        &self,
        fd: OwnedFd,
        filter: &Filter<'_>,
        cursor: Cursor,
    ) -> Result<Vec<EntrySummary>, CopyError> {
        let threads = std::thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
        let count = AtomicUsize::new(1);
        let first = Task { id: 0, fd: DirectoryFd::Open(fd), cursor };
        let workers = work::run(threads, vec![first], Worker::default, |task, worker, queue| {
            self.read(filter, task, worker, queue, &count)
        })?;
        let mut directories: Vec<Directory> = Vec::new();
        directories.resize_with(count.into_inner(), Directory::default);
        let mut total = 0;
        for (id, directory) in workers.into_iter().flat_map(|worker| worker.directories) {
            total += directory.records.len();
            directories[id] = directory;
        }
        let mut entries = Vec::with_capacity(total);
        collect(&mut directories, &mut entries);
        Ok(entries)
    }

    fn read(
        &self,
        filter: &Filter<'_>,
        task: Task,
        worker: &mut Worker,
        queue: &Queue<Task>,
        count: &AtomicUsize,
    ) -> Result<(), CopyError> {
        let Task { id, fd, cursor } = task;
        let fail = |errno| self.fail(&cursor.path, errno);
        let fd = match fd {
            DirectoryFd::Open(fd) => fd,
            DirectoryFd::Below(above, name) => match open_dir(above.as_fd(), &name) {
                // It was there when its parent was read: now it is as if it had been empty.
                Err(Errno::NOENT) => {
                    worker.directories.push((id, Directory::default()));
                    return Ok(());
                }
                other => other.map_err(fail)?,
            },
        };
        let attributes = attributes(&fd).map_err(fail)?;
        let fd = Arc::new(fd);
        let entries = match filter.name(&cursor) {
            Some(name) => vec![Dirent { name: name.clone(), kind: FileType::Unknown }],
            None => read_dir(&fd).map_err(fail)?,
        };
        let mut records = Vec::with_capacity(entries.len());
        let mut tasks = Vec::new();
        for entry in entries {
            let directory = match is_directory(&fd, &entry.name, entry.kind) {
                // It is not there, or not any more.
                Err(Errno::NOENT) => continue,
                result => result.map_err(fail)?,
            };
            let path = cursor.join(entry.bytes());
            let (verdict, decided) = filter.judge(&cursor, &path, directory);
            if verdict == Verdict::Skip {
                continue;
            }
            let mut summary = match self.entry(fd.as_fd(), &entry.name, path, &mut worker.buffer) {
                Err(error) if error.is_vanished() => continue,
                other => other?,
            };
            summary.below = cursor.base;
            let number = (summary.kind == EntryKind::Directory).then(|| {
                let id = count.fetch_add(1, Ordering::Relaxed);
                let cursor = cursor.enter(summary.path.clone(), decided);
                tasks.push(Task { id, fd: DirectoryFd::Below(Arc::clone(&fd), entry.name), cursor });
                id
            });
            records.push(Record { summary, directory: number, taken: verdict == Verdict::Take });
        }
        worker.directories.push((id, Directory { attributes, records }));
        tasks.reverse();
        queue.add(tasks);
        Ok(())
    }

    /// What `name` in `parent` will be. A directory's attributes are only known when it is read.
    pub(super) fn entry(
        &self,
        parent: BorrowedFd<'_>,
        name: &CString,
        path: Vec<u8>,
        buffer: &mut Vec<u8>,
    ) -> Result<EntrySummary, CopyError> {
        let result = fs::statat(parent, name, AtFlags::SYMLINK_NOFOLLOW).and_then(|stat| {
            let device = || Known { content: ContentId::of(&stat.st_rdev.to_le_bytes()), attributes: 0 };
            Ok(match file_type(&stat) {
                FileType::RegularFile => {
                    let (stat, known) = self.file(parent, name, &path, stat, buffer)?;
                    (stat, EntryKind::File, Some(known))
                }
                FileType::Directory => (stat, EntryKind::Directory, None),
                FileType::Symlink => {
                    let target = fs::readlinkat(parent, name, Vec::new())?;
                    let known = Known { content: ContentId::of(target.as_bytes()), attributes: 0 };
                    (stat, EntryKind::Symlink, Some(known))
                }
                FileType::Fifo => (stat, EntryKind::Fifo, None),
                FileType::CharacterDevice => (stat, EntryKind::CharacterDevice, Some(device())),
                FileType::BlockDevice => (stat, EntryKind::BlockDevice, Some(device())),
                // Copied as an empty file.
                _ => (stat, EntryKind::File, Some(Known { content: ContentId::of(b""), attributes: 0 })),
            })
        });
        let (stat, kind, known) = result.map_err(|errno| self.fail(&path, errno))?;
        Ok(self.summary(path, &stat, kind, known))
    }

    pub(super) fn summary(
        &self,
        path: Vec<u8>,
        stat: &Stat,
        kind: EntryKind,
        known: Option<Known>,
    ) -> EntrySummary {
        let directory = kind == EntryKind::Directory;
        EntrySummary {
            path,
            below: 0,
            kind,
            content: known.map(|known| known.content),
            mode: if kind == EntryKind::Symlink { 0o777 } else { self.spec.mode(stat.st_mode, directory) },
            owner: self.spec.owner((stat.st_uid, stat.st_gid)),
            attributes: known.map_or(0, |known| known.attributes),
        }
    }

    /// The content of a regular file that is `stat`, from the index or by reading it.
    fn file(
        &self,
        parent: BorrowedFd<'_>,
        name: &CString,
        path: &[u8],
        stat: Stat,
        buffer: &mut Vec<u8>,
    ) -> Result<(Stat, Known), Errno> {
        if let Some(known) = self.index.and_then(|index| index.get(path, &stat)) {
            return Ok((stat, known));
        }
        let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
        let fd = fs::openat(parent, name, flags, Mode::empty())?;
        let before = fs::fstat(&fd)?;
        let known = hash(&fd, buffer)?;
        let after = fs::fstat(&fd)?;
        let state = |s: &Stat| (s.st_size, s.st_mtime, s.st_mtime_nsec, s.st_ctime, s.st_ctime_nsec);
        // What changes while it is read has the content that was read, this once.
        if state(&before) == state(&after)
            && let Some(index) = self.index
        {
            index.put(path, &after, known);
        }
        Ok((after, known))
    }

    pub(super) fn fail(&self, path: &[u8], errno: Errno) -> CopyError {
        CopyError::Read { path: path.to_vec(), place: self.tree.place.to_owned(), source: errno.into() }
    }
}

/// Hashes an open file and its attributes.
pub(super) fn hash(fd: &OwnedFd, buffer: &mut Vec<u8>) -> Result<Known, Errno> {
    if buffer.is_empty() {
        buffer.resize(256 << 10, 0);
    }
    let mut hasher = blake3::Hasher::new();
    loop {
        match rustix::io::read(fd, buffer.as_mut_slice()) {
            Ok(0) => break,
            Ok(n) => {
                hasher.update(&buffer[..n]);
            }
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(Known { content: ContentId(*hasher.finalize().as_bytes()), attributes: attributes(fd)? })
}

/// Names the extended attributes of an open file; 0 when there are none.
fn attributes(fd: &OwnedFd) -> Result<u64, Errno> {
    let attributes = xattr::read(fd)?;
    if attributes.is_empty() {
        return Ok(0);
    }
    let mut encoder = Encoder::new("slipway xattrs v1");
    for (name, value) in &attributes {
        encoder.bytes(name.to_bytes()).bytes(value);
    }
    let id = encoder.finish();
    Ok(u64::from_le_bytes(std::array::from_fn(|i| id.0[i])).max(1))
}

/// Puts directories together in order, each before what is in it. Those that were only walked for what might be in them
/// are left out when nothing was.
fn collect(directories: &mut [Directory], entries: &mut Vec<EntrySummary>) {
    struct Open {
        records: std::vec::IntoIter<Record>,
        /// Where the entry of a directory that was not taken itself is, if it is to go when nothing follows.
        provisional: Option<usize>,
    }
    let mut stack =
        vec![Open { records: std::mem::take(&mut directories[0].records).into_iter(), provisional: None }];
    while let Some(open) = stack.last_mut() {
        match open.records.next() {
            Some(record) => {
                let at = entries.len();
                entries.push(record.summary);
                if let Some(id) = record.directory {
                    let directory = std::mem::take(&mut directories[id]);
                    entries[at].attributes = directory.attributes;
                    let provisional = (!record.taken).then_some(at);
                    stack.push(Open { records: directory.records.into_iter(), provisional });
                }
            }
            None => {
                if open.provisional.is_some_and(|at| at + 1 == entries.len()) {
                    entries.pop();
                }
                stack.pop();
            }
        }
    }
}
