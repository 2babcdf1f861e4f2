//! Hostile trees: nothing outside the two roots is read or written.

use super::super::*;
use super::{listing, run, spec, tree};
use rustix::fs::{CWD, RenameFlags, renameat_with};
use std::os::unix::fs::symlink;
use std::sync::atomic::{AtomicBool, Ordering};

/// A directory outside of everything, with a file `secret`.
fn outside() -> tempfile::TempDir {
    tree("-644 secret \"secret\"")
}

#[test]
fn links_of_the_source_lead_nowhere_outside() {
    let outside = outside();
    let secret = outside.path().join("secret");
    let from = tree("-644 d/f \"f\"");
    symlink(&secret, from.path().join("absolute")).unwrap();
    symlink(outside.path(), from.path().join("dir")).unwrap();
    let up = "../".repeat(40) + secret.to_str().unwrap();
    symlink(up, from.path().join("up")).unwrap();
    for source in ["absolute", "up", "dir/secret", "dir", "dir/*", "abs*"] {
        let to = tree("");
        let result = run(&spec(&[source], "/x/"), from.path(), to.path());
        assert!(matches!(result, Err(CopyError::NotFound { .. })), "{source}: {result:?}");
        assert_eq!(listing::list(to.path()), "", "{source}");
    }
}

#[test]
fn links_of_the_destination_lead_nowhere_outside() {
    let outside = outside();
    let archive = "-644 d/x.tar archive none\n  -644 @7 link/f \"f\"\n  -644 @7 g \"g\"";
    let from = tree(&format!("-644 f \"f\"\n{archive}"));
    let before = listing::list(outside.path());
    let up = "../".repeat(40) + outside.path().to_str().unwrap();
    for target in [outside.path().to_str().unwrap(), &up] {
        for (source, destination) in
            [("f", "/link/"), ("f", "/link/secret"), ("f", "/link"), ("d", "/link/deep/er"), (".", "/link")]
        {
            let to = tree("");
            symlink(target, to.path().join("link")).unwrap();
            run(&spec(&[source], destination), from.path(), to.path()).unwrap();
            assert_eq!(listing::list(outside.path()), before, "{source} to {destination}");
        }
        let to = tree("");
        symlink(target, to.path().join("link")).unwrap();
        let add = CopySpec { unpack: Unpack::Auto, ..spec(&["d/x.tar"], "/") };
        run(&add, from.path(), to.path()).unwrap();
        assert_eq!(listing::list(outside.path()), before, "an archive");
    }
}

#[test]
fn names_of_made_files_lead_nowhere_outside() {
    let outside = outside();
    let secret = outside.path().join("secret");
    let before = listing::list(outside.path());
    let absolute = secret.to_str().unwrap().to_owned();
    let up = "../".repeat(40) + &absolute;
    let bytes = b"other".to_vec();
    let from = tree("-644 f \"f\"");
    for name in
        [absolute, up, "../x".to_owned(), "a/b".to_owned(), "..".to_owned(), ".".to_owned(), String::new()]
    {
        let inline = CopySource::Inline { name: name.clone(), bytes: bytes.clone() };
        let path = from.path().join("f");
        let file =
            CopySource::File { path, name: name.clone(), mode: 0o644, modified: None, unpack: Unpack::Never };
        for source in [inline, file] {
            let to = tree("");
            let spec = CopySpec { sources: vec![source], chmod: "4777".parse().ok(), ..spec(&[], "/h/") };
            let result = run(&spec, from.path(), to.path());
            assert!(matches!(result, Err(CopyError::NoName { .. })), "{name:?}: {result:?}");
            assert_eq!(listing::list(outside.path()), before, "{name:?}");
        }
    }
}

/// Somebody swaps a directory of the source with a link to the outside, again and again, while it is copied.
#[test]
fn races_in_the_source_do_not_lead_out() {
    let outside = outside();
    std::fs::write(outside.path().join("f"), "secret").unwrap();
    let from = tree("-644 a/b/f \"f\"\n-644 a/b/g \"g\"\n-644 file \"f\"");
    symlink(outside.path(), from.path().join("a/evil")).unwrap();
    symlink(outside.path().join("secret"), from.path().join("evil")).unwrap();
    let stop = AtomicBool::new(false);
    let path = |name: &str| from.path().join(name);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !stop.load(Ordering::Relaxed) {
                renameat_with(CWD, path("a/b"), CWD, path("a/evil"), RenameFlags::EXCHANGE).unwrap();
                renameat_with(CWD, path("file"), CWD, path("evil"), RenameFlags::EXCHANGE).unwrap();
            }
        });
        for round in 0..300 {
            let to = tree("");
            for source in ["a/b/f", "a/b", "file", "a/*/f", "."] {
                // Whether it is found is luck; what is found is never from outside.
                let _ = run(&spec(&[source], "/x/"), from.path(), to.path());
            }
            let list = listing::list(to.path());
            if list.contains("\"secret\"") {
                stop.store(true, Ordering::Relaxed);
                panic!("round {round}: {list}");
            }
        }
        stop.store(true, Ordering::Relaxed);
    });
}

#[test]
fn a_fifo_does_not_make_it_wait() {
    let from = tree("p644 fifo\np644 d/fifo");
    let to = tree("");
    let add = CopySpec { unpack: Unpack::Auto, ..spec(&["fifo", "d"], "/x/") };
    run(&add, from.path(), to.path()).unwrap();
    assert_eq!(listing::list(to.path()).matches("p644").count(), 1);
}
