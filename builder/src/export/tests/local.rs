use super::*;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

fn write(path: std::path::PathBuf, text: &str) {
    std::fs::write(path, text).unwrap();
}

/// A tree that is a result of its own.
fn whole(root: Root) -> [NamedTree; 1] {
    [NamedTree { directory: None, root }]
}

fn clamped(clamp: Option<std::time::SystemTime>) -> LocalOptions {
    LocalOptions { clamp, delete: false }
}

/// A root file system of one of each.
fn tree(at: &Path) {
    std::fs::create_dir_all(at.join("etc/empty")).unwrap();
    write(at.join("etc/passwd"), "root");
    std::fs::hard_link(at.join("etc/passwd"), at.join("etc/passwd-")).unwrap();
    symlink("/etc/passwd", at.join("link")).unwrap();
    write(at.join("tool"), "#!/bin/sh\n");
    std::fs::set_permissions(at.join("tool"), std::fs::Permissions::from_mode(0o4751)).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        at.join("pipe"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o600),
        0,
    )
    .unwrap();
    std::os::unix::net::UnixListener::bind(at.join("socket")).unwrap();
    std::fs::set_permissions(at.join("etc/empty"), std::fs::Permissions::from_mode(0o500)).unwrap();
}

#[test]
fn files_are_written_as_the_caller() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to) = (dir.path().join("from"), dir.path().join("a/b/to"));
    std::fs::create_dir(&from).unwrap();
    tree(&from);
    let clamp = UNIX_EPOCH + Duration::from_secs(1000);
    let stats = local_directory(&whole(Root::open(&from).unwrap()), &to, clamped(Some(clamp))).unwrap();
    assert_eq!((stats.files, stats.directories, stats.bytes), (5, 2, 14));
    assert_eq!(stats.skipped, [Path::new("socket")]);
    let stat = |name: &str| std::fs::symlink_metadata(to.join(name)).unwrap();
    assert_eq!(stat("etc/passwd").ino(), stat("etc/passwd-").ino());
    assert_eq!(std::fs::read_link(to.join("link")).unwrap(), Path::new("/etc/passwd"));
    assert_eq!(stat("tool").mode() & 0o7777, 0o4751);
    assert_eq!(stat("etc/empty").mode() & 0o7777, 0o500);
    assert!(stat("pipe").mode() & libc::S_IFMT == libc::S_IFIFO);
    for name in ["etc", "etc/empty", "etc/passwd", "link", "tool", "pipe"] {
        assert_eq!(stat(name).mtime(), 1000, "{name}");
        assert_eq!(stat(name).uid(), rustix::process::geteuid().as_raw(), "{name}");
    }
}

#[test]
fn what_is_there_is_replaced_and_never_followed() {
    let dir = tempfile::tempdir().unwrap();
    let (from, to, outside) = (dir.path().join("from"), dir.path().join("to"), dir.path().join("outside"));
    for path in [&from, &to, &outside] {
        std::fs::create_dir(path).unwrap();
    }
    tree(&from);
    write(outside.join("passwd"), "untouched");
    symlink(&outside, to.join("etc")).unwrap();
    symlink(outside.join("passwd"), to.join("tool")).unwrap();
    write(to.join("mine"), "kept");
    let root = whole(Root::open(&from).unwrap());
    for _ in 0..2 {
        local_directory(&root, &to, clamped(None)).unwrap();
        assert_eq!(std::fs::read(outside.join("passwd")).unwrap(), b"untouched");
        assert_eq!(std::fs::read(to.join("etc/passwd")).unwrap(), b"root");
        assert_eq!(std::fs::read(to.join("tool")).unwrap(), b"#!/bin/sh\n");
        assert_eq!(std::fs::read(to.join("mine")).unwrap(), b"kept");
        assert!(!to.join(".slipway-partial").exists());
    }
    assert_eq!(std::fs::read_dir(&outside).unwrap().count(), 1);

    std::fs::remove_file(to.join("tool")).unwrap();
    std::fs::create_dir(to.join("tool")).unwrap();
    write(to.join("tool/precious"), "kept");
    let error = local_directory(&root, &to, clamped(None)).unwrap_err();
    assert!(matches!(&error, ExportError::File { path, .. } if *path == to.join("tool")), "{error}");
    assert!(to.join("tool/precious").exists());
}

