//! Making directories in somebody else's tree.

use super::Root;
use rustix::fs::{self, AtFlags, FileType, Gid, Mode, Uid};
use rustix::io::Errno;
use std::io;
use std::path::{Component, Path, PathBuf};

/// Links that are followed on the way; the kernel's own limit.
const MAX_LINKS: usize = 40;

/// Makes `path` and what is missing above it. What is made gets `mode` and `owner` (user and group id); what is there
/// stays as it is. Links are followed inside the root, also those whose target is missing: the target is made.
///
/// # Errors
/// `ENOTDIR` when something on the way is no directory, `ELOOP` for too many links, and what the kernel says.
pub fn make_directories(root: &Root, path: &Path, mode: u32, owner: (u32, u32)) -> io::Result<()> {
    make(root, path, mode, owner, MAX_LINKS)
}

fn make(root: &Root, path: &Path, mode: u32, owner: (u32, u32), links: usize) -> io::Result<()> {
    let mut at = PathBuf::from("/");
    for component in path.components() {
        match component {
            Component::Normal(name) => at.push(name),
            Component::ParentDir => {
                at.pop();
                continue;
            }
            _ => continue,
        }
        match root.stat(&at) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => continue,
            Ok(_) => return Err(Errno::NOTDIR.into()),
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
            Err(error) => return Err(error),
        }
        let (parent, name) = root.parent_of(&at)?;
        match fs::mkdirat(&parent, &name, Mode::from_raw_mode(mode)) {
            Ok(()) => {
                let (uid, gid) = (Uid::from_raw(owner.0), Gid::from_raw(owner.1));
                if owner != (0, 0) {
                    fs::chownat(&parent, &name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
                }
                // The umask has taken bits away.
                fs::chmodat(&parent, &name, Mode::from_raw_mode(mode), AtFlags::empty())?;
            }
            // A link whose target is missing.
            Err(Errno::EXIST) if links > 0 => {
                let target = root.read_link(&at)?;
                let target = at.parent().unwrap_or(Path::new("/")).join(target);
                make(root, &target, mode, owner, links - 1)?;
            }
            Err(Errno::EXIST) => return Err(Errno::LOOP.into()),
            Err(error) => return Err(error.into()),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{MetadataExt, symlink};

    #[test]
    fn parents_links_and_what_is_there() {
        let dir = tempfile::tempdir().unwrap();
        let at = |path: &str| dir.path().join(path);
        std::fs::create_dir(at("there")).unwrap();
        std::fs::set_permissions(at("there"), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
        symlink("/made/by/link", at("dangling")).unwrap();
        symlink("loop", at("loop")).unwrap();
        std::fs::write(at("file"), "").unwrap();
        let root = Root::open(dir.path()).unwrap();
        let me = std::fs::metadata(dir.path()).unwrap();
        let owner = (me.uid(), me.gid());
        let make = |path: &str| make_directories(&root, Path::new(path), 0o755, owner);
        make("/there/a/b").unwrap();
        assert_eq!(std::fs::metadata(at("there")).unwrap().mode() & 0o777, 0o700);
        assert_eq!(std::fs::metadata(at("there/a/b")).unwrap().mode() & 0o777, 0o755);
        make("dangling/x").unwrap();
        assert!(at("made/by/link/x").is_dir());
        make("/a/../b/../../c").unwrap();
        assert!(at("c").is_dir());
        assert_eq!(make("/file/x").unwrap_err().raw_os_error(), Some(libc::ENOTDIR));
        assert!(make("/loop/x").is_err());
        make("/").unwrap();
    }
}
