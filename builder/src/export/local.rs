//! `type=local`: the root file system as files of whoever runs this.

use super::written::Written;
use super::{ExportError, NamedTree};
use crate::rootfs::Root;
use rustix::fs::{
    self, AtFlags, Dir, FileType, Mode, OFlags, Stat, Timespec, Timestamps, UTIME_OMIT, ioctl_ficlone,
};
use rustix::io::Errno;
use std::collections::HashMap;
use std::ffi::{CStr, CString, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};

/// What was written.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LocalStats {
    /// Files, links and pipes.
    pub files: u64,
    /// Directories, the top one not counted.
    pub directories: u64,
    /// Bytes of all files.
    pub bytes: u64,
    /// Sockets, and devices that the caller may not make: they are left out.
    pub skipped: Vec<PathBuf>,
}

/// How a directory is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LocalOptions {
    /// The newest time.
    pub clamp: Option<SystemTime>,
    /// What is in the directory and in none of the trees is removed.
    pub delete: bool,
}

/// Copies trees into the directory `dest`, made when it is not there; each into its own directory of it, when it has one.
///
/// Modes, times and hard links are kept. Owners and xattrs are not: everything belongs to the caller. What is in `dest`
/// stays unless the options say otherwise, but files of the same name are replaced. No link that is in `dest` is followed.
///
/// # Errors
/// When something cannot be read or written, a directory stands where the image has a file, or two trees have a file in
/// the same place.
pub fn local_directory(
    trees: &[NamedTree],
    dest: &Path,
    options: LocalOptions,
) -> Result<LocalStats, ExportError> {
    let failed = |action, source: io::Error| ExportError::File { action, path: dest.to_owned(), source };
    if options.delete && std::fs::canonicalize(dest).is_ok_and(|path| path == Path::new("/")) {
        let why = io::Error::other("mode=delete would remove everything that is not in the image");
        return Err(failed("write to", why));
    }
    std::fs::create_dir_all(dest).map_err(|e| failed("create", e))?;
    let clamp = options.clamp.map(|time| {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        (i64::try_from(since.as_secs()).unwrap_or(i64::MAX), i64::from(since.subsec_nanos()))
    });
    let mut written = (options.delete || trees.len() > 1).then(Written::default);
    let mut stats = LocalStats::default();
    for tree in trees {
        let own = tree.directory.as_deref().unwrap_or_default();
        let inside = dest.join(own);
        if !own.is_empty() {
            if let Err(e) = std::fs::create_dir(&inside)
                && !inside.symlink_metadata().is_ok_and(|there| there.is_dir())
            {
                return Err(ExportError::File { action: "create", path: inside, source: e });
            }
            written.iter_mut().for_each(|written| written.directory(own.into()));
        }
        let to = Root::open(&inside).map_err(|e| failed("open", e))?;
        let mut copier = Copier {
            from: &tree.root,
            to: &to,
            dest: &inside,
            clamp,
            links: HashMap::new(),
            waiting: vec![PathBuf::new()],
            finished: Vec::new(),
            own: Path::new(own),
            written: written.as_mut(),
            stats,
        };
        while let Some(path) = copier.waiting.pop() {
            copier.directory(&path)?;
        }
        copier.finish()?;
        stats = copier.stats;
    }
    if let Some(written) = written.filter(|_| options.delete) {
        written.remove_others(dest)?;
    }
    Ok(stats)
}

struct Copier<'a> {
    from: &'a Root,
    to: &'a Root,
    dest: &'a Path,
    clamp: Option<(i64, i64)>,
    /// The first name of files that have several.
    links: HashMap<(u64, u64), PathBuf>,
    /// Directories that exist at the destination, to be filled.
    waiting: Vec<PathBuf>,
    /// Directories whose mode and time are still to be set, parents first.
    finished: Vec<(PathBuf, Stat)>,
    /// The directory of this tree among several.
    own: &'a Path,
    /// What was written until now, where that matters.
    written: Option<&'a mut Written>,
    stats: LocalStats,
}

/// Where an entry is read, and where it goes.
struct Entry<'a> {
    path: &'a Path,
    name: &'a CStr,
    stat: Stat,
    from: BorrowedFd<'a>,
    to: BorrowedFd<'a>,
}

