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
