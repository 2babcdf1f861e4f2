//! Lists of files, and what differs between two of them.

use crate::content::ContentId;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::{fmt, io};

/// The most changes that are kept of one list; the numbers count all.
const KEPT: usize = 1000;

/// What a step took, as its key saw it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileList(pub Vec<Listed>);

/// One file, directory or other thing.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listed {
    /// Its path in the source.
    #[serde(rename = "p")]
    pub path: String,
    /// What it is.
    #[serde(rename = "k")]
    pub kind: FileKind,
    /// Permission bits.
    #[serde(rename = "m")]
    pub mode: u32,
    /// User and group.
    #[serde(rename = "o")]
    pub owner: (u32, u32),
    /// Names its extended attributes; 0 when it has none.
    #[serde(rename = "x", default, skip_serializing_if = "is_zero")]
    pub attributes: u64,
    /// Of its bytes, its target, its number.
    #[serde(rename = "c", default, skip_serializing_if = "Option::is_none")]
    pub content: Option<ContentId>,
}

/// What a file is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "named after the kind of file")]
pub enum FileKind {
    File,
    Directory,
    Symlink,
    Fifo,
    CharacterDevice,
    BlockDevice,
}

impl fmt::Display for FileKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::File => "file",
            Self::Directory => "directory",
            Self::Symlink => "symbolic link",
            Self::Fifo => "FIFO",
            Self::CharacterDevice => "character device",
            Self::BlockDevice => "block device",
        })
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde wants a reference")]
fn is_zero(number: &u64) -> bool {
    *number == 0
}

impl FileList {
    /// Compressed JSON.
    ///
    /// # Errors
    /// None that memory does not give.
    pub fn to_bytes(&self) -> io::Result<Vec<u8>> {
        zstd::encode_all(serde_json::to_vec(self)?.as_slice(), 1)
    }

    /// Reads [`to_bytes`](Self::to_bytes) back; `None` for anything else.
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        let decoder = zstd::Decoder::new(bytes).ok()?;
        serde_json::from_reader(io::BufReader::new(decoder)).ok()
    }
}

/// What differs between two lists.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileChanges {
    /// How many there are only in the new one.
    pub added: usize,
    /// How many there were only in the old one.
    pub removed: usize,
    /// How many are in both, and differ.
    pub changed: usize,
    /// Which, by path; not all when there are very many.
    pub files: Vec<FileChange>,
}

/// What became of one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileChange {
    /// Its path.
    pub path: String,
    /// What.
    pub what: Vec<What>,
}

/// What differs in a file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs, reason = "named after what differs")]
pub enum What {
    Added,
    Removed,
    Content,
    Kind(FileKind, FileKind),
    Mode(u32, u32),
    Owner((u32, u32), (u32, u32)),
    Attributes,
}

impl FileChanges {
    /// From `old` to `new`.
    pub fn between(old: &FileList, new: &FileList) -> Self {
        let by_path = |list: &FileList| -> BTreeMap<String, Listed> {
            list.0.iter().map(|entry| (entry.path.clone(), entry.clone())).collect()
        };
        let (old, new) = (by_path(old), by_path(new));
        let mut changes = Self::default();
        let mut paths: Vec<&String> = old.keys().chain(new.keys()).collect();
        paths.sort();
        paths.dedup();
        for path in paths {
            let what = match (old.get(path), new.get(path)) {
                (Some(_), None) => {
                    changes.removed += 1;
                    vec![What::Removed]
                }
                (None, Some(_)) => {
                    changes.added += 1;
                    vec![What::Added]
                }
                (Some(old), Some(new)) if old != new => {
                    changes.changed += 1;
                    differences(old, new)
                }
                _ => continue,
            };
            if changes.files.len() < KEPT {
                changes.files.push(FileChange { path: path.clone(), what });
            }
        }
        changes
    }
}

fn differences(old: &Listed, new: &Listed) -> Vec<What> {
    let mut what = Vec::new();
    if old.kind != new.kind {
        what.push(What::Kind(old.kind, new.kind));
    } else if old.content != new.content {
        what.push(What::Content);
    }
    if old.mode != new.mode {
        what.push(What::Mode(old.mode, new.mode));
    }
    if old.owner != new.owner {
        what.push(What::Owner(old.owner, new.owner));
    }
    if old.attributes != new.attributes {
        what.push(What::Attributes);
    }
    what
}
