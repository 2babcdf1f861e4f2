//! Copying the content of a directory: per directory one task, whose files may be split into further tasks.
//!
//! Directories of the source are opened once, by name below their parent; those of the destination are made when the
//! first thing in them is taken. A directory gets its owner, mode and times when everything below it is written.

use super::destination::{self, Directory, open_dir};
use super::dirents::{Dirent, read_dir};
use super::entry::{Session, Worker, at, check_name};
use super::error::CopyError;
use super::filter::{Cursor, Filter, Verdict};
use super::lookup::is_directory;
use super::meta::{Metadata, mtime};
use super::path;
use super::resolve::file_type;
use super::work::{self, Queue};
use super::xattr;
use rustix::fs::{self, AtFlags, FileType, Mode, Stat, Timestamps};
use rustix::io::Errno;
use std::ffi::{CStr, CString};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

/// So many files of one directory are one task.
const CHUNK: usize = 128;

/// A directory that is being copied.
struct Node {
    /// The directory above, unless this is the one that was asked for.
    above: Option<Arc<Node>>,
    /// Its name in there.
    name: CString,
    source: OwnedFd,
    stat: Stat,
    cursor: Cursor,
    /// The directory of the image, once something in it was taken.
    target: OnceLock<Directory>,
    making: Mutex<()>,
    /// Tasks of this directory and directories in it that are not finished.
    pending: AtomicUsize,
}

enum Task {
    /// Read a directory.
    Read(Arc<Node>),
    /// Open a directory below another, then read it.
    Enter { above: Arc<Node>, name: CString, cursor: Cursor, take: bool },
    /// Copy things that are no directories.
    Files(Arc<Node>, Vec<Dirent>),
}

/// Copies what `filter` takes of the directory `source` (with `stat`, at `path` of its tree) into `target`. Returns
/// what each thread did.
pub(crate) fn copy(
    session: &Session<'_>,
    filter: &Filter<'_>,
    source: OwnedFd,
    stat: Stat,
    path: &[u8],
    target: Directory,
    threads: usize,
) -> Result<Vec<Worker>, CopyError> {
    let top = Node {
        above: None,
        name: CString::default(),
        source,
        stat,
        cursor: filter.start(path),
        target: OnceLock::from(target),
        making: Mutex::new(()),
        pending: AtomicUsize::new(1),
    };
    let copier = Copier { session, filter };
    work::run(threads, vec![Task::Read(Arc::new(top))], Worker::default, |task, worker, queue| match task {
        Task::Read(node) => copier.read(&node, worker, queue),
        Task::Enter { above, name, cursor, take } => {
            let node = copier.enter(above, name, cursor, take, worker)?;
            copier.read(&Arc::new(node), worker, queue)
        }
        Task::Files(node, files) => copier.files(&node, &files, worker),
    })
}

struct Copier<'a> {
    session: &'a Session<'a>,
    filter: &'a Filter<'a>,
}

