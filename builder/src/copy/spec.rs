//! What one `COPY` or `ADD` asks for: plain data, with every name expanded and every user looked up by the caller.

use super::chmod::Chmod;
use std::path::PathBuf;
use std::time::SystemTime;

/// One `COPY` or `ADD` of local files, heredocs and downloaded files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CopySpec {
    /// What to copy, in the order of the instruction.
    pub sources: Vec<CopySource>,
    /// Where to: absolute, `WORKDIR` already joined. A trailing `/` (or `/.`) says that it is a directory, so the
    /// path must keep it.
    pub destination: PathBuf,
    /// `--chown`, as numbers; also owns the directories made on the way.
    pub chown: Option<(u32, u32)>,
    /// Who owns what is copied when there is no `chown`.
    pub ownership: Ownership,
    /// `--chmod`; an octal one is also the mode of the directories made on the way.
    pub chmod: Option<Chmod>,
    /// `--parents`.
    pub parents: bool,
    /// `--exclude`, in order: ignore-file patterns relative to the copied directory (`!` works).
    pub excludes: Vec<String>,
    /// `--link`: the destination's path is made of directories only. Links on it are not followed, and whatever is
    /// in the way is replaced.
    pub link: bool,
    /// Whether archives among the paths are extracted.
    pub unpack: Unpack,
}

impl CopySpec {
    /// A `COPY` of `patterns` from a context to `destination`, with no option set.
    pub fn new<P: Into<String>>(
        patterns: impl IntoIterator<Item = P>,
        destination: impl Into<PathBuf>,
    ) -> Self {
        Self {
            sources: patterns.into_iter().map(|p| CopySource::Path { pattern: p.into() }).collect(),
            destination: destination.into(),
            chown: None,
            ownership: Ownership::Zero,
            chmod: None,
            parents: false,
            excludes: Vec::new(),
            link: false,
            unpack: Unpack::Never,
        }
    }

    /// The owner of a copy of something `source` owns.
    pub(crate) fn owner(&self, source: (u32, u32)) -> (u32, u32) {
        match (self.chown, self.ownership) {
            (Some(owner), _) => owner,
            (None, Ownership::Keep) => source,
            (None, Ownership::Zero) => (0, 0),
        }
    }

    /// The permission bits (with setuid, setgid, sticky) of a copy of something with mode `source`.
    pub(crate) fn mode(&self, source: u32, directory: bool) -> u32 {
        match &self.chmod {
            Some(chmod) => chmod.apply(source & 0o7777, directory),
            None => source & 0o7777,
        }
    }

    /// The mode of directories made on the way to the destination.
    pub(crate) fn made_directory_mode(&self) -> u32 {
        match self.chmod {
            Some(Chmod::Octal(mode)) => mode,
            _ => 0o755,
        }
    }

    /// The owner of directories made on the way to the destination.
    pub(crate) fn made_directory_owner(&self) -> (u32, u32) {
        self.chown.unwrap_or((0, 0))
    }
}

/// One source.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CopySource {
    /// A path or a pattern, looked up in the source tree.
    Path {
        /// As the instruction has it, names expanded. With [`CopySpec::parents`] it may hold `/./` and `**`.
        pattern: String,
    },
    /// A heredoc: a file with mode 0644.
    Inline {
        /// Its name inside a directory destination.
        name: String,
        /// Its bytes.
        bytes: Vec<u8>,
    },
    /// A file of this machine that the builder fetched.
    File {
        /// Where it is now.
        path: PathBuf,
        /// Its name inside a directory destination.
        name: String,
        /// Its permission bits: 0600 for a download.
        mode: u32,
        /// Its mtime; `None` keeps what the file has.
        modified: Option<SystemTime>,
        /// Whether it is extracted: `Never` unless `ADD --unpack` asks for it.
        unpack: Unpack,
    },
}

/// Who owns what is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Ownership {
    /// User 0, group 0: the build context, git repositories and downloads.
    Zero,
    /// As in the source: `COPY --from`.
    Keep,
}

/// Whether archives among the sources are extracted. What is an archive is decided by content, never by name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Unpack {
    /// Never: `COPY`, `ADD --unpack=false`.
    Never,
    /// Archives are, other files are copied: `ADD`.
    Auto,
    /// As `Auto`, with a warning for each file that is no archive: `ADD --unpack`.
    Always,
}
