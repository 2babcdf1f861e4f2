//! Archives among the sources of `ADD`, and contexts that come as an archive.

mod detect;
mod unpack;

pub(crate) use detect::{Compression, MAGIC, is_archive, is_header, open};
pub(crate) use unpack::{Options, Unpacked, unpack};
