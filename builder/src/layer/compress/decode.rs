//! The decoder: what a blob is, its first bytes tell.

use super::Compression;
use std::io::{self, BufReader, Read};

/// How much is read ahead.
const BUFFER: usize = 128 << 10;

/// The first bytes of a gzip member.
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// The first bytes of a zstd frame.
const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Reads a blob as an uncompressed stream.
pub struct Decoder<R: Read>(Inner<R>);

enum Inner<R: Read> {
    Plain(Prefixed<R>),
    Gzip(Box<flate2::bufread::MultiGzDecoder<BufReader<Prefixed<R>>>>),
    Zstd(zstd::stream::read::Decoder<'static, BufReader<Prefixed<R>>>),
}

/// The bytes that were looked at, then the rest.
type Prefixed<R> = io::Chain<io::Cursor<Vec<u8>>, R>;

impl<R: Read> Decoder<R> {
    /// Looks at the first four bytes of `reader`. All members or frames are read; what follows them and is neither is an error.
    ///
    /// # Errors
    /// When reading fails, or when it is compressed in a way layers are not.
    pub fn detect(mut reader: R) -> io::Result<Self> {
        let mut magic = Vec::with_capacity(6);
        reader.by_ref().take(6).read_to_end(&mut magic)?;
        let is_zstd = magic.starts_with(&ZSTD) || is_skippable(&magic);
        let is_gzip = magic.starts_with(&GZIP);
        let foreign = match &magic[..] {
            [b'B', b'Z', b'h', b'1'..=b'9', ..] => Some("bzip2"),
            [0xfd, b'7', b'z', b'X', b'Z', 0] => Some("xz"),
            _ => None,
        };
        if let Some(format) = foreign {
            let message = format!("the layer is compressed with {format}; gzip, zstd and none are known");
            return Err(io::Error::new(io::ErrorKind::Unsupported, message));
        }
        let reader = io::Cursor::new(magic).chain(reader);
        Ok(Self(if is_gzip {
            let reader = BufReader::with_capacity(BUFFER, reader);
            Inner::Gzip(Box::new(flate2::bufread::MultiGzDecoder::new(reader)))
        } else if is_zstd {
            let reader = BufReader::with_capacity(BUFFER, reader);
            let mut decoder = zstd::stream::read::Decoder::with_buffer(reader)?;
            // What zstd and Go's decoder accept without being asked: 128 MiB. A frame may ask for 2 GiB.
            decoder.window_log_max(27)?;
            Inner::Zstd(decoder)
        } else {
            Inner::Plain(reader)
        }))
    }

    /// What was found; the level is not written anywhere and is the default.
    pub fn compression(&self) -> Compression {
        match self.0 {
            Inner::Plain(_) => Compression::None,
            Inner::Gzip(_) => Compression::Gzip { level: Compression::GZIP_LEVEL },
            Inner::Zstd(_) => Compression::Zstd { level: Compression::ZSTD_LEVEL },
        }
    }

    /// What was decoded, for a digest that must have seen all of it.
    pub fn into_inner(self) -> R {
        match self.0 {
            Inner::Plain(reader) => reader.into_inner().1,
            Inner::Gzip(decoder) => decoder.into_inner().into_inner().into_inner().1,
            Inner::Zstd(decoder) => decoder.finish().into_inner().into_inner().1,
        }
    }
}

impl<R: Read> Read for Decoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match &mut self.0 {
            Inner::Plain(reader) => reader.read(buffer),
            Inner::Gzip(reader) => reader.read(buffer),
            Inner::Zstd(reader) => reader.read(buffer),
        }
    }
}

/// A zstd frame that holds no data, as zstd:chunked and some parallel encoders write them (RFC 8878 section 3.1.2).
fn is_skippable(magic: &[u8]) -> bool {
    matches!(magic, [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..])
}
