//! Archives, good and hostile, and the directories they become.

use super::super::archive::Timestamp;
use super::super::testing::{FLAVOR, Tape, is_root, listing, packed, skip, unpack};
use super::*;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};

fn temp() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

fn is_whiteout(path: &Path) -> bool {
    let meta = path.symlink_metadata().unwrap();
    meta.file_type().is_char_device() && meta.rdev() == 0
}

fn is_opaque(path: &Path) -> bool {
    let mut value = [0; 8];
    fs::getxattr(path, FLAVOR.opaque(), &mut value[..]).is_ok_and(|n| &value[..n] == b"y")
}

#[test]
fn what_is_packed_again_is_the_same() {
    let mut tape = Tape::default().dir("bin/").entry(b'0', "bin/su", 0o4755, "", b"#!");
    let long = format!("{}/{}", "d".repeat(150), "f".repeat(200));
    tape.push(b'5', [&long.as_bytes()[..150], b"/"].concat().as_slice(), 0o1777, b"", b"", &[]);
    tape.push(b'0', long.as_bytes(), 0o600, b"", b"long", &[]);
    tape.push(
        b'0',
        b"latin-\xe9",
        0o644,
        b"",
        b"bytes",
        &[(b"user.key".to_vec(), b"\x00\xffvalue\n".to_vec())],
    );
    let tar = tape
        .hard_link("linked", "bin/su")
        .dir("opaque/")
        .entry(b'0', "opaque/.wh..wh..opq", 0, "", b"")
        .file("opaque/kept", "k")
        .symlink("sym", &"t/".repeat(100))
        .end();
    let dir = temp();
    let stats = unpack(&tar, dir.path()).unwrap();
    assert_eq!((stats.entries, stats.opaques, stats.bytes), (10, 1, tar.len() as u64));
    assert!(stats.implied_directories.is_empty());
    let again = packed(dir.path());
    let second = temp();
    unpack(&again, second.path()).unwrap();
    assert_eq!(packed(second.path()), again);

    let mut expected = listing(&tar);
    let mut found = listing(&again);
    expected.sort();
    found.sort();
    assert_eq!(found, expected);
    assert_eq!(dir.path().join("bin/su").metadata().unwrap().permissions().mode() & 0o7777, 0o4755);
    assert_eq!(
        dir.path().join("linked").metadata().unwrap().ino(),
        dir.path().join("bin/su").metadata().unwrap().ino()
    );
}

#[test]
fn whiteouts_hide_lower_layers_only_whatever_the_order() {
    let mark = |tape: Tape, name: &str| tape.entry(b'0', name, 0, "", b"");
    let before =
        mark(mark(Tape::default(), ".wh.file"), ".wh.dir").file("file", "new").file("dir/inside", "x");
    let after =
        mark(mark(Tape::default().file("file", "new").file("dir/inside", "x"), ".wh.file"), ".wh.dir");
    for tar in [before, after] {
        let dir = temp();
        unpack(&mark(tar, ".wh.gone").end(), dir.path()).unwrap();
        assert_eq!(std::fs::read(dir.path().join("file")).unwrap(), b"new");
        assert_eq!(std::fs::read(dir.path().join("dir/inside")).unwrap(), b"x");
        assert!(is_opaque(&dir.path().join("dir")), "the lower dir is gone, and what it held");
        assert!(is_whiteout(&dir.path().join("gone")));
        assert_eq!(
            listing(&packed(dir.path())),
            ["file .wh.gone", "dir dir/", "file dir/.wh..wh..opq", "file dir/inside x", "file file new"]
        );
    }
}

#[test]
fn names_that_look_like_whiteouts() {
    for name in [".wh.", ".wh..", ".wh...", "a/.wh...", ".wh.a/b", ".wh..wh..opq/b"] {
        let dir = temp();
        let result = unpack(&Tape::default().file(name, "").end(), dir.path());
        assert!(matches!(result, Err(ApplyError::Name { .. })), "{name}: {result:?}");
        assert!(dir.path().read_dir().unwrap().next().is_none(), "{name} left something");
    }
    let dir = temp();
    let tar = Tape::default().file(".wh..wh.x", "").dir(".wh..wh.plnk/").file(".wh..wh.plnk/1.2", "y").end();
    assert_eq!(unpack(&tar, dir.path()).unwrap().marks_ignored, 3);
    assert!(dir.path().read_dir().unwrap().next().is_none());
}

