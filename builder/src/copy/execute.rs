//! Executing one instruction: each source in order, to where it belongs.

use super::archive::{self, Unpacked};
use super::content::{self, Ways};
use super::destination::{self, Directory, Place, c_name};
use super::entry::{At, Session, Worker, at, check_name};
use super::filter::Filter;
use super::lookup::why_missing;
use super::meta::Metadata;
use super::select::{self, Item, ItemKind, Selection};
use super::unmatched;
use super::{
    Copied, CopyError, CopySource, CopySpec, CopyWarning, SourceTree, Unpack, path, resolve, tree, xattr,
};
use crate::cancel::Cancellation;
use crate::rootfs::Root;
use dockerfile_parser::glob::has_wildcard;
use dockerfile_parser::ignore::Patterns;
use rustix::fs::{self, Mode, OFlags, Stat};
use std::collections::{BTreeMap, HashMap};
use std::ffi::CStr;
use std::fs::File;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::Mutex;

/// Executes `spec` on at most so many threads.
pub(super) fn execute(
    spec: &CopySpec,
    source: &SourceTree<'_>,
    destination: &Root,
    cancellation: &Cancellation,
    threads: usize,
) -> Result<Copied, CopyError> {
    check_names(spec)?;
    let Selection { mut items, excludes, warnings } = select::select(spec, source)?;
    let mut job = Job {
        spec,
        source,
        destination,
        ways: Ways::new(cancellation.clone()),
        done: Copied { warnings, ..Copied::default() },
        threads,
        of_parents: BTreeMap::new(),
    };
    let archives = job.archives(&mut items)?;
    job.refuse_overwriting(&items, &archives)?;
    for (item, archive) in items.into_iter().zip(archives) {
        job.item(item, archive, excludes.as_ref())?;
    }
    job.missed()?;
    Ok(job.done)
}

/// Refuses names that no image can have.
fn check_names(spec: &CopySpec) -> Result<(), CopyError> {
    let destination = spec.destination.as_os_str().as_encoded_bytes();
    for component in path::components(destination) {
        check_name(component, destination)?;
    }
    let names = spec.sources.iter().map(|source| match source {
        CopySource::Path { pattern } => pattern.as_bytes(),
        CopySource::Inline { name, .. } | CopySource::File { name, .. } => name.as_bytes(),
    });
    match names.chain([destination]).find(|name| name.contains(&0)) {
        Some(name) => Err(CopyError::Nul { text: path::show(name) }),
        None => Ok(()),
    }
}

struct Job<'a> {
    spec: &'a CopySpec,
    source: &'a SourceTree<'a>,
    destination: &'a Root,
    ways: Ways,
    done: Copied,
    threads: usize,
    /// How much each source with `--parents` took.
    of_parents: BTreeMap<String, u64>,
}

