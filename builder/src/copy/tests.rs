mod confinement;
mod golden;
pub(crate) mod listing;
mod privileged;

use super::*;
use std::path::Path;

/// A directory with what `text` (see [`listing`]) describes.
pub(crate) fn tree(text: &str) -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    listing::make(dir.path(), text);
    dir
}

/// A spec whose owner is whoever runs the tests, so that they need no privileges.
pub(crate) fn spec(sources: &[&str], destination: &str) -> CopySpec {
    CopySpec { chown: own(), ..CopySpec::new(sources.iter().copied(), destination) }
}

/// `None` as root: the defaults work.
pub(crate) fn own() -> Option<(u32, u32)> {
    let (uid, gid) = (rustix::process::geteuid(), rustix::process::getegid());
    (!uid.is_root()).then(|| (uid.as_raw(), gid.as_raw()))
}

/// Copies between two directories of this machine.
pub(crate) fn run(spec: &CopySpec, from: &Path, to: &Path) -> Result<Copied, CopyError> {
    run_ignoring(spec, from, to, None)
}

pub(crate) fn run_ignoring(
    spec: &CopySpec,
    from: &Path,
    to: &Path,
    ignore: Option<&IgnoreRules>,
) -> Result<Copied, CopyError> {
    let root = Root::open(from).unwrap();
    let source = SourceTree { root: &root, place: "the build context", ignore };
    copy(spec, &source, &Root::open(to).unwrap())
}

#[test]
fn many_threads_make_the_same_tree() {
    let mut text = String::new();
    for a in 0..12 {
        text += &format!("d755 @{a} a{a}\n");
        for b in 0..6 {
            text += &format!("d700 @{b} a{a}/b{b}\n");
            for f in 0..8 {
                text += &format!("-644 @{f} a{a}/b{b}/f{f} \"{a} {b} {f}\"\n");
            }
        }
    }
    for f in 0..700 {
        text += &format!("-600 @9 flat{f} \"{f}\"\n");
    }
    // Names of one file in different directories: threads meet here.
    for a in 1..12 {
        text += &format!("= a{a}/hard a0/b0/f0\n");
    }
    let from = tree(&text);
    let all = spec(&["."], "/out");
    let mut lists = Vec::new();
    for threads in [1, 2, 8] {
        let to = tree("");
        let (source, destination) = (Root::open(from.path()).unwrap(), Root::open(to.path()).unwrap());
        let source = SourceTree { root: &source, place: "x", ignore: None };
        let copied = execute::execute(&all, &source, &destination, &Cancellation::never(), threads).unwrap();
        assert_eq!(copied.entries, 12 + 12 * 6 + 12 * 6 * 8 + 700 + 11, "{threads} threads");
        lists.push(listing::list(to.path()));
    }
    assert!(lists[0].contains("= out/a1/hard out/a0/b0/f0\n") && lists[0].contains("@5 out/a11/b5\n"));
    assert!(lists[0] == lists[1] && lists[1] == lists[2]);
}

#[test]
fn a_cancelled_copy_stops() {
    let from = tree("-644 a \"a\"\n-644 d/b \"b\"\n-644 x.tar archive none\n  -644 @7 f \"f\"");
    let (source, to) = (Root::open(from.path()).unwrap(), tree(""));
    let source = SourceTree { root: &source, place: "x", ignore: None };
    let (canceller, cancellation) = crate::cancel::channel();
    canceller.cancel();
    for one in ["a", "d", "x.tar"] {
        let spec = CopySpec { unpack: Unpack::Auto, ..spec(&[one], "/x/") };
        let result = copy_until(&spec, &source, &Root::open(to.path()).unwrap(), &cancellation);
        assert!(matches!(result, Err(CopyError::Cancelled)), "{one}: {result:?}");
    }
    assert!(!listing::list(to.path()).contains('"'), "no file was written");
}

#[test]
fn fetched_files() {
    let from = tree("-644 download \"bytes\"\n-644 download.tar archive gzip\n  -644 @7 f \"f\"");
    let to = tree("");
    let fetched = |file: &str, unpack: Unpack| {
        let modified = Some(std::time::UNIX_EPOCH + std::time::Duration::from_secs(5));
        let path = from.path().join(file);
        let source = CopySource::File { path, name: "name.bin".into(), mode: 0o600, modified, unpack };
        CopySpec { sources: vec![source], ..spec(&[], "/x/") }
    };
    run(&fetched("download", Unpack::Never), from.path(), to.path()).unwrap();
    assert_eq!(listing::list(to.path()), "d755 0:0 @now x\n-600 0:0 @5 x/name.bin \"bytes\"\n");
    run(&fetched("download.tar", Unpack::Always), from.path(), to.path()).unwrap();
    assert!(listing::list(to.path()).contains("@7 x/f \"f\""));
    let copied = run(&fetched("download", Unpack::Always), from.path(), to.path()).unwrap();
    assert_eq!(copied.warnings, [CopyWarning::NotAnArchive { written: "name.bin".into() }]);
}

#[test]
fn names_that_cannot_be() {
    let from = tree("-644 a \"a\"");
    for (source, destination) in [("a\0b", "/x"), ("a", "/x\0y")] {
        let to = tree("");
        let result = run(&spec(&[source], destination), from.path(), to.path());
        assert!(matches!(result, Err(CopyError::Nul { .. })), "{result:?}");
    }
    for destination in ["/.wh.a", "/.wh..wh..opq", "/d/.wh.x/f"] {
        let to = tree("");
        let result = run(&spec(&["a"], destination), from.path(), to.path());
        assert!(matches!(result, Err(CopyError::WhiteoutName { .. })), "{result:?}");
    }
}
