//! What is seen of layers, and what is left in the new one.

use crate::image::{Image, text};
use builder::rootfs::overlay::{overlay_rw, overlay_view};
use builder::rootfs::{Root, XattrFlavor};
use builder::sandbox::{RootFs, Sandbox};
use rustix::fs::{Mode, OFlags};
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

fn is_whiteout(path: &Path) -> bool {
    path.symlink_metadata()
        .is_ok_and(|metadata| metadata.file_type().is_char_device() && metadata.rdev() == 0)
}

fn opaque(path: &Path) -> Option<Vec<u8>> {
    let name = match XattrFlavor::of_this_process() {
        XattrFlavor::Trusted => "trusted.overlay.opaque",
        XattrFlavor::User => "user.overlay.opaque",
    };
    let mut value = [0; 8];
    let length = rustix::fs::lgetxattr(path, name, &mut value[..]).ok()?;
    Some(value[..length].to_vec())
}

pub(crate) fn whiteouts_and_opaque_directories() {
    let image = Image::new();
    std::fs::create_dir_all(image.lower().join("data/old")).unwrap();
    std::fs::write(image.lower().join("data/old/file"), "x").unwrap();
    std::fs::write(image.lower().join("gone"), "x").unwrap();
    image.sh("rm /gone; rm -r /data/old; mkdir /data/old; echo new > /data/old/new; mv /data/old /data/moved; mkdir /data/old");
    assert_eq!(image.written(), ["data", "data/moved", "data/moved/new", "data/old", "gone"]);
    assert!(is_whiteout(&image.upper().join("gone")));
    assert_eq!(opaque(&image.upper().join("data/old")), Some(b"y".to_vec()));
    assert_eq!(opaque(&image.upper().join("data")), None);
    let view = overlay_view(&[image.upper(), image.lower()]).unwrap();
    assert_eq!(view.read(Path::new("/data/moved/new"), 10).unwrap(), b"new\n");
    assert_eq!(view.lstat(Path::new("/gone")).unwrap_err().kind(), std::io::ErrorKind::NotFound);
    assert_eq!(view.lstat(Path::new("/data/old/file")).unwrap_err().kind(), std::io::ErrorKind::NotFound);
}

pub(crate) fn nothing_is_left_behind() {
    for image in [Image::new(), Image::bare()] {
        assert_eq!(image.sh("cat /etc/resolv.conf; echo 10.0.0.1 x >> /etc/hosts"), "nameserver 192.0.2.1\n");
        assert_eq!(image.written(), [""; 0], "not even a copied-up directory");
        assert!(image.scratch_is_empty());
    }
    let image = Image::new();
    image.sh("echo mine > /etc/motd");
    assert_eq!(image.written(), ["etc", "etc/motd"]);
    assert_eq!(std::fs::read(image.lower().join("etc/hosts")).unwrap(), b"of the image\n");
}

pub(crate) fn mount_points_look_untouched() {
    let image = Image::bare();
    let etc = image.lower().join("etc");
    std::fs::set_permissions(&etc, std::fs::Permissions::from_mode(0o2711)).unwrap();
    let time = std::time::UNIX_EPOCH + std::time::Duration::from_secs(1_000_000_000);
    std::fs::File::open(&etc).unwrap().set_modified(time).unwrap();
    assert_eq!(image.sh("stat -c '%a %Y' /etc"), "2711 1000000000\n");
    // A copy made of the directory is a copy of the image's.
    image.sh("touch /etc/new");
    let metadata = image.upper().join("etc").metadata().unwrap();
    assert_eq!(metadata.permissions().mode() & 0o7777, 0o2711);
    assert_eq!(image.written(), ["etc", "etc/new"]);
}

