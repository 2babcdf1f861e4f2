//! Overlay mounts of layers, detached: used through their [`Root`], and gone with it.
//!
//! A layer is a directory in overlayfs form. Lists of layers go from the top one to the lowest. `redirect_dir`,
//! `metacopy`, `index` and `nfs_export` are off, because with them an upper directory is not the whole layer.

use super::mount_api::{NewFilesystem, clone_tree};
use super::{Root, XattrFlavor};
use rustix::fs::{self, Mode, OFlags};
use rustix::mount::MountAttrFlags;
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
/// What the kernel says, with the layer it was about; more than [`MAX_LAYERS`] layers.
pub fn overlay_view<P: AsRef<Path>>(lowers: &[P]) -> io::Result<Root> {
    let read_only = MountAttrFlags::MOUNT_ATTR_RDONLY;
    let fd = match lowers {
        [] => empty_directory(read_only)?,
        [only] => view_of_one(only.as_ref())?,
        _ => {
            let overlay = Overlay::new()?;
            overlay.lowers(lowers)?;
            overlay.0.mount(read_only)?
        }
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
/// What the kernel says, with the directory it was about; more than [`MAX_LAYERS`] layers.
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
    let overlay = Overlay::new()?;
    overlay.lowers(lowers)?;
    overlay.0.directory("upperdir", open_directory(upper)?, upper)?;
    overlay.0.directory("workdir", open_directory(work)?, work)?;
    overlay.0.flag("volatile")?;
    Ok(Root::from_fd(overlay.0.mount(MountAttrFlags::empty())?))
}

struct Overlay(NewFilesystem);

impl Overlay {
    fn new() -> io::Result<Self> {
        let overlay = NewFilesystem::open("overlay")?;
        // nofollow, not off: a redirect that a hostile layer brought along is not followed either.
        overlay.option("redirect_dir", "nofollow")?;
        for feature in ["metacopy", "index", "nfs_export"] {
            overlay.option(feature, "off")?;
        }
        if XattrFlavor::of_this_process() == XattrFlavor::User {
            overlay.flag("userxattr")?;
        }
        Ok(Self(overlay))
    }

    fn lowers<P: AsRef<Path>>(&self, lowers: &[P]) -> io::Result<()> {
        if lowers.len() > MAX_LAYERS {
            let text = format!("{} layers are stacked, the kernel takes {MAX_LAYERS}", lowers.len());
            return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
        }
        for lower in lowers {
            let lower = lower.as_ref();
            self.0.directory("lowerdir+", open_directory(lower)?, lower)?;
        }
        Ok(())
    }
}

/// One layer alone: overlayfs wants two. An empty tmpfs under it makes it so, which hides the layer's whiteouts; where
/// the kernel (before 6.15) does not stack on a detached mount, the layer's directory is bound as it is.
fn view_of_one(lower: &Path) -> io::Result<OwnedFd> {
    let below = empty_directory(MountAttrFlags::empty())?;
    let stacked = || {
        let overlay = Overlay::new()?;
        overlay.0.directory("lowerdir+", open_directory(lower)?, lower)?;
        overlay.0.directory("lowerdir+", &below, Path::new("an empty directory"))?;
        overlay.0.mount(MountAttrFlags::MOUNT_ATTR_RDONLY)
    };
    stacked().or_else(|error: io::Error| {
        if error.kind() == io::ErrorKind::NotFound {
            return Err(error);
        }
        let fd = clone_tree(lower, false)?;
        super::mount_api::add_attributes(&fd, false, MountAttrFlags::MOUNT_ATTR_RDONLY)?;
        Ok(fd)
    })
}

fn empty_directory(attributes: MountAttrFlags) -> io::Result<OwnedFd> {
    let tmpfs = NewFilesystem::open("tmpfs")?;
    tmpfs.option("mode", "0755")?;
    tmpfs.mount(attributes)
}

fn open_directory(path: &Path) -> io::Result<OwnedFd> {
    fs::open(path, OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).map_err(|errno| {
        io::Error::new(io::Error::from(errno).kind(), format!("{}: {errno}", path.display()))
    })
}