impl Job<'_> {
    /// Sources with `--parents` that took nothing: a path must be there, of a pattern a warning tells.
    fn missed(&mut self) -> Result<(), CopyError> {
        for (written, _) in self.of_parents.iter().filter(|(_, copied)| **copied == 0) {
            if !has_wildcard(written) {
                return Err(why_missing(self.source, written));
            }
            self.done.warnings.extend(unmatched::warning(self.source, written)?);
        }
        Ok(())
    }

    /// Opens those items that are to be extracted.
    fn archives(&mut self, items: &mut [Item]) -> Result<Vec<Option<File>>, CopyError> {
        let mut archives = Vec::with_capacity(items.len());
        for item in items {
            let (fd, unpack, path) = match &item.kind {
                ItemKind::File { unpack: Unpack::Never, .. }
                | ItemKind::Fetched { unpack: Unpack::Never, .. } => {
                    archives.push(None);
                    continue;
                }
                ItemKind::File { parent, at, stat, unpack, path, .. }
                    if resolve::file_type(stat) == fs::FileType::RegularFile =>
                {
                    let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
                    (fs::openat(parent, at, flags, Mode::empty()), *unpack, path.clone())
                }
                ItemKind::Fetched { fd, unpack, name, .. } => {
                    (rustix::io::fcntl_dupfd_cloexec(fd, 0), *unpack, name.clone())
                }
                _ => {
                    archives.push(None);
                    continue;
                }
            };
            let fail =
                |source| CopyError::Read { path: path.clone(), place: self.source.place.to_owned(), source };
            let mut file = File::from(fd.map_err(|errno| fail(errno.into()))?);
            let is_archive = archive::is_archive(&mut file);
            if !is_archive && unpack == Unpack::Always {
                self.done.warnings.push(CopyWarning::NotAnArchive { written: item.written.clone() });
            }
            archives.push(is_archive.then_some(file));
        }
        Ok(archives)
    }

    /// Several files under one name would leave only the last.
    fn refuse_overwriting(&mut self, items: &[Item], archives: &[Option<File>]) -> Result<(), CopyError> {
        let bytes = self.spec.destination.as_os_str().as_encoded_bytes();
        let all_directories = items
            .iter()
            .zip(archives)
            .all(|(item, archive)| archive.is_some() || matches!(item.kind, ItemKind::Tree { .. }));
        if items.len() < 2 || all_directories || path::names_directory(bytes) {
            return Ok(());
        }
        match destination::find(self.destination, self.spec, false)? {
            Place::Directory(_) => Ok(()),
            Place::Name { .. } => {
                Err(CopyError::NeedsDirectory { count: items.len(), destination: path::show(bytes) })
            }
        }
    }

    fn item(
        &mut self,
        item: Item,
        archive: Option<File>,
        excludes: Option<&Patterns>,
    ) -> Result<(), CopyError> {
        let Item { written, kind } = item;
        if let Some(archive) = archive {
            return self.extract(&written, archive);
        }
        match kind {
            ItemKind::Tree { fd, stat, path, parents } => {
                let filter = Filter { ignore: self.source.ignore, excludes, parents: parents.as_deref() };
                let copied = self.tree(&written, fd, stat, &path, &filter)?;
                // A wildcard before the pivot makes several items of one source: what one lacks another may have.
                if parents.is_some() {
                    *self.of_parents.entry(written).or_default() += copied;
                }
                Ok(())
            }
            ItemKind::File { parent, at: name_at, stat, path, name, .. } => {
                check_name(&name, &path)?;
                let above = path.iter().rposition(|b| *b == b'/').map_or(&b""[..], |i| &path[..i]);
                let source = at(&parent, above, &name_at);
                let kind = resolve::file_type(&stat);
                self.file(&written, &name, |session, target, worker| {
                    session.copy(source, kind, target, worker)
                })
            }
            ItemKind::Fetched { fd, stat, name, .. } => {
                check_name(&name, &name)?;
                self.file(&written, &name, |session, target, worker| {
                    worker.entries += 1;
                    session.file(&fd, &stat, &name, target, worker)
                })
            }
            ItemKind::Inline { name, bytes } => {
                check_name(&name, &name)?;
                self.file(&written, &name, |session, target, worker| {
                    worker.entries += 1;
                    worker.bytes += bytes.len() as u64;
                    inline(session, &bytes, target)
                })
            }
        }
    }

    /// Finds the place for something called `name`, and has it written there.
    fn file(
        &mut self,
        written: &str,
        name: &[u8],
        write: impl FnOnce(&Session<'_>, At<'_>, &mut Worker) -> Result<(), CopyError>,
    ) -> Result<(), CopyError> {
        let (parent, name) = match destination::find(self.destination, self.spec, false)? {
            Place::Directory(directory) => (directory, c_name(name)),
            Place::Name { parent, name } => (parent, name),
        };
        let session = self.session(None);
        let mut worker = Worker::default();
        write(&session, at(&parent.fd, &parent.path, &name), &mut worker).map_err(|error| match error {
            CopyError::FileOverDirectory { destination, .. } => {
                CopyError::FileOverDirectory { written: written.to_owned(), destination }
            }
            error => error,
        })?;
        self.count(vec![worker]);
        Ok(())
    }

    /// Copies the content of a directory; returns how many entries were taken.
    fn tree(
        &mut self,
        written: &str,
        fd: OwnedFd,
        stat: Stat,
        path: &[u8],
        filter: &Filter<'_>,
    ) -> Result<u64, CopyError> {
        let target = self.directory(written, filter.parents.is_some())?;
        let from = fs::openat(&target.fd, ".", OFlags::PATH | OFlags::CLOEXEC, Mode::empty())
            .map_err(|errno| CopyError::write(&target.path, errno))?;
        let target_path = target.path.clone();
        let session = self.session(Some((from.as_fd(), &target_path)));
        let workers = tree::copy(&session, filter, fd, stat, path, target, self.threads)?;
        Ok(self.count(workers))
    }

    /// The destination as a directory, made when it is missing.
    fn directory(&mut self, written: &str, always: bool) -> Result<Directory, CopyError> {
        match destination::find(self.destination, self.spec, always)? {
            Place::Directory(directory) => Ok(directory),
            Place::Name { parent, name } => {
                let at = path::join(&parent.path, name.to_bytes());
                let kind = destination::kind_of(parent.fd.as_fd(), &name)
                    .map_err(|errno| CopyError::write(&at, errno))?;
                if kind.is_some() {
                    if !self.spec.link {
                        return Err(CopyError::DirectoryOverFile {
                            written: written.to_owned(),
                            destination: at,
                        });
                    }
                    destination::remove(parent.fd.as_fd(), &name, &at)?;
                }
                destination::make(self.spec, parent, &name)
            }
        }
    }

    fn extract(&mut self, written: &str, mut file: File) -> Result<(), CopyError> {
        // --chmod does not apply to archives, nor to the directories made for them.
        let spec = CopySpec { chmod: None, ..self.spec.clone() };
        let target = match destination::find(self.destination, &spec, true)? {
            Place::Directory(directory) => directory,
            Place::Name { parent, name } => destination::make(&spec, parent, &name)?,
        };
        let fail = |error: std::io::Error| CopyError::Archive {
            archive: written.to_owned(),
            reason: error.to_string(),
        };
        let mut stream = archive::open(&mut file).map_err(fail)?;
        let options = archive::Options {
            archive: written,
            path: &target.path,
            owner: self.spec.chown,
            cancellation: &self.ways.cancellation,
        };
        let Unpacked { warnings, entries, bytes } =
            archive::unpack(&mut stream, &Root::from_fd(target.fd), options)?;
        self.done.warnings.extend(warnings);
        self.done.entries += entries;
        self.done.bytes += bytes;
        Ok(())
    }

    fn session<'s>(&'s self, links_from: Option<(BorrowedFd<'s>, &'s [u8])>) -> Session<'s> {
        Session {
            spec: self.spec,
            place: self.source.place,
            ways: &self.ways,
            links: Mutex::new(HashMap::new()),
            links_from,
        }
    }

    fn count(&mut self, workers: Vec<Worker>) -> u64 {
        let mut entries = 0;
        for worker in workers {
            self.done.warnings.extend(worker.warnings);
            self.done.bytes += worker.bytes;
            entries += worker.entries;
        }
        self.done.entries += entries;
        entries
    }
}

/// Writes a heredoc.
fn inline(session: &Session<'_>, bytes: &[u8], target: At<'_>) -> Result<(), CopyError> {
    let spec = session.spec;
    let file = session.create(target)?;
    content::write_all(&file, bytes).map_err(|errno| CopyError::write(&target.path(), errno))?;
    let metadata =
        Metadata { owner: spec.made_directory_owner(), mode: spec.mode(0o644, false), mtime: None };
    metadata
        .apply(&file, &xattr::Xattrs::new(), |_: &CStr, _| {})
        .map_err(|errno| CopyError::metadata(&target.path(), metadata.owner, errno))
}
