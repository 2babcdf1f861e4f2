//! Compression of layers: on all cores, streaming, and always the same bytes for the same input.
//!
//! [`Encoder`] cuts its input into blocks of a fixed size and compresses each on its own, so the output does not depend on the
//! number of threads, on timing, or on how the input was written to it. A gzip block is a *member*, a zstd block is a *frame*;
//! both formats say that a file is any number of them (RFC 1952 section 2.2, RFC 8878 section 3), and estargz and
//! zstd:chunked layers have always relied on it. Memory is bounded by the blocks under way: below 16 MiB at the default levels.
//!
//! [`Decoder`] reads both, and what is not compressed.

mod blocks;
mod decode;
mod encode;
mod probe;
#[cfg(test)]
mod tests;

pub use decode::Decoder;
pub use encode::Encoder;

use registry_client::media_type::MediaType;

/// How a layer is compressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Compression {
    /// Not at all.
    None,
    /// gzip, what every tool reads.
    Gzip {
        /// From 0, stored, to 9, smallest.
        level: u8,
    },
    /// zstd: smaller and several times faster, for tools of 2021 and later.
    Zstd {
        /// From 1, fastest, to 22, smallest; above 19 it takes much memory.
        level: u8,
    },
}

/// A compression level that is none.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
#[error("{level} is no compression level of {format}: they go from {first} to {last}")]
pub struct LevelError {
    format: &'static str,
    level: i64,
    first: u8,
    last: u8,
}

impl Compression {
    /// gzip, when nobody says which level.
    ///
    /// Of 827 MiB of /usr, CPU time and size: level 1 6.3 s, 348 MiB; **4** 10.2 s, 332 MiB; 6 13.6 s, 326 MiB; 9 35 s,
    /// 324 MiB; `gzip -6` 45 s, 329 MiB. So 4 is within one percent of what users of gzip's default level expect, and a
    /// quarter faster than 6.
    pub const GZIP_LEVEL: u8 = 4;
    /// zstd, when nobody says which level: the default of zstd itself and of BuildKit.
    pub const ZSTD_LEVEL: u8 = 3;

    /// gzip at a level, or at [`GZIP_LEVEL`](Self::GZIP_LEVEL).
    ///
    /// # Errors
    /// When there is no such level.
    pub fn gzip(level: Option<i64>) -> Result<Self, LevelError> {
        let level = checked("gzip", level.unwrap_or(Self::GZIP_LEVEL.into()), 0, 9)?;
        Ok(Self::Gzip { level })
    }

    /// zstd at a level, or at [`ZSTD_LEVEL`](Self::ZSTD_LEVEL).
    ///
    /// # Errors
    /// When there is no such level.
    pub fn zstd(level: Option<i64>) -> Result<Self, LevelError> {
        let level = checked("zstd", level.unwrap_or(Self::ZSTD_LEVEL.into()), 1, 22)?;
        Ok(Self::Zstd { level })
    }

    /// The level; `None` for no compression.
    pub fn level(self) -> Option<u8> {
        match self {
            Self::None => None,
            Self::Gzip { level } | Self::Zstd { level } => Some(level),
        }
    }

    /// The level that is taken when nobody says which.
    pub fn default_level(self) -> Option<u8> {
        match self {
            Self::None => None,
            Self::Gzip { .. } => Some(Self::GZIP_LEVEL),
            Self::Zstd { .. } => Some(Self::ZSTD_LEVEL),
        }
    }

    /// What is appended to the media type of a plain OCI layer.
    pub fn media_type_suffix(self) -> &'static str {
        match self {
            Self::None => "",
            Self::Gzip { .. } => "+gzip",
            Self::Zstd { .. } => "+zstd",
        }
    }

    /// The media type of an OCI layer compressed so.
    pub fn oci_media_type(self) -> MediaType {
        match self {
            Self::None => MediaType::OciLayer,
            Self::Gzip { .. } => MediaType::OciLayerGzip,
            Self::Zstd { .. } => MediaType::OciLayerZstd,
        }
    }

    /// The media type of a Docker layer compressed so; Docker has none for zstd.
    pub fn docker_media_type(self) -> Option<MediaType> {
        match self {
            Self::None => Some(MediaType::DockerLayer),
            Self::Gzip { .. } => Some(MediaType::DockerLayerGzip),
            Self::Zstd { .. } => None,
        }
    }
}

fn checked(format: &'static str, level: i64, first: u8, last: u8) -> Result<u8, LevelError> {
    match u8::try_from(level) {
        Ok(level) if (first..=last).contains(&level) => Ok(level),
        _ => Err(LevelError { format, level, first, last }),
    }
}
