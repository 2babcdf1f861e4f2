//! Another form of an unpacked layer: the same files, in directories as they are in the layers below.

use crate::layer::xattr::belongs_to_layer;
use crate::rootfs::{Root, XattrFlavor};
use rustix::fs::{self, AtFlags, CWD, FileType, Mode, OFlags, Stat, Timespec, Timestamps, XattrFlags};
use rustix::io::Errno;
use std::collections::BTreeSet;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// How many symbolic links are followed, as by the kernel.
const LINKS: usize = 40;

/// A layer and what it lies on.
pub(super) struct Fit<'a> {
    /// The layer as it was unpacked. Nobody changes it.
    layer: &'a Path,
    /// Its directories that the archive does not mention; the empty path is the layer itself.
    implied: BTreeSet<&'a Path>,
    /// The merged layers below.
    view: &'a Root,
    flavor: XattrFlavor,
}

/// What a directory is apart from its name.
#[derive(Clone, PartialEq, Eq)]
struct Attributes {
    mode: u32,
    owner: (u32, u32),
    xattrs: Vec<(Vec<u8>, Vec<u8>)>,
}

/// What is below an implied directory.
enum Below {
    /// Nothing, or nothing that it could be.
    Nothing,
    /// A directory, perhaps by way of links: its path without them.
    Directory(PathBuf),
}

impl<'a> Fit<'a> {
    pub(super) fn new(layer: &'a Path, implied: &'a [PathBuf], view: &'a Root, flavor: XattrFlavor) -> Self {
        Self { layer, implied: implied.iter().map(PathBuf::as_path).collect(), view, flavor }
    }

