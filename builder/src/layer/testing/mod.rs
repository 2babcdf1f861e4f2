//! What the tests of layers share: archives made by hand, and a look at a directory.

use super::apply::{ApplyError, ApplyOptions, ApplyStats, apply};
use super::archive::{BLOCK, END, Entry, EntryKind, Header, Reader, Timestamp, encode_header};
use super::pack::{PackOptions, pack};
use super::xattr::Xattr;
use crate::rootfs::XattrFlavor;
use std::path::Path;

/// The flavour that every user may set.
pub(super) const FLAVOR: XattrFlavor = XattrFlavor::User;

/// Says that a test was skipped, or fails it when `SLIPWAY_REQUIRE_TOOLS=1` asks for everything.
#[allow(clippy::print_stderr)]
pub(super) fn skip(test: &str, why: &str) {
    assert!(std::env::var_os("SLIPWAY_REQUIRE_TOOLS").is_none_or(|v| v != "1"), "{test} needs {why}");
    eprintln!("skipped: {test} needs {why}");
}

/// Whether this process is root, and not only in a user namespace.
pub(super) fn is_root() -> bool {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap();
    rustix::process::geteuid().is_root() && map.split_whitespace().eq(["0", "0", "4294967295"])
}

/// An archive made entry by entry, owned by who runs the test.
#[derive(Default)]
pub(super) struct Tape(pub(super) Vec<u8>);

impl Tape {
    pub(super) fn entry(mut self, flag: u8, name: &str, mode: u32, link: &str, data: &[u8]) -> Self {
        self.push(flag, name.as_bytes(), mode, link.as_bytes(), data, &[]);
        self
    }

    pub(super) fn push(
        &mut self,
        flag: u8,
        name: &[u8],
        mode: u32,
        link: &[u8],
        data: &[u8],
        xattrs: &[Xattr],
    ) {
        let header = Header {
            name,
            flag,
            mode,
            uid: rustix::process::geteuid().as_raw(),
            gid: rustix::process::getegid().as_raw(),
            size: data.len() as u64,
            mtime: Timestamp { seconds: 1_600_000_000, nanoseconds: 0 },
            link,
            device: (0, 0),
            xattrs,
        };
        encode_header(&mut self.0, &header);
        self.0.extend_from_slice(data);
        self.0.resize(self.0.len().next_multiple_of(BLOCK), 0);
    }

    pub(super) fn file(self, name: &str, data: &str) -> Self {
        self.entry(b'0', name, 0o644, "", data.as_bytes())
    }

    pub(super) fn dir(self, name: &str) -> Self {
        self.entry(b'5', name, 0o755, "", b"")
    }

    pub(super) fn symlink(self, name: &str, target: &str) -> Self {
        self.entry(b'2', name, 0o777, target, b"")
    }

    pub(super) fn hard_link(self, name: &str, target: &str) -> Self {
        self.entry(b'1', name, 0o644, target, b"")
    }

    pub(super) fn end(mut self) -> Vec<u8> {
        self.0.extend_from_slice(&END);
        self.0
    }
}

/// Unpacks for a user who may be anybody.
pub(super) fn unpack(tar: &[u8], into: &Path) -> Result<ApplyStats, ApplyError> {
    apply(&mut &*tar, into, FLAVOR, &ApplyOptions { ignore_chown: !is_root(), ..Default::default() })
}

/// Packs with default options.
pub(super) fn packed(upper: &Path) -> Vec<u8> {
    let mut out = Vec::new();
    pack(upper, FLAVOR, PackOptions::default(), &mut out).unwrap();
    out
}

/// All entries of an archive with their data.
pub(super) fn entries(tar: &[u8]) -> Vec<(Entry, Vec<u8>)> {
    let mut input = tar;
    let mut reader = Reader::new(&mut input, u64::MAX);
    let mut entries = Vec::new();
    while let Some(entry) = reader.next().unwrap() {
        let mut data = Vec::new();
        while let Some(chunk) = reader.chunk().unwrap() {
            data.extend_from_slice(chunk);
        }
        entries.push((entry, data));
    }
    entries
}

/// One line for each entry: type, name, target.
pub(super) fn listing(tar: &[u8]) -> Vec<String> {
    let line = |(entry, data): &(Entry, Vec<u8>)| {
        let kind = match entry.kind {
            EntryKind::File => "file",
            EntryKind::HardLink => "link",
            EntryKind::Symlink => "symlink",
            EntryKind::CharDevice => "char",
            EntryKind::BlockDevice => "block",
            EntryKind::Directory => "dir",
            EntryKind::Fifo => "fifo",
        };
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        let more = if data.is_empty() { text(&entry.link) } else { text(data) };
        format!("{kind} {} {more}", text(&entry.name)).trim_end().to_owned()
    };
    entries(tar).iter().map(line).collect()
}
