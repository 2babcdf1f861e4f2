//! Reading an archive, entry by entry, in bounded memory.

use super::super::xattr::Xattr;
use super::extended::Extended;
use super::number::{number, signed_number, until_nul};
use super::sparse::{self, Extent};
use super::{BLOCK, Timestamp, checksums, field};
use std::io::{self, Read};

/// Extended headers and long names past this are refused, as Go does. The largest xattr Linux has is 64 KiB.
const EXTENDED_LIMIT: u64 = 1 << 20;

/// How much is read at once.
const BUFFER: usize = 256 << 10;

/// Why a stream is no tar archive that can be read. `offset` is where in the stream, in bytes.
#[derive(Debug, thiserror::Error)]
pub enum ArchiveError {
    /// The stream itself failed.
    #[error("cannot read the archive at byte {offset}")]
    Io {
        /// Where.
        offset: u64,
        /// Why.
        source: io::Error,
    },
    /// It ends inside an entry.
    #[error("the archive ends inside an entry, after {offset} bytes")]
    Truncated {
        /// Its length.
        offset: u64,
    },
    /// A header that is none.
    #[error("byte {offset} of the archive is not the header of an entry: {reason}")]
    Header {
        /// Where.
        offset: u64,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// A kind of entry that cannot be in a layer.
    #[error("{name:?} is an entry of type {flag:?}, which layers do not have")]
    Unsupported {
        /// The entry.
        name: String,
        /// Its type flag.
        flag: char,
    },
    /// More bytes than allowed.
    #[error("the archive is longer than the {limit} bytes allowed")]
    TooLong {
        /// How many are.
        limit: u64,
    },
}

/// What an entry makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum EntryKind {
    File,
    HardLink,
    Symlink,
    CharDevice,
    BlockDevice,
    Directory,
    Fifo,
}

/// One entry, all its headers taken together. Nothing in it has been checked.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    pub(crate) kind: EntryKind,
    pub(crate) name: Vec<u8>,
    pub(crate) link: Vec<u8>,
    pub(crate) mode: u32,
    pub(crate) uid: u64,
    pub(crate) gid: u64,
    /// Length of the file, holes included.
    pub(crate) size: u64,
    pub(crate) mtime: Timestamp,
    pub(crate) device: (u64, u64),
    pub(crate) xattrs: Vec<Xattr>,
    /// Where the data belong, when the entry has holes.
    pub(crate) extents: Option<Vec<Extent>>,
}

/// Reads the entries of an archive.
pub(crate) struct Reader<'a> {
    input: &'a mut dyn Read,
    buffer: Box<[u8]>,
    start: usize,
    end: usize,
    /// Bytes taken out of the buffer until now.
    offset: u64,
    /// Bytes that may be taken out of it.
    limit: u64,
    /// Data of the current entry that were not taken yet, and the padding behind them.
    data: u64,
    padding: u64,
}

impl<'a> Reader<'a> {
    /// Reads `input`, refusing more than `limit` bytes of it.
    pub(crate) fn new(input: &'a mut dyn Read, limit: u64) -> Self {
        let buffer = vec![0; BUFFER].into_boxed_slice();
        Self { input, buffer, start: 0, end: 0, offset: 0, limit, data: 0, padding: 0 }
    }

    /// How many bytes of the stream were read.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// The next entry; what is left of the last one's data is skipped. After the last entry the stream is read to its end.
    pub(crate) fn next(&mut self) -> Result<Option<Entry>, ArchiveError> {
        let mut extended = Extended::default();
        loop {
            self.skip(self.data + self.padding)?;
            (self.data, self.padding) = (0, 0);
            let at = self.offset;
            let Some(block) = self.header_block()? else {
                return self.drain().map(|()| None);
            };
            let bad = |reason| ArchiveError::Header { offset: at, reason };
            let size = number(&block[field::SIZE]).ok_or_else(|| bad("its size is not a number"))?;
            match block[field::TYPE] {
                b'x' => {
                    let bytes = self.extended(at, size)?;
                    // A second one takes the place of the first.
                    let Extended { gnu_name, gnu_link, .. } = extended;
                    extended = Extended { gnu_name, gnu_link, ..Extended::default() };
                    extended.read_pax(&bytes).map_err(bad)?;
                }
                // Records for all entries that follow. Go's reader, and with it containerd and Docker, ignores them.
                b'g' => drop(self.extended(at, size)?),
                b'L' => extended.gnu_name = Some(until_nul(&self.extended(at, size)?).to_vec()),
                b'K' => extended.gnu_link = Some(until_nul(&self.extended(at, size)?).to_vec()),
                _ => return self.entry(at, &block, extended).map(Some),
            }
        }
    }

