//! What can go wrong with a `COPY` or `ADD`, and what is only worth a warning.

use super::path::show;
use rustix::io::Errno;
use std::fmt;
use std::io;

/// Why a copy failed. After any error the destination is half-written: discard it.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// A source is not there.
    #[error("{written:?} not found in {place}")]
    NotFound {
        /// The source as the instruction has it.
        written: String,
        /// The context, stage or image it was looked up in.
        place: String,
    },
    /// A source is there, but an ignore rule took it out of the context.
    #[error("{written:?} not found in {place}: {rule}")]
    Ignored {
        /// The source as the instruction has it.
        written: String,
        /// The context it was looked up in.
        place: String,
        /// Which rule, and what it is about.
        rule: Box<IgnoredBy>,
    },
    /// A source's path goes through something that is no directory.
    #[error("{written:?} not found in {place}: {} is not a directory", show_root(at))]
    NotADirectory {
        /// The source as the instruction has it.
        written: String,
        /// The context, stage or image it was looked up in.
        place: String,
        /// What is in the way.
        at: Vec<u8>,
    },
    /// A source pattern cannot be understood.
    #[error("source {written:?}: {reason}")]
    Pattern {
        /// As the instruction has it.
        written: String,
        /// What is wrong with it.
        reason: String,
    },
    /// An `--exclude` pattern cannot be understood.
    #[error("--exclude={written}: {reason}")]
    Exclude {
        /// As the instruction has it.
        written: String,
        /// What is wrong with it.
        reason: String,
    },
    /// Several files would be written over each other.
    #[error(
        "{count} sources, but the destination {destination:?} is not a directory: \
         end it with a slash to make it one"
    )]
    NeedsDirectory {
        /// How many sources there are, after patterns were expanded.
        count: usize,
        /// The destination.
        destination: String,
    },
    /// A file cannot replace a directory.
    #[error("cannot copy the file {written:?} over the directory {}", show_root(destination))]
    FileOverDirectory {
        /// The source.
        written: String,
        /// Where the directory is in the image.
        destination: Vec<u8>,
    },
    /// A directory cannot replace something else.
    #[error(
        "cannot copy the directory {written:?} over {}, which is not a directory",
        show_root(destination)
    )]
    DirectoryOverFile {
        /// The source.
        written: String,
        /// What is in the way in the image.
        destination: Vec<u8>,
    },
    /// The path of the destination goes through something that is no directory.
    #[error("cannot make the destination {destination:?}: {} is not a directory", show_root(at))]
    DestinationObstacle {
        /// The destination as it was asked for.
        destination: String,
        /// What is in the way in the image.
        at: Vec<u8>,
    },
    /// A name that no layer can hold.
    #[error(
        "cannot copy {}: names that start with .wh. mean deleted files in a layer (OCI image-spec, \
         layer.md, \"Whiteouts\"); rename or exclude it",
        show(path)
    )]
    WhiteoutName {
        /// The source.
        path: Vec<u8>,
    },
    /// What is to be made has no name that a file can have.
    #[error("{:?} cannot be the name of a file", show(path))]
    NoName {
        /// What it is called.
        path: Vec<u8>,
    },
    /// A device that no layer can hold.
    #[error("cannot copy {}: overlayfs takes the character device 0:0 for a deleted file", show(path))]
    WhiteoutDevice {
        /// The source.
        path: Vec<u8>,
    },
    /// An archive is damaged, or uses something that is not known.
    #[error("cannot extract {archive:?}: {reason}")]
    Archive {
        /// The source as the instruction has it.
        archive: String,
        /// What is wrong with it, and with which entry.
        reason: String,
    },
    /// Reading a source failed.
    #[error("cannot read {} in {place}", show_root(path))]
    Read {
        /// Which one.
        path: Vec<u8>,
        /// The context, stage or image it is in.
        place: String,
        /// Why.
        source: io::Error,
    },
    /// Writing to the destination failed.
    #[error("cannot write {}", show_root(path))]
    Write {
        /// Where in the image.
        path: Vec<u8>,
        /// Why.
        source: io::Error,
    },
    /// A name with a NUL byte in it, which no file can have.
    #[error("{text:?} holds a NUL byte: no file can have that name")]
    Nul {
        /// The name.
        text: String,
    },
    /// It was asked to stop.
    #[error("stopped")]
    Cancelled,
    /// An owner that this user namespace does not have.
    #[error(
        "cannot give {} to user {uid}, group {gid}: the ids are not mapped in this user namespace \
         (add ranges to /etc/subuid and /etc/subgid, or use --chown)",
        show_root(path)
    )]
    Unmapped {
        /// Where in the image.
        path: Vec<u8>,
        /// The user.
        uid: u32,
        /// The group.
        gid: u32,
    },
}

