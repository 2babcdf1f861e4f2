//! `COPY` and `ADD`: local files, heredocs, fetched files and archives into a file tree.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `spec` | what is asked for |
//! | `chmod`, `parents`, `filter`, `path` | pure rules: modes, patterns, which entries are taken, paths as text |
//! | `resolve` | walking a path inside a root, links included |
//! | `lookup`, `select`, `unmatched` | from written sources to files and directories |
//! | `destination` | finding and making the destination |
//! | `execute` | one instruction, source by source |
//! | `tree`, `entry`, `content` | copying a directory, one entry, its bytes |
//! | `meta`, `xattr` | owner, mode, times, attributes |
//! | `archive` | recognising and extracting archives |
//! | `work`, `dirents` | tasks on threads, reading directories |
//!
//! The semantics are BuildKit's, where they are deliberate; what would be a silent mistake there is an error or a
//! warning here. Both trees may be hostile and may change while they are read: nothing is reached but through
//! descriptors of directories inside them, link by link.

pub(crate) mod archive;
mod chmod;
mod content;
pub(crate) mod destination;
pub(crate) mod dirents;
mod entry;
mod error;
mod execute;
pub(crate) mod filter;
pub(crate) mod lookup;
mod meta;
mod parents;
pub(crate) mod path;
pub(crate) mod resolve;
pub(crate) mod select;
mod spec;
mod tree;
mod unmatched;
pub(crate) mod work;
pub(crate) mod xattr;

#[cfg(test)]
pub(crate) mod tests;

pub use chmod::{Chmod, ChmodError};
pub use error::{CopyError, CopyWarning, IgnoredBy};
pub use filter::IgnoreRules;
pub use lookup::SourceTree;
pub use spec::{CopySource, CopySpec, Ownership, Unpack};

use crate::cancel::Cancellation;
use crate::rootfs::Root;

/// What a copy did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Copied {
    /// What the user should know.
    pub warnings: Vec<CopyWarning>,
    /// Files, directories, links... that were written; directories that were made on the way do not count.
    pub entries: u64,
    /// Bytes of content that were written.
    pub bytes: u64,
}

/// Executes one `COPY` or `ADD`: what `spec` names in `source` is written to `destination`, the root of an image.
///
/// The calling process must own what it writes (user 0 of its user namespace, as a build has it). Both roots may be
/// read-only or writable mounts of any kind; `destination` must not be written to by others meanwhile.
///
/// # Errors
/// [`CopyError`]; `destination` is half-written then: discard it.
pub fn copy(spec: &CopySpec, source: &SourceTree<'_>, destination: &Root) -> Result<Copied, CopyError> {
    copy_until(spec, source, destination, &Cancellation::never())
}

/// As [`copy`], until it is cancelled.
///
/// # Errors
/// As [`copy`]; [`CopyError::Cancelled`].
pub fn copy_until(
    spec: &CopySpec,
    source: &SourceTree<'_>,
    destination: &Root,
    cancellation: &Cancellation,
) -> Result<Copied, CopyError> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from).min(MAX_THREADS);
    execute::execute(spec, source, destination, cancellation, threads)
}

/// More threads than this do not make one file system faster.
const MAX_THREADS: usize = 4;