    /// Whether any directory is another one below than the layer has it. Times do not count.
    pub(super) fn is_needed(&self) -> io::Result<bool> {
        for &implied in &self.implied {
            if self.is_hidden(implied)? {
                continue;
            }
            let Below::Directory(real) = self.below(implied)? else { continue };
            if real != implied || self.attributes_below(&real)? != attributes(&self.layer.join(implied))? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Whether a directory above `path` hides the layers below.
    fn is_hidden(&self, path: &Path) -> io::Result<bool> {
        for above in path.ancestors().skip(1) {
            if is_opaque(&self.layer.join(above), self.flavor)? {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// What stands at `path` in the layers below.
    fn below(&self, path: &Path) -> io::Result<Below> {
        let mut real = PathBuf::new();
        let mut links = 0;
        let mut open: Vec<PathBuf> = parts(path);
        open.reverse();
        while let Some(part) = open.pop() {
            if part == Path::new("..") {
                real.pop();
                continue;
            }
            let at = real.join(&part);
            let stat = match self.view.lstat(&at) {
                Ok(stat) => stat,
                Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(Below::Nothing),
                Err(e) => return Err(e),
            };
            match FileType::from_raw_mode(stat.st_mode) {
                FileType::Directory => real = at,
                FileType::Symlink if links < LINKS => {
                    links += 1;
                    let target = self.view.read_link(&at)?;
                    if target.is_absolute() {
                        real = PathBuf::new();
                    }
                    open.extend(parts(&target).into_iter().rev());
                }
                _ => return Ok(Below::Nothing),
            }
        }
        Ok(Below::Directory(real))
    }

    fn attributes_below(&self, path: &Path) -> io::Result<Attributes> {
        let fd = self.view.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?;
        attributes_of(&fd)
    }

    /// Makes the other form in the empty directory `into`.
    pub(super) fn make(&self, into: &Path) -> io::Result<()> {
        let mut made = Made { into, view: self, times: Vec::new() };
        // Where in the layer, where in the new form, and whether the layers below are hidden there.
        let mut open = vec![(PathBuf::new(), PathBuf::new(), false)];
        while let Some((from, to, hidden)) = open.pop() {
            let at = self.layer.join(&from);
            let opaque = is_opaque(&at, self.flavor)?;
            let implied = self.implied.contains(from.as_path());
            let below = if implied && !hidden { self.below(&to)? } else { Below::Nothing };
            let to = match below {
                Below::Directory(real) => {
                    made.directories_below(&real)?;
                    real
                }
                Below::Nothing => {
                    made.directory(&to, &attributes(&at)?, fs::lstat(&at)?)?;
                    to
                }
            };
            if opaque {
                fs::lsetxattr(into.join(&to), self.flavor.opaque(), b"y", XattrFlags::empty())?;
            }
            for entry in std::fs::read_dir(&at)? {
                let entry = entry?;
                let (from, to) = (from.join(entry.file_name()), to.join(entry.file_name()));
                if entry.file_type()?.is_dir() {
                    open.push((from, to, hidden || opaque));
                } else {
                    made.link(&self.layer.join(&from), &to)?;
                }
            }
        }
        made.finish()
    }
}

/// The new form, as far as it is made.
struct Made<'a> {
    into: &'a Path,
    view: &'a Fit<'a>,
    /// Times of directories, which come last.
    times: Vec<(PathBuf, Stat)>,
}

impl Made<'_> {
    /// Makes a directory, or gives one that is there these attributes.
    fn directory(&mut self, path: &Path, wanted: &Attributes, stat: Stat) -> io::Result<()> {
        let at = self.into.join(path);
        match std::fs::create_dir(&at) {
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists => {
                if !at.symlink_metadata()?.is_dir() {
                    std::fs::remove_file(&at)?;
                    std::fs::create_dir(&at)?;
                }
            }
            other => other?,
        }
        let (uid, gid) = wanted.owner;
        match std::os::unix::fs::lchown(&at, Some(uid), Some(gid)) {
            // A user namespace with one id: everything belongs to that.
            Err(e) if matches!(Errno::from_io_error(&e), Some(Errno::INVAL | Errno::PERM)) => {}
            other => other?,
        }
        for (name, value) in &wanted.xattrs {
            fs::lsetxattr(&at, name.as_slice(), value, XattrFlags::empty())?;
        }
        fs::chmodat(CWD, &at, Mode::from_raw_mode(wanted.mode), AtFlags::empty())?;
        self.times.push((at, stat));
        Ok(())
    }

    /// Makes `real`, a path without links, with all that is above it, as it is in the layers below.
    fn directories_below(&mut self, real: &Path) -> io::Result<()> {
        let mut above: Vec<&Path> = real.ancestors().collect();
        above.reverse();
        for path in above {
            if path != real && self.into.join(path).symlink_metadata().is_ok_and(|there| there.is_dir()) {
                continue;
            }
            let attributes = self.view.attributes_below(path)?;
            self.directory(path, &attributes, self.view.view.stat(path)?)?;
        }
        Ok(())
    }

    /// Puts anything else in place. A directory that is there already stays: it cannot be both.
    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        let at = self.into.join(to);
        match fs::linkat(CWD, from, CWD, &at, AtFlags::empty()) {
            Err(Errno::EXIST) if !at.symlink_metadata()?.is_dir() => {
                std::fs::remove_file(&at)?;
                Ok(fs::linkat(CWD, from, CWD, &at, AtFlags::empty())?)
            }
            Err(Errno::EXIST) => Ok(()),
            other => Ok(other?),
        }
    }

    fn finish(self) -> io::Result<()> {
        for (path, stat) in self.times.iter().rev() {
            let nanoseconds = i64::try_from(stat.st_mtime_nsec).unwrap_or(0);
            let time = Timespec { tv_sec: stat.st_mtime, tv_nsec: nanoseconds };
            let times = Timestamps { last_access: time, last_modification: time };
            fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW)?;
        }
        Ok(())
    }
}

/// The names of a path; `.` is none.
fn parts(path: &Path) -> Vec<PathBuf> {
    let kept = path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(PathBuf::from(name)),
        Component::ParentDir => Some("..".into()),
        _ => None,
    });
    kept.collect()
}

fn is_opaque(directory: &Path, flavor: XattrFlavor) -> io::Result<bool> {
    let mut value = [0; 2];
    match fs::lgetxattr(directory, flavor.opaque(), &mut value[..]) {
        Ok(length) => Ok(length == 1 && value[0] == b'y'),
        Err(Errno::NODATA | Errno::RANGE) => Ok(false),
        Err(e) => Err(e.into()),
    }
}

fn attributes(directory: &Path) -> io::Result<Attributes> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    attributes_of(&fs::open(directory, flags, Mode::empty())?)
}

fn attributes_of(fd: &std::os::fd::OwnedFd) -> io::Result<Attributes> {
    let stat = fs::fstat(fd)?;
    let mut names = vec![0; 64 << 10];
    let length = fs::flistxattr(fd, &mut names[..])?;
    let mut xattrs = Vec::new();
    for name in names[..length].split(|byte| *byte == 0).filter(|name| belongs_to_layer(name)) {
        let mut value = vec![0; 64 << 10];
        let length = fs::fgetxattr(fd, std::ffi::OsStr::from_bytes(name), &mut value[..])?;
        value.truncate(length);
        xattrs.push((name.to_vec(), value));
    }
    xattrs.sort();
    Ok(Attributes { mode: stat.st_mode & 0o7777, owner: (stat.st_uid, stat.st_gid), xattrs })
}
