//! The id of what a `COPY` or `ADD` takes: everything that decides what it writes, and nothing else.
//!
//! What goes in, for each entry in order: its path below the destination, its kind, the mode and owner it will have
//! (`--chmod` and `--chown` applied, user 0 for contexts), its extended attributes, and the id of its bytes, link target
//! or device number. Times do not, nor does where the sources are. The directory that is copied only gives its mtime to
//! the destination, so it does not count itself.

use super::index::Index;
use super::walk::{Walk, hash};
use crate::content::{ContentId, Encoder};
use crate::copy::filter::Filter;
use crate::copy::lookup::why_missing;
use crate::copy::select::{Item, ItemKind, select};
use crate::copy::{CopyError, CopySpec, CopyWarning, SourceTree};
use dockerfile_parser::glob::has_wildcard;
use std::os::fd::AsFd;

/// What sources hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SourceDigest {
    /// Names it.
    pub id: ContentId,
    /// Everything that was taken, in the order of the instruction, directories before what is in them.
    pub entries: Vec<EntrySummary>,
    /// What [`copy`](fn@crate::copy::copy) will warn about its sources.
    pub warnings: Vec<CopyWarning>,
}

/// One thing that was taken.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EntrySummary {
    /// Relative to the source tree, without links; the name of a heredoc or fetched file.
    pub path: Vec<u8>,
    /// Where in `path` the part begins that is below the destination.
    pub below: usize,
    /// What it will be.
    pub kind: EntryKind,
    /// Of a file's bytes, a link's target, a device's number.
    pub content: Option<ContentId>,
    /// Permission bits it will have, with setuid, setgid and sticky. 0777 for links.
    pub mode: u32,
    /// User and group it will have.
    pub owner: (u32, u32),
    /// Names its extended attributes; 0 when it has none.
    pub attributes: u64,
}

/// What an entry will be.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[allow(missing_docs, reason = "named after the kind of file")]
pub enum EntryKind {
    File,
    Directory,
    Symlink,
    Fifo,
    CharacterDevice,
    BlockDevice,
}

/// Names what `spec` takes from `tree`. With an `index` files it knows are not read.
///
/// The tree may change between this and the copy. Who must know that the copy took what the id names asks again
/// afterwards: with an index that costs a `stat` per file, and equal ids say that nothing changed.
///
/// # Errors
/// As [`copy`](fn@crate::copy::copy) would fail to find or read the sources.
pub fn digest_sources(
    spec: &CopySpec,
    tree: &SourceTree<'_>,
    index: Option<&Index>,
) -> Result<SourceDigest, CopyError> {
    let selection = select(spec, tree)?;
    let mut digest = Digest {
        walk: Walk { spec, tree, index },
        encoder: Encoder::new("slipway copy sources v1"),
        entries: Vec::new(),
    };
    digest.encoder.number(selection.items.len() as u64);
    for item in selection.items {
        let filter = Filter { ignore: tree.ignore, excludes: selection.excludes.as_ref(), parents: None };
        digest.item(item, filter)?;
    }
    Ok(SourceDigest { id: digest.encoder.finish(), entries: digest.entries, warnings: selection.warnings })
}

struct Digest<'a> {
    walk: Walk<'a>,
    encoder: Encoder,
    entries: Vec<EntrySummary>,
}

impl Digest<'_> {
    fn item(&mut self, item: Item, filter: Filter<'_>) -> Result<(), CopyError> {
        let walk = self.walk;
        match item.kind {
            ItemKind::Tree { fd, path, parents, .. } => {
                let filter = Filter { parents: parents.as_deref(), ..filter };
                let entries = walk.directory(fd, &filter, filter.start(&path))?;
                if entries.is_empty() && parents.is_some() && !has_wildcard(&item.written) {
                    return Err(why_missing(walk.tree, &item.written));
                }
                self.encoder.text("directory");
                self.add(entries);
            }
            ItemKind::File { parent, at, path, name, .. } => {
                let mut buffer = Vec::new();
                let entry = walk.entry(parent.as_fd(), &at, path, &mut buffer)?;
                self.encoder.text("file").bytes(&name);
                // The name was just written; the source's own does not matter when a link led to it.
                let below = entry.path.len();
                self.add(vec![EntrySummary { below, ..entry }]);
            }
            ItemKind::Inline { name, bytes } => {
                self.encoder.text("inline").bytes(&name);
                let (owner, mode) = (walk.spec.made_directory_owner(), walk.spec.mode(0o644, false));
                let content = Some(ContentId::of(&bytes));
                self.add(vec![EntrySummary {
                    below: name.len(),
                    path: name,
                    kind: EntryKind::File,
                    content,
                    mode,
                    owner,
                    attributes: 0,
                }]);
            }
            ItemKind::Fetched { fd, stat, name, .. } => {
                self.encoder.text("fetched").bytes(&name);
                let known = hash(&fd, &mut Vec::new()).map_err(|errno| walk.fail(&name, errno))?;
                let below = name.len();
                let entry = walk.summary(name, &stat, EntryKind::File, Some(known));
                self.add(vec![EntrySummary { below, ..entry }]);
            }
        }
        Ok(())
    }

    /// Adds entries. They are put together first: a hash of one long piece is many times faster than of short ones.
    fn add(&mut self, entries: Vec<EntrySummary>) {
        let mut bytes = Vec::with_capacity(entries.len() * 100);
        for entry in &entries {
            let below = &entry.path[entry.below..];
            bytes.extend_from_slice(&(below.len() as u64).to_le_bytes());
            bytes.extend_from_slice(below);
            bytes.push(entry.kind as u8);
            for number in [entry.mode, entry.owner.0, entry.owner.1] {
                bytes.extend_from_slice(&number.to_le_bytes());
            }
            bytes.extend_from_slice(&entry.attributes.to_le_bytes());
            bytes.push(u8::from(entry.content.is_some()));
            bytes.extend_from_slice(entry.content.as_ref().map_or(&[], |id| &id.0));
        }
        self.encoder.number(entries.len() as u64).bytes(&bytes);
        self.entries.extend(entries);
    }
}
