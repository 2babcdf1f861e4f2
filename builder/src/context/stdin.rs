//! `build -`: a tar archive that is the context, or a Dockerfile without one.

use super::ContextError;
use crate::cancel::Cancellation;
use crate::copy::CopyWarning;
use crate::copy::archive::{Compression, MAGIC, Options, is_header, unpack};
use crate::rootfs::Root;
use std::io::{Cursor, Read};
use std::path::Path;

/// A Dockerfile is refused past this.
const MAX_DOCKERFILE: u64 = 16 << 20;

/// A tar header is one block.
const BLOCK: usize = 512;

/// What came.
#[derive(Debug)]
pub enum StdinContext {
    /// A Dockerfile; there is no context.
    Dockerfile(Vec<u8>),
    /// An archive, which is extracted now.
    Archive {
        /// What could not be extracted as it is.
        warnings: Vec<CopyWarning>,
    },
}

/// Reads `input` to its end. An archive, compressed or not, is extracted into the empty directory `dir`; its first bytes
/// tell, as with `ADD`. Owners in the archive mean nothing: the files belong to the caller.
///
/// # Errors
/// [`ContextError::Stream`], [`ContextError::TooLong`], [`ContextError::Binary`], [`ContextError::Archive`].
pub fn read_stdin(input: impl Read, dir: &Path) -> Result<StdinContext, ContextError> {
    read_context(input, "standard input", dir)
}

/// As [`read_stdin`], of what comes from `place`.
///
/// # Errors
/// As [`read_stdin`].
pub fn read_context(mut input: impl Read, place: &str, dir: &Path) -> Result<StdinContext, ContextError> {
    let broken = |source| ContextError::Stream { place: place.to_owned(), source };
    let mut head = Vec::with_capacity(BLOCK);
    input.by_ref().take(BLOCK as u64).read_to_end(&mut head).map_err(broken)?;
    let compression = Compression::of(&head[..head.len().min(MAGIC)]);
    if compression == Compression::None && !is_header(&head) {
        let limit = MAX_DOCKERFILE;
        input.take(limit).read_to_end(&mut head).map_err(broken)?;
        if head.len() as u64 > limit {
            return Err(ContextError::TooLong { place: place.to_owned(), limit });
        }
        // No text has one, in whatever encoding its comments are.
        if head.contains(&0) {
            return Err(ContextError::Binary { place: place.to_owned() });
        }
        return Ok(StdinContext::Dockerfile(head));
    }
    let mut stream = compression.reader(Cursor::new(head).chain(input)).map_err(broken)?;
    let root = Root::open(dir).map_err(|source| ContextError::Open { path: dir.to_owned(), source })?;
    let (uid, gid) = (rustix::process::geteuid().as_raw(), rustix::process::getegid().as_raw());
    let options = Options {
        archive: place,
        path: b"",
        owner: Some((uid, gid)),
        // Whoever reads standard input is woken by the signal itself.
        cancellation: &Cancellation::never(),
    };
    let unpacked = unpack(&mut stream, &root, options)
        .map_err(|source| ContextError::Archive { place: place.to_owned(), source })?;
    Ok(StdinContext::Archive { warnings: unpacked.warnings })
}
