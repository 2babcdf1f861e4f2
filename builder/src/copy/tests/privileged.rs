//! What only root can set up: a user namespace without most ids, and overlay mounts.

use super::super::*;
use super::{listing, own, run, spec, tree};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Says what was not tried. With `SLIPWAY_REQUIRE_TOOLS` that is a failure.
pub(crate) fn skipping(count: usize, what: &str) {
    if count > 0 {
        assert!(std::env::var_os("SLIPWAY_REQUIRE_TOOLS").is_none(), "not run: {count} {what}");
        use std::io::Write;
        let _ = writeln!(std::io::stderr(), "skipped: {count} {what} (needs root)");
    }
}

const INSIDE: &str = "SLIPWAY_TEST_INSIDE_USER_NAMESPACE";

/// The second half runs in a user namespace that maps user 0 alone: this test starts itself there.
#[test]
fn without_privileges() {
    if let Some(dir) = std::env::var_os(INSIDE) {
        return inside_a_user_namespace(&PathBuf::from(dir));
    }
    if own().is_some() {
        return skipping(1, "test of COPY in a user namespace");
    }
    let dir = tree(
        "-644 0:0 zero \"z\"\n-644 1000:1000 owned/f \"f\"\nc644 1,3 0:0 device/null\n-644 0:0 device/f \"f\"\n\
         p644 0:0 fifo\n\
         -644 0:0 x.tar archive none\n  c666 1,3 0:0 @7 null\n  -644 0:0 @7 f \"f\"\n\
         -644 0:0 owned.tar archive none\n  -644 5:6 @7 f \"f\"",
    );
    let name = "copy::tests::privileged::without_privileges";
    let status = Command::new("unshare")
        .args(["--user", "--map-root-user", "--"])
        .arg(std::env::current_exe().unwrap())
        .args(["--exact", name, "--nocapture"])
        .env(INSIDE, dir.path())
        .output();
    let Ok(output) = status else { return skipping(1, "test of COPY in a user namespace: no unshare(1)") };
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success() && out.contains("1 passed"), "{out}{err}");
}

fn inside_a_user_namespace(from: &Path) {
    let to = tempfile::tempdir_in(from).unwrap();
    let copy = |spec: &CopySpec| run(spec, from, to.path());
    let keep = |source: &str| CopySpec { ownership: Ownership::Keep, ..CopySpec::new([source], "/keep/") };
    let add = |source: &str| CopySpec { unpack: Unpack::Auto, ..CopySpec::new([source], "/add/") };

    copy(&CopySpec::new(["zero", "owned/f", "fifo"], "/zero/")).unwrap();
    copy(&keep("zero")).unwrap();
    let error = copy(&keep("owned")).unwrap_err();
    assert!(matches!(&error, CopyError::Unmapped { path, .. } if path == b"keep/f"), "{error}");
    copy(&CopySpec { chown: Some((0, 0)), ..keep("owned") }).unwrap();
    let copied = copy(&CopySpec::new(["device"], "/device")).unwrap();
    assert_eq!(copied.warnings, [CopyWarning::Device { path: "device/null".into() }]);
    let copied = copy(&add("x.tar")).unwrap();
    assert_eq!(copied.warnings, [CopyWarning::Device { path: "add/null".into() }]);
    let error = copy(&add("owned.tar")).unwrap_err();
    assert!(matches!(error, CopyError::Unmapped { uid: 5, gid: 6, .. }), "{error}");
    copy(&CopySpec { chown: Some((0, 0)), ..add("owned.tar") }).unwrap();
    let list = listing::list(to.path());
    assert!(!list.contains("null") && !list.contains("65534"), "{list}");
}