#[test]
fn nothing_leaves_the_directory() {
    let outer = temp();
    let secret = outer.path().join("secret");
    std::fs::write(&secret, "outside").unwrap();
    let into = outer.path().join("into");
    let absolute = outer.path().to_str().unwrap();
    let cases = [
        Tape::default().file("../secret", "evil"),
        Tape::default().file("a/../../secret", "evil"),
        Tape::default().file(secret.to_str().unwrap(), "evil"),
        Tape::default().symlink("up", "..").file("up/secret", "evil"),
        Tape::default().symlink("abs", absolute).file("abs/secret", "evil"),
        Tape::default().symlink("secret", secret.to_str().unwrap()).file("secret", "evil"),
        Tape::default().symlink("a", "b").symlink("b", "..").file("a/secret", "evil"),
        Tape::default().hard_link("x", "../secret").file("x", "evil"),
        Tape::default().hard_link("x", secret.to_str().unwrap()).file("x", "evil"),
        Tape::default().symlink("up", "..").hard_link("x", "up/secret").file("x", "evil"),
        Tape::default().symlink("up", "..").entry(b'0', "up/.wh.secret", 0, "", b""),
        Tape::default().symlink("up", absolute).entry(b'0', "up/.wh..wh..opq", 0, "", b""),
        Tape::default().symlink("up", absolute).dir("up/"),
        Tape::default().symlink("proc", "/proc/self/root").file("proc/tmp/evil", "evil"),
    ];
    for (number, case) in cases.into_iter().enumerate() {
        std::fs::create_dir(&into).unwrap();
        let before = outer.path().metadata().unwrap();
        let _ = unpack(&case.end(), &into);
        assert_eq!(std::fs::read_to_string(&secret).unwrap(), "outside", "case {number}");
        let after = outer.path().metadata().unwrap();
        assert_eq!((before.mode(), before.mtime_nsec()), (after.mode(), after.mtime_nsec()), "case {number}");
        assert!(!is_opaque(outer.path()));
        assert_eq!(secret.metadata().unwrap().nlink(), 1, "case {number}");
        std::fs::remove_dir_all(&into).unwrap();
    }
    assert!(matches!(
        unpack(&Tape::default().file("a/../b", "").end(), outer.path()),
        Err(ApplyError::Name { .. })
    ));
}

#[test]
fn links_inside_the_directory_are_followed_inside() {
    let dir = temp();
    let tar = Tape::default().dir("usr/").dir("usr/lib/").symlink("lib", "/usr/lib").file("lib/a", "A").end();
    unpack(&tar, dir.path()).unwrap();
    assert_eq!(std::fs::read(dir.path().join("usr/lib/a")).unwrap(), b"A");
    let dir = temp();
    let dangling = Tape::default().symlink("lib", "usr/lib").file("lib/a", "A").end();
    assert!(matches!(unpack(&dangling, dir.path()), Err(ApplyError::NotADirectory { .. })));
    let dir = temp();
    let file = Tape::default().file("lib", "").file("lib/a", "A").end();
    assert!(matches!(unpack(&file, dir.path()), Err(ApplyError::NotADirectory { .. })));
}

#[test]
fn the_last_of_several_entries_wins() {
    let dir = temp();
    let tar = Tape::default()
        .file("a", "1")
        .hard_link("old", "a")
        .file("a", "2")
        .dir("d/")
        .dir("d/e/")
        .file("d/e/f", "gone")
        .file("d", "file")
        .file("x", "")
        .dir("x/")
        .file("x/y", "dir")
        .hard_link("x/y", "x/y")
        .entry(b'5', "x/", 0o700, "", b"")
        .end();
    unpack(&tar, dir.path()).unwrap();
    let read = |name: &str| std::fs::read_to_string(dir.path().join(name)).unwrap();
    assert_eq!(
        (read("a"), read("old"), read("d"), read("x/y")),
        ("2".into(), "1".into(), "file".into(), "dir".into())
    );
    let meta = dir.path().join("x").metadata().unwrap();
    assert_eq!((meta.mode() & 0o7777, meta.mtime()), (0o700, 1_600_000_000));
}

#[test]
fn links_to_what_is_not_there() {
    let marked = Tape::default().entry(b'0', ".wh.gone", 0, "", b"").hard_link("x", "gone");
    for tape in [
        marked,
        Tape::default().hard_link("x", "none"),
        Tape::default().dir("d/").hard_link("x", "d"),
        Tape::default().hard_link("x", ""),
    ] {
        let dir = temp();
        assert!(matches!(unpack(&tape.end(), dir.path()), Err(ApplyError::LinkTarget { .. })));
    }
}

