//! Owner, mode, times and attributes of what was written.
//!
//! The order is fixed: chown clears setuid bits and `security.capability`, so the mode comes after it and the
//! attributes last; writing either does not touch the mtime.

use super::spec::CopySpec;
use super::xattr::{self, Xattrs};
use rustix::fs::{self, AtFlags, Gid, Mode, Stat, Timespec, Timestamps, Uid};
use rustix::io::Errno;
use std::ffi::CStr;
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{SystemTime, UNIX_EPOCH};

/// What something is to get.
#[derive(Clone, Debug)]
pub(crate) struct Metadata {
    /// User and group.
    pub owner: (u32, u32),
    /// Permission bits, setuid, setgid, sticky.
    pub mode: u32,
    /// `None` leaves the mtime as writing made it.
    pub mtime: Option<Timespec>,
}

impl Metadata {
    /// For a copy of what `stat` describes.
    pub(crate) fn copied(spec: &CopySpec, stat: &Stat, directory: bool) -> Self {
        Self {
            owner: spec.owner((stat.st_uid, stat.st_gid)),
            mode: spec.mode(stat.st_mode, directory),
            mtime: Some(mtime(stat)),
        }
    }

    /// Applies it to an open file or directory.
    pub(crate) fn apply(
        &self,
        fd: impl AsFd,
        attributes: &Xattrs,
        refused: impl FnMut(&CStr, Errno),
    ) -> Result<(), Errno> {
        let fd = fd.as_fd();
        fs::fchown(fd, Some(Uid::from_raw(self.owner.0)), Some(Gid::from_raw(self.owner.1)))?;
        fs::fchmod(fd, Mode::from_raw_mode(self.mode))?;
        if let Some(mtime) = self.mtime {
            fs::futimens(fd, &both(mtime))?;
        }
        xattr::write(fd, attributes, refused)
    }

    /// Applies it to `name` in `parent`, which is not opened: a link, device, FIFO. Links have no mode of their own.
    pub(crate) fn apply_at(&self, parent: BorrowedFd<'_>, name: &CStr, link: bool) -> Result<(), Errno> {
        let (uid, gid) = (Uid::from_raw(self.owner.0), Gid::from_raw(self.owner.1));
        fs::chownat(parent, name, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW)?;
        if !link {
            // It was made by us a moment ago in a tree that is ours: it is no link.
            fs::chmodat(parent, name, Mode::from_raw_mode(self.mode), AtFlags::empty())?;
        }
        match self.mtime {
            Some(mtime) => fs::utimensat(parent, name, &both(mtime), AtFlags::SYMLINK_NOFOLLOW),
            None => Ok(()),
        }
    }
}

/// The mtime of a file.
pub(crate) fn mtime(stat: &Stat) -> Timespec {
    Timespec { tv_sec: stat.st_mtime as _, tv_nsec: stat.st_mtime_nsec as _ }
}

/// A time as the kernel has it.
pub(crate) fn timespec(time: SystemTime) -> Timespec {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => Timespec { tv_sec: after.as_secs() as i64, tv_nsec: after.subsec_nanos().into() },
        Err(before) => {
            // Nanoseconds count upwards, also before 1970.
            let before = before.duration();
            let nanos = i64::from(before.subsec_nanos());
            let borrow = i64::from(nanos > 0);
            Timespec {
                tv_sec: -(before.as_secs() as i64) - borrow,
                tv_nsec: (borrow * 1_000_000_000 - nanos) as _,
            }
        }
    }
}

/// The access time is not kept: no layer has one.
fn both(time: Timespec) -> Timestamps {
    Timestamps { last_access: time, last_modification: time }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn times_around_1970() {
        let at = |t: SystemTime| (timespec(t).tv_sec, timespec(t).tv_nsec);
        assert_eq!(at(UNIX_EPOCH + Duration::from_millis(1500)), (1, 500_000_000));
        assert_eq!(at(UNIX_EPOCH - Duration::from_millis(1500)), (-2, 500_000_000));
        assert_eq!(at(UNIX_EPOCH - Duration::from_secs(2)), (-2, 0));
    }
}
