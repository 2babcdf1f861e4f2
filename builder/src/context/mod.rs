//! The build context: a directory, read in place.
//!
//! Nothing is transferred. `COPY` looks at a [`SourceTree`] of the directory in which ignored paths do not exist, and
//! its cache key is the [`digest`](digest_sources) of just what it takes. The [`Index`] remembers the content ids of
//! files, so that an unchanged tree costs one `stat` per file.
//!
//! | file | what it holds |
//! | --- | --- |
//! | `rules` | finding and reading the ignore file |
//! | `digest`, `walk` | the id of what a `COPY` takes |
//! | `listing` | what a context holds, and which rule leaves out what |
//! | `index` | content ids by path, size, times and inode, in a file |
//! | `stdin` | a context, or a Dockerfile, on standard input |

mod digest;
mod index;
mod listing;
mod rules;
mod stdin;
mod walk;

pub use digest::{EntryKind, EntrySummary, SourceDigest, digest_sources};
pub use index::Index;
pub use listing::{DecidedBy, LeftOut, Listed, ListedKind, Listing, list};
pub use rules::ignore_rules;
pub use stdin::{StdinContext, read_context, read_stdin};

use crate::copy::{CopyError, CopySpec, IgnoreRules, SourceTree};
use crate::rootfs::Root;
use std::io;
use std::path::{Path, PathBuf};

/// Why a context cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ContextError {
    /// The directory cannot be opened.
    #[error("cannot open the build context {}", path.display())]
    Open {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The ignore file cannot be read.
    #[error("cannot read the ignore file {file}")]
    ReadIgnore {
        /// The file.
        file: String,
        /// Why.
        source: io::Error,
    },
    /// The ignore file has a line that is no pattern.
    #[error("{file}:{line}: {reason}")]
    Ignore {
        /// The file.
        file: String,
        /// Its line, from 1.
        line: usize,
        /// What is wrong with it.
        reason: String,
    },
    /// A stream that should be a context cannot be read.
    #[error("cannot read the build context from {place}")]
    Stream {
        /// Where it comes from.
        place: String,
        /// Why.
        source: io::Error,
    },
    /// It is neither an archive nor short enough for a Dockerfile.
    #[error("{place} is no tar archive, and too long for a Dockerfile ({limit} bytes at most)")]
    TooLong {
        /// Where it comes from.
        place: String,
        /// What is allowed.
        limit: u64,
    },
    /// What came is neither an archive nor text.
    #[error(
        "{place} is neither a Dockerfile nor a tar archive, plain or compressed by gzip, bzip2, xz or zstd"
    )]
    Binary {
        /// Standard input, or an address.
        place: String,
    },
    /// It is an archive, and cannot be extracted.
    #[error("cannot extract the build context from {place}")]
    Archive {
        /// Where it comes from.
        place: String,
        /// Why.
        source: CopyError,
    },
}

/// A directory that `COPY` takes files from: the build context, or a named one.
#[derive(Debug)]
pub struct Context {
    root: Root,
    path: PathBuf,
    place: String,
    rules: Option<IgnoreRules>,
    index: Option<Index>,
}

impl Context {
    /// Opens `dir`. `place` is what messages call it: `the build context`. Nothing is read yet; an empty directory is
    /// a context too.
    ///
    /// # Errors
    /// [`ContextError::Open`].
    pub fn open(
        dir: &Path,
        place: impl Into<String>,
        rules: Option<IgnoreRules>,
    ) -> Result<Self, ContextError> {
        let open = || Ok((Root::open(dir)?, dir.canonicalize()?));
        let (root, path) = open().map_err(|source| ContextError::Open { path: dir.to_owned(), source })?;
        Ok(Self { root, path, place: place.into(), rules, index: None })
    }

    /// Uses the index in `file`, which need not exist yet. The file belongs to [`path`](Self::path): no two contexts
    /// share one.
    #[must_use]
    pub fn with_index(mut self, file: PathBuf) -> Self {
        self.index = Some(Index::open(file));
        self
    }

    /// What messages call it.
    pub fn place(&self) -> &str {
        &self.place
    }

    /// Where the context is, without links.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The directory.
    pub fn root(&self) -> &Root {
        &self.root
    }

    /// What is not in the context although it is in the directory.
    pub fn rules(&self) -> Option<&IgnoreRules> {
        self.rules.as_ref()
    }

    /// The context as [`copy`](fn@crate::copy::copy) wants it.
    pub fn tree(&self) -> SourceTree<'_> {
        SourceTree { root: &self.root, place: &self.place, ignore: self.rules.as_ref() }
    }

    /// The index, when one is used.
    pub fn index(&self) -> Option<&Index> {
        self.index.as_ref()
    }

    /// The id of what `spec` takes from the context.
    ///
    /// # Errors
    /// As [`digest_sources`].
    pub fn digest(&self, spec: &CopySpec) -> Result<SourceDigest, CopyError> {
        digest_sources(spec, &self.tree(), self.index.as_ref())
    }

    /// Writes what was learned to the index. Does nothing when nothing was.
    ///
    /// # Errors
    /// What writing says; the index only saves time, so a build goes on without it.
    pub fn save(&self) -> io::Result<()> {
        self.index.as_ref().map_or(Ok(()), Index::save)
    }
}

#[cfg(test)]
mod tests;
