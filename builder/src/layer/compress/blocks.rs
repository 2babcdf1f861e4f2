//! Compressing one block, as a gzip member or as a zstd frame.

use super::Compression;
use std::io;

/// How much goes into a block. Larger ones are a little smaller in the end, and take more memory.
pub(super) const BLOCK: usize = 1 << 20;

/// Compresses blocks, one after another, keeping its tables between them.
pub(super) enum BlockEncoder {
    /// libdeflate: whole blocks only, and half as fast again as zlib at the same size.
    Gzip(libdeflater::Compressor),
    Zstd(zstd::bulk::Compressor<'static>),
}

impl BlockEncoder {
    /// `None` for no compression.
    pub(super) fn new(compression: Compression) -> io::Result<Option<Self>> {
        Ok(Some(match compression {
            Compression::None => return Ok(None),
            Compression::Gzip { level } => {
                let level = libdeflater::CompressionLvl::new(level.into())
                    .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "no such gzip level"))?;
                Self::Gzip(libdeflater::Compressor::new(level))
            }
            Compression::Zstd { level } => Self::Zstd(zstd::bulk::Compressor::new(level.into())?),
        }))
    }

    /// Compresses `block` into `out`, whose former content is lost.
    pub(super) fn encode(&mut self, block: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        match self {
            Self::Gzip(compressor) => {
                out.resize(compressor.gzip_compress_bound(block.len()), 0);
                let length = compressor.gzip_compress(block, out).map_err(io::Error::other)?;
                out.truncate(length);
            }
            Self::Zstd(compressor) => {
                out.resize(zstd::zstd_safe::compress_bound(block.len()), 0);
                let length = compressor.compress_to_buffer(block, out.as_mut_slice())?;
                out.truncate(length);
            }
        }
        Ok(())
    }
}
