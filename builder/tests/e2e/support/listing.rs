//! File trees, compared entry by entry.

use sha2::{Digest as _, Sha256};
use std::collections::BTreeMap;
use std::fmt;
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::fs::{FileTypeExt as _, MetadataExt as _};
use std::path::Path;
use walkdir::WalkDir;

/// Every entry below a directory, by its path from there (`/` first).
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Listing(pub BTreeMap<String, Entry>);

/// What two trees must agree on; times are left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Entry {
    pub kind: &'static str,
    /// Permission bits with setuid, setgid and sticky; 0 for symbolic links.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    /// Bytes of a regular file; 0 for the rest.
    pub size: u64,
    /// SHA-256 of a regular file, target of a symbolic link, number of a device.
    pub content: String,
    /// The first path of the same file, when that is another one.
    pub same_as: Option<String>,
    /// Extended attributes, values in hexadecimal.
    pub xattrs: BTreeMap<String, String>,
}

impl fmt::Display for Entry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Entry { kind, mode, uid, gid, size, content, same_as, xattrs } = self;
        write!(f, "{kind} {mode:04o} {uid}:{gid} {size} {content}")?;
        if let Some(first) = same_as {
            write!(f, " same file as {first}")?;
        }
        if xattrs.is_empty() { Ok(()) } else { write!(f, " {xattrs:?}") }
    }
}

/// A path that may differ, and why: a whole path, a tree (`/var/log/`), or an ending (`*.pyc`).
pub(crate) type Allowed<'a> = (&'a str, &'a str);

impl Listing {
    /// Reads a tree from disk.
    pub(crate) fn of(root: &Path) -> Listing {
        let mut entries = BTreeMap::new();
        let mut first_names: BTreeMap<(u64, u64), String> = BTreeMap::new();
        for found in WalkDir::new(root).sort_by_file_name() {
            let found = found.unwrap_or_else(|error| panic!("{error}"));
            let below = found.path().strip_prefix(root).expect("entries of a walk are below its start");
            let name = format!("/{}", below.to_string_lossy());
            let entry = Entry::read(found.path(), &name, &mut first_names)
                .unwrap_or_else(|error| panic!("{}: {error}", found.path().display()));
            entries.insert(name, entry);
        }
        Listing(entries)
    }

    /// One entry.
    #[track_caller]
    pub(crate) fn get(&self, path: &str) -> &Entry {
        self.0.get(path).unwrap_or_else(|| panic!("{path} is not there"))
    }

    /// The paths at which `peer` is another tree, each with what is there in both.
    pub(crate) fn differences(&self, peer: &Listing) -> Vec<(String, String)> {
        let paths = self.0.keys().chain(peer.0.keys().filter(|path| !self.0.contains_key(*path)));
        let show = |entry: Option<&Entry>| entry.map_or("absent".to_owned(), Entry::to_string);
        paths
            .filter_map(|path| {
                let (ours, theirs) = (self.0.get(path), peer.0.get(path));
                let text = || format!("{path}\n    ours:  {}\n    peer:  {}", show(ours), show(theirs));
                (ours != theirs).then(|| (path.clone(), text()))
            })
            .collect()
    }

    /// Fails unless `peer` is the same tree, outside of what is allowed to differ.
    #[track_caller]
    pub(crate) fn assert_same(&self, peer: &Listing, allowed: &[Allowed<'_>]) {
        let is_allowed = |path: &str| allowed.iter().any(|(pattern, _)| covers(pattern, path));
        let differences = self.differences(peer).into_iter().filter(|(path, _)| !is_allowed(path));
        let differences: Vec<String> = differences.map(|(_, text)| text).collect();
        assert!(self.0.len() > 1, "the tree is empty");
        assert!(
            differences.is_empty(),
            "{} paths differ:\n{}",
            differences.len(),
            differences[..differences.len().min(40)].join("\n")
        );
    }
}

impl Entry {
    /// A directory of root.
    pub(crate) fn directory(mode: u32) -> Entry {
        Entry {
            kind: "directory",
            mode,
            uid: 0,
            gid: 0,
            size: 0,
            content: String::new(),
            same_as: None,
            xattrs: BTreeMap::new(),
        }
    }

    fn read(path: &Path, name: &str, first_names: &mut BTreeMap<(u64, u64), String>) -> io::Result<Entry> {
        let metadata = fs::symlink_metadata(path)?;
        let kind = metadata.file_type();
        let mut entry = Entry {
            kind: "other",
            mode: metadata.mode() & 0o7777,
            uid: metadata.uid(),
            gid: metadata.gid(),
            size: 0,
            content: String::new(),
            same_as: None,
            xattrs: xattrs(path)?,
        };
        if kind.is_dir() {
            entry.kind = "directory";
        } else if kind.is_symlink() {
            entry.kind = "link";
            entry.mode = 0;
            entry.content = fs::read_link(path)?.to_string_lossy().into_owned();
        } else if kind.is_file() {
            entry.kind = "file";
            entry.size = metadata.len();
            entry.content = sha256(&mut File::open(path)?)?;
        } else if kind.is_fifo() {
            entry.kind = "fifo";
        } else if kind.is_char_device() || kind.is_block_device() {
            entry.kind = if kind.is_char_device() { "char" } else { "block" };
            entry.content = metadata.rdev().to_string();
        }
        if !kind.is_dir() && metadata.nlink() > 1 {
            let first =
                first_names.entry((metadata.dev(), metadata.ino())).or_insert_with(|| name.to_owned());
            entry.same_as = (first != name).then(|| first.clone());
        }
        Ok(entry)
    }

    /// Whether both names lead to one file.
    pub(crate) fn is_same_file_as(&self, first: &str) -> bool {
        self.same_as.as_deref() == Some(first)
    }
}

/// Whether `path` is one that `pattern` allows to differ.
pub(crate) fn covers(pattern: &str, path: &str) -> bool {
    match pattern.strip_prefix('*') {
        Some(ending) => path.ends_with(ending),
        None if pattern.ends_with('/') => path.starts_with(pattern),
        None => path == pattern,
    }
}

/// The SHA-256 of all that can be read, in hexadecimal.
pub(crate) fn sha256(content: &mut impl io::Read) -> io::Result<String> {
    let mut hash = Sha256::new();
    io::copy(content, &mut HashWriter(&mut hash))?;
    Ok(hex(&hash.finalize()))
}

struct HashWriter<'a>(&'a mut Sha256);

impl io::Write for HashWriter<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn xattrs(path: &Path) -> io::Result<BTreeMap<String, String>> {
    let mut names = vec![0; 64 * 1024];
    let length = rustix::fs::llistxattr(path, names.as_mut_slice())?;
    let mut found = BTreeMap::new();
    for name in names[..length].split(|byte| *byte == 0).filter(|name| !name.is_empty()) {
        let mut value = vec![0; 64 * 1024];
        let length = rustix::fs::lgetxattr(path, std::ffi::OsStr::from_bytes(name), value.as_mut_slice())?;
        found.insert(String::from_utf8_lossy(name).into_owned(), hex(&value[..length]));
    }
    Ok(found)
}

/// Two digits for each byte.
pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
