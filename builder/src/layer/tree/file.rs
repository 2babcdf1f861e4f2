//! Trees as files.
//!
//! ```text
//! "slipway tree 1\n"
//! number of entries
//! per entry: bytes shared with the path before, rest of the path, kind, its fields, mode, uid, gid, xattrs, hard link
//! BLAKE3 of everything before
//! ```
//! Numbers are LEB128, byte strings have their length in front.

use super::{Tree, TreeEntry, TreeKind, compare_paths};
use crate::content::ContentId;

const MAGIC: &[u8] = b"slipway tree 1\n";
const CHECKSUM: usize = blake3::OUT_LEN;

/// Bytes that are not a tree.
#[derive(Clone, Copy, Debug, thiserror::Error, PartialEq, Eq)]
pub enum TreeFileError {
    /// Something else, or of another version.
    #[error("the file is not a tree of this version")]
    Version,
    /// It was cut or changed.
    #[error("the tree is damaged")]
    Damaged,
}

impl Tree {
    /// The tree as bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = MAGIC.to_vec();
        put_number(&mut out, self.entries.len() as u64);
        let mut last: &[u8] = &[];
        for entry in &self.entries {
            let shared = last.iter().zip(&entry.path).take_while(|(a, b)| a == b).count();
            put_number(&mut out, shared as u64);
            put_bytes(&mut out, &entry.path[shared..]);
            last = &entry.path;
            match &entry.kind {
                TreeKind::File { size, content } => {
                    out.push(0);
                    put_number(&mut out, *size);
                    out.extend_from_slice(&content.0);
                }
                TreeKind::Directory { opaque: false } => out.push(1),
                TreeKind::Directory { opaque: true } => out.push(2),
                TreeKind::Symlink { target } => {
                    out.push(3);
                    put_bytes(&mut out, target);
                }
                TreeKind::CharDevice { major, minor } => {
                    out.push(4);
                    put_number(&mut out, (*major).into());
                    put_number(&mut out, (*minor).into());
                }
                TreeKind::BlockDevice { major, minor } => {
                    out.push(5);
                    put_number(&mut out, (*major).into());
                    put_number(&mut out, (*minor).into());
                }
                TreeKind::Fifo => out.push(6),
                TreeKind::Whiteout => out.push(7),
            }
            put_number(&mut out, entry.mode.into());
            put_number(&mut out, entry.uid.into());
            put_number(&mut out, entry.gid.into());
            put_number(&mut out, entry.xattrs.len() as u64);
            for (name, value) in &entry.xattrs {
                put_bytes(&mut out, name);
                put_bytes(&mut out, value);
            }
            match &entry.hard_link {
                None => out.push(0),
                Some(first) => {
                    out.push(1);
                    put_bytes(&mut out, first);
                }
            }
        }
        let checksum = blake3::hash(&out);
        out.extend_from_slice(checksum.as_bytes());
        out
    }

    /// A tree from [its bytes](Self::to_bytes).
    ///
    /// # Errors
    /// When they are not exactly that.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, TreeFileError> {
        if !bytes.starts_with(MAGIC) {
            return Err(TreeFileError::Version);
        }
        let (body, checksum) = bytes.split_last_chunk::<CHECKSUM>().ok_or(TreeFileError::Damaged)?;
        if blake3::hash(body) != *checksum {
            return Err(TreeFileError::Damaged);
        }
        let mut input = Input(body.get(MAGIC.len()..).ok_or(TreeFileError::Damaged)?);
        input.tree().ok_or(TreeFileError::Damaged)
    }
}

struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    fn tree(&mut self) -> Option<Tree> {
        let count = usize::try_from(self.number()?).ok()?;
        // An entry takes seven bytes at least, so a false count cannot ask for much memory.
        if count > self.0.len() / 7 {
            return None;
        }
        let mut entries: Vec<TreeEntry> = Vec::with_capacity(count);
        for _ in 0..count {
            let last: &[u8] = entries.last().map_or(&[], |entry| &entry.path);
            let entry = self.entry(last)?;
            if !entries.is_empty() && compare_paths(last_path(&entries), &entry.path).is_ge() {
                return None;
            }
            entries.push(entry);
        }
        self.0.is_empty().then_some(Tree { entries })
    }

    fn entry(&mut self, last: &[u8]) -> Option<TreeEntry> {
        let shared = usize::try_from(self.number()?).ok()?;
        let mut path = last.get(..shared)?.to_vec();
        path.extend_from_slice(self.bytes()?);
        let kind = match self.byte()? {
            0 => TreeKind::File { size: self.number()?, content: ContentId(*self.array()?) },
            1 => TreeKind::Directory { opaque: false },
            2 => TreeKind::Directory { opaque: true },
            3 => TreeKind::Symlink { target: self.bytes()?.to_vec() },
            4 => TreeKind::CharDevice { major: self.small()?, minor: self.small()? },
            5 => TreeKind::BlockDevice { major: self.small()?, minor: self.small()? },
            6 => TreeKind::Fifo,
            7 => TreeKind::Whiteout,
            _ => return None,
        };
        let (mode, uid, gid) = (self.small()?, self.small()?, self.small()?);
        let mut xattrs = Vec::new();
        for _ in 0..self.number()? {
            xattrs.push((self.bytes()?.to_vec(), self.bytes()?.to_vec()));
        }
        let hard_link = match self.byte()? {
            0 => None,
            1 => Some(self.bytes()?.to_vec()),
            _ => return None,
        };
        Some(TreeEntry { path, kind, mode, uid, gid, xattrs, hard_link })
    }

    fn byte(&mut self) -> Option<u8> {
        let (byte, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(*byte)
    }

    fn number(&mut self) -> Option<u64> {
        let mut number = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            let bits = u64::from(byte & 0x7f);
            if shift == 63 && bits > 1 {
                return None;
            }
            number |= bits << shift;
            if byte & 0x80 == 0 {
                return Some(number);
            }
        }
        None
    }

    fn small(&mut self) -> Option<u32> {
        self.number()?.try_into().ok()
    }

    fn bytes(&mut self) -> Option<&'a [u8]> {
        let length = usize::try_from(self.number()?).ok()?;
        let (bytes, rest) = self.0.split_at_checked(length)?;
        self.0 = rest;
        Some(bytes)
    }

    fn array(&mut self) -> Option<&'a [u8; 32]> {
        let (array, rest) = self.0.split_first_chunk()?;
        self.0 = rest;
        Some(array)
    }
}

fn last_path(entries: &[TreeEntry]) -> &[u8] {
    entries.last().map_or(&[], |entry| &entry.path)
}

fn put_number(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push(number as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_number(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}