/// The fixtures were made by GNU tar and xz.
#[test]
fn archives_of_other_tools() {
    let from = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../testdata/archives");
    for (name, sparse) in [("plain.tar.xz", false), ("sparse-gnu.tar.gz", true), ("sparse-pax.tar.gz", true)]
    {
        let to = tree("");
        let owner = own().unwrap_or((3, 4));
        let add = CopySpec { unpack: Unpack::Always, chown: Some(owner), ..spec(&[name], "/x") };
        let copied = run(&add, &from, to.path()).unwrap();
        assert_eq!(copied.warnings, []);
        let list = listing::list(to.path());
        assert!(list.contains("@1000 x/d/a \"hello\\n\"\n"), "{name}: {list}");
        assert!(list.contains("@1000 x/d/l -> a\n"), "{name}: {list}");
        if sparse {
            use std::os::unix::fs::MetadataExt;
            let path = to.path().join("x/d/sparse");
            let bytes = std::fs::read(&path).unwrap();
            assert_eq!(
                (bytes.len(), &bytes[..5], &bytes[1 << 20..(1 << 20) + 7]),
                (3 << 20, &b"head\0"[..], &b"middle\0"[..])
            );
            assert_eq!(bytes.iter().filter(|b| **b != 0).count(), 10);
            assert!(path.metadata().unwrap().blocks() * 512 < 1 << 20, "{name}: the holes are filled");
        }
    }
}

/// The destination of a build is an overlay mount: what lower layers hold is replaced, merged and followed there, and
/// the upper directory is the layer.
#[test]
fn onto_an_overlay_mount() {
    use crate::rootfs::overlay::{overlay_rw, overlay_view};
    if own().is_some() {
        return skipping(1, "test of COPY onto an overlay mount");
    }
    let base = tree(
        "d1777 0:0 @20 tmp\nl lib -> usr/lib\nd755 0:0 @21 usr/lib\n-644 0:0 usr/lib/old \"old\"\n\
         -644 0:0 etc/conf \"lower\"\n= etc/other etc/conf",
    );
    let stage = tree(
        "d750 7:7 @10 out\n-4755 7:7 @11 out/bin/tool \"t\"\n= out/bin/again out/bin/tool\n\
         -644 0:0 @12 out/conf \"upper\" {user.k=v}\nl 0:0 @13 out/l -> conf",
    );
    let big = vec![b'x'; 300_000];
    std::fs::write(stage.path().join("out/big"), &big).unwrap();
    listing::set_mtime(&stage.path().join("out"), 10);
    let (upper, work) = (tree(""), tree(""));
    let view = overlay_view(&[stage.path()]).unwrap();
    let root = overlay_rw(&[base.path()], upper.path(), work.path()).unwrap();
    let source = SourceTree { root: &view, place: "stage \"build\"", ignore: None };
    for (from, to) in [("/out/conf", "/etc/"), ("/out", "/lib/x"), ("/out/bin", "/tmp"), ("/out/l", "/tmp/l")]
    {
        let spec = CopySpec { ownership: Ownership::Keep, ..CopySpec::new([from], to) };
        copy(&spec, &source, &root).unwrap();
    }
    let written = Root::open(upper.path()).unwrap();
    assert_eq!(written.read(Path::new("usr/lib/x/big"), 1 << 20).unwrap(), big);
    let list = listing::list(upper.path());
    for line in [
        "-644 0:0 @12 etc/conf \"upper\" {user.k=v}",
        "d1777 0:0 @now tmp",
        "-4755 7:7 @11 tmp/again \"t\"",
        "= tmp/tool tmp/again",
        "-644 0:0 @12 tmp/l \"upper\" {user.k=v}",
        "d755 0:0 @now usr/lib",
        "d755 0:0 @10 usr/lib/x",
        "-4755 7:7 @11 usr/lib/x/bin/again \"t\"",
        "= usr/lib/x/bin/tool usr/lib/x/bin/again",
        "l 0:0 @13 usr/lib/x/l -> conf",
    ] {
        assert!(list.lines().any(|l| l == line), "no {line:?} in\n{list}");
    }
    // The other name of the lower file keeps the old content, and the lower layers are as they were.
    assert_eq!(root.read(Path::new("etc/other"), 100).unwrap(), b"lower");
    assert!(listing::list(base.path()).contains("etc/conf \"lower\""));
    let error = copy(&CopySpec::new(["/nothing"], "/x"), &source, &root).unwrap_err();
    assert_eq!(error.to_string(), "\"/nothing\" not found in stage \"build\"");
}
