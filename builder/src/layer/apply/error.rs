//! What can go wrong when a layer is unpacked.

use super::super::archive::ArchiveError;
use super::place::Name;
use std::io;
use std::path::PathBuf;

/// Why a layer cannot be unpacked. Names are those of the archive.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    /// The stream is not an archive, or ends early.
    #[error(transparent)]
    Archive(#[from] ArchiveError),
    /// The directory to unpack into cannot be used.
    #[error("cannot unpack a layer into {}", path.display())]
    Target {
        /// The directory.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A name that no layer may have.
    #[error("the layer has an entry named {name:?}: {reason}")]
    Name {
        /// The name.
        name: PathBuf,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// Something that is not a directory stands in the middle of a name.
    #[error("{}: {} is not a directory", name.display(), parent.display())]
    NotADirectory {
        /// The name.
        name: PathBuf,
        /// The part of it that should be a directory.
        parent: PathBuf,
    },
    /// A hard link to something the layer does not have.
    #[error("{} is a hard link to {}, which is not a file of this layer", name.display(), target.display())]
    LinkTarget {
        /// The link.
        name: PathBuf,
        /// Where it leads.
        target: PathBuf,
    },
    /// A device that would be taken for a whiteout.
    #[error("{} is a character device 0:0, which would remove files of lower layers", name.display())]
    WhiteoutDevice {
        /// The entry.
        name: PathBuf,
    },
    /// A device that cannot be made.
    #[error("cannot make the device {}: only root outside of a user namespace can", name.display())]
    Device {
        /// The entry.
        name: PathBuf,
    },
    /// An owner that cannot be set.
    #[error("cannot give {} to {uid}:{gid}: in a user namespace, more ids must be mapped (/etc/subuid, /etc/subgid)", name.display())]
    Owner {
        /// The entry.
        name: PathBuf,
        /// The user id in the archive.
        uid: u32,
        /// The group id in the archive.
        gid: u32,
        /// Why.
        source: io::Error,
    },
    /// An xattr that cannot be set.
    #[error("cannot set the xattr {xattr:?} of {}", name.display())]
    Xattr {
        /// The entry.
        name: PathBuf,
        /// The attribute.
        xattr: String,
        /// Why.
        source: io::Error,
    },
    /// A whiteout that cannot be made.
    #[error("cannot make the whiteout of {}: the file system must allow character devices 0:0", name.display())]
    Whiteout {
        /// What it removes.
        name: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// A directory that cannot be made opaque.
    #[error("cannot mark {} as opaque: the file system must allow overlayfs' xattrs", name.display())]
    Opaque {
        /// The directory.
        name: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The kernel says no.
    #[error("cannot unpack {}", name.display())]
    Make {
        /// The entry.
        name: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// Too many entries.
    #[error("the layer has more than the {limit} entries allowed")]
    TooManyEntries {
        /// How many are.
        limit: u64,
    },
    /// Too many bytes.
    #[error("the files of the layer have more than the {limit} bytes allowed")]
    TooManyBytes {
        /// How many are.
        limit: u64,
    },
}

impl ApplyError {
    pub(super) fn make(name: &Name<'_>, source: impl Into<io::Error>) -> Self {
        Self::Make { name: name.to_path(), source: source.into() }
    }
}
