//! The files that all cases may copy: modes, links and archives that a checkout would not keep.

use crate::support::lab::Lab;
use crate::support::tools::{run, tool};
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};

/// Path, mode, content.
const FILES: [(&str, u32, &str); 20] = [
    ("a.txt", 0o644, "a\n"),
    ("b.txt", 0o644, "b\n"),
    ("c.md", 0o644, "c\n"),
    ("program", 0o755, "#!/bin/sh\necho program\n"),
    ("private", 0o600, "private\n"),
    ("empty.txt", 0o644, ""),
    ("with space.txt", 0o644, "space\n"),
    ("dir/one", 0o644, "one\n"),
    ("dir/two", 0o640, "two\n"),
    ("dir/.hidden", 0o644, "hidden\n"),
    ("dir/sub/three", 0o644, "three\n"),
    ("dir/sub/four.txt", 0o644, "four\n"),
    ("other/one", 0o644, "another one\n"),
    ("other/five", 0o644, "five\n"),
    ("deep/er/est/file", 0o644, "deepest\n"),
    ("app/hello.txt", 0o644, "hello\n"),
    ("log/x.log", 0o644, "x\n"),
    ("log/keep.log", 0o644, "keep\n"),
    ("log/sub/y.log", 0o644, "y\n"),
    ("not-an-archive.tar", 0o644, "only its name says so\n"),
];

/// Directories whose modes are not the usual one.
const DIRECTORIES: [(&str, u32); 3] = [("empty", 0o755), ("closed", 0o700), ("dir/sub", 0o750)];

const LINKS: [(&str, &str); 5] = [
    ("link", "a.txt"),
    ("dirlink", "dir"),
    ("dir/inner", "../a.txt"),
    ("other/dangling", "nowhere"),
    ("other/absolute", "/etc/passwd"),
];

/// Makes the context of a laboratory; all of it is its user's.
pub(super) fn make(lab: &Lab) -> PathBuf {
    let context = lab.directory("context");
    for (path, _, content) in FILES {
        let path = context.join(path);
        fs::create_dir_all(path.parent().expect("a file is in a directory"))
            .expect("the laboratory is writable");
        fs::write(&path, content).expect("the laboratory is writable");
    }
    for (path, _) in DIRECTORIES {
        fs::create_dir_all(context.join(path)).expect("the laboratory is writable");
    }
    for (path, target) in LINKS {
        symlink(target, context.join(path)).expect("the laboratory is writable");
    }
    fs::create_dir(context.join("hard")).expect("the laboratory is writable");
    fs::write(context.join("hard/first"), "hard\n").expect("the laboratory is writable");
    fs::hard_link(context.join("hard/first"), context.join("hard/second"))
        .expect("the laboratory is writable");
    archives(lab, &context);
    run(tool("chown").args(["--recursive", "--no-dereference", &lab.owner()]).arg(&context));
    let modes = FILES
        .iter()
        .map(|(path, mode, _)| (path, mode))
        .chain(DIRECTORIES.iter().map(|(path, mode)| (path, mode)));
    for (path, mode) in modes {
        let mode = fs::Permissions::from_mode(*mode);
        fs::set_permissions(context.join(path), mode).expect("the laboratory is writable");
    }
    context
}

/// `packed.*`: a file and a directory of other owners, and a link.
fn archives(lab: &Lab, context: &Path) {
    let tree = lab.directory("packed");
    fs::create_dir(tree.join("inside")).expect("the laboratory is writable");
    fs::write(tree.join("inside/file"), "packed\n").expect("the laboratory is writable");
    symlink("inside/file", tree.join("soft")).expect("the laboratory is writable");
    let plain = context.join("packed.tar");
    run(tool("tar")
        .args(["--owner=12", "--group=34", "--numeric-owner", "--mtime=@1000000000", "--sort=name", "-cf"])
        .arg(&plain)
        .arg("-C")
        .arg(&tree)
        .args(["inside", "soft"]));
    for (program, options, ending) in
        [("gzip", "-nc", "gz"), ("bzip2", "-c", "bz2"), ("xz", "-c", "xz"), ("zstd", "-c", "zst")]
    {
        let packed = tool(program).arg(options).arg(&plain).output().expect("the program runs");
        assert!(packed.status.success(), "{program}: {}", packed.status);
        fs::write(context.join(format!("packed.tar.{ending}")), packed.stdout)
            .expect("the laboratory is writable");
    }
}
