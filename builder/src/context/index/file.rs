//! The file of an index: read in one piece, searched where it lies.
//!
//! ```text
//! "slipway stat index 1\n"  padded with NUL to 32 bytes
//! number of records         u64
//! bits                      u64: the directory has 2^bits + 1 entries
//! checksum                  16 bytes of BLAKE3 over the two numbers and all that follows
//! directory                 u32 each: where the records begin whose key has these upper bits; the last is their number
//! records                   88 bytes each, sorted by key: key, inode, size, mtime, ctime (u64, i64), content id
//!                           (32 bytes), attributes, age (u64)
//! ```
//! All numbers are little-endian.

use super::{Identity, Known};
use crate::content::ContentId;
use std::fs;
use std::io::{self, Write};
use std::path::Path;

const MAGIC: &[u8; 32] = b"slipway stat index 1\n\0\0\0\0\0\0\0\0\0\0\0";
const CHECKSUM: usize = 16;
const HEAD: usize = 32 + 8 + 8 + CHECKSUM;
const RECORD: usize = 88;
const MAX_BITS: u32 = 24;

/// One file's record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub key: u64,
    pub identity: Identity,
    pub known: Known,
    /// How often the index was saved since the record was of use.
    pub age: u32,
}

/// The records of a file, as they lie in it.
#[derive(Debug, Default)]
pub(super) struct Records {
    bytes: Vec<u8>,
    count: usize,
    bits: u32,
}

impl Records {
    pub(super) fn len(&self) -> usize {
        self.count
    }

    /// Where the record of `key` is.
    pub(super) fn find(&self, key: u64) -> Option<usize> {
        let slot = upper(key, self.bits);
        let (from, to) = (self.begin(slot)?, self.begin(slot + 1)?.min(self.count));
        // Some two records: their keys are evenly spread.
        (from..to).find(|at| self.number(self.record(*at)) == Some(key))
    }

    pub(super) fn get(&self, at: usize) -> Option<Record> {
        let start = self.record(at);
        let bytes = self.bytes.get(start..start + RECORD).filter(|_| at < self.count)?;
        let number = |i: usize| u64::from_le_bytes(std::array::from_fn(|b| bytes[i + b]));
        Some(Record {
            key: number(0),
            identity: Identity {
                inode: number(8),
                size: number(16),
                mtime: number(24) as i64,
                ctime: number(32) as i64,
            },
            known: Known {
                content: ContentId(std::array::from_fn(|b| bytes[40 + b])),
                attributes: number(72),
            },
            age: number(80) as u32,
        })
    }

    fn begin(&self, slot: usize) -> Option<usize> {
        let at = HEAD + 4 * slot;
        let bytes = self.bytes.get(at..at + 4)?;
        Some(u32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]) as usize)
    }

    fn record(&self, at: usize) -> usize {
        HEAD + 4 * ((1 << self.bits) + 1) + RECORD * at
    }

    fn number(&self, at: usize) -> Option<u64> {
        let bytes = self.bytes.get(at..at + 8)?;
        Some(u64::from_le_bytes(bytes.try_into().ok()?))
    }
}

fn upper(key: u64, bits: u32) -> usize {
    if bits == 0 { 0 } else { (key >> (64 - bits)) as usize }
}

/// Reads a file; `None` when it is not there or not what was written.
pub(super) fn read(path: &Path) -> Option<Records> {
    let bytes = fs::read(path).ok()?;
    if bytes.len() < HEAD || bytes[..32] != MAGIC[..] {
        return None;
    }
    let mut records = Records { bytes, count: 0, bits: 0 };
    let count = usize::try_from(records.number(32)?).ok()?;
    let bits = u32::try_from(records.number(40)?).ok().filter(|bits| *bits <= MAX_BITS)?;
    let length = count.checked_mul(RECORD)?.checked_add(HEAD + 4 * ((1 << bits) + 1))?;
    let sound = records.bytes.len() == length && checksum(&records.bytes) == records.bytes[48..HEAD];
    (records.count, records.bits) = (count, bits);
    sound.then_some(records)
}

/// Replaces the file by one with `records`.
pub(super) fn write(path: &Path, mut records: Vec<Record>) -> io::Result<()> {
    records.sort_unstable_by_key(|record| record.key);
    let count = u32::try_from(records.len()).map_err(|_| io::ErrorKind::FileTooLarge)?;
    let bits = count.checked_ilog2().unwrap_or(0).min(MAX_BITS);
    let mut bytes = Vec::with_capacity(HEAD + 4 * ((1 << bits) + 1) + RECORD * records.len());
    bytes.extend_from_slice(MAGIC);
    bytes.extend_from_slice(&u64::from(count).to_le_bytes());
    bytes.extend_from_slice(&u64::from(bits).to_le_bytes());
    bytes.extend_from_slice(&[0; CHECKSUM]);
    let mut at = 0;
    for slot in 0..=1 << bits {
        while records.get(at).is_some_and(|record| upper(record.key, bits) < slot) {
            at += 1;
        }
        bytes.extend_from_slice(&(at as u32).to_le_bytes());
    }
    for Record { key, identity, known, age } in &records {
        for number in [*key, identity.inode, identity.size, identity.mtime as u64, identity.ctime as u64] {
            bytes.extend_from_slice(&number.to_le_bytes());
        }
        bytes.extend_from_slice(&known.content.0);
        bytes.extend_from_slice(&known.attributes.to_le_bytes());
        bytes.extend_from_slice(&u64::from(*age).to_le_bytes());
    }
    let sum = checksum(&bytes);
    bytes[48..HEAD].copy_from_slice(&sum);
    let dir = path.parent().unwrap_or(Path::new("."));
    // Not synced: after a crash the checksum tells, and all that is lost is time.
    let mut file = tempfile::Builder::new().prefix(".index-").tempfile_in(dir)?;
    file.write_all(&bytes)?;
    file.persist(path)?;
    Ok(())
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM] {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&bytes[32..48]);
    hasher.update(&bytes[HEAD..]);
    let hash = *hasher.finalize().as_bytes();
    std::array::from_fn(|i| hash[i])
}
