//! Compressing one block, as a gzip member or as a zstd frame.

use super::Compression;
use super::probe::is_incompressible;
use std::io;

/// How a format is cut and spread over threads.
///
/// A layer of 827 MiB of /usr: gzip in blocks of 512 KiB is 0.1 % larger than in blocks of 1 MiB, zstd 3 %. Blocks, their
/// output and the tables of all threads stay below 16 MiB at the default levels, however many cores there are.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    /// Bytes in a block.
    pub(super) block: usize,
    /// Threads that may work at once.
    pub(super) threads: usize,
}

impl Shape {
    /// `None` for no compression.
    pub(super) fn of(compression: Compression) -> Option<Self> {
        match compression {
            Compression::None => None,
            Compression::Gzip { .. } => Some(Self { block: 512 << 10, threads: 7 }),
            Compression::Zstd { .. } => Some(Self { block: 1 << 20, threads: 4 }),
        }
    }
}

/// gzip levels at which blocks that look incompressible are stored.
const PROBED: std::ops::RangeInclusive<u8> = 1..=6;

fn gzip(level: u8) -> io::Result<libdeflater::Compressor> {
    let level = libdeflater::CompressionLvl::new(level.into())
        .map_err(|_| io::Error::new(io::ErrorKind::InvalidInput, "no such gzip level"))?;
    Ok(libdeflater::Compressor::new(level))
}

/// Compresses blocks, one after another, keeping its tables between them.
pub(super) enum BlockEncoder {
    /// libdeflate: whole blocks only, and half as fast again as zlib at the same size.
    Gzip {
        compressor: libdeflater::Compressor,
        /// For blocks that cannot be made smaller; none when somebody asked for a level that leaves nothing untried.
        stored: Option<libdeflater::Compressor>,
    },
    Zstd(zstd::bulk::Compressor<'static>),
}

impl BlockEncoder {
    /// `None` for no compression.
    pub(super) fn new(compression: Compression) -> io::Result<Option<Self>> {
        Ok(Some(match compression {
            Compression::None => return Ok(None),
            Compression::Gzip { level } => {
                let compressor = gzip(level)?;
                let stored = PROBED.contains(&level).then(|| gzip(0)).transpose()?;
                Self::Gzip { compressor, stored }
            }
            Compression::Zstd { level } => Self::Zstd(zstd::bulk::Compressor::new(level.into())?),
        }))
    }

    /// Compresses `block` into `out`, whose former content is lost.
    pub(super) fn encode(&mut self, block: &[u8], out: &mut Vec<u8>) -> io::Result<()> {
        match self {
            Self::Gzip { compressor, stored } => {
                let compressor = match stored {
                    Some(stored) if is_incompressible(block) => stored,
                    _ => compressor,
                };
                out.resize(compressor.gzip_compress_bound(block.len()), 0);
                let length = compressor.gzip_compress(block, out).map_err(io::Error::other)?;
                out.truncate(length);
            }
            Self::Zstd(compressor) => {
                // Only what the output takes is touched of it.
                out.clear();
                out.reserve(zstd::zstd_safe::compress_bound(block.len()));
                compressor.compress_to_buffer(block, out)?;
            }
        }
        Ok(())
    }
}