impl CopyError {
    /// Whether a source is not there any more.
    pub(crate) fn is_vanished(&self) -> bool {
        matches!(self, Self::Read { source, .. } if source.kind() == io::ErrorKind::NotFound)
    }

    pub(crate) fn write(path: &[u8], errno: Errno) -> Self {
        Self::Write { path: path.to_vec(), source: errno.into() }
    }

    /// Applying metadata failed.
    pub(crate) fn metadata(path: &[u8], owner: (u32, u32), errno: Errno) -> Self {
        match errno {
            // What chown(2) answers for ids without a mapping.
            Errno::INVAL => Self::Unmapped { path: path.to_vec(), uid: owner.0, gid: owner.1 },
            errno => Self::write(path, errno),
        }
    }
}

/// An ignore rule that took something out of the context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IgnoredBy {
    /// What it took: relative to the context.
    pub path: String,
    /// The rule's text.
    pub rule: String,
    /// The file it stands in.
    pub file: String,
    /// Its line, from 1.
    pub line: usize,
}

impl fmt::Display for IgnoredBy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} is excluded by rule {:?} ({}:{})", self.path, self.rule, self.file, self.line)
    }
}

/// Something that was done differently than the user may think.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CopyWarning {
    /// A pattern matches nothing, so nothing was copied for it.
    NoMatch {
        /// The pattern.
        pattern: String,
        /// Where it was looked up.
        place: String,
        /// The first match that an ignore rule took away.
        ignored: Option<IgnoredBy>,
    },
    /// A source that was named is also excluded by `--exclude`, so it was not copied.
    Excluded {
        /// The source.
        written: String,
    },
    /// `ADD --unpack` of something that is no archive: it was copied.
    NotAnArchive {
        /// The source.
        written: String,
    },
    /// An extended attribute could not be set.
    Xattr {
        /// On what, in the image.
        path: String,
        /// Its name.
        name: String,
        /// Why.
        reason: String,
    },
    /// A device file could not be made without privileges; it was left out.
    Device {
        /// Where it would be in the image.
        path: String,
    },
}

impl fmt::Display for CopyWarning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoMatch { pattern, place, ignored: None } => {
                write!(f, "{pattern:?} matches nothing in {place}; nothing was copied for it")
            }
            Self::NoMatch { pattern, place, ignored: Some(rule) } => {
                write!(f, "{pattern:?} matches nothing in {place}; nothing was copied for it: {rule}")
            }
            Self::Excluded { written } => {
                write!(f, "{written:?} was not copied: an --exclude pattern matches it")
            }
            Self::NotAnArchive { written } => {
                write!(f, "--unpack: {written:?} is no tar archive and was copied as it is")
            }
            Self::Xattr { path, name, reason } => {
                write!(f, "{path}: the extended attribute {name} was left out: {reason}")
            }
            Self::Device { path } => {
                write!(f, "{path}: device files need privileges; it was left out")
            }
        }
    }
}

/// A path of a tree with the leading slash that users know it by.
fn show_root(path: &[u8]) -> String {
    format!("/{}", show(path))
}
