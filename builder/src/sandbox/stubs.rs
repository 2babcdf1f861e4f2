//! Mount points that an image does not have.
//!
//! Making them in the root file system would leave them in the layer, and copy their parent directories up into it.
//! Instead they stand in a layer of their own, directly under the writable one: missing directories and empty files,
//! and, around them, copies of the image's directories, so that the merged tree looks as before.

use crate::rootfs::Root;
use rustix::fs::{self, AtFlags, Gid, Mode, OFlags, Stat, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;
use std::collections::{BTreeMap, VecDeque};
use std::ffi::{CString, OsString};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path, PathBuf};

/// As many links as the kernel follows.
const MAX_LINKS: u32 = 40;

/// A path inside a root, with every link followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Resolved {
    /// Relative to the root, with neither links nor `..`.
    pub(super) path: PathBuf,
    /// How many of its components exist.
    pub(super) existing: usize,
}

impl Resolved {
    pub(super) fn is_missing(&self) -> bool {
        self.existing < self.path.components().count()
    }
}

/// Follows the links of `path` inside `root`, as far as it exists.
pub(super) fn resolve(root: &Root, path: &Path) -> io::Result<Resolved> {
    let mut todo: VecDeque<OsString> = components(path).collect();
    let mut done = PathBuf::new();
    let mut existing = 0;
    let mut links = 0;
    while let Some(name) = todo.pop_front() {
        if name == ".." {
            done.pop();
            existing = existing.min(done.components().count());
            continue;
        }
        let depth = done.components().count();
        done.push(&name);
        if existing < depth {
            continue;
        }
        let stat = match root.lstat(&done) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => continue,
            other => other?,
        };
        if fs::FileType::from_raw_mode(stat.st_mode) != fs::FileType::Symlink {
            existing = depth + 1;
            continue;
        }
        links += 1;
        if links > MAX_LINKS {
            return Err(Errno::LOOP.into());
        }
        let target = root.read_link(&done)?;
        if target.has_root() {
            done = PathBuf::new();
        } else {
            done.pop();
        }
        existing = done.components().count();
        for name in components(&target).collect::<Vec<_>>().into_iter().rev() {
            todo.push_front(name);
        }
    }
    Ok(Resolved { path: done, existing })
}

fn components(path: &Path) -> impl Iterator<Item = OsString> + '_ {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some("..".into()),
        Component::RootDir | Component::CurDir | Component::Prefix(_) => None,
    })
}

/// Makes what is missing of `resolved` inside `root`, for mount points in a file system that is not the image's.
pub(super) fn create_in(root: &Root, resolved: &Resolved, directory: bool) -> io::Result<()> {
    let names: Vec<_> = resolved.path.iter().collect();
    let mut made = PathBuf::new();
    for (index, name) in names.iter().enumerate() {
        if index >= resolved.existing {
            let parent = root.open_at(&made, OFlags::PATH | OFlags::DIRECTORY, Mode::empty())?;
            if directory || index + 1 < names.len() {
                fs::mkdirat(&parent, *name, Mode::empty())?;
                // Apart, because mkdir obeys the umask.
                fs::chmodat(&parent, *name, Mode::from_raw_mode(0o755), AtFlags::empty())?;
            } else {
                drop(create_empty(&parent, name)?);
            }
        }
        made.push(name);
    }
    Ok(())
}

fn create_empty(parent: &OwnedFd, name: &std::ffi::OsStr) -> io::Result<OwnedFd> {
    let flags = OFlags::CREATE | OFlags::EXCL | OFlags::WRONLY | OFlags::CLOEXEC;
    Ok(fs::openat(parent, name, flags, Mode::from_raw_mode(0o644))?)
}

/// Makes the layer for the mount points `missing` of `root` in the empty directory `layer`. The flag says that a mount
/// point is a directory.
pub(super) fn make_layer(layer: &Path, root: &Root, missing: &[(Resolved, bool)]) -> io::Result<()> {
    let stub = Root::open(layer)?;
    // What stands in the image already, and must look the same.
    let mut mirrored: BTreeMap<PathBuf, Stat> = BTreeMap::new();
    for (resolved, directory) in missing {
        let mut at = PathBuf::new();
        mirrored.insert(at.clone(), root.stat(Path::new(""))?);
        for name in resolved.path.iter().take(resolved.existing) {
            at.push(name);
            mirrored.entry(at.clone()).or_insert(root.lstat(&at)?);
        }
        // Two mount points may share what is missing of their parents.
        let present = resolve(&stub, &resolved.path)?;
        create_in(&stub, &present, *directory)?;
    }
    // Children first: making them changed the times of their parents.
    for (path, stat) in mirrored.iter().rev() {
        mirror(
            &root.open_at(path, OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty())?,
            &layer.join(path),
            stat,
        )?;
    }
    Ok(())
}

