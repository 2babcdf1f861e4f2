//! What goes into a layer, and what keeps one from being made.

use crate::layer::testing::{FLAVOR, Tape, entries, listing, packed, unpack};
use crate::layer::{MtimePrecision, PackError, PackOptions, WalkError, pack, scan};
use crate::rootfs::XattrFlavor;
use rustix::fs::{XattrFlags, setxattr};
use std::fs;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::time::{Duration, SystemTime};

fn try_pack(dir: &Path) -> Result<Vec<u8>, PackError> {
    let mut out = Vec::new();
    pack(dir, FLAVOR, PackOptions::default(), &mut out).map(|_| out)
}

#[test]
fn the_order_of_creation_does_not_matter() {
    let names = ["b", "a.d", "a/z", "a", "a-", "é", "A"];
    let layer = |names: &mut dyn Iterator<Item = &&str>| {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("a")).unwrap();
        for name in names.filter(|name| **name != "a") {
            fs::write(dir.path().join(name), name).unwrap();
            let file = fs::File::open(dir.path().join(name)).unwrap();
            file.set_modified(SystemTime::UNIX_EPOCH + Duration::new(1, 5)).unwrap();
        }
        let time = SystemTime::UNIX_EPOCH + Duration::new(9, 0);
        fs::File::open(dir.path().join("a")).unwrap().set_modified(time).unwrap();
        packed(dir.path())
    };
    let (one, two) = (layer(&mut names.iter()), layer(&mut names.iter().rev()));
    assert_eq!(one, two);
    let names: Vec<_> =
        entries(&one).into_iter().map(|(entry, _)| String::from_utf8(entry.name).unwrap()).collect();
    assert_eq!(names, ["A", "a/", "a/z", "a-", "a.d", "b", "é"]);
}

#[test]
fn an_empty_layer_is_two_blocks_of_zeros() {
    let dir = tempfile::tempdir().unwrap();
    let mut out = Vec::new();
    let stats = pack(dir.path(), FLAVOR, PackOptions::default(), &mut out).unwrap();
    assert!(stats.is_empty());
    assert_eq!(out, [0; 1024]);
}

#[test]
fn times_are_clamped_and_cut_when_asked() {
    let dir = tempfile::tempdir().unwrap();
    let file = fs::File::create(dir.path().join("f")).unwrap();
    let at = |seconds, nanoseconds| SystemTime::UNIX_EPOCH + Duration::new(seconds, nanoseconds);
    let mtime = |options| {
        let mut out = Vec::new();
        pack(dir.path(), FLAVOR, options, &mut out).unwrap();
        let time = entries(&out)[0].0.mtime;
        (time.seconds, time.nanoseconds)
    };
    file.set_modified(at(100, 7)).unwrap();
    assert_eq!(mtime(PackOptions::default()), (100, 7));
    let seconds = PackOptions { mtime: MtimePrecision::Seconds, ..Default::default() };
    assert_eq!(mtime(seconds), (100, 0));
    assert_eq!(mtime(PackOptions { clamp_mtime: Some(at(100, 0)), ..Default::default() }), (100, 0));
    assert_eq!(mtime(PackOptions { clamp_mtime: Some(at(200, 0)), ..Default::default() }), (100, 7));
}

#[test]
fn holes_are_written_as_zeros() {
    let dir = tempfile::tempdir().unwrap();
    let file = fs::File::create(dir.path().join("sparse")).unwrap();
    let size = (64 << 20) + 12_345;
    file.set_len(size).unwrap();
    file.write_all_at(b"middle", 33 << 20).unwrap();
    file.write_all_at(b"near", 1 << 20).unwrap();
    let tar = packed(dir.path());
    let (entry, data) = entries(&tar).remove(0);
    assert_eq!((entry.size, data.len() as u64, entry.extents), (size, size, None));
    let mut expected = vec![0; size as usize];
    expected[33 << 20..][..6].copy_from_slice(b"middle");
    expected[1 << 20..][..4].copy_from_slice(b"near");
    assert!(data == expected);
}

#[test]
fn sockets_are_left_out() {
    let dir = tempfile::tempdir().unwrap();
    let _socket = std::os::unix::net::UnixListener::bind(dir.path().join("s")).unwrap();
    let mut out = Vec::new();
    let stats = pack(dir.path(), FLAVOR, PackOptions::default(), &mut out).unwrap();
    assert_eq!((stats.entries, stats.sockets_skipped), (0, 1));
    assert!(scan(dir.path(), FLAVOR).unwrap().is_empty());
}

#[test]
fn a_file_named_like_a_whiteout_is_named_in_the_error() {
    for name in [".wh.x", ".wh.", ".wh..wh..opq", ".wh..wh.plnk"] {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("d")).unwrap();
        fs::write(dir.path().join("d").join(name), "").unwrap();
        let error = try_pack(dir.path()).unwrap_err();
        assert!(matches!(&error, PackError::WhiteoutName { path } if *path == Path::new("d").join(name)));
        assert!(error.to_string().starts_with(&format!("d/{name}: ")), "{error}");
    }
}

