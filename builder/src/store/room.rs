//! How much the store may hold, and how much it holds: `cache/total`.
//!
//! Whatever gets a name in the store is counted before, under the lock of that file, and the least valuable things are
//! removed when it would not fit. So the number is never too small while the machine runs; a process that is killed may leave it too
//! large. Where it is not known for sure (the machine has started anew, the file is damaged, somebody has pruned) it is made again
//! from what is there, when the store grows next. A build that makes nothing does not look.

use super::Store;
use super::automatic::Made;
use super::error::{At, StoreError};
use super::lock::{lock, open_lock_file};
use crate::progress::bytes;
use rustix::fs::FlockOperation;
use std::fmt;
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::{MutexGuard, PoisonError};

/// The least that a store may hold when nobody says how much.
const FLOOR: u64 = 10 << 30;
/// The share of its file system that it may hold then, in percent.
const SHARE: u64 = 20;

/// How much a store may hold, in bytes of files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Limit {
    /// A fifth of the file system, or 10 GiB when that is more.
    #[default]
    Usual,
    /// So much.
    Bytes(u64),
    /// So many percent of the file system.
    Share(u8),
    /// Anything. For processes that cannot remove what others made, too.
    Unlimited,
}

impl Limit {
    /// In bytes, on a file system of `size` bytes; `None` when there is none.
    pub fn bytes(self, size: u64) -> Option<u64> {
        let share = |percent: u64| size / 100 * percent;
        match self {
            Self::Usual => Some(share(SHARE).max(FLOOR)),
            Self::Bytes(bytes) => Some(bytes),
            Self::Share(percent) => Some(share(percent.into())),
            Self::Unlimited => None,
        }
    }
}

/// The store holds more than it may, and all of it is needed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Overfull {
    /// What it may hold, in bytes.
    pub limit: u64,
    /// What it holds.
    pub size: u64,
    /// Names of images that need it.
    pub images: Vec<String>,
    /// What builds that run need, this one among them, in bytes.
    pub in_use: u64,
}

impl fmt::Display for Overfull {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { limit, size, images, in_use } = self;
        let (limit, size, in_use) = (bytes::size(*limit), bytes::size(*size), bytes::size(*in_use));
        write!(f, "warning: the store holds {size}, more than the {limit} it may, and all of it is needed")?;
        write!(f, ": {in_use} by builds that run")?;
        match &images[..] {
            [] => {}
            [one] => write!(f, ", the rest by the image {one}")?,
            some if some.len() <= SHOWN => write!(f, ", the rest by the images {}", some.join(", "))?,
            many => {
                let (shown, more) = (many[..SHOWN].join(", "), many.len() - SHOWN);
                write!(f, ", the rest by the images {shown} and {more} more")?;
            }
        }
        write!(f, "\nhelp: remove images (build rmi), or set SLIPWAY_MAX_STORE to more (20GB, 15%, none)")
    }
}

/// So many images are named in a warning.
const SHOWN: usize = 4;

/// What an open store knows of its room.
#[derive(Debug)]
pub(super) struct Room {
    pub(super) limit: Limit,
    file: std::sync::Mutex<Option<File>>,
    told: std::sync::Mutex<Told>,
}

#[derive(Debug, Default)]
struct Told {
    /// What the store held when nothing more could be removed: no reason to try again at once.
    stuck: Option<u64>,
    overfull: Option<Overfull>,
    is_told: bool,
}

impl Room {
    pub(super) fn new(limit: Limit) -> Self {
        Self { limit, file: std::sync::Mutex::default(), told: std::sync::Mutex::default() }
    }
}

/// The right to give something a name that was counted. Nobody else gives names meanwhile.
#[must_use = "the name is given while this lives"]
pub(super) struct Growing<'a> {
    store: &'a Store,
    total: Option<Total<'a>>,
    /// Something was removed to make room.
    removed: bool,
}

impl Drop for Growing<'_> {
    fn drop(&mut self) {
        drop(self.total.take());
        if self.removed {
            self.store.empty_garbage();
        }
    }
}

/// What becomes of the number.
#[derive(Clone, Copy, Debug)]
enum Change {
    /// So many bytes get a name.
    New(u64),
    /// Something that has a name is of another size.
    Named { before: u64, now: u64 },
    /// So many bytes will come.
    Announced(u64),
}

/// `cache/total`, locked.
struct Total<'a>(MutexGuard<'a, Option<File>>);

/// Bytes, and the boot of the machine in which they were counted, each twice: the second time inverted.
const LENGTH: usize = 32;

impl Total<'_> {
    /// The number, as far as it can be trusted.
    fn read(&self, boot: u64) -> Option<u64> {
        let mut bytes = [0; LENGTH];
        self.0.as_ref()?.read_exact_at(&mut bytes, 0).ok()?;
        let number =
            |at: usize| bytes[at..at + 8].iter().rev().fold(0_u64, |n, byte| n << 8 | u64::from(*byte));
        let sound = number(0) == !number(16) && number(8) == !number(24) && number(8) == boot;
        sound.then(|| number(0))
    }

    /// Notes the number. What cannot be written is made again.
    fn write(&self, total: u64, boot: u64) {
        let mut bytes = Vec::with_capacity(LENGTH);
        for number in [total, boot, !total, !boot] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        if let Some(file) = self.0.as_ref()
            && file.write_all_at(&bytes, 0).is_err()
        {
            self.forget();
        }
    }

    fn forget(&self) {
        if let Some(file) = self.0.as_ref() {
            let _ = file.set_len(0);
        }
    }
}