/// Gives the directory `to` what `stat` says, and the extended attributes of `from`.
fn mirror(from: &OwnedFd, to: &Path, stat: &Stat) -> io::Result<()> {
    match fs::chownat(
        fs::CWD,
        to,
        Some(Uid::from_raw(stat.st_uid)),
        Some(Gid::from_raw(stat.st_gid)),
        AtFlags::empty(),
    ) {
        // An owner that this user namespace cannot name: the kernel shows it as nobody, and does not take it back.
        Ok(()) | Err(Errno::INVAL | Errno::PERM) => {}
        Err(errno) => return Err(errno.into()),
    }
    fs::chmod(to, Mode::from_raw_mode(stat.st_mode))?;
    copy_xattrs(from, to)?;
    let time = |seconds: i64, nanoseconds: u64| Timespec { tv_sec: seconds, tv_nsec: nanoseconds as _ };
    let times = Timestamps {
        last_access: time(stat.st_atime as _, stat.st_atime_nsec as _),
        last_modification: time(stat.st_mtime as _, stat.st_mtime_nsec as _),
    };
    Ok(fs::utimensat(fs::CWD, to, &times, AtFlags::empty())?)
}

/// Access control lists above all. What this process may not set is not what a mount point needs.
fn copy_xattrs(from: &OwnedFd, to: &Path) -> io::Result<()> {
    let mut names = vec![0; 64 << 10];
    let length = match fs::flistxattr(from, &mut names[..]) {
        Ok(length) => length,
        Err(Errno::NOTSUP) => return Ok(()),
        Err(errno) => return Err(errno.into()),
    };
    let mut value = vec![0; 64 << 10];
    for name in names[..length].split(|&byte| byte == 0).filter(|name| !name.is_empty()) {
        if name.windows(9).any(|window| window == b".overlay.") {
            continue;
        }
        let name = CString::new(name)?;
        let Ok(length) = fs::fgetxattr(from, &name, &mut value[..]) else { continue };
        match fs::setxattr(to, &name, &value[..length], XattrFlags::empty()) {
            Ok(()) | Err(Errno::NOTSUP | Errno::PERM | Errno::INVAL) => {}
            Err(errno) => return Err(errno.into()),
        }
    }
    Ok(())
}

/// `/` and the path, as the sandbox sees it.
pub(super) fn absolute(path: &Path) -> CString {
    // What came out of path components has no NUL: the kernel was asked about it. An empty path names nothing.
    CString::new([b"/", path.as_os_str().as_bytes()].concat()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    fn tree() -> (tempfile::TempDir, Root) {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("etc/deep")).unwrap();
        std::fs::write(dir.path().join("etc/hosts"), "").unwrap();
        symlink("../run/stub/resolv.conf", dir.path().join("etc/resolv.conf")).unwrap();
        symlink("/etc", dir.path().join("conf")).unwrap();
        symlink("loop", dir.path().join("loop")).unwrap();
        let root = Root::open(dir.path()).unwrap();
        (dir, root)
    }

    #[test]
    fn links_are_followed_to_what_is_missing() {
        let (_dir, root) = tree();
        for (path, want, existing) in [
            ("/etc/hosts", "etc/hosts", 2),
            ("/conf/hosts", "etc/hosts", 2),
            ("/conf/../etc/./deep", "etc/deep", 2),
            ("/../../etc", "etc", 1),
            ("/etc/resolv.conf", "run/stub/resolv.conf", 0),
            ("/conf/none/at/all", "etc/none/at/all", 1),
            ("/none/../etc", "etc", 1),
            ("/", "", 0),
        ] {
            let resolved = resolve(&root, Path::new(path)).unwrap();
            assert_eq!((resolved.path.to_str().unwrap(), resolved.existing), (want, existing), "{path}");
        }
        assert_eq!(resolve(&root, Path::new("/loop/x")).unwrap_err().raw_os_error(), Some(libc::ELOOP));
        assert_eq!(
            resolve(&root, Path::new("/etc/hosts/x")).unwrap_err().raw_os_error(),
            Some(libc::ENOTDIR)
        );
    }

    #[test]
    fn the_layer_looks_like_the_image() {
        let (dir, root) = tree();
        let etc = dir.path().join("etc");
        std::fs::set_permissions(&etc, std::fs::Permissions::from_mode(0o2751)).unwrap();
        std::fs::File::open(&etc)
            .unwrap()
            .set_modified(std::time::UNIX_EPOCH + std::time::Duration::new(1_000_000, 7))
            .unwrap();
        let layer = tempfile::tempdir().unwrap();
        let missing: Vec<_> =
            [("/etc/new/file", false), ("/etc/new/dir", true), ("/proc", true), ("/etc/resolv.conf", false)]
                .into_iter()
                .map(|(path, directory)| (resolve(&root, Path::new(path)).unwrap(), directory))
                .collect();
        assert!(missing.iter().all(|(resolved, _)| resolved.is_missing()));
        make_layer(layer.path(), &root, &missing).unwrap();

        let of = |path: &str| std::fs::symlink_metadata(layer.path().join(path)).unwrap();
        assert!(of("etc/new/file").is_file() && of("etc/new/dir").is_dir() && of("proc").is_dir());
        assert!(of("run/stub/resolv.conf").is_file());
        assert!(!layer.path().join("etc/hosts").exists(), "nothing else is there");
        assert_eq!(of("etc").mode() & 0o7777, 0o2751);
        assert_eq!((of("etc").mtime(), of("etc").mtime_nsec()), (1_000_000, 7));
        assert_eq!(of("etc/new").mode() & 0o7777, 0o755);
    }
}