#[test]
fn a_device_is_no_whiteout() {
    let dir = temp();
    let tar = Tape::default().entry(b'3', "etc", 0o666, "", b"").end();
    assert!(matches!(unpack(&tar, dir.path()), Err(ApplyError::WhiteoutDevice { .. })));
}

#[test]
fn implied_directories_and_the_root() {
    let dir = temp();
    let stats = unpack(&Tape::default().file("a/b/c", "x").dir("./").file(".//a/./d", "y").end(), dir.path())
        .unwrap();
    assert_eq!(stats.implied_directories, [Path::new("a"), Path::new("a/b")]);
    assert_eq!(dir.path().join("a/b").metadata().unwrap().mode() & 0o7777, 0o755);
    assert_eq!(dir.path().join("a").metadata().unwrap().mtime(), 0);
    assert_eq!(dir.path().metadata().unwrap().mtime(), 1_600_000_000);
    let dir = temp();
    let stats = unpack(&Tape::default().file(".wh..wh..opq", "").end(), dir.path()).unwrap();
    assert!(stats.opaque_root && is_opaque(dir.path()));
    assert_eq!(listing(&packed(dir.path())), ["file .wh..wh..opq"]);
}

#[test]
fn limits() {
    let dir = temp();
    let limits = ApplyLimits { entries: 3, bytes: 1 << 20 };
    let options = ApplyOptions { limits, ignore_chown: true, ..Default::default() };
    let tar = Tape::default().file("a/b/c", "").file("a/b/d", "").end();
    assert!(matches!(
        apply(&mut &tar[..], dir.path(), FLAVOR, &options),
        Err(ApplyError::TooManyEntries { limit: 3 })
    ));
    let zeros = vec![0; 2 << 20];
    let dir = temp();
    let result = apply(&mut &zeros[..], dir.path(), FLAVOR, &options);
    assert!(
        matches!(result, Err(ApplyError::Archive(crate::layer::ArchiveError::TooLong { .. }))),
        "{result:?}"
    );
}

#[test]
fn every_cut_is_noticed() {
    let tar = Tape::default().dir("d/").file("d/f", &"x".repeat(700)).end();
    let end = tar.len() - 1024;
    for cut in 1..end {
        let dir = temp();
        let result = unpack(&tar[..cut], dir.path());
        // Between entries an archive may end; everything else is an error.
        assert_eq!(result.is_ok(), cut == 512, "cut at {cut}: {result:?}");
    }
}

#[test]
fn deep_names() {
    let mut name = "d/".repeat(2500);
    name.push('f');
    let dir = temp();
    unpack(&Tape::default().file(&name, "deep").end(), dir.path()).unwrap();
    let again = packed(dir.path());
    let (last, data) = crate::layer::testing::entries(&again).pop().unwrap();
    assert_eq!((last.name, data), (name.into_bytes(), b"deep".to_vec()));
    super::super::tree::scan(dir.path(), FLAVOR).unwrap();
}

#[test]
fn devices_owners_and_capabilities() {
    if !is_root() {
        return skip("devices_owners_and_capabilities", "root");
    }
    use super::super::archive::{Header, encode_header};
    let mut tar = Vec::new();
    let capability =
        b"\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00".to_vec();
    let xattrs = [(b"security.capability".to_vec(), capability)];
    let mut push = |name: &str, flag, link: &str, device, xattrs| {
        let (name, link) = (name.as_bytes(), link.as_bytes());
        let mtime = Timestamp { seconds: 5, nanoseconds: 120_000_000 };
        encode_header(
            &mut tar,
            &Header {
                name,
                flag,
                mode: 0o4751,
                uid: 3_000_000,
                gid: 7,
                size: 0,
                mtime,
                link,
                device,
                xattrs,
            },
        );
    };
    push("block", b'4', "", (8, 1), &[]);
    push("char", b'3', "", (10, 200_000), &[]);
    push("fifo", b'6', "", (0, 0), &[]);
    push("ping", b'0', "", (0, 0), &xattrs[..]);
    push("pong", b'1', "ping", (0, 0), &xattrs[..]);
    tar.extend_from_slice(&super::super::archive::END);
    let dir = temp();
    unpack(&tar, dir.path()).unwrap();
    let meta = dir.path().join("char").metadata().unwrap();
    assert_eq!((meta.uid(), meta.gid(), meta.mode() & 0o7777), (3_000_000, 7, 0o4751));
    assert_eq!((fs::major(meta.rdev()), fs::minor(meta.rdev())), (10, 200_000));
    assert_eq!(packed(dir.path()), tar);
}
