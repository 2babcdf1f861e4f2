//! The ways of older kernels, which this one still knows. The ways of this one: tests/sandbox.

use super::*;
use crate::userns::Privilege;
use std::path::PathBuf;

/// Two layers and the directories of a third, or nothing where this process may not mount.
#[allow(clippy::print_stderr, reason = "says what is skipped")]
fn tree() -> Option<(tempfile::TempDir, [PathBuf; 4])> {
    if Privilege::detect() == Privilege::Unprivileged {
        let required = std::env::var_os("SLIPWAY_REQUIRE_TOOLS").is_some_and(|value| value == "1");
        assert!(!required || !rustix::process::geteuid().is_root(), "root may not mount here");
        eprintln!("skipped: mounting layers needs root, or a user namespace");
        return None;
    }
    let dir = tempfile::tempdir().unwrap();
    let paths = ["top, with: odd\\names", "low", "upper", "work"].map(|name| dir.path().join(name));
    for path in &paths {
        std::fs::create_dir_all(path.join("dir")).unwrap();
        std::fs::remove_dir(path.join("dir")).unwrap();
    }
    std::fs::create_dir(paths[1].join("dir")).unwrap();
    std::fs::write(paths[1].join("dir/file"), "low").unwrap();
    std::fs::write(paths[0].join("top"), "top").unwrap();
    Some((dir, paths))
}

#[test]
fn options_in_one_line_mean_the_same() {
    let Some((_dir, [top, low, upper, work])) = tree() else { return };
    let lowers = [&top, &low];
    let layers = Layers::new(&lowers, None).unwrap();
    let view = Root::from_fd(layers.mount_in_one_line().unwrap());
    assert_eq!(view.read(Path::new("dir/file"), 9).unwrap(), b"low");
    assert_eq!(view.read(Path::new("top"), 9).unwrap(), b"top");
    let write = |root: &Root| root.open_at(Path::new("dir/new"), OFlags::CREATE | OFlags::WRONLY, Mode::RWXU);
    assert_eq!(write(&view).unwrap_err().raw_os_error(), Some(libc::EROFS));
    let layers = Layers::new(&lowers, Some((&upper, &work))).unwrap();
    write(&Root::from_fd(layers.mount_in_one_line().unwrap())).unwrap();
    assert!(upper.join("dir/new").exists());
    let mounts = std::fs::read_to_string("/proc/self/mounts").unwrap();
    assert!(!mounts.contains("lowerdir=/proc/self/fd"), "nobody else sees the mount: {mounts}");
}

#[test]
fn this_kernel_does_not_fall_back() {
    let Some((_dir, [top, low, ..])) = tree() else { return };
    let release = rustix::system::uname().release().to_string_lossy().into_owned();
    let mut numbers = release.split(|c: char| !c.is_ascii_digit()).map(|n| n.parse::<u32>().unwrap_or(0));
    let version = (numbers.next().unwrap_or(0), numbers.next().unwrap_or(0));
    let lowers = [&top, &low];
    let layers = Layers::new(&lowers, None).unwrap();
    assert!(layers.mount_one_by_one(&[]).is_ok() || version < (6, 5), "{release}");
    let on_memory = layers.mount_one_by_one(&[empty_directory().unwrap()]);
    assert!(on_memory.is_ok() || version < (6, 15), "{release}");
}

#[test]
fn parts_of_a_view_are_mounts_of_their_own() {
    let Some((_dir, [top, low, ..])) = tree() else { return };
    let part = subtree(&overlay_view(&[&top, &low]).unwrap(), Path::new("dir")).unwrap();
    assert_eq!(Root::from_fd(part).read(Path::new("file"), 9).unwrap(), b"low");
    let missing = subtree(&overlay_view(&[&top, &low]).unwrap(), Path::new("none")).unwrap_err();
    assert_eq!(missing.raw_os_error(), Some(libc::ENOENT));
    // As where a mount must be attached to be copied.
    let view = overlay_view(&[&top, &low]).unwrap();
    let copy = in_private_mounts(|| {
        move_to(&view, ATTACH_POINT)?;
        Ok(clone_tree_at(view.open_at(Path::new("dir"), OFlags::PATH, Mode::empty())?, false)?)
    });
    drop(view);
    assert_eq!(Root::from_fd(copy.unwrap()).read(Path::new("file"), 9).unwrap(), b"low");
}

