//! Making the tree of a layer directory: one thread walks, the others hash.

use super::super::pack::unchanged;
use super::super::walk::{FoundKind, WalkError, to_path, walk};
use super::{Tree, TreeEntry, TreeKind};
use crate::content::ContentId;
use crate::rootfs::XattrFlavor;
use rustix::fs::{self, Stat};
use rustix::io::Errno;
use std::collections::HashMap;
use std::io;
use std::num::NonZeroUsize;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;
use std::sync::mpsc::{self, Receiver, TryRecvError, TrySendError};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::{self, ScopedJoinHandle};

/// Why a layer directory has no tree.
#[derive(Debug, thiserror::Error)]
pub enum ScanError {
    /// It cannot be read, or changes meanwhile.
    #[error(transparent)]
    Walk(#[from] WalkError),
    /// A thread cannot be started.
    #[error("cannot start a thread that hashes files")]
    Thread(#[source] io::Error),
}

/// Files that wait to be hashed; each is open, and a process may have 1024 files open.
const QUEUE: usize = 128;
/// More threads than this wait for the walk.
const MAX_THREADS: usize = 8;
/// How much of a file is read at once.
const BUFFER: usize = 256 << 10;

/// Lists and hashes everything in the layer directory `upper`.
///
/// Names that cannot be in a layer (`.wh.*`) are listed as the files they are; [`pack`](fn@super::super::pack) refuses them.
///
/// # Errors
/// When something cannot be read, or changes meanwhile.
pub fn scan(upper: &Path, flavor: XattrFlavor) -> Result<Tree, ScanError> {
    let threads = thread::available_parallelism().map_or(1, NonZeroUsize::get).min(MAX_THREADS);
    scan_with(upper, flavor, threads)
}

/// A file to be hashed, and the entry its hash belongs to.
struct Job {
    entry: usize,
    path: Vec<u8>,
    fd: OwnedFd,
    stat: Stat,
}

type Hashes = Result<Vec<(usize, ContentId)>, WalkError>;

/// As [`scan`], with a given number of threads beside this one.
pub(super) fn scan_with(upper: &Path, flavor: XattrFlavor, threads: usize) -> Result<Tree, ScanError> {
    let (jobs, queue) = mpsc::sync_channel::<Job>(QUEUE);
    let queue = Arc::new(Mutex::new(queue));
    thread::scope(|scope| {
        let mut workers: Vec<ScopedJoinHandle<'_, Hashes>> = Vec::new();
        for _ in 0..threads {
            let queue = Arc::clone(&queue);
            let builder = thread::Builder::new().name("hash".into());
            let worker = builder.spawn_scoped(scope, move || work(&queue)).map_err(ScanError::Thread)?;
            workers.push(worker);
        }
        let mut own = Vec::new();
        let mut buffer = vec![0; BUFFER];
        let mut lister = Lister::default();
        let walked = walk(upper, flavor, &mut |found| -> Result<(), ScanError> {
            let stat = found.stat;
            let linked = found.link_id();
            let kind = match found.kind {
                FoundKind::Socket => return Ok(()),
                FoundKind::Directory { opaque } if found.path.is_empty() => {
                    if opaque {
                        lister.entries.push(TreeEntry::bare(Vec::new(), TreeKind::Directory { opaque }));
                    }
                    return Ok(());
                }
                FoundKind::Whiteout => {
                    lister.entries.push(TreeEntry::bare(found.path.to_vec(), TreeKind::Whiteout));
                    return Ok(());
                }
                FoundKind::Directory { opaque } => TreeKind::Directory { opaque },
                FoundKind::Symlink(target) => TreeKind::Symlink { target },
                FoundKind::CharDevice => {
                    TreeKind::CharDevice { major: fs::major(stat.st_rdev), minor: fs::minor(stat.st_rdev) }
                }
                FoundKind::BlockDevice => {
                    TreeKind::BlockDevice { major: fs::major(stat.st_rdev), minor: fs::minor(stat.st_rdev) }
                }
                FoundKind::Fifo => TreeKind::Fifo,
                FoundKind::File(fd) => {
                    let size = stat.st_size.cast_unsigned();
                    if lister.is_new(linked) {
                        let entry = lister.entries.len();
                        let job = Job { entry, path: found.path.to_vec(), fd, stat };
                        // When all threads are busy, the walk would only wait: it hashes this one itself.
                        if let Err(TrySendError::Full(job) | TrySendError::Disconnected(job)) =
                            jobs.try_send(job)
                        {
                            own.push((entry, hash(&job, &mut buffer)?));
                        }
                    }
                    TreeKind::File { size, content: ContentId([0; 32]) }
                }
            };
            lister.entries.push(TreeEntry {
                path: found.path.to_vec(),
                kind,
                mode: stat.st_mode & 0o7777,
                uid: stat.st_uid,
                gid: stat.st_gid,
                xattrs: found.xattrs,
                hard_link: None,
            });
            lister.link(linked);
            Ok(())
        });
        drop(jobs);
        // The walk is over: its thread helps with what is left.
        if walked.is_ok() {
            own.extend(work_off(&queue, &mut buffer)?);
        }
        let mut hashes = own;
        let mut failed = None;
        for worker in workers {
            match worker.join() {
                Ok(Ok(done)) => hashes.extend(done),
                Ok(Err(error)) => failed = Some(error),
                Err(_) => {
                    return Err(ScanError::Thread(io::Error::other("a thread that hashes files panicked")));
                }
            }
        }
        walked?;
        match failed {
            Some(error) => Err(error.into()),
            None => Ok(lister.finish(hashes)),
        }
    })
}

/// Gathers entries, and which of them are one file.
#[derive(Default)]
struct Lister {
    entries: Vec<TreeEntry>,
    /// The entries of files with several names.
    links: HashMap<(u64, u64), Vec<usize>>,
}

impl Lister {
    fn is_new(&self, linked: Option<(u64, u64)>) -> bool {
        linked.is_none_or(|id| !self.links.contains_key(&id))
    }

    /// Notes that the last entry is a name of a file.
    fn link(&mut self, linked: Option<(u64, u64)>) {
        if let Some(id) = linked {
            self.links.entry(id).or_default().push(self.entries.len() - 1);
        }
    }

    fn finish(mut self, hashes: Vec<(usize, ContentId)>) -> Tree {
        for (entry, hash) in hashes {
            if let TreeKind::File { content, .. } = &mut self.entries[entry].kind {
                *content = hash;
            }
        }
        for names in self.links.into_values() {
            // The walk met them in the order of a tree: among files both orders are the same.
            let Some((&first, others)) = names.split_first() else { continue };
            let (path, kind) = (self.entries[first].path.clone(), self.entries[first].kind.clone());
            for &other in others {
                self.entries[other].hard_link = Some(path.clone());
                self.entries[other].kind = kind.clone();
            }
        }
        Tree::new(self.entries)
    }
}

impl TreeEntry {
    /// An entry that has a path and a kind only.
    fn bare(path: Vec<u8>, kind: TreeKind) -> Self {
        Self { path, kind, mode: 0, uid: 0, gid: 0, xattrs: Vec::new(), hard_link: None }
    }
}

/// Hashes files until there are no more.
fn work(queue: &Mutex<Receiver<Job>>) -> Hashes {
    let mut buffer = vec![0; BUFFER];
    let mut hashes = Vec::new();
    let mut failed = None;
    loop {
        let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(job) = job else { break };
        // After an error the queue must still be emptied, or the walk would wait for room in it.
        if failed.is_none() {
            match hash(&job, &mut buffer) {
                Ok(hash) => hashes.push((job.entry, hash)),
                Err(error) => failed = Some(error),
            }
        }
    }
    failed.map_or(Ok(hashes), Err)
}

/// Hashes what the threads did not come to yet.
fn work_off(queue: &Mutex<Receiver<Job>>, buffer: &mut [u8]) -> Hashes {
    let mut hashes = Vec::new();
    loop {
        // A thread that waits for a job holds the lock, and there is nothing left then.
        let Ok(locked) = queue.try_lock() else { return Ok(hashes) };
        let job = locked.try_recv();
        drop(locked);
        match job {
            Ok(job) => hashes.push((job.entry, hash(&job, buffer)?)),
            Err(TryRecvError::Empty | TryRecvError::Disconnected) => return Ok(hashes),
        }
    }
}

/// The hash of a file's bytes.
fn hash(job: &Job, buffer: &mut [u8]) -> Result<ContentId, WalkError> {
    let failed = |error: Errno| WalkError::read(&job.path, error);
    let changed = || WalkError::Changed { path: to_path(&job.path) };
    let size = job.stat.st_size.cast_unsigned();
    let mut hasher = blake3::Hasher::new();
    let mut at = 0;
    while at < size {
        let want = buffer.len().min(usize::try_from(size - at).unwrap_or(usize::MAX));
        match rustix::io::pread(job.fd.as_fd(), &mut buffer[..want], at) {
            Ok(0) => return Err(changed()),
            Ok(length) => {
                hasher.update(&buffer[..length]);
                at += length as u64;
            }
            Err(Errno::INTR) => {}
            Err(error) => return Err(failed(error)),
        }
    }
    if !unchanged(&job.stat, &fs::fstat(&job.fd).map_err(failed)?) {
        return Err(changed());
    }
    Ok(ContentId(*hasher.finalize().as_bytes()))
}