impl Drop for Total<'_> {
    fn drop(&mut self) {
        if let Some(file) = self.0.as_ref() {
            let _ = lock(file, FlockOperation::Unlock);
        }
    }
}

impl Store {
    fn total(&self) -> Result<Total<'_>, StoreError> {
        let path = self.path("cache/total");
        let mut file = self.shared.room.file.lock().unwrap_or_else(PoisonError::into_inner);
        if file.is_none() {
            // It may have been removed by hand, with all of its directory.
            let directory = self.path("cache");
            std::fs::create_dir_all(&directory).at("make", &directory)?;
            *file = Some(open_lock_file(&path)?);
        }
        if let Some(file) = file.as_ref() {
            lock(file, FlockOperation::LockExclusive).at("lock", &path)?;
        }
        Ok(Total(file))
    }

    /// Counts `bytes` that are about to get a name, and makes room for them. What is not needed goes for that, the least
    /// valuable first. When all is needed the store gets larger than it may be: a build that was asked for is done.
    ///
    /// # Errors
    /// When the number cannot be locked.
    pub(super) fn grow(&self, bytes: u64) -> Result<Growing<'_>, StoreError> {
        self.change(Change::New(bytes))
    }

    /// Counts something that has its name and has changed from `before` to `now` bytes.
    pub(super) fn grow_from(&self, before: u64, now: u64) -> Result<(), StoreError> {
        self.change(Change::Named { before, now }).map(drop)
    }

    /// Makes room for `bytes` that are about to come.
    ///
    /// # Errors
    /// When the number cannot be locked.
    pub(super) fn reserve(&self, bytes: u64) -> Result<(), StoreError> {
        match self.shared.room.limit {
            Limit::Unlimited => Ok(()),
            _ => self.change(Change::Announced(bytes)).map(drop),
        }
    }

    fn change(&self, change: Change) -> Result<Growing<'_>, StoreError> {
        let file = self.total()?;
        let boot = self.shared.boots.number();
        let (mut total, announced, grows) = match (change, file.read(boot)) {
            (Change::New(bytes), Some(total)) => (total.saturating_add(bytes), 0, bytes > 0),
            (Change::New(bytes), None) => (self.counted()?.saturating_add(bytes), 0, bytes > 0),
            (Change::Named { before, now }, Some(total)) => {
                (total.saturating_sub(before).saturating_add(now), 0, now > before)
            }
            // It is among what is found.
            (Change::Named { before, now }, None) => (self.counted()?, 0, now > before),
            (Change::Announced(bytes), Some(total)) => (total, bytes, true),
            (Change::Announced(bytes), None) => (self.counted()?, bytes, true),
        };
        let (mut removed, mut sure) = (false, true);
        let needed = total.saturating_add(announced);
        if grows
            && let Some(limit) = self.limit().filter(|limit| needed > *limit)
            && self.is_worth_trying(needed, limit)
        {
            // A tenth below, so that this is not done for each step.
            match self.make_room(needed, limit - limit / 10) {
                Ok(made) => {
                    removed = made.freed > 0;
                    total = total.saturating_sub(made.freed);
                    self.note_room(limit, total.saturating_add(announced), made);
                }
                // What went until then was not counted.
                Err(_) => (removed, sure) = (true, false),
            }
        }
        if sure {
            file.write(total, boot);
        } else {
            file.forget();
        }
        Ok(Growing { store: self, total: Some(file), removed })
    }

    /// Notes whether there was room for all, `needed` bytes in the end.
    fn note_room(&self, limit: u64, needed: u64, made: Made) {
        let mut told = self.shared.room.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.stuck = (needed > limit - limit / 10).then_some(needed);
        if needed > limit && !told.is_told {
            told.is_told = true;
            let Made { images, in_use, .. } = made;
            told.overfull = Some(Overfull { limit, size: needed, images, in_use });
        }
    }

    fn is_worth_trying(&self, total: u64, limit: u64) -> bool {
        let told = self.shared.room.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.stuck.is_none_or(|stuck| total < stuck || total - stuck > limit / 20)
    }

    /// What the store may hold, in bytes.
    pub fn limit(&self) -> Option<u64> {
        let disk = || {
            let file_system = rustix::fs::statvfs(self.root()).ok();
            file_system.map_or(u64::MAX, |found| found.f_blocks.saturating_mul(found.f_frsize))
        };
        match self.shared.room.limit {
            Limit::Unlimited => None,
            limit => limit.bytes(disk()),
        }
    }

    /// What is counted now; `None` when that has to be made again.
    #[cfg(test)]
    pub(super) fn known_total(&self) -> Option<u64> {
        self.total().unwrap().read(self.shared.boots.number())
    }

    /// Something was removed: how much there is now is counted when the store grows next.
    pub(super) fn forget_total(&self) {
        if let Ok(total) = self.total() {
            total.forget();
        }
    }

    /// That the store holds more than it may, told once.
    pub fn take_overfull(&self) -> Option<Overfull> {
        let mut told = self.shared.room.told.lock().unwrap_or_else(PoisonError::into_inner);
        told.overfull.take()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits() {
        let gib = 1 << 30;
        assert_eq!(Limit::Usual.bytes(100 * gib), Some(20 * gib));
        assert_eq!(Limit::Usual.bytes(20 * gib), Some(10 * gib));
        assert_eq!(Limit::Share(15).bytes(1000), Some(150));
        assert_eq!(Limit::Bytes(7).bytes(1000), Some(7));
        assert_eq!(Limit::Unlimited.bytes(1000), None);
    }
}
