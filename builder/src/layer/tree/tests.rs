//! Trees of directories: what changes them, what does not, and how they are kept.

use super::super::testing::{FLAVOR, Tape, unpack};
use super::*;

fn tree(tape: Tape) -> Tree {
    let dir = tempfile::tempdir().unwrap();
    unpack(&tape.end(), dir.path()).unwrap();
    let tree = scan(dir.path(), FLAVOR).unwrap();
    for threads in [1, 4] {
        assert_eq!(scan::scan_with(dir.path(), FLAVOR, threads).unwrap(), tree);
    }
    assert_eq!(Tree::from_bytes(&tree.to_bytes()).as_ref(), Ok(&tree));
    tree
}

fn base() -> Tape {
    Tape::default()
        .dir("a/")
        .file("a/x", "one")
        .file("a-b", "two")
        .hard_link("z", "a/x")
        .symlink("link", "a/x")
        .entry(b'6', "fifo", 0o600, "", b"")
        .entry(b'0', ".wh.gone", 0, "", b"")
}

#[test]
fn order_links_and_sizes() {
    let tree = tree(base());
    let paths: Vec<_> = tree.entries().iter().map(|entry| String::from_utf8_lossy(&entry.path)).collect();
    assert_eq!(paths, ["a", "a/x", "a-b", "fifo", "gone", "link", "z"]);
    assert_eq!(tree.get(b"z").unwrap().hard_link.as_deref(), Some(&b"a/x"[..]));
    assert_eq!(tree.get(b"z").unwrap().kind, tree.get(b"a/x").unwrap().kind);
    assert_eq!(tree.get(b"gone").unwrap().kind, TreeKind::Whiteout);
    assert_eq!(tree.size(), 6);
    assert_eq!(tree.get(b"a-b").unwrap().kind, TreeKind::File { size: 3, content: ContentId::of(b"two") });
    assert!(tree.get(b"a/y").is_none());
}

#[test]
fn times_are_no_part_of_it() {
    let dir = tempfile::tempdir().unwrap();
    unpack(&base().end(), dir.path()).unwrap();
    let before = scan(dir.path(), FLAVOR).unwrap();
    let file = std::fs::File::open(dir.path().join("a/x")).unwrap();
    file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(scan(dir.path(), FLAVOR).unwrap().content_id(), before.content_id());
}

#[test]
fn differences() {
    let a = tree(base());
    assert_eq!(Tree::diff(&a, &a), []);
    let cases = [
        (base().file("new", ""), "new: added"),
        (base().file("a-b", "2"), "a-b: other content"),
        (base().entry(b'0', "a-b", 0o755, "", b"two"), "a-b: other mode, owner or xattrs"),
        (base().symlink("a-b", "x"), "a-b: another type"),
        (base().file("gone", ""), "gone: another type"),
        (base().symlink("link", "a"), "link: other content"),
        (base().file("z", "one"), "z: other hard links"),
        (base().entry(b'0', "a/.wh..wh..opq", 0, "", b""), "a: other mode, owner or xattrs"),
    ];
    for (tape, expected) in cases {
        let b = tree(tape);
        let changes: Vec<_> = Tree::diff(&a, &b).iter().map(ToString::to_string).collect();
        assert_eq!(changes, [expected]);
        assert_ne!(a.content_id(), b.content_id(), "{expected}");
    }
    let (less, more) =
        (tree(Tape::default().file("m", "")), tree(Tape::default().file("m", "").file("a", "")));
    assert_eq!(Tree::diff(&more, &less)[0].to_string(), "a: removed");
}

#[test]
fn the_content_id_is_frozen() {
    let entry = |path: &str, kind| TreeEntry {
        path: path.into(),
        kind,
        mode: 0o755,
        uid: 1,
        gid: 2,
        xattrs: vec![(b"user.k".to_vec(), b"v".to_vec())],
        hard_link: None,
    };
    let tree = Tree::new(vec![
        entry("b", TreeKind::File { size: 3, content: ContentId::of(b"two") }),
        entry("a", TreeKind::Directory { opaque: true }),
        entry("c", TreeKind::CharDevice { major: 1, minor: 3 }),
    ]);
    assert_eq!(tree.content_id().hex(), "6707c2f645f9641ce92ff050054f5d1c265dd442d9fc57bebbace81a9046297f");
    assert_eq!(Tree::from_bytes(&tree.to_bytes()), Ok(tree));
}

#[test]
fn damaged_files_are_refused() {
    let bytes = tree(base()).to_bytes();
    assert_eq!(Tree::from_bytes(b"{}"), Err(TreeFileError::Version));
    for at in 0..bytes.len() {
        assert!(Tree::from_bytes(&bytes[..at]).is_err(), "cut at {at}");
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        assert!(Tree::from_bytes(&damaged).is_err(), "changed at {at}");
    }
    // Not even with a checksum that fits.
    for at in 15..bytes.len() - 32 {
        let mut cut = bytes[..at].to_vec();
        cut.extend_from_slice(blake3::hash(&bytes[..at]).as_bytes());
        assert_eq!(Tree::from_bytes(&cut), Err(TreeFileError::Damaged), "cut at {at}");
    }
}

#[test]
fn many_files_with_few_threads() {
    let dir = tempfile::tempdir().unwrap();
    for number in 0..1500 {
        std::fs::write(dir.path().join(format!("f{number}")), vec![number as u8; number * 7]).unwrap();
    }
    let one = scan::scan_with(dir.path(), FLAVOR, 1).unwrap();
    assert_eq!(scan::scan_with(dir.path(), FLAVOR, 3).unwrap(), one);
    for number in [0, 7, 1499] {
        let content = ContentId::of(&vec![number as u8; number * 7]);
        let size = number as u64 * 7;
        let path = format!("f{number}");
        assert_eq!(one.get(path.as_bytes()).unwrap().kind, TreeKind::File { size, content });
    }
}