/// The whole way: layers unpacked, laid on each other by the kernel, and flattened.
#[test]
#[allow(clippy::print_stderr)]
fn an_image_is_flattened() {
    if !rustix::process::geteuid().is_root() {
        assert!(std::env::var_os("SLIPWAY_REQUIRE_TOOLS").is_none_or(|v| v != "1"), "mounting needs root");
        eprintln!("skipped: mounting needs root");
        return;
    }
    let (dir, store) = store();
    let image = image(&store);
    assert!(matches!(lower_directories(&store, &image), Err(ExportError::NotUnpacked(_))));
    for layer in &image.layers {
        let builder = store.layers().begin(layer.diff_id).unwrap();
        let blob = store.blobs().open(&layer.descriptor.digest).unwrap();
        let mut tar = Decoder::detect(blob).unwrap();
        let options = crate::layer::ApplyOptions::default();
        let stats = crate::layer::apply(&mut tar, &builder.path(), XattrFlavor::Trusted, &options).unwrap();
        builder.commit(stats.bytes).unwrap();
    }
    let view =
        whole(crate::rootfs::overlay::overlay_view(&lower_directories(&store, &image).unwrap()).unwrap());
    let to = dir.path().join("out");
    local_directory(&view, &to, clamped(None)).unwrap();
    assert_eq!(std::fs::read_to_string(to.join("etc/os-release")).unwrap(), "ID=base\n");
    assert_eq!(std::fs::read_to_string(to.join("app/hello")).unwrap().len(), 6000);
    let mut out = Vec::new();
    tree_archive(&view, XattrFlavor::Trusted, None, &mut out).unwrap();
    let names: Vec<String> = tar::Archive::new(&out[..])
        .entries()
        .unwrap()
        .map(|e| e.unwrap().path().unwrap().to_str().unwrap().to_owned())
        .collect();
    assert_eq!(names, ["app/", "app/hello", "etc/", "etc/os-release"]);
}

/// Trees of two platforms, with a file each and one that both have.
fn two(dir: &Path, split: bool) -> Vec<NamedTree> {
    let tree = |name: &str| {
        let at = dir.join(name);
        std::fs::create_dir_all(at.join("bin")).unwrap();
        write(at.join("bin").join(name), name);
        write(at.join("both"), name);
        NamedTree { directory: split.then(|| name.to_owned()), root: Root::open(&at).unwrap() }
    };
    ["linux_amd64", "linux_arm64"].map(tree).into()
}

#[test]
fn platforms_get_directories() {
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("to");
    local_directory(&two(dir.path(), true), &to, clamped(None)).unwrap();
    for name in ["linux_amd64", "linux_arm64"] {
        assert_eq!(std::fs::read_to_string(to.join(name).join("both")).unwrap(), name);
        assert_eq!(std::fs::read_to_string(to.join(name).join("bin").join(name)).unwrap(), name);
    }
    let mut out = Vec::new();
    tree_archive(&two(dir.path(), true), XattrFlavor::Trusted, Some(UNIX_EPOCH), &mut out).unwrap();
    let mut archive = tar::Archive::new(&out[..]);
    let names = archive.entries().unwrap().map(|e| e.unwrap().path().unwrap().to_str().unwrap().to_owned());
    let one = |name: &str| ["/", "/bin/", &format!("/bin/{name}"), "/both"].map(|end| format!("{name}{end}"));
    assert_eq!(names.collect::<Vec<_>>(), [one("linux_amd64"), one("linux_arm64")].concat());
}

#[test]
fn platforms_in_one_directory_may_not_meet() {
    let dir = tempfile::tempdir().unwrap();
    let to = dir.path().join("to");
    let trees = two(dir.path(), false);
    let error = local_directory(&trees, &to, clamped(None)).unwrap_err();
    assert!(matches!(&error, ExportError::Overwrites(path) if path == Path::new("both")), "{error}");
    assert!(tree_archive(&trees, XattrFlavor::Trusted, None, &mut Vec::new()).is_err());
    for name in ["linux_amd64", "linux_arm64"] {
        std::fs::remove_file(dir.path().join(name).join("both")).unwrap();
    }
    local_directory(&trees, &to, clamped(None)).unwrap();
    assert_eq!(std::fs::read_dir(to.join("bin")).unwrap().count(), 2);
}

#[test]
fn what_is_not_in_the_result_is_removed_on_request() {
    let dir = tempfile::tempdir().unwrap();
    let (to, outside) = (dir.path().join("to"), dir.path().join("outside"));
    for path in [to.join("old/deep"), to.join("linux_amd64/bin/old"), outside.clone()] {
        std::fs::create_dir_all(path).unwrap();
    }
    write(outside.join("mine"), "kept");
    write(to.join("old/deep/file"), "");
    write(to.join("linux_amd64/bin/stale"), "");
    symlink(&outside, to.join("link")).unwrap();
    let options = LocalOptions { clamp: None, delete: true };
    local_directory(&two(dir.path(), true), &to, options).unwrap();
    let listed = |path: &Path| {
        let mut names: Vec<_> = std::fs::read_dir(path).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort();
        names
    };
    assert_eq!(listed(&to), ["linux_amd64", "linux_arm64"]);
    assert_eq!(listed(&to.join("linux_amd64/bin")), ["linux_amd64"]);
    assert_eq!(std::fs::read(outside.join("mine")).unwrap(), b"kept");
    let root = local_directory(&two(dir.path(), true), Path::new("/"), options).unwrap_err();
    assert!(std::error::Error::source(&root).unwrap().to_string().contains("mode=delete"), "{root}");
}