impl Copier<'_> {
    fn enter(
        &self,
        above: Arc<Node>,
        name: CString,
        cursor: Cursor,
        take: bool,
        worker: &mut Worker,
    ) -> Result<Node, CopyError> {
        let open = || {
            let source = open_dir(above.source.as_fd(), &name)?;
            let stat = fs::fstat(&source)?;
            Ok((source, stat))
        };
        let (source, stat) = open().map_err(|errno: Errno| self.session.read(&cursor.path, errno))?;
        let node = Node {
            above: Some(above),
            name,
            source,
            stat,
            cursor,
            target: OnceLock::new(),
            making: Mutex::new(()),
            pending: AtomicUsize::new(1),
        };
        if take {
            self.target(&node)?;
            worker.entries += 1;
        }
        Ok(node)
    }

    fn read(&self, node: &Arc<Node>, worker: &mut Worker, queue: &Queue<Task>) -> Result<(), CopyError> {
        let fail = |errno| self.session.read(&node.cursor.path, errno);
        let entries = match self.filter.name(&node.cursor) {
            Some(name) => named(node.source.as_fd(), name).map_err(fail)?,
            None => read_dir(&node.source).map_err(fail)?,
        };
        let mut files = Vec::new();
        let mut tasks = Vec::new();
        for entry in entries {
            let directory = is_directory(&node.source, &entry.name, entry.kind).map_err(fail)?;
            let path = node.cursor.join(entry.bytes());
            let (verdict, decided) = self.filter.judge(&node.cursor, &path, directory);
            if verdict == Verdict::Skip {
                continue;
            }
            if directory {
                let cursor = node.cursor.enter(path, decided);
                let take = verdict == Verdict::Take;
                tasks.push(Task::Enter { above: Arc::clone(node), name: entry.name, cursor, take });
            } else {
                check_name(entry.bytes(), &path)?;
                files.push(entry);
            }
        }
        // Tasks are taken from the end: reversed, a single thread walks in order, and never holds more directories
        // open than the tree is deep.
        tasks.reverse();
        let here = if files.len() <= CHUNK { std::mem::take(&mut files) } else { Vec::new() };
        let mut rest = files.into_iter().peekable();
        while rest.peek().is_some() {
            tasks.push(Task::Files(Arc::clone(node), rest.by_ref().take(CHUNK).collect()));
        }
        node.pending.fetch_add(tasks.len(), Ordering::Relaxed);
        queue.add(tasks);
        self.files(node, &here, worker)
    }

    /// Copies `files` and counts the task as done.
    fn files(&self, node: &Arc<Node>, files: &[Dirent], worker: &mut Worker) -> Result<(), CopyError> {
        if !files.is_empty() {
            let target = self.target(node)?;
            for file in files {
                let source = at(&node.source, &node.cursor.path, &file.name);
                let target = at(&target.fd, &target.path, &file.name);
                match self.session.copy(source, file.kind, target, worker) {
                    // It was there when the directory was read. Whoever compares afterwards sees that something changed.
                    Err(error) if error.is_vanished() => {}
                    other => other?,
                }
            }
        }
        self.done(node, worker)
    }

    /// The directory of the image that `node` is copied to, and those above it, made where missing.
    fn target<'n>(&self, node: &'n Node) -> Result<&'n Directory, CopyError> {
        if let Some(target) = node.target.get() {
            return Ok(target);
        }
        let _one_at_a_time = node.making.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(target) = node.target.get() {
            return Ok(target);
        }
        let Some(above) = &node.above else {
            return Err(CopyError::write(&node.cursor.path, Errno::NOTDIR));
        };
        check_name(node.name.to_bytes(), &node.cursor.path)?;
        let parent = self.target(above)?;
        let path = path::join(&parent.path, node.name.to_bytes());
        let fd = self.make_directory(node, parent.fd.as_fd(), &path)?;
        Ok(node.target.get_or_init(|| Directory { fd, path }))
    }

    fn make_directory(&self, node: &Node, parent: BorrowedFd<'_>, path: &[u8]) -> Result<OwnedFd, CopyError> {
        let name = &node.name;
        let write = |errno| CopyError::write(path, errno);
        let mkdir = || fs::mkdirat(parent, name, Mode::RWXU);
        match mkdir() {
            Err(Errno::EXIST) => match destination::kind_of(parent, name).map_err(write)? {
                Some(FileType::Directory) => {}
                _ if self.session.spec.link => {
                    destination::remove(parent, name, path)?;
                    mkdir().map_err(write)?;
                }
                _ => {
                    return Err(CopyError::DirectoryOverFile {
                        written: path::show(&node.cursor.path),
                        destination: path.to_vec(),
                    });
                }
            },
            other => other.map_err(write)?,
        }
        open_dir(parent, name).map_err(write)
    }

    /// One task of `node` is done. The last one finishes the directory, and counts as one of the directory above.
    fn done(&self, node: &Arc<Node>, worker: &mut Worker) -> Result<(), CopyError> {
        let mut node = node;
        while node.pending.fetch_sub(1, Ordering::AcqRel) == 1 {
            let Some(above) = &node.above else {
                return self.finish_top(node);
            };
            self.finish(node, worker)?;
            node = above;
        }
        Ok(())
    }

    fn finish(&self, node: &Node, worker: &mut Worker) -> Result<(), CopyError> {
        let Some(target) = node.target.get() else { return Ok(()) };
        let attributes =
            xattr::read(&node.source).map_err(|errno| self.session.read(&node.cursor.path, errno))?;
        let metadata = Metadata::copied(self.session.spec, &node.stat, true);
        metadata
            .apply(&target.fd, &attributes, |name: &CStr, errno| {
                Worker::refused(&mut worker.warnings, &target.path, name, errno);
            })
            .map_err(|errno| CopyError::metadata(&target.path, metadata.owner, errno))
    }

    /// The directory that was asked for keeps the destination's owner and mode, and takes the source's mtime.
    fn finish_top(&self, node: &Node) -> Result<(), CopyError> {
        let Some(target) = node.target.get() else { return Ok(()) };
        let time = mtime(&node.stat);
        fs::futimens(&target.fd, &Timestamps { last_access: time, last_modification: time })
            .map_err(|errno| CopyError::write(&target.path, errno))
    }
}

/// `name`, if it is in the directory.
fn named(dir: BorrowedFd<'_>, name: &CString) -> Result<Vec<Dirent>, Errno> {
    match fs::statat(dir, name, AtFlags::SYMLINK_NOFOLLOW) {
        Ok(stat) => Ok(vec![Dirent { name: name.clone(), kind: file_type(&stat) }]),
        Err(Errno::NOENT) => Ok(Vec::new()),
        Err(errno) => Err(errno),
    }
}
