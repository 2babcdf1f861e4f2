//! What a layer directory holds, hashed without times.
//!
//! A [`Tree`] is the list of everything in a layer directory: path, type, mode, owner, xattrs, and a hash of the bytes of each
//! file. Two layers with equal trees are the same to whoever reads them, whenever they were made; the tree's
//! [`content id`](Tree::content_id) is what the keys of later steps are made of, and
//! [`Tree::diff`] tells what made them different.

mod diff;
mod file;
mod scan;
#[cfg(test)]
mod tests;

pub use diff::{Change, Difference};
pub use file::TreeFileError;
pub use scan::{ScanError, scan};

use crate::content::{ContentId, Encoder};
use std::cmp::Ordering;
use std::path::PathBuf;

/// Everything in a layer directory, sorted by path, a directory before what is in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tree {
    entries: Vec<TreeEntry>,
}

/// One thing in a layer directory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TreeEntry {
    /// Relative to the layer, without a slash at either end. The layer's root is only listed when it is opaque: an image
    /// does not carry its mode and owner.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: TreeKind,
    /// Permissions, setuid, setgid and sticky bits. A symbolic link's is 0777, a whiteout's 0.
    pub mode: u32,
    /// Owner; a whiteout's is 0.
    pub uid: u32,
    /// Group; a whiteout's is 0.
    pub gid: u32,
    /// Those that belong to a layer, sorted by name: `security.capability` and `user.*`.
    pub xattrs: Vec<(Vec<u8>, Vec<u8>)>,
    /// The first path of the same file, when it has several in the layer and this is not the first.
    pub hard_link: Option<Vec<u8>>,
}

/// What a tree's entry is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TreeKind {
    /// A regular file.
    File {
        /// Its length in bytes.
        size: u64,
        /// The hash of its bytes.
        content: ContentId,
    },
    /// A directory.
    Directory {
        /// It hides what lower layers have in it.
        opaque: bool,
    },
    /// A symbolic link.
    Symlink {
        /// Where it leads, as it is written.
        target: Vec<u8>,
    },
    /// A character device.
    CharDevice {
        /// Its major number.
        major: u32,
        /// Its minor number.
        minor: u32,
    },
    /// A block device.
    BlockDevice {
        /// Its major number.
        major: u32,
        /// Its minor number.
        minor: u32,
    },
    /// A FIFO.
    Fifo,
    /// The path is removed from lower layers.
    Whiteout,
}

impl Tree {
    /// A tree of these entries, in any order.
    fn new(mut entries: Vec<TreeEntry>) -> Self {
        entries.sort_by(|a, b| compare_paths(&a.path, &b.path));
        Self { entries }
    }

    /// All entries, sorted by path, component by component.
    pub fn entries(&self) -> &[TreeEntry] {
        &self.entries
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Bytes of all files, each counted once however many names it has.
    pub fn size(&self) -> u64 {
        let size = |entry: &TreeEntry| match (&entry.kind, &entry.hard_link) {
            (TreeKind::File { size, .. }, None) => *size,
            _ => 0,
        };
        self.entries.iter().map(size).sum()
    }

    /// The entry at a path.
    pub fn get(&self, path: &[u8]) -> Option<&TreeEntry> {
        let at = self.entries.binary_search_by(|entry| compare_paths(&entry.path, path)).ok()?;
        self.entries.get(at)
    }

    /// Names all that the tree holds. Times are no part of it; which names belong to one file is.
    pub fn content_id(&self) -> ContentId {
        let mut encoder = Encoder::new("slipway tree v1");
        encoder.number(self.entries.len() as u64);
        for entry in &self.entries {
            encoder.bytes(&entry.path);
            entry.kind.encode(&mut encoder);
            encoder.number(entry.mode.into()).number(entry.uid.into()).number(entry.gid.into());
            encoder.number(entry.xattrs.len() as u64);
            for (name, value) in &entry.xattrs {
                encoder.bytes(name).bytes(value);
            }
            encoder.option(entry.hard_link.as_deref());
        }
        encoder.finish()
    }
}

impl TreeEntry {
    /// The path as a path.
    pub fn to_path(&self) -> PathBuf {
        super::walk::to_path(&self.path)
    }
}

impl TreeKind {
    fn encode(&self, encoder: &mut Encoder) {
        match self {
            Self::File { size, content } => encoder.number(0).number(*size).id(content),
            Self::Directory { opaque } => encoder.number(1).number(u64::from(*opaque)),
            Self::Symlink { target } => encoder.number(2).bytes(target),
            Self::CharDevice { major, minor } => {
                encoder.number(3).number(u64::from(*major)).number(u64::from(*minor))
            }
            Self::BlockDevice { major, minor } => {
                encoder.number(4).number(u64::from(*major)).number(u64::from(*minor))
            }
            Self::Fifo => encoder.number(5),
            Self::Whiteout => encoder.number(6),
        };
    }
}

/// The order of paths in a tree: component by component, so that a directory's content follows it at once.
fn compare_paths(a: &[u8], b: &[u8]) -> Ordering {
    // A slash sorts before every byte a name can hold.
    let key = |byte: &u8| if *byte == b'/' { 0 } else { *byte };
    a.iter().map(key).cmp(b.iter().map(key))
}
