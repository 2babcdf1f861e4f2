//! Overlay mounts of layers, detached: used through their [`Root`], and gone with it.
//!
//! A layer is a directory in overlayfs form. Lists of layers go from the top one to the lowest. `redirect_dir`,
//! `metacopy`, `index` and `nfs_export` are off, because with them an upper directory is not the whole layer.

use super::mount_api::{
    NewFilesystem, add_attributes, clone_tree, clone_tree_at, in_private_mounts, move_to, proc_link,
};
use super::{Root, XattrFlavor};
use rustix::fs::{self, CWD, Mode, OFlags};
use rustix::io::Errno;
use rustix::mount::{MountAttrFlags, MountFlags};
use std::collections::HashSet;
use std::ffi::CString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;

/// Most layers that the kernel stacks.
pub const MAX_LAYERS: usize = 500;

/// The merged, read-only view of `lowers`, the top one first.
///
/// No layer at all is an empty directory. Needs the right to mount: root, or a user namespace.
///
/// # Errors
/// What the kernel says, with the layer it was about; more than [`MAX_LAYERS`] different layers.
pub fn overlay_view<P: AsRef<Path>>(lowers: &[P]) -> io::Result<Root> {
    let layers = Layers::new(lowers, None)?;
    let fd = match layers.lowers.len() {
        0 => empty_directory()?,
        1 => layers.view_of_one()?,
        _ => layers.mount()?,
    };
    Ok(Root::from_fd(fd))
}

/// `lowers` with a writable layer on top of them.
///
/// What is written lands in `upper`; `work` is an empty directory on the same file system. The mount is `volatile`:
/// it never syncs, so that an upper directory written before a crash of the machine must be thrown away, and whoever
/// makes a layer durable syncs it himself.
///
/// # Errors
/// What the kernel says, with the directory it was about; more than [`MAX_LAYERS`] different layers.
pub fn overlay_rw<P: AsRef<Path>>(lowers: &[P], upper: &Path, work: &Path) -> io::Result<Root> {
    if lowers.is_empty() {
        // There is nothing to cover, so nothing to overlay: the upper directory itself is the tree.
        return Ok(Root::from_fd(clone_tree(upper, false)?));
    }
    // An earlier volatile mount leaves this mark; the kernel refuses the directory while it is there.
    let mark = work.join("work/incompat");
    if let Err(error) = std::fs::remove_dir_all(&mark)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(error);
    }
    Ok(Root::from_fd(Layers::new(lowers, Some((upper, work)))?.mount()?))
}

/// What stands at `path` in a detached mount, as a detached mount of its own.
///
/// # Errors
/// `ENOENT`; what the kernel says.
pub fn subtree(view: &Root, path: &Path) -> io::Result<OwnedFd> {
    let at = |view: &Root| view.open_at(path, OFlags::PATH, Mode::empty());
    match clone_tree_at(at(view)?, false) {
        // Before Linux 6.15 a mount must be in the mount namespace of whoever copies it.
        Err(Errno::INVAL) => in_private_mounts(|| {
            move_to(view, ATTACH_POINT)?;
            Ok(clone_tree_at(at(view)?, false)?)
        }),
        other => Ok(other?),
    }
}

/// A directory that every machine has, for mounts that must be attached for a moment in a namespace of their own.
const ATTACH_POINT: &std::ffi::CStr = c"/proc";

/// The options that decide what an upper directory means. `nofollow`, not `off`: a redirect that a hostile layer brought
/// along is not followed either.
const OPTIONS: [(&str, &str); 4] =
    [("redirect_dir", "nofollow"), ("metacopy", "off"), ("index", "off"), ("nfs_export", "off")];

/// The directories of one mount. The kernel is told them by links in /proc: no length or odd character of a path
/// matters, and the options that a sandbox can read show no path of this machine.
struct Layers<'a> {
    lowers: Vec<&'a Path>,
    /// Upper and work directory.
    writable: Option<(&'a Path, &'a Path)>,
}

