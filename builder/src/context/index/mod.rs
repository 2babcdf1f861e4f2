//! What a file's bytes hash to, remembered by its path, size, mtime, ctime and inode.
//!
//! # Racy files
//! A file may be changed twice within one tick of the file system's clock; then its times do not tell the second change.
//! What is as new as the moment the index was opened is therefore never recorded (git's index has the same rule). Such a
//! file is hashed again by the next build, and recorded by it.
//!
//! # Several builds
//! The file is only ever replaced as a whole. When two builds save, the later one wins and the other's new records are
//! learned again.

mod file;

use crate::content::ContentId;
use file::{Record, Records};
use rustix::fs::Stat;
use std::collections::HashMap;
use std::io;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{PoisonError, RwLock};

/// Ticks of a kernel that counts 100 of them per second, with room to spare.
const TICK: i64 = 50_000_000;
/// File systems without fractions of a second may count in steps of two.
const COARSE_TICK: i64 = 2_000_000_000;
const SECOND: i64 = 1_000_000_000;

/// Saves a record without use so often before it is dropped.
const MAX_AGE: u32 = 32;

/// The index of one context.
#[derive(Debug)]
pub struct Index {
    file: PathBuf,
    /// What the file held.
    old: Records,
    /// Which of those were of use.
    used: Vec<AtomicBool>,
    /// What was learned since.
    new: RwLock<HashMap<u64, Record>>,
    /// When it was opened: nanoseconds since 1970, by the clock that file systems use.
    opened: i64,
}

/// What is known of a file's content.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Known {
    /// Of its bytes.
    pub content: ContentId,
    /// Names its extended attributes; 0 when it has none.
    pub attributes: u64,
}

impl Index {
    /// Reads `file`. One that is missing, damaged or of another version is an empty index.
    pub fn open(file: PathBuf) -> Self {
        let now = rustix::time::clock_gettime(rustix::time::ClockId::RealtimeCoarse);
        let old = file::read(&file).unwrap_or_default();
        let used = (0..old.len()).map(|_| AtomicBool::new(false)).collect();
        Self { file, old, used, new: RwLock::default(), opened: nanoseconds(now.tv_sec, now.tv_nsec as i64) }
    }

    /// What is known of the file at `path` (relative to the context), if it is still as `stat` says.
    pub(crate) fn get(&self, path: &[u8], stat: &Stat) -> Option<Known> {
        let key = key(path);
        let same = |record: &Record| record.identity == Identity::of(stat);
        if let Some(at) = self.old.find(key)
            && let Some(record) = self.old.get(at).filter(same)
        {
            if let Some(used) = self.used.get(at) {
                used.store(true, Relaxed);
            }
            return Some(record.known);
        }
        let new = self.new.read().unwrap_or_else(PoisonError::into_inner);
        new.get(&key).filter(|record| same(record)).map(|record| record.known)
    }

    /// Remembers a file that was `stat` before and after it was read, unless its times could hide a change.
    pub(crate) fn put(&self, path: &[u8], stat: &Stat, known: Known) {
        let identity = Identity::of(stat);
        if self.is_racy(&identity) {
            return;
        }
        let key = key(path);
        let record = Record { key, identity, known, age: 0 };
        self.new.write().unwrap_or_else(PoisonError::into_inner).insert(key, record);
    }

    fn is_racy(&self, identity: &Identity) -> bool {
        let newest = identity.mtime.max(identity.ctime);
        let coarse = identity.ctime % SECOND == 0;
        newest >= self.opened - if coarse { COARSE_TICK } else { TICK }
    }

    /// Writes what was learned, together with what is still of use.
    ///
    /// # Errors
    /// What writing says.
    pub fn save(&self) -> io::Result<()> {
        let mut records = self.new.read().unwrap_or_else(PoisonError::into_inner).clone();
        if records.is_empty() {
            return Ok(());
        }
        for (at, used) in self.used.iter().enumerate() {
            let Some(mut record) = self.old.get(at) else { continue };
            record.age = if used.load(Relaxed) { 0 } else { record.age + 1 };
            if record.age <= MAX_AGE {
                records.entry(record.key).or_insert(record);
            }
        }
        file::write(&self.file, records.into_values().collect())
    }
}

/// What must be the same for a record to hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity {
    inode: u64,
    size: u64,
    /// Nanoseconds since 1970; what does not fit wraps around, which is as good to compare.
    mtime: i64,
    ctime: i64,
}

impl Identity {
    fn of(stat: &Stat) -> Self {
        Self {
            inode: stat.st_ino,
            size: stat.st_size as u64,
            mtime: nanoseconds(stat.st_mtime, stat.st_mtime_nsec as i64),
            ctime: nanoseconds(stat.st_ctime, stat.st_ctime_nsec as i64),
        }
    }
}

fn nanoseconds(seconds: i64, nanos: i64) -> i64 {
    seconds.wrapping_mul(SECOND).wrapping_add(nanos)
}

/// Names a path (64-bit FNV-1a, mixed so that its high bits are even). Two paths with one key only cost a record: what
/// is found must have the inode as well.
fn key(path: &[u8]) -> u64 {
    let hash = path.iter().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x100_0000_01b3)
    });
    let hash = (hash ^ (hash >> 32)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash ^ (hash >> 29)
}

#[cfg(test)]
mod tests;
