//! The tar format, as far as layers use it: POSIX ustar and pax, GNU's long names, big numbers and sparse files.
//!
//! The reader is our own and not the `tar` crate's: a layer comes from anywhere, so the memory that names and attributes may
//! take has a bound (1 MiB for each extended header), all three pax sparse formats are read, what tar implementations disagree
//! about is decided as Go's `archive/tar` decides it (what other container tools see is what we see), and the
//! stream is counted and read to its end. The `tar` crate is what the tests compare it with.

mod extended;
mod number;
mod pax;
mod read;
mod sparse;
#[cfg(test)]
mod tests;
mod write;

pub use read::ArchiveError;
pub(crate) use read::{Entry, EntryKind, Reader};
pub(crate) use sparse::Extent;
pub(super) use write::{Header, encode_header};

/// Everything in an archive is a multiple of this.
pub(super) const BLOCK: usize = 512;

/// What ends an archive: two blocks of zeros, as Go's writer and so BuildKit do it (GNU tar fills up to 10 KiB).
pub(super) const END: [u8; 2 * BLOCK] = [0; 2 * BLOCK];

/// A point in time, before or after 1970.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(crate) struct Timestamp {
    /// Whole seconds since 1970, rounded down.
    pub(crate) seconds: i64,
    /// What is left, below 1,000,000,000.
    pub(crate) nanoseconds: u32,
}

impl From<std::time::SystemTime> for Timestamp {
    fn from(time: std::time::SystemTime) -> Self {
        match time.duration_since(std::time::UNIX_EPOCH) {
            Ok(after) => Self {
                seconds: i64::try_from(after.as_secs()).unwrap_or(i64::MAX),
                nanoseconds: after.subsec_nanos(),
            },
            Err(before) => {
                let before = before.duration();
                let seconds = -i64::try_from(before.as_secs()).unwrap_or(i64::MAX);
                match before.subsec_nanos() {
                    0 => Self { seconds, nanoseconds: 0 },
                    nanoseconds => Self { seconds: seconds - 1, nanoseconds: 1_000_000_000 - nanoseconds },
                }
            }
        }
    }
}

/// Where the fields of a header block are (POSIX `pax`, "ustar Interchange Format").
mod field {
    use std::ops::Range;
    pub(super) const NAME: Range<usize> = 0..100;
    pub(super) const MODE: Range<usize> = 100..108;
    pub(super) const UID: Range<usize> = 108..116;
    pub(super) const GID: Range<usize> = 116..124;
    pub(super) const SIZE: Range<usize> = 124..136;
    pub(super) const MTIME: Range<usize> = 136..148;
    pub(super) const CHECKSUM: Range<usize> = 148..156;
    pub(super) const TYPE: usize = 156;
    pub(super) const LINK: Range<usize> = 157..257;
    pub(super) const MAGIC: Range<usize> = 257..265;
    pub(super) const MAJOR: Range<usize> = 329..337;
    pub(super) const MINOR: Range<usize> = 337..345;
    pub(super) const PREFIX: Range<usize> = 345..500;
}

/// The sum over a header block, its own field taken as spaces: of unsigned bytes, and of signed ones as some old tars did.
fn checksums(block: &[u8; BLOCK]) -> (i64, i64) {
    let (mut unsigned, mut signed) = (0, 0);
    for (at, &byte) in block.iter().enumerate() {
        let byte = if field::CHECKSUM.contains(&at) { b' ' } else { byte };
        unsigned += i64::from(byte);
        signed += i64::from(byte.cast_signed());
    }
    (unsigned, signed)
}