impl<'a> Layers<'a> {
    fn new<P: AsRef<Path>>(lowers: &'a [P], writable: Option<(&'a Path, &'a Path)>) -> io::Result<Self> {
        let mut seen = HashSet::new();
        // overlayfs refuses a directory that it has already (ELOOP), and an image may have a layer twice. The lower one
        // adds nothing: each of its entries, whiteouts among them, is in the upper one, whatever lies between.
        let mut lowers: Vec<&Path> =
            lowers.iter().map(AsRef::as_ref).filter(|path| seen.insert(*path)).collect();
        if lowers.len() > MAX_LAYERS {
            let text = format!("{} layers are stacked, the kernel takes {MAX_LAYERS}", lowers.len());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        // A layer can hide all below it (`.wh..wh..opq` at its top). The kernel does not look for that mark there.
        if let Some(at) = lowers.iter().position(|lower| hides_all_below(lower)) {
            lowers.truncate(at + 1);
        }
        Ok(Self { lowers, writable })
    }

    fn mount(&self) -> io::Result<OwnedFd> {
        // lowerdir+ is new in Linux 6.5. What an older kernel says to it is not worth a guess: the way that it knows
        // decides, and what the new one said is the better message.
        self.mount_one_by_one(&[]).or_else(|error| self.mount_in_one_line().map_err(|_| error))
    }

    /// Each layer by an option of its own; `below` are more of them.
    fn mount_one_by_one(&self, below: &[OwnedFd]) -> io::Result<OwnedFd> {
        let overlay = NewFilesystem::open("overlay")?;
        for (name, value) in OPTIONS {
            overlay.option(name, value)?;
        }
        if uses_user_xattrs() {
            overlay.flag("userxattr")?;
        }
        for lower in &self.lowers {
            overlay.directory("lowerdir+", &open_directory(lower)?, lower)?;
        }
        for lower in below {
            overlay.option("lowerdir+", proc_link(lower).as_str())?;
        }
        let Some((upper, work)) = self.writable else {
            return overlay.mount(MountAttrFlags::MOUNT_ATTR_RDONLY);
        };
        overlay.directory("upperdir", &open_directory(upper)?, upper)?;
        overlay.directory("workdir", &open_directory(work)?, work)?;
        overlay.flag("volatile")?;
        overlay.mount(MountAttrFlags::empty())
    }

    /// `mount(2)`, whose options are one page at most: about 200 layers.
    fn mount_in_one_line(&self) -> io::Result<OwnedFd> {
        in_private_mounts(|| {
            // Opened in this namespace: layers in another one are refused.
            let lowers =
                self.lowers.iter().map(|lower| open_directory(lower)).collect::<io::Result<Vec<_>>>()?;
            let links: Vec<String> = lowers.iter().map(proc_link).collect();
            let mut options: Vec<String> =
                OPTIONS.iter().map(|(name, value)| format!("{name}={value}")).collect();
            options.push(format!("lowerdir={}", links.join(":")));
            if uses_user_xattrs() {
                options.push("userxattr".to_owned());
            }
            let mut flags = MountFlags::RDONLY;
            let mut opened = None;
            if let Some((upper, work)) = self.writable {
                let (upper, work) = opened.insert((open_directory(upper)?, open_directory(work)?));
                options.push(format!("upperdir={},workdir={},volatile", proc_link(upper), proc_link(work)));
                flags = MountFlags::empty();
            }
            let options = CString::new(options.join(","))?;
            rustix::mount::mount(c"overlay", ATTACH_POINT, c"overlay", flags, Some(options.as_c_str()))?;
            Ok(clone_tree_at(fs::openat(CWD, ATTACH_POINT, OFlags::PATH, Mode::empty())?, false)?)
        })
    }

    /// overlayfs wants two layers. An empty tmpfs under the one makes it so, which hides the layer's whiteouts; where the
    /// kernel (before 6.15) does not stack on a detached mount, the layer's directory is bound as it is.
    fn view_of_one(&self) -> io::Result<OwnedFd> {
        self.mount_one_by_one(&[empty_directory()?]).or_else(|_| {
            let fd = clone_tree_at(open_directory(self.lowers[0])?, false)?;
            add_attributes(&fd, false, MountAttrFlags::MOUNT_ATTR_RDONLY)?;
            Ok(fd)
        })
    }
}

fn uses_user_xattrs() -> bool {
    XattrFlavor::of_this_process() == XattrFlavor::User
}

fn hides_all_below(lower: &Path) -> bool {
    let mut value = [0; 2];
    fs::lgetxattr(lower, XattrFlavor::of_this_process().opaque(), &mut value[..]) == Ok(1) && value[0] == b'y'
}

fn empty_directory() -> io::Result<OwnedFd> {
    let tmpfs = NewFilesystem::open("tmpfs")?;
    tmpfs.option("mode", "0755")?;
    tmpfs.mount(MountAttrFlags::MOUNT_ATTR_RDONLY)
}

fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).map_err(|errno| {
        io::Error::new(io::Error::from(errno).kind(), format!("{}: {errno}", path.display()))
    })
}

#[cfg(test)]
mod tests;
