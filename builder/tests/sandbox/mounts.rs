//! Mounts that were asked for.

use crate::image::{Image, has_other_ids, run, text};
use builder::rootfs::overlay::overlay_view;
use builder::rootfs::user::ResolvedUser;
use builder::sandbox::{BindSource, Mount, MountKind, Network, Sandbox, SandboxError, net};
use std::path::Path;

fn bind(target: &str, source: &Path, read_only: bool) -> Mount {
    let source = BindSource::Path(source.to_path_buf());
    Mount { target: target.into(), kind: MountKind::Bind { source, read_only, recursive: true } }
}

fn file(target: &str, bytes: &str, mode: u32, uid: u32) -> Mount {
    let bytes = bytes.as_bytes().to_vec();
    Mount { target: target.into(), kind: MountKind::File { bytes, read_only: true, mode, uid, gid: uid } }
}

fn tmp(target: &str) -> Mount {
    Mount {
        target: target.into(),
        kind: MountKind::Tmpfs { size: Some(1 << 20), mode: 0o1777, read_only: false },
    }
}

fn with(image: &Image, mounts: Vec<Mount>, script: &str) -> Sandbox {
    Sandbox { mounts, ..image.sandbox(&["sh", "-c", script]) }
}

pub(crate) fn binds() {
    let image = Image::new();
    let cache = image.path("cache");
    std::fs::create_dir(&cache).unwrap();
    std::fs::write(image.path("single"), "one file").unwrap();
    let mounts = vec![
        bind("/var/cache/x", &cache, false),
        bind("/in/put", &cache, true),
        bind("/opt/file", &image.path("single"), true),
    ];
    let script =
        "echo kept > /var/cache/x/y; cat /in/put/y; cat /opt/file; echo; echo x > /in/put/z || echo refused";
    let output = run(with(&image, mounts, script)).unwrap();
    assert_eq!(output.stdout, "kept\none file\nrefused\n");
    assert!(output.stderr.contains("Read-only file system"), "{}", output.stderr);
    assert_eq!(std::fs::read(cache.join("y")).unwrap(), b"kept\n");
    assert_eq!(image.written(), [""; 0]);
    let mounts = vec![bind("/x", &image.path("none"), true)];
    let error = with(&image, mounts, "true").spawn().unwrap_err();
    assert!(matches!(&error, SandboxError::Source { target, .. } if target == Path::new("/x")), "{error:?}");
}

pub(crate) fn tmpfs() {
    let image = Image::new();
    let script =
        "stat -c %a /tmp/t; echo x > /tmp/t/x; head -c 2000000 /dev/zero > /tmp/t/y 2>/dev/null || echo full";
    assert_eq!(text(with(&image, vec![tmp("/tmp/t")], script)), "1777\nfull\n");
    assert_eq!(image.written(), [""; 0]);
}

pub(crate) fn secrets() {
    let image = Image::new();
    let mounts =
        || vec![file("/run/secrets/token", "s3cret", 0o400, 0), file("/root/.netrc", "login", 0o600, 0)];
    let script = "cat /run/secrets/token; stat -c ' %a %u' /run/secrets/token; cat /root/.netrc; echo; \
                  echo x > /run/secrets/token || ls /run/secrets";
    let output = run(with(&image, mounts(), script)).unwrap();
    assert_eq!(output.stdout, "s3cret 400 0\nlogin\ntoken\n", "{}", output.stderr);
    assert_eq!(image.written(), [""; 0]);
    if has_other_ids() {
        let user = ResolvedUser { uid: 5, gid: 5, groups: vec![], home: "/".into() };
        let mut mounts = mounts();
        mounts.push(file("/mine", "mine", 0o400, 5));
        let script = "cat /mine; cat /run/secrets/token 2>/dev/null || echo hidden";
        assert_eq!(text(Sandbox { user, ..with(&image, mounts, script) }), "minehidden\n");
    }
}

pub(crate) fn nested() {
    let image = Image::new();
    let cache = image.path("cache");
    std::fs::create_dir(&cache).unwrap();
    std::os::unix::fs::symlink("/run", image.lower().join("var-run")).unwrap();
    // In any order; through a link; a place made inside a mount.
    let mounts = vec![
        file("/a/b/c/secret", "deep", 0o400, 0),
        file("/var-run/x/y", "linked", 0o400, 0),
        bind("/a/b", &cache, false),
        tmp("/a"),
        tmp("/run"),
        file("/dev/shm/inner", "shm", 0o400, 0),
        tmp("/dev/more"),
    ];
    let script = "cat /a/b/c/secret /run/x/y /dev/shm/inner; ls /dev/more; touch /a/t /a/b/t";
    assert_eq!(text(with(&image, mounts, script)), "deeplinkedshm");
    assert!(cache.join("t").exists() && cache.join("c/secret").exists());
    assert_eq!(image.written(), [""; 0]);
}

pub(crate) fn bad_targets() {
    let image = Image::new();
    for (target, reason) in [
        ("/", "it is the root directory itself"),
        ("/proc/x", "nothing can be mounted in /proc or /sys"),
        ("/etc/../sys/fs", "nothing can be mounted in /proc or /sys"),
        ("/etc", "a file cannot cover a directory"),
        ("/etc/passwd/x", "Not a directory"),
        ("/dev/mqueue/x", "something else is mounted there"),
    ] {
        let error = with(&image, vec![file(target, "", 0o400, 0)], "true").spawn().unwrap_err();
        assert!(
            matches!(&error, SandboxError::Target { reason: why, .. } if why.contains(reason)),
            "{target}: {error:?}"
        );
    }
    let error = with(&image, vec![tmp("/etc/passwd")], "true").spawn().unwrap_err();
    assert!(error.to_string().contains("a directory cannot cover a file"), "{error}");
    let hostile = Image::bare();
    std::os::unix::fs::symlink("/etc", hostile.lower().join("proc")).unwrap();
    let error = hostile.sandbox(&["true"]).spawn().unwrap_err();
    assert!(error.to_string().contains("/proc"), "{error}");
}

pub(crate) fn detached_views() {
    let image = Image::new();
    let stage = Image::new();
    std::fs::create_dir(stage.upper().join("out")).unwrap();
    std::fs::write(stage.upper().join("out/app"), "built").unwrap();
    let view = || overlay_view(&[stage.upper(), stage.lower()]).unwrap();
    let fd = |fd| MountKind::Bind { source: BindSource::Fd(fd), read_only: true, recursive: false };
    let whole = Mount { target: "/stage".into(), kind: fd(view().into_fd()) };
    let lowers = vec![stage.upper(), stage.lower()];
    let source = BindSource::View { lowers, path: "/out".into() };
    let part = Mount {
        target: "/part".into(),
        kind: MountKind::Bind { source, read_only: false, recursive: false },
    };
    let script = "cat /stage/out/app /part/app; ls /part; touch /part/x 2>/dev/null || echo refused";
    assert_eq!(text(with(&image, vec![whole, part], script)), "builtbuiltapp\nrefused\n");
    assert_eq!(image.written(), [""; 0]);
}

pub(crate) fn dns_and_hosts() {
    let image = Image::new();
    let extra_hosts = vec![("db".to_owned(), "10.0.0.7".to_owned())];
    let sandbox = Sandbox { extra_hosts, ..image.sandbox(&["cat", "/etc/hosts"]) };
    assert!(text(sandbox).ends_with("10.0.0.7\tdb\n"));
    let own = net::resolv_conf(Network::Host).unwrap();
    assert_eq!(own, std::fs::read("/etc/resolv.conf").unwrap_or_default());
}
