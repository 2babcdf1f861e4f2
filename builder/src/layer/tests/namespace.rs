//! Unpacking in a user namespace with a single id: most owners cannot be set, and devices cannot be made.

use super::{has_namespaces, run};
use crate::layer::archive::{END, Header, Timestamp, encode_header};
use crate::layer::testing::listing;
use crate::layer::{ApplyError, ApplyOptions, PackOptions, apply, pack};
use crate::rootfs::XattrFlavor;
use std::os::unix::fs::MetadataExt;
use std::process::Command;

const INSIDE: &str = "SLIPWAY_TEST_INSIDE_NAMESPACE";

fn archive(device: bool) -> Vec<u8> {
    let mut tar = Vec::new();
    let mut push = |flag, name: &[u8], uid, device, xattrs: &[_]| {
        let mtime = Timestamp { seconds: 77, nanoseconds: 0 };
        let (mode, gid, size, link) = (0o755, 0, 0, &b""[..]);
        encode_header(&mut tar, &Header { name, flag, mode, uid, gid, size, mtime, link, device, xattrs });
    };
    let capability =
        b"\x01\x00\x00\x02\x00\x04\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00".to_vec();
    push(b'0', b"capable", 0, (0, 0), &[(b"security.capability".to_vec(), capability)]);
    push(b'5', b"home/", 1000, (0, 0), &[]);
    push(b'0', b"home/.wh..wh..opq", 0, (0, 0), &[]);
    push(b'0', b"home/.wh.gone", 0, (0, 0), &[]);
    push(b'0', b"home/file", 1000, (0, 0), &[]);
    if device {
        push(b'3', b"null", 0, (1, 3), &[]);
    }
    tar.extend_from_slice(&END);
    tar
}

#[test]
fn with_one_id() {
    if std::env::var_os(INSIDE).is_some() {
        return inside();
    }
    if !has_namespaces("with_one_id") {
        return;
    }
    let this = std::env::current_exe().unwrap();
    let mut command = Command::new("unshare");
    command.arg("-Ur").arg(this).args(["--exact", "layer::tests::namespace::with_one_id"]).env(INSIDE, "1");
    let output = String::from_utf8(run(&mut command).stdout).unwrap();
    assert!(output.contains("1 passed"), "{output}");
}

fn inside() {
    let map = std::fs::read_to_string("/proc/self/uid_map").unwrap();
    assert!(map.trim_end().ends_with(" 1"), "one id is mapped: {map}");
    let flavor = XattrFlavor::User;
    let plain = ApplyOptions::default();
    let lenient = ApplyOptions { ignore_chown: true, skip_denied_devices: true, ..plain };

    let dir = tempfile::tempdir().unwrap();
    let error = apply(&mut &archive(false)[..], dir.path(), flavor, &plain).unwrap_err();
    assert!(matches!(error, ApplyError::Owner { uid: 1000, .. }), "{error}");
    assert!(error.to_string().contains("/etc/subuid"), "{error}");

    let dir = tempfile::tempdir().unwrap();
    let ignore_chown = ApplyOptions { ignore_chown: true, ..plain };
    let error = apply(&mut &archive(true)[..], dir.path(), flavor, &ignore_chown).unwrap_err();
    assert!(matches!(error, ApplyError::Device { .. }), "{error}");

    let dir = tempfile::tempdir().unwrap();
    let stats = apply(&mut &archive(true)[..], dir.path(), flavor, &lenient).unwrap();
    assert_eq!((stats.chown_ignored, stats.devices_skipped, stats.whiteouts, stats.opaques), (2, 1, 1, 1));
    assert_eq!(dir.path().join("home/file").metadata().unwrap().uid(), 0);
    let mut tar = Vec::new();
    pack(dir.path(), flavor, PackOptions::default(), &mut tar).unwrap();
    assert_eq!(
        listing(&tar),
        ["file capable", "dir home/", "file home/.wh..wh..opq", "file home/.wh.gone", "file home/file"]
    );
    // A capability goes in and comes out as it is in an image, without the owner of the namespace.
    let capable = &crate::layer::testing::entries(&tar)[0].0;
    assert_eq!(capable.xattrs.len(), 1);
    assert_eq!(capable.xattrs[0].1.len(), 20);
}