#[test]
fn book_keeping_is_not_exported_and_incomplete_layers_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let sub = dir.path().join("d");
    fs::create_dir(&sub).unwrap();
    let set = |name: &str, value: &[u8]| setxattr(&sub, name, value, XattrFlags::empty()).unwrap();
    for name in ["user.overlay.origin", "user.overlay.impure", "user.overlay.uuid"] {
        set(name, b"y");
    }
    set("user.overlay.opaque", b"x"); // Not opaque: it may have whiteouts made of xattrs.
    set("user.mine", b"kept");
    let all = entries(&packed(dir.path()));
    assert_eq!(all.len(), 1);
    assert_eq!(all[0].0.xattrs, [(b"user.mine".to_vec(), b"kept".to_vec())]);
    // In a layer of the other flavour, the same mark means nothing.
    set("user.overlay.opaque", b"y");
    assert_eq!(listing(&packed(dir.path())), ["dir d/", "file d/.wh..wh..opq"]);
    let mut out = Vec::new();
    pack(dir.path(), XattrFlavor::Trusted, PackOptions::default(), &mut out).unwrap();
    assert_eq!(listing(&out), ["dir d/"]);

    set("user.overlay.redirect", b"/elsewhere");
    let error = try_pack(dir.path()).unwrap_err();
    assert!(matches!(error, PackError::Walk(WalkError::Incomplete { .. })), "{error}");
}

#[test]
fn an_xattr_that_cannot_be_written_is_named() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("f");
    fs::write(&file, "").unwrap();
    setxattr(&file, "user.a=b", b"", XattrFlags::empty()).unwrap();
    let error = try_pack(dir.path()).unwrap_err();
    assert!(matches!(&error, PackError::XattrName { xattr, .. } if xattr == "user.a=b"), "{error}");
}

/// Does something to a file when the first bytes come out: by then the packer has it open.
struct Meddle<F: FnMut()>(F);

impl<F: FnMut()> Write for Meddle<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (self.0)();
        Ok(bytes.len())
    }
    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_file_that_changes_meanwhile_is_an_error() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("f");
    type Change = fn(&Path);
    let shrink: Change = |path| fs::File::options().write(true).open(path).unwrap().set_len(10).unwrap();
    let grow: Change = |path| {
        fs::File::options().append(true).open(path).unwrap().write_all(b"more").unwrap();
    };
    let link: Change = |path| fs::hard_link(path, path.with_extension("link")).unwrap_or(());
    for (change, is_error) in [(shrink, true), (grow, true), (link, false)] {
        fs::write(&path, vec![1; 3 << 20]).unwrap();
        std::thread::sleep(Duration::from_millis(20)); // Until the clock of the file system has moved on.
        let mut out = Meddle(|| change(&path));
        let result = pack(dir.path(), FLAVOR, PackOptions::default(), &mut out);
        match result {
            Err(PackError::Walk(WalkError::Changed { path })) => assert!(is_error && path == Path::new("f")),
            result => assert!(result.is_ok() && !is_error, "{result:?}"),
        }
    }
}

#[test]
fn a_full_disk_is_an_error() {
    struct Full;
    impl Write for Full {
        fn write(&mut self, _: &[u8]) -> io::Result<usize> {
            Err(io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }
    let dir = tempfile::tempdir().unwrap();
    let result = pack(dir.path(), FLAVOR, PackOptions::default(), &mut Full);
    assert!(matches!(result, Err(PackError::Write(e)) if e.kind() == io::ErrorKind::StorageFull));
}

#[test]
fn links_to_a_file_outside_of_the_layer_are_files() {
    let outer = tempfile::tempdir().unwrap();
    let layer = outer.path().join("layer");
    fs::create_dir(&layer).unwrap();
    fs::write(outer.path().join("other"), "data").unwrap();
    fs::hard_link(outer.path().join("other"), layer.join("b")).unwrap();
    assert_eq!(listing(&packed(&layer)), ["file b data"]);
    fs::hard_link(outer.path().join("other"), layer.join("a")).unwrap();
    assert_eq!(listing(&packed(&layer)), ["file a data", "link b a"]);
}

#[test]
fn a_directory_of_many_names() {
    let tape =
        (0..3000).fold(Tape::default(), |tape, number| tape.file(&format!("n{}", number * 7919 % 3000), ""));
    let dir = tempfile::tempdir().unwrap();
    unpack(&tape.end(), dir.path()).unwrap();
    let names: Vec<_> = entries(&packed(dir.path())).into_iter().map(|(entry, _)| entry.name).collect();
    assert_eq!(names.len(), 3000);
    assert!(names.is_sorted());
    assert!(dir.path().join(std::ffi::OsStr::from_bytes(&names[2999])).exists());
}
