//! The kernel's own upper directories: what overlayfs writes, we pack; what we unpack, overlayfs mounts as the same tree.

use super::{has_namespaces, run, skip};
use crate::layer::testing::{is_root, listing};
use crate::layer::{ApplyOptions, PackOptions, apply, pack, scan};
use crate::rootfs::XattrFlavor;
use std::path::Path;
use std::process::Command;

/// Runs a script in a mount namespace of its own.
fn in_namespace(flavor: XattrFlavor, dir: &Path, script: &str) -> String {
    // `userxattr` switches the other features off itself, and refuses to be told.
    let (flags, option) = match flavor {
        XattrFlavor::Trusted => ("-m", ",redirect_dir=off,metacopy=off"),
        XattrFlavor::User => ("-Urm", ",userxattr"),
    };
    let mut command = Command::new("unshare");
    command.args([flags, "sh", "-ec", script]).current_dir(dir).env("OPTION", option);
    String::from_utf8_lossy(&run(&mut command).stdout).into_owned()
}

/// Everything a program can see: names, types, modes, owners, link counts of files, and content.
const LOOK: &str = "
    cd merged
    find . -mindepth 1 ! -type d -printf '%p %y %m %U:%G %n %l\\n' | LC_ALL=C sort
    find . -mindepth 1 -type d -printf '%p %y %m %U:%G\\n' | LC_ALL=C sort
    find . -type f | LC_ALL=C sort | xargs cat";

fn round_trip(flavor: XattrFlavor) {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    for name in ["lower", "upper", "work", "merged", "again", "empty"] {
        std::fs::create_dir(at(name)).unwrap();
    }
    let changes = "
        mkdir -p lower/gone/sub lower/remade/old lower/kept lower/emptied lower/dir-to-file
        for f in gone/sub/f remade/old/f remade/g kept/a kept/b emptied/x file-to-dir file changed; do echo $f > lower/$f; done
        ln lower/kept/a lower/kept/linked
        mount -t overlay -o lowerdir=lower,upperdir=upper,workdir=work,index=off$OPTION overlay merged
        cd merged
        rm -r gone; rm -r remade; mkdir remade; echo new > remade/new; rm kept/b; rm emptied/x
        rm -r dir-to-file; echo f > dir-to-file; rm file-to-dir; mkdir file-to-dir; echo i > file-to-dir/i
        echo more >> changed; chmod 4711 changed; chmod 1777 emptied
        echo n > n1; ln n1 n2; ln -s n1 s; mkfifo p; echo odd > \"$(printf 'o\\351d')\"
        echo more >> kept/linked
        cd ..
        umount merged";
    in_namespace(flavor, dir.path(), changes);
    let mut tar = Vec::new();
    let stats = pack(&at("upper"), flavor, PackOptions::default(), &mut tar).unwrap();
    let list = listing(&tar);
    for line in
        ["file .wh.gone", "file remade/.wh..wh..opq", "file kept/.wh.b", "file emptied/.wh.x", "link n2 n1"]
    {
        assert!(list.iter().any(|l| l == line), "{line} is not in {list:#?}");
    }
    assert!(!list.iter().any(|l| l.contains("old") || l.ends_with("kept/a")), "{list:#?}");
    assert_eq!(stats.hard_links, 1);

    // Unpacked for the mount the same user can make.
    let options = ApplyOptions { ignore_chown: !is_root(), ..Default::default() };
    apply(&mut &tar[..], &at("again"), flavor, &options).unwrap();
    let mut second = Vec::new();
    pack(&at("again"), flavor, PackOptions::default(), &mut second).unwrap();
    assert!(second == tar);
    let (kernel, ours) = (scan(&at("upper"), flavor).unwrap(), scan(&at("again"), flavor).unwrap());
    assert_eq!(kernel.content_id(), ours.content_id());

    let look = |upper: &str| {
        let script = format!("mount -t overlay -o lowerdir={upper}:lower${{OPTION}} overlay merged\n{LOOK}");
        in_namespace(flavor, dir.path(), &script)
    };
    let (expected, found) = (look("upper"), look("again"));
    assert!(expected.contains("./remade/new") && !expected.contains("./remade/g"), "{expected}");
    assert_eq!(found, expected);
}

#[test]
fn as_root() {
    if !is_root() {
        return skip("as_root", "root");
    }
    round_trip(XattrFlavor::Trusted);
}

#[test]
fn in_a_user_namespace() {
    if has_namespaces("in_a_user_namespace") {
        round_trip(XattrFlavor::User);
    }
}

/// Why `ApplyStats::opaque_root` exists.
#[test]
fn the_kernel_does_not_look_at_an_opaque_root() {
    if !has_namespaces("the_kernel_does_not_look_at_an_opaque_root") {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let seen = in_namespace(
        XattrFlavor::User,
        dir.path(),
        "mkdir lower upper merged
        touch lower/l upper/u
        setfattr -n user.overlay.opaque -v y upper
        mount -t overlay -o lowerdir=upper:lower,userxattr overlay merged
        ls merged",
    );
    assert_eq!(seen, "l\nu\n");
}
