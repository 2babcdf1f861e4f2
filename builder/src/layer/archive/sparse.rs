//! Files with holes: GNU tar's own header, and its three ways to say it in pax records.
//!
//! See "Storing Sparse Files" in the manual of GNU tar. All become a list of [`Extent`]s: the data in the archive are
//! those pieces of the file one after another.

use super::number::number;
use super::read::ArchiveError;
use super::{BLOCK, pax};

/// A piece of a file that is not a hole.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Extent {
    pub(crate) offset: u64,
    pub(crate) length: u64,
}

/// Where the data of a sparse file belong.
pub(super) struct SparseMap {
    pub(super) extents: Vec<Extent>,
    /// Length of the file.
    pub(super) size: u64,
    /// Its real name, when the header's was made up.
    pub(super) name: Option<Vec<u8>>,
}

/// What went wrong: in the stream, or in what it says.
pub(super) enum SparseError {
    Archive(ArchiveError),
    Map(&'static str),
}

impl SparseError {
    pub(super) fn at(self, offset: u64) -> ArchiveError {
        match self {
            Self::Archive(error) => error,
            Self::Map(reason) => ArchiveError::Header { offset, reason },
        }
    }
}

impl From<ArchiveError> for SparseError {
    fn from(error: ArchiveError) -> Self {
        Self::Archive(error)
    }
}

type NextBlock<'a> = &'a mut dyn FnMut() -> Result<[u8; BLOCK], ArchiveError>;

const NOT_A_NUMBER: &str = "its sparse map holds something that is not a number";
const TOO_MANY: &str = "its sparse map has more than 1,000,000 pieces";
const MAX_EXTENTS: usize = 1_000_000;

/// The old GNU format: four pieces in the header, the others in blocks that follow it.
pub(super) fn read_gnu(block: &[u8; BLOCK], next: NextBlock<'_>) -> Result<SparseMap, SparseError> {
    let size = number(&block[483..495]).ok_or(SparseError::Map(NOT_A_NUMBER))?;
    let mut extents = Vec::new();
    push_gnu(&mut extents, &block[386..482])?;
    let mut more = block[482] != 0;
    while more {
        let block = next()?;
        push_gnu(&mut extents, &block[..504])?;
        more = block[504] != 0;
    }
    Ok(SparseMap { extents, size, name: None })
}

fn push_gnu(extents: &mut Vec<Extent>, pieces: &[u8]) -> Result<(), SparseError> {
    for piece in pieces.chunks_exact(24).take_while(|piece| piece[0] != 0) {
        let offset = number(&piece[..12]).ok_or(SparseError::Map(NOT_A_NUMBER))?;
        let length = number(&piece[12..]).ok_or(SparseError::Map(NOT_A_NUMBER))?;
        extents.push(Extent { offset, length });
    }
    if extents.len() > MAX_EXTENTS { Err(SparseError::Map(TOO_MANY)) } else { Ok(()) }
}

/// What `GNU.sparse.*` records say.
#[derive(Default)]
pub(super) struct SparseHints {
    major: Option<u64>,
    minor: Option<u64>,
    size: Option<u64>,
    name: Option<Vec<u8>>,
    /// Offsets and lengths, alternating (0.0 and 0.1).
    map: Option<Vec<u64>>,
}

impl SparseHints {
    /// Takes one record, `key` without its `GNU.sparse.`.
    pub(super) fn record(&mut self, key: &[u8], value: &[u8]) -> Result<(), &'static str> {
        let decimal = || pax::decimal(value).ok_or(NOT_A_NUMBER);
        match key {
            b"major" => self.major = Some(decimal()?),
            b"minor" => self.minor = Some(decimal()?),
            b"size" | b"realsize" => self.size = Some(decimal()?),
            b"name" => self.name = Some(value.to_vec()),
            b"offset" | b"numbytes" => self.map.get_or_insert_default().push(decimal()?),
            b"map" => {
                let numbers = value.split(|b| *b == b',').map(pax::decimal);
                self.map = Some(numbers.collect::<Option<_>>().ok_or(NOT_A_NUMBER)?);
            }
            _ => {}
        }
        Ok(())
    }

    /// The map, if the entry is sparse. `next` gives blocks of the entry's data, where version 1.0 keeps its map.
    pub(super) fn read(self, next: NextBlock<'_>) -> Result<Option<SparseMap>, SparseError> {
        let numbers = match (self.major, self.minor) {
            (Some(1), Some(0)) => read_numbers(next)?,
            (Some(_), _) | (_, Some(1..)) if self.map.is_none() => {
                return Err(SparseError::Map("its sparse format is not known"));
            }
            _ => match self.map {
                Some(map) => map,
                None => return Ok(None),
            },
        };
        if numbers.len() > 2 * MAX_EXTENTS {
            return Err(SparseError::Map(TOO_MANY));
        }
        if !numbers.len().is_multiple_of(2) {
            return Err(SparseError::Map("its sparse map ends in the middle of a piece"));
        }
        let extents =
            numbers.chunks_exact(2).map(|pair| Extent { offset: pair[0], length: pair[1] }).collect();
        let size = self.size.ok_or(SparseError::Map("its sparse map comes without a size"))?;
        Ok(Some(SparseMap { extents, size, name: self.name }))
    }
}

/// Version 1.0: decimal numbers, each on its line, the first says how many pairs follow; filled up to a block.
fn read_numbers(next: NextBlock<'_>) -> Result<Vec<u64>, SparseError> {
    let mut numbers = Vec::new();
    let mut expected = None;
    let mut current: Option<u64> = None;
    while expected != Some(numbers.len()) {
        for byte in next()? {
            match byte {
                b'0'..=b'9' => {
                    let grown = current.unwrap_or(0).checked_mul(10);
                    let grown = grown.and_then(|number| number.checked_add(u64::from(byte - b'0')));
                    current = Some(grown.ok_or(SparseError::Map(NOT_A_NUMBER))?);
                }
                b'\n' => {
                    let number = current.take().ok_or(SparseError::Map(NOT_A_NUMBER))?;
                    if expected.is_some() {
                        numbers.push(number);
                    } else if number > MAX_EXTENTS as u64 {
                        return Err(SparseError::Map(TOO_MANY));
                    } else {
                        expected = Some(number as usize * 2);
                    }
                    if expected == Some(numbers.len()) {
                        break;
                    }
                }
                _ => return Err(SparseError::Map(NOT_A_NUMBER)),
            }
        }
    }
    Ok(numbers)
}

/// Pieces must stand in order, inside the file, and be as long together as the data.
pub(super) fn check(extents: &[Extent], size: u64, data: u64) -> Result<(), &'static str> {
    let (mut end, mut total) = (0, 0u64);
    for extent in extents {
        if extent.offset < end {
            return Err("the pieces of its sparse map overlap");
        }
        end = extent.offset.checked_add(extent.length).ok_or("its sparse map is too large")?;
        total += extent.length; // Cannot overflow: the pieces do not overlap.
    }
    if end > size {
        return Err("its sparse map reaches past the end of the file");
    }
    if total != data {
        return Err("its sparse map and its data have different lengths");
    }
    Ok(())
}
