//! What makes two trees different.

use super::{Tree, TreeEntry, TreeKind, compare_paths};
use std::cmp::Ordering;
use std::fmt;
use std::path::PathBuf;

/// A path at which two trees differ.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Change {
    /// The path, relative to the layer.
    pub path: PathBuf,
    /// How.
    pub difference: Difference,
}

/// How two trees differ at a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Difference {
    /// Only the second has it.
    Added,
    /// Only the first has it.
    Removed,
    /// It is something else: a file became a link, a directory a whiteout.
    Kind,
    /// The bytes of the file, or the target of the link or device, are others.
    Content,
    /// Only its mode, owner, xattrs, or whether it hides lower layers.
    Attributes,
    /// Only which other names the file has.
    HardLinks,
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match self.difference {
            Difference::Added => "added",
            Difference::Removed => "removed",
            Difference::Kind => "another type",
            Difference::Content => "other content",
            Difference::Attributes => "other mode, owner or xattrs",
            Difference::HardLinks => "other hard links",
        };
        write!(f, "{}: {what}", self.path.display())
    }
}

impl Tree {
    /// All paths at which two trees differ, sorted. Empty exactly when their content ids are equal.
    pub fn diff(a: &Self, b: &Self) -> Vec<Change> {
        let (mut a, mut b) = (a.entries.iter().peekable(), b.entries.iter().peekable());
        let mut changes = Vec::new();
        loop {
            let order = match (a.peek(), b.peek()) {
                (None, None) => return changes,
                (Some(_), None) => Ordering::Less,
                (None, Some(_)) => Ordering::Greater,
                (Some(old), Some(new)) => compare_paths(&old.path, &new.path),
            };
            let old = if order.is_le() { a.next() } else { None };
            let new = if order.is_ge() { b.next() } else { None };
            let difference = match (old, new) {
                (Some(old), Some(new)) => difference(old, new),
                (Some(_), None) => Some(Difference::Removed),
                (None, _) => Some(Difference::Added),
            };
            if let (Some(difference), Some(entry)) = (difference, new.or(old)) {
                changes.push(Change { path: entry.to_path(), difference });
            }
        }
    }
}

fn difference(old: &TreeEntry, new: &TreeEntry) -> Option<Difference> {
    if std::mem::discriminant(&old.kind) != std::mem::discriminant(&new.kind) {
        return Some(Difference::Kind);
    }
    if old.kind != new.kind {
        return Some(match old.kind {
            TreeKind::Directory { .. } => Difference::Attributes,
            _ => Difference::Content,
        });
    }
    let attributes = |entry: &TreeEntry| (entry.mode, entry.uid, entry.gid);
    if attributes(old) != attributes(new) || old.xattrs != new.xattrs {
        return Some(Difference::Attributes);
    }
    (old.hard_link != new.hard_link).then_some(Difference::HardLinks)
}