impl Copier<'_> {
    fn directory(&mut self, path: &Path) -> Result<(), ExportError> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
        let from = self.from.open_at(path, flags, Mode::empty()).map_err(|e| self.failed("read", path, e))?;
        let to = self.to.open_at(path, flags, Mode::empty()).map_err(|e| self.failed("open", path, e))?;
        for name in names(&from).map_err(|e| self.failed("read", path, e))? {
            let path = path.join(OsStr::from_bytes(name.to_bytes()));
            let stat = fs::statat(&from, &name, AtFlags::SYMLINK_NOFOLLOW)
                .map_err(|e| self.failed("read", &path, e))?;
            let entry = Entry { path: &path, name: &name, stat, from: from.as_fd(), to: to.as_fd() };
            self.entry(&entry)?;
        }
        Ok(())
    }

    fn entry(&mut self, entry: &Entry<'_>) -> Result<(), ExportError> {
        let kind = FileType::from_raw_mode(entry.stat.st_mode);
        if kind == FileType::Directory {
            if let Some(written) = &mut self.written {
                written.directory(self.own.join(entry.path));
            }
            self.make_directory(entry).map_err(|e| self.failed("create", entry.path, e))?;
            self.waiting.push(entry.path.to_owned());
            self.finished.push((entry.path.to_owned(), entry.stat));
            self.stats.directories += 1;
            return Ok(());
        }
        if let Some(written) = &mut self.written {
            written.file(self.own.join(entry.path))?;
        }
        match self.file(entry, kind) {
            Ok(true) => self.stats.files += 1,
            Ok(false) => self.stats.skipped.push(entry.path.to_owned()),
            Err(e) => return Err(self.failed("write", entry.path, e)),
        }
        Ok(())
    }

    fn make_directory(&self, entry: &Entry<'_>) -> io::Result<()> {
        let ours = Mode::RWXU;
        match fs::mkdirat(entry.to, entry.name, ours) {
            Err(Errno::EXIST) => {}
            other => return Ok(other?),
        }
        let there = fs::statat(entry.to, entry.name, AtFlags::SYMLINK_NOFOLLOW)?;
        if FileType::from_raw_mode(there.st_mode) == FileType::Directory {
            // Writable until it is full; its own mode comes last.
            return Ok(fs::chmodat(entry.to, entry.name, ours, AtFlags::empty())?);
        }
        fs::unlinkat(entry.to, entry.name, AtFlags::empty())?;
        Ok(fs::mkdirat(entry.to, entry.name, ours)?)
    }

    /// Makes anything that is no directory, beside its place, and moves it there. `false` when it has to be left out.
    fn file(&mut self, entry: &Entry<'_>, kind: FileType) -> io::Result<bool> {
        let temporary = c".slipway-partial";
        match fs::unlinkat(entry.to, temporary, AtFlags::empty()) {
            Ok(()) | Err(Errno::NOENT) => {}
            Err(e) => return Err(e.into()),
        }
        let id = (entry.stat.st_dev, entry.stat.st_ino);
        let linked = entry.stat.st_nlink > 1;
        if let Some(first) = self.links.get(&id).filter(|_| linked) {
            let (dir, name) = self.to.parent_of(first)?;
            fs::linkat(dir, name, entry.to, temporary, AtFlags::empty())?;
        } else {
            if !self.make(entry, kind, temporary)? {
                return Ok(false);
            }
            if linked {
                self.links.insert(id, entry.path.to_owned());
            }
        }
        fs::renameat(entry.to, temporary, entry.to, entry.name)?;
        Ok(true)
    }

    fn make(&mut self, entry: &Entry<'_>, kind: FileType, name: &CStr) -> io::Result<bool> {
        let mode = Mode::from_raw_mode(entry.stat.st_mode);
        let times = self.times(&entry.stat);
        match kind {
            FileType::RegularFile => {
                let flags = OFlags::RDONLY | OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::CLOEXEC;
                let source = File::from(fs::openat(entry.from, entry.name, flags, Mode::empty())?);
                let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
                let target = File::from(fs::openat(entry.to, name, flags, Mode::RUSR | Mode::WUSR)?);
                self.stats.bytes += copy(source, &target)?;
                fs::fchmod(&target, mode)?;
                fs::futimens(&target, &times)?;
                return Ok(true);
            }
            FileType::Symlink => {
                let target = fs::readlinkat(entry.from, entry.name, Vec::new())?;
                fs::symlinkat(target, entry.to, name)?;
            }
            FileType::Fifo | FileType::CharacterDevice | FileType::BlockDevice => {
                match fs::mknodat(entry.to, name, kind, Mode::RUSR | Mode::WUSR, entry.stat.st_rdev) {
                    Err(Errno::PERM) => return Ok(false),
                    other => other?,
                }
                fs::chmodat(entry.to, name, mode, AtFlags::empty())?;
            }
            _ => return Ok(false),
        }
        fs::utimensat(entry.to, name, &times, AtFlags::SYMLINK_NOFOLLOW)?;
        Ok(true)
    }

    /// Sets what writing into a directory would have changed.
    fn finish(&self) -> Result<(), ExportError> {
        for (path, stat) in self.finished.iter().rev() {
            let set = || -> io::Result<()> {
                let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW;
                let fd = self.to.open_at(path, flags, Mode::empty())?;
                fs::fchmod(&fd, Mode::from_raw_mode(stat.st_mode))?;
                Ok(fs::futimens(&fd, &self.times(stat))?)
            };
            set().map_err(|e| self.failed("change the mode of", path, e))?;
        }
        Ok(())
    }

    fn times(&self, stat: &Stat) -> Timestamps {
        let own = (stat.st_mtime, i64::try_from(stat.st_mtime_nsec).unwrap_or(0));
        let (tv_sec, tv_nsec) = self.clamp.map_or(own, |clamp| own.min(clamp));
        Timestamps {
            last_access: Timespec { tv_sec: 0, tv_nsec: UTIME_OMIT },
            last_modification: Timespec { tv_sec, tv_nsec },
        }
    }

    fn failed(&self, action: &'static str, path: &Path, source: impl Into<io::Error>) -> ExportError {
        ExportError::File { action, path: self.dest.join(path), source: source.into() }
    }
}

/// The names in a directory, sorted.
fn names(dir: &OwnedFd) -> io::Result<Vec<CString>> {
    let mut names = Vec::new();
    for entry in Dir::read_from(dir)? {
        let entry = entry?;
        if !matches!(entry.file_name().to_bytes(), b"." | b"..") {
            names.push(entry.file_name().to_owned());
        }
    }
    names.sort();
    Ok(names)
}

/// Shares the blocks where the file system can, and copies inside the kernel otherwise.
fn copy(mut source: File, mut target: &File) -> io::Result<u64> {
    if ioctl_ficlone(target, &source).is_ok() {
        return Ok(source.metadata()?.len());
    }
    io::copy(&mut source, &mut target)
}