/// What a tree holds: path and content of each file, path of each directory.
fn listing(root: &Root) -> Vec<(PathBuf, Option<Vec<u8>>)> {
    let mut open = vec![PathBuf::new()];
    let mut found = Vec::new();
    while let Some(at) = open.pop() {
        for entry in
            rustix::fs::Dir::read_from(root.open_at(&at, OFlags::DIRECTORY, Mode::empty()).unwrap()).unwrap()
        {
            let entry = entry.unwrap();
            let name = entry.file_name().to_str().unwrap();
            if matches!(name, "." | "..") {
                continue;
            }
            let path = at.join(name);
            if entry.file_type() == fs::FileType::Directory {
                open.push(path.clone());
                found.push((path, None));
            } else {
                let bytes = root.read(&path, 99).unwrap();
                found.push((path, Some(bytes)));
            }
        }
    }
    found.sort();
    found
}

#[test]
fn a_layer_may_come_twice() {
    let Some((dir, [middle, low, upper, work])) = tree() else { return };
    let twice = dir.path().join("twice");
    let whiteout = |path: PathBuf| {
        fs::mknodat(CWD, &path, fs::FileType::CharacterDevice, Mode::empty(), 0).unwrap();
    };
    std::fs::create_dir_all(twice.join("dir/deep")).unwrap();
    for file in ["dir/deep/kept", "dir/deleted", "overwritten", "now-a-directory"] {
        std::fs::write(twice.join(file), "twice").unwrap();
    }
    whiteout(twice.join("gone"));
    std::fs::create_dir_all(twice.join("opaque")).unwrap();
    let opaque = XattrFlavor::of_this_process().opaque();
    fs::lsetxattr(twice.join("opaque"), opaque, b"y", fs::XattrFlags::empty()).unwrap();
    std::fs::create_dir_all(middle.join("dir")).unwrap();
    whiteout(middle.join("dir/deleted"));
    std::fs::write(middle.join("overwritten"), "middle").unwrap();
    std::fs::write(middle.join("gone"), "back").unwrap();
    std::fs::create_dir(middle.join("now-a-directory")).unwrap();
    std::fs::create_dir(middle.join("opaque")).unwrap();
    std::fs::write(middle.join("opaque/middle"), "middle").unwrap();
    std::fs::write(low.join("gone"), "low").unwrap();
    std::fs::create_dir(low.join("opaque")).unwrap();
    std::fs::write(low.join("opaque/low"), "low").unwrap();

    // A copy is another directory to the kernel, so that this is what a layer that comes twice means.
    let copy = dir.path().join("copy");
    assert!(std::process::Command::new("cp").arg("-a").args([&twice, &copy]).status().unwrap().success());
    let meant = listing(&overlay_view(&[&twice, &middle, &copy, &low]).unwrap());
    assert_eq!(meant.len(), 9, "{meant:?}");
    let lowers = [&twice, &middle, &twice, &low];
    assert_eq!(listing(&overlay_view(&lowers).unwrap()), meant);
    assert_eq!(listing(&overlay_rw(&lowers, &upper, &work).unwrap()), meant);
    // Nothing else is left of this one.
    let alone = listing(&overlay_view(&[&twice, &twice]).unwrap());
    assert_eq!(alone, listing(&overlay_view(&[&twice]).unwrap()));
    // What counts is how many different ones there are.
    let many = vec![&low; MAX_LAYERS + 1];
    assert_eq!(listing(&overlay_view(&many).unwrap()), listing(&overlay_view(&[&low]).unwrap()));
}