    /// A piece of the current entry's data; `None` after its last byte.
    pub(crate) fn chunk(&mut self) -> Result<Option<&[u8]>, ArchiveError> {
        if self.data == 0 {
            return Ok(None);
        }
        if self.start == self.end && !self.fill()? {
            return Err(ArchiveError::Truncated { offset: self.offset });
        }
        let length = self.data.min((self.end - self.start) as u64) as usize;
        let start = self.start;
        self.take(length)?;
        self.data -= length as u64;
        Ok(Some(&self.buffer[start..start + length]))
    }

    /// Puts the headers together.
    fn entry(&mut self, at: u64, block: &[u8; BLOCK], extended: Extended) -> Result<Entry, ArchiveError> {
        let bad = |reason| ArchiveError::Header { offset: at, reason };
        let field = |range: std::ops::Range<usize>, reason| number(&block[range]).ok_or_else(|| bad(reason));
        let magic = &block[field::MAGIC];
        let ustar = magic == b"ustar\x0000";
        let gnu = magic == b"ustar  \x00";

        let mut name = until_nul(&block[field::NAME]).to_vec();
        let prefix = until_nul(&block[field::PREFIX]);
        if ustar && !prefix.is_empty() {
            name = [prefix, b"/", &name].concat();
        }
        let name = extended.gnu_name.or(extended.name).unwrap_or(name);
        let link = until_nul(&block[field::LINK]).to_vec();
        let link = extended.gnu_link.or(extended.link).unwrap_or(link);
        if name.contains(&0) || link.contains(&0) {
            return Err(bad("a name in it holds a NUL byte"));
        }

        let flag = block[field::TYPE];
        let kind = match flag {
            // Before ustar had a type for directories, the slash at the end said it.
            0 if name.ends_with(b"/") => EntryKind::Directory,
            0 | b'0' | b'7' | b'S' => EntryKind::File,
            b'1' => EntryKind::HardLink,
            b'2' => EntryKind::Symlink,
            b'3' => EntryKind::CharDevice,
            b'4' => EntryKind::BlockDevice,
            b'5' => EntryKind::Directory,
            b'6' => EntryKind::Fifo,
            _ => {
                let name = String::from_utf8_lossy(&name).into_owned();
                return Err(ArchiveError::Unsupported { name, flag: char::from(flag) });
            }
        };
        // Only files have data, whatever the size says of other kinds.
        let stored = match kind {
            EntryKind::File => {
                extended.size.map_or_else(|| field(field::SIZE, "its size is not a number"), Ok)?
            }
            _ => 0,
        };
        let (major, minor) = match kind {
            EntryKind::CharDevice | EntryKind::BlockDevice if ustar || gnu => (
                field(field::MAJOR, "its device number is not a number")?,
                field(field::MINOR, "its device number is not a number")?,
            ),
            _ => (0, 0),
        };
        let mtime = match extended.mtime {
            Some(mtime) => mtime,
            None => Timestamp {
                seconds: signed_number(&block[field::MTIME])
                    .ok_or_else(|| bad("its time is not a number"))?,
                nanoseconds: 0,
            },
        };
        let mode = field(field::MODE, "its mode is not a number")?;
        let uid = extended.uid.map_or_else(|| field(field::UID, "its uid is not a number"), Ok)?;
        let gid = extended.gid.map_or_else(|| field(field::GID, "its gid is not a number"), Ok)?;

        self.data = stored;
        let past = stored.checked_next_multiple_of(BLOCK as u64);
        self.padding = past.ok_or_else(|| bad("its size is too large"))? - stored;

        let mut entry = Entry {
            kind,
            name,
            link,
            mode: (mode & 0o7777) as u32,
            uid,
            gid,
            size: stored,
            mtime,
            device: (major, minor),
            xattrs: extended.xattrs,
            extents: None,
        };
        let map = if flag == b'S' && gnu {
            let mut next = || self.header_extension();
            Some(sparse::read_gnu(block, &mut next).map_err(|e| e.at(at))?)
        } else if flag == b'S' {
            return Err(bad("it says sparse, and is not in GNU format"));
        } else if kind == EntryKind::File {
            let mut next = || self.data_block();
            extended.sparse.read(&mut next).map_err(|e| e.at(at))?
        } else {
            None
        };
        if let Some(map) = map {
            if let Some(name) = map.name {
                entry.name = name;
            }
            entry.size = map.size;
            sparse::check(&map.extents, map.size, self.data).map_err(bad)?;
            entry.extents = Some(map.extents);
        }
        Ok(entry)
    }

