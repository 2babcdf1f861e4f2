//! What is an archive: decided by the first bytes, and by a tar header behind the compression. Names say nothing; an
//! empty `x.tar.gz` is an empty file.

use crate::layer::archive::{ArchiveError, Reader};
use std::fs::File;
use std::io::{self, BufReader, Read, Seek};

/// Compression of a tar archive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Compression {
    None,
    Gzip,
    Bzip2,
    Xz,
    Zstd,
}

/// Bytes that [`Compression::of`] wants to see.
pub(crate) const MAGIC: usize = 8;
/// Size of a tar header.
const BLOCK: usize = 512;

impl Compression {
    /// By the first bytes, as many as there are.
    pub(crate) fn of(start: &[u8]) -> Self {
        match start {
            [0x1f, 0x8b, 0x08, ..] => Self::Gzip,
            [b'B', b'Z', b'h', ..] => Self::Bzip2,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            // A skippable frame may stand before the first one that holds data (RFC 8878, section 3.1.2).
            [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] if start.len() >= 8 => Self::Zstd,
            _ => Self::None,
        }
    }

    /// The decompressed stream; several members or frames are one stream.
    pub(crate) fn reader<'a>(self, compressed: impl Read + 'a) -> io::Result<Box<dyn Read + 'a>> {
        let compressed = BufReader::with_capacity(128 * 1024, compressed);
        Ok(match self {
            Self::None => Box::new(compressed),
            Self::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(compressed)),
            Self::Bzip2 => Box::new(bzip2::bufread::MultiBzDecoder::new(compressed)),
            Self::Xz => Box::new(lzma_rust2::XzReader::new(compressed, true)),
            Self::Zstd => {
                let mut decoder = zstd::Decoder::with_buffer(compressed)?;
                // 128 MiB, as zstd and Go's decoder accept unasked. A frame may want 2 GiB.
                decoder.window_log_max(27)?;
                Box::new(decoder)
            }
        })
    }
}

/// Whether `file` is a tar archive, compressed or not: whether its first header is one.
pub(crate) fn is_archive(file: &mut File) -> bool {
    let Ok(mut stream) = open(file) else { return false };
    let first = Reader::new(&mut stream, u64::MAX).next();
    // An entry of a kind that cannot be extracted is for the extraction to complain about.
    matches!(first, Ok(Some(_)) | Err(ArchiveError::Unsupported { .. }))
}

/// The decompressed content of `file` from its start.
pub(crate) fn open(file: &mut File) -> io::Result<Box<dyn Read + '_>> {
    file.rewind()?;
    let mut start = Vec::with_capacity(MAGIC);
    file.by_ref().take(MAGIC as u64).read_to_end(&mut start)?;
    file.rewind()?;
    Compression::of(&start).reader(file)
}

/// Whether these first bytes of a stream are a tar header: whether its checksum is right. Old programs summed signed
/// bytes.
pub(crate) fn is_header(start: &[u8]) -> bool {
    let Some(block) = start.get(..BLOCK) else { return false };
    let digits = block[148..156].iter().copied().skip_while(|b| *b == b' ').take_while(u8::is_ascii_digit);
    let digits: String = digits.map(char::from).collect();
    let Ok(want) = i64::from_str_radix(&digits, 8) else { return false };
    let summed = |byte: fn(u8) -> i64| -> i64 {
        let spaces = 8 * i64::from(b' ');
        block[..148].iter().chain(&block[156..]).map(|b| byte(*b)).sum::<i64>() + spaces
    };
    summed(i64::from) == want || summed(|b| i64::from(b.cast_signed())) == want
}
