//! Owner, mode, xattrs and times of an entry.
//!
//! In this order: a change of owner drops setuid bits and capabilities, and everything moves the times.

use super::super::archive::{Entry, EntryKind, Timestamp};
use super::super::xattr;
use super::place::Name;
use super::{Applier, ApplyError};
use rustix::fs::{self, AtFlags, Gid, Mode, Timespec, Timestamps, Uid, XattrFlags};
use rustix::io::Errno;
use std::os::fd::{BorrowedFd, OwnedFd};

impl Applier<'_> {
    /// The attributes of a file that is open.
    pub(super) fn attributes(
        &mut self,
        fd: BorrowedFd<'_>,
        name: &Name<'_>,
        entry: &Entry,
    ) -> Result<(), ApplyError> {
        self.chown(fd, name, entry.uid, entry.gid)?;
        fs::fchmod(fd, Mode::from_raw_mode(entry.mode)).map_err(|e| ApplyError::make(name, e))?;
        self.set_xattrs(fd, name, entry)?;
        fs::futimens(fd, &times(entry.mtime)).map_err(|e| ApplyError::make(name, e))
    }

    /// The attributes of something that cannot be opened: a link, a device, a FIFO. It was just made, so it is not followed.
    pub(super) fn attributes_at(
        &mut self,
        dir: &OwnedFd,
        name: &Name<'_>,
        last: &[u8],
        entry: &Entry,
    ) -> Result<(), ApplyError> {
        let (uid, gid) = ids(name, entry.uid, entry.gid)?;
        let changed = fs::chownat(dir, last, Some(uid), Some(gid), AtFlags::SYMLINK_NOFOLLOW);
        self.owned(changed, name, uid, gid)?;
        if entry.kind != EntryKind::Symlink {
            fs::chmodat(dir, last, Mode::from_raw_mode(entry.mode), AtFlags::empty())
                .map_err(|e| ApplyError::make(name, e))?;
        }
        // Linux lets only files and directories have xattrs that belong to a layer.
        self.stats.xattrs_skipped += entry.xattrs.len() as u64;
        set_times_at(dir, last, entry.mtime).map_err(|e| ApplyError::make(name, e))
    }

    pub(super) fn chown(
        &mut self,
        fd: BorrowedFd<'_>,
        name: &Name<'_>,
        uid: u64,
        gid: u64,
    ) -> Result<(), ApplyError> {
        let (uid, gid) = ids(name, uid, gid)?;
        self.owned(fs::fchown(fd, Some(uid), Some(gid)), name, uid, gid)
    }

    fn owned(
        &mut self,
        changed: Result<(), Errno>,
        name: &Name<'_>,
        uid: Uid,
        gid: Gid,
    ) -> Result<(), ApplyError> {
        match changed {
            Ok(()) => Ok(()),
            // EINVAL: the id is not mapped into this user namespace.
            Err(Errno::PERM | Errno::INVAL) if self.options.ignore_chown => {
                self.stats.chown_ignored += 1;
                Ok(())
            }
            Err(error) => Err(ApplyError::Owner {
                name: name.to_path(),
                uid: uid.as_raw(),
                gid: gid.as_raw(),
                source: error.into(),
            }),
        }
    }

    pub(super) fn set_xattrs(
        &mut self,
        fd: BorrowedFd<'_>,
        name: &Name<'_>,
        entry: &Entry,
    ) -> Result<(), ApplyError> {
        for (key, value) in &entry.xattrs {
            if !xattr::belongs_to_layer(key) {
                self.stats.xattrs_skipped += 1;
                continue;
            }
            match fs::fsetxattr(fd, key.as_slice(), value, XattrFlags::empty()) {
                Ok(()) => {}
                Err(Errno::NOTSUP) => self.stats.xattrs_skipped += 1,
                // Capabilities cannot be set without capabilities, and with one id there may be none.
                Err(Errno::PERM) if self.options.ignore_chown => self.stats.xattrs_skipped += 1,
                Err(error) => {
                    return Err(ApplyError::Xattr {
                        name: name.to_path(),
                        xattr: String::from_utf8_lossy(key).into_owned(),
                        source: error.into(),
                    });
                }
            }
        }
        Ok(())
    }
}

/// The owner; the largest number means "leave it" to the kernel and is nobody's.
fn ids(name: &Name<'_>, uid: u64, gid: u64) -> Result<(Uid, Gid), ApplyError> {
    let id = |number: u64| u32::try_from(number).ok().filter(|id| *id != u32::MAX);
    match (id(uid), id(gid)) {
        (Some(uid), Some(gid)) => Ok((Uid::from_raw(uid), Gid::from_raw(gid))),
        _ => Err(ApplyError::Name { name: name.to_path(), reason: "the id of its owner is too large" }),
    }
}

/// Removes what an earlier entry of the same name set, but not the marks of overlayfs.
pub(super) fn clear_xattrs(fd: BorrowedFd<'_>) -> Result<(), Errno> {
    let mut list = vec![0; 64 << 10];
    let length = match fs::flistxattr(fd, &mut list[..]) {
        Err(Errno::NOTSUP) => return Ok(()),
        other => other?,
    };
    for key in list[..length].split(|b| *b == 0).filter(|key| xattr::belongs_to_layer(key)) {
        fs::fremovexattr(fd, key)?;
    }
    Ok(())
}

/// Sets the times of something without following it.
pub(super) fn set_times_at(dir: &OwnedFd, last: &[u8], time: Timestamp) -> Result<(), Errno> {
    fs::utimensat(dir, last, &times(time), AtFlags::SYMLINK_NOFOLLOW)
}

/// An archive has one time; the time of the last access is the same.
pub(super) fn times(time: Timestamp) -> Timestamps {
    let time = Timespec { tv_sec: time.seconds, tv_nsec: i64::from(time.nanoseconds) as _ };
    Timestamps { last_access: time, last_modification: time }
}