    /// The next header block, its checksum checked; `None` at the end of the archive.
    fn header_block(&mut self) -> Result<Option<[u8; BLOCK]>, ArchiveError> {
        let at = self.offset;
        // An archive without an end mark is read by everybody.
        let Some(block) = self.block()? else { return Ok(None) };
        if block == [0; BLOCK] {
            return match self.block()? {
                Some(second) if second != [0; BLOCK] => {
                    Err(ArchiveError::Header { offset: at, reason: "it is zeros, and no end follows" })
                }
                _ => Ok(None),
            };
        }
        let stored = number(&block[field::CHECKSUM]).and_then(|sum| i64::try_from(sum).ok());
        let (unsigned, signed) = checksums(&block);
        if stored != Some(unsigned) && stored != Some(signed) {
            return Err(ArchiveError::Header { offset: at, reason: "its checksum is wrong" });
        }
        Ok(Some(block))
    }

    /// One block; `None` when the stream ends before it.
    fn block(&mut self) -> Result<Option<[u8; BLOCK]>, ArchiveError> {
        let mut block = [0; BLOCK];
        let mut have = 0;
        while have < BLOCK {
            if self.start == self.end && !self.fill()? {
                if have == 0 {
                    return Ok(None);
                }
                return Err(ArchiveError::Truncated { offset: self.offset });
            }
            let length = (BLOCK - have).min(self.end - self.start);
            block[have..have + length].copy_from_slice(&self.buffer[self.start..self.start + length]);
            self.take(length)?;
            have += length;
        }
        Ok(Some(block))
    }

    /// A block that must be there: an extension of a GNU sparse header.
    fn header_extension(&mut self) -> Result<[u8; BLOCK], ArchiveError> {
        self.block()?.ok_or(ArchiveError::Truncated { offset: self.offset })
    }

    /// A block of the current entry's data.
    fn data_block(&mut self) -> Result<[u8; BLOCK], ArchiveError> {
        let length = BLOCK as u64;
        if self.data + self.padding < length {
            let reason = "its sparse map is longer than its data";
            return Err(ArchiveError::Header { offset: self.offset, reason });
        }
        let block = self.header_extension()?;
        let rest = self.data + self.padding - length;
        self.data = self.data.saturating_sub(length);
        self.padding = rest - self.data;
        Ok(block)
    }

    /// The data of an extended header.
    fn extended(&mut self, at: u64, size: u64) -> Result<Vec<u8>, ArchiveError> {
        if size > EXTENDED_LIMIT {
            let reason = "it is an extended header of more than 1 MiB";
            return Err(ArchiveError::Header { offset: at, reason });
        }
        self.data = size;
        self.padding = size.next_multiple_of(BLOCK as u64) - size;
        let mut bytes = Vec::new();
        while let Some(chunk) = self.chunk()? {
            bytes.extend_from_slice(chunk);
        }
        Ok(bytes)
    }

    /// Takes bytes out of the buffer.
    fn take(&mut self, length: usize) -> Result<(), ArchiveError> {
        self.offset += length as u64;
        if self.offset > self.limit {
            return Err(ArchiveError::TooLong { limit: self.limit });
        }
        self.start += length;
        Ok(())
    }

    /// Reads more into the empty buffer; `false` at the end of the stream.
    fn fill(&mut self) -> Result<bool, ArchiveError> {
        self.start = 0;
        self.end = 0;
        loop {
            match self.input.read(&mut self.buffer) {
                Ok(length) => {
                    self.end = length;
                    return Ok(length > 0);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(ArchiveError::Io { offset: self.offset, source }),
            }
        }
    }

    fn skip(&mut self, mut length: u64) -> Result<(), ArchiveError> {
        while length > 0 {
            if self.start == self.end && !self.fill()? {
                return Err(ArchiveError::Truncated { offset: self.offset });
            }
            let step = length.min((self.end - self.start) as u64) as usize;
            self.take(step)?;
            length -= step as u64;
        }
        Ok(())
    }

    /// Reads what follows the end mark: a DiffID covers it.
    fn drain(&mut self) -> Result<(), ArchiveError> {
        loop {
            self.take(self.end - self.start)?;
            if !self.fill()? {
                return Ok(());
            }
        }
    }
}