pub(crate) fn views() {
    let image = Image::new();
    let names = |root: &Root| {
        let fd = root.open_at(Path::new("/"), OFlags::RDONLY | OFlags::DIRECTORY, Mode::empty()).unwrap();
        let mut names: Vec<_> = rustix::fs::Dir::read_from(&fd)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().to_str().unwrap().to_owned())
            .filter(|name| name != "." && name != "..")
            .collect();
        names.sort();
        names
    };
    let write =
        |root: &Root| root.open_at(Path::new("/new"), OFlags::CREATE | OFlags::WRONLY, Mode::RUSR).map(drop);
    assert_eq!(names(&overlay_view::<PathBuf>(&[]).unwrap()), [""; 0]);
    let one = overlay_view(&[image.lower()]).unwrap();
    assert_eq!(names(&one), ["bin", "dev", "etc", "proc", "root", "sys", "tmp"]);
    for view in
        [overlay_view::<PathBuf>(&[]).unwrap(), one, overlay_view(&[image.upper(), image.lower()]).unwrap()]
    {
        assert_eq!(write(&view).unwrap_err().raw_os_error(), Some(libc::EROFS));
    }
    // Twice with the same directories: the mark of a volatile mount is no obstacle.
    for _ in 0..2 {
        let root = overlay_rw(&[image.lower()], &image.upper(), &image.path("work")).unwrap();
        write(&root).unwrap();
    }
    assert_eq!(image.written(), ["new"]);
    let error = overlay_view(&[image.path("none"), image.lower()]).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::NotFound);
    assert!(error.to_string().contains("none"), "{error}");
}

pub(crate) fn read_only_root() {
    let image = Image::bare();
    let rootfs = RootFs::ReadOnly { lowers: vec![image.lower()] };
    let script = "touch /x 2>&1; cat /etc/resolv.conf";
    let shown = text(Sandbox { rootfs, ..image.sandbox(&["sh", "-c", script]) });
    assert_eq!(shown, "touch: /x: Read-only file system\nnameserver 192.0.2.1\n");
    assert!(image.scratch_is_empty());
}

pub(crate) fn many_layers() {
    let image = Image::bare();
    let mut lowers = Vec::new();
    for number in 0..498 {
        let layer = image.path(&format!("layers/{number:03}-with-a-longer-name"));
        std::fs::create_dir_all(&layer).unwrap();
        std::fs::write(layer.join("top"), format!("{number}")).unwrap();
        std::fs::write(layer.join(format!("file{number}")), "x").unwrap();
        lowers.push(layer);
    }
    lowers.push(image.lower());
    let rootfs = RootFs::Writable { lowers: lowers.clone(), upper: image.upper(), work: image.path("work") };
    let shown =
        text(Sandbox { rootfs, ..image.sandbox(&["sh", "-c", "cat /top; echo; ls -d /file* | wc -l"]) });
    assert_eq!(shown, "0\n498\n");
    lowers.push(image.path("scratch"));
    assert_eq!(overlay_view(&lowers).unwrap().read(Path::new("top"), 9).unwrap(), b"0");
    lowers.push(image.path("upper"));
    assert!(overlay_view(&lowers).unwrap_err().to_string().contains("500"));
}

pub(crate) fn from_scratch() {
    let image = Image::bare();
    // Without lower layers the upper directory is all there is.
    std::fs::create_dir(image.upper().join("bin")).unwrap();
    std::fs::copy("/bin/busybox", image.upper().join("bin/sh")).unwrap();
    let rootfs = RootFs::Writable { lowers: vec![], upper: image.upper(), work: image.path("work") };
    let shown = text(Sandbox { rootfs, ..image.sandbox(&["sh", "-c", "echo /*; echo x > /made"]) });
    assert_eq!(shown, "/bin /dev /etc /proc /sys\n");
    assert_eq!(image.written(), ["bin", "bin/sh", "made"]);
}

pub(crate) fn dangling_resolv_conf() {
    let image = Image::bare();
    std::os::unix::fs::symlink(
        "../run/systemd/resolve/stub-resolv.conf",
        image.lower().join("etc/resolv.conf"),
    )
    .unwrap();
    assert_eq!(
        image.sh("cat /etc/resolv.conf; readlink /etc/resolv.conf"),
        "nameserver 192.0.2.1\n../run/systemd/resolve/stub-resolv.conf\n"
    );
    assert_eq!(image.written(), [""; 0]);
}
