//! What a program cannot see or do.

use crate::image::{Image, has_other_ids, run, text};
use builder::rootfs::user::ResolvedUser;
use builder::sandbox::{Network, Sandbox, Security};
use builder::userns::Privilege;
use rustix::thread::CapabilitySet;

pub(crate) fn processes() {
    let image = Image::new();
    assert_eq!(
        image.sh("echo $$ /proc/[0-9]*; sh -c 'echo $$ /proc/[0-9]*'; true"),
        "1 /proc/1\n2 /proc/1 /proc/2\n"
    );
}

pub(crate) fn descriptors() {
    let image = Image::new();
    // A descriptor of ours that no one marked as close-on-exec.
    let leak = std::fs::File::open("/etc/passwd").unwrap();
    rustix::io::fcntl_setfd(&leak, rustix::io::FdFlags::empty()).unwrap();
    // ls itself has 3 open: the directory.
    assert_eq!(image.sh("ls /proc/self/fd"), "0\n1\n2\n3\n");
    drop(leak);
}

pub(crate) fn mounts_of_the_host() {
    let image = Image::new();
    for network in [Network::Host, Network::None] {
        let args = ["sh", "-c", "cut -d' ' -f5 /proc/self/mountinfo"];
        let shown = text(Sandbox { network, ..image.sandbox(&args) });
        for line in shown.lines() {
            let known = ["/proc", "/sys", "/dev", "/etc/hosts", "/etc/hostname", "/etc/resolv.conf"];
            let inside = |known: &str| line == known || line.starts_with(&format!("{known}/"));
            assert!(line == "/" || known.into_iter().any(inside), "{line}");
        }
        let details = text(Sandbox { network, ..image.sandbox(&["cat", "/proc/self/mountinfo"]) });
        let host = image.path("");
        assert!(!details.contains(host.to_str().unwrap()), "no path of this machine is shown: {details}");
        assert_eq!(details.lines().filter(|line| line.contains(" /sys/fs/cgroup")).count(), 1, "{details}");
        let root = details.lines().find(|line| line.contains(" / / ")).unwrap();
        assert!(root.contains("nodev") && root.contains(" overlay "), "{root}");
        assert!(!root.contains("nosuid"), "su and sudo work: {root}");
    }
    assert_eq!(
        image.sh("ls -A /sys/fs/cgroup >/dev/null; ls / | tr '\\n' ' '"),
        "bin dev etc proc root sys tmp "
    );
}

pub(crate) fn capabilities() {
    let image = Image::new();
    // Docker's: 14 of them, as far as this process has them; nothing inheritable or ambient.
    let own = rustix::thread::capabilities(None).unwrap().permitted.bits();
    let all = format!("{:016x}", 0xa804_25fb & own);
    let none = "0000000000000000";
    let show = ["grep", "^Cap", "/proc/self/status"];
    let want = |permitted: &str| {
        format!(
            "CapInh:\t{none}\nCapPrm:\t{permitted}\nCapEff:\t{permitted}\nCapBnd:\t{all}\nCapAmb:\t{none}\n"
        )
    };
    assert_eq!(text(image.sandbox(&show)), want(&all));
    assert_eq!(image.sh("grep NoNewPrivs /proc/self/status"), "NoNewPrivs:\t0\n");
    if has_other_ids() {
        let user = ResolvedUser { uid: 7, gid: 7, groups: vec![], home: "/".into() };
        assert_eq!(text(Sandbox { user, ..image.sandbox(&show) }), want(none));
    }
}

fn may(capability: CapabilitySet) -> bool {
    rustix::thread::capabilities(None).unwrap().permitted.contains(capability)
}

pub(crate) fn seccomp() {
    let image = Image::new();
    assert_eq!(image.sh("grep ^Seccomp: /proc/self/status"), "Seccomp:\t2\n");
    let output = run(image.sandbox(&[
        "sh",
        "-c",
        "mount -t tmpfs x /tmp; umount /proc; unshare -m true; chmod 700 /proc/sys",
    ]))
    .unwrap();
    assert!(!output.status.success());
    let refused = output.stderr.matches("Operation not permitted").count()
        + output.stderr.matches("permission denied").count()
        + output.stderr.matches("Read-only").count();
    assert_eq!(refused, 4, "{}", output.stderr);
    if has_other_ids() {
        // What drops privileges and forks must go on working.
        let user = ResolvedUser { uid: 7, gid: 7, groups: vec![], home: "/".into() };
        assert_eq!(text(Sandbox { user, ..image.sandbox(&["sh", "-c", "(echo a | cat)"]) }), "a\n");
        assert_eq!(image.sh("su root -c 'id -u'"), "0\n");
    }
}

pub(crate) fn masked_paths() {
    let image = Image::new();
    assert_eq!(
        image.sh("cat /proc/kcore /proc/keys /proc/timer_list /proc/interrupts 2>/dev/null | wc -c"),
        "0\n"
    );
    assert_eq!(
        image.sh("ls -A /sys/firmware /proc/acpi /proc/scsi 2>/dev/null | grep -v : | tr -d '\\n'"),
        ""
    );
    for path in [
        "/proc/sys/kernel/domainname",
        "/proc/sysrq-trigger",
        "/sys/kernel/mm/ksm/run",
        "/proc/irq/x",
        "/sys/firmware/x",
    ] {
        let output = run(image.sandbox(&["sh", "-c", &format!("echo x > {path}")])).unwrap();
        assert!(
            output.stderr.contains("Read-only file system") || output.stderr.contains("nonexistent"),
            "{path}: {}",
            output.stderr
        );
    }
}

pub(crate) fn devices() {
    let image = Image::new();
    let want = "core fd full mqueue null ptmx pts random shm stderr stdin stdout tty urandom zero ";
    assert_eq!(image.sh("ls /dev | tr '\\n' ' '"), want.replace("core ", ""));
    let script = "echo gone > /dev/null; head -c 4 /dev/zero | wc -c; head -c 9 /dev/urandom | wc -c; cat /dev/null; \
                  stat -c '%a %F' /dev/shm; stat -c '%t:%T %a' /dev/full; echo x > /dev/shm/x; cat /dev/fd/0 < /dev/shm/x; \
                  head -c 1 /dev/random | wc -c";
    assert_eq!(image.sh(script), "4\n9\n1777 directory\n1:7 666\nx\n1\n");
    let shm = Sandbox {
        shm_size: 1 << 20,
        cgroup: None,
        ..image.sandbox(&["sh", "-c", "head -c 2000000 /dev/zero > /dev/shm/x 2>/dev/null || echo full"])
    };
    assert_eq!(text(shm), "full\n");
    // The sandbox has nodes of its own, or this machine's, but those it cannot change.
    use std::os::unix::fs::PermissionsExt;
    let mode = || std::fs::metadata("/dev/full").unwrap().permissions().mode() & 0o777;
    let before = mode();
    let changed = run(image.sandbox(&["chmod", "600", "/dev/full"])).unwrap();
    let after = mode();
    if after != before {
        std::fs::set_permissions("/dev/full", std::fs::Permissions::from_mode(before)).unwrap();
    }
    assert_eq!(after, before, "{changed:?}");
    assert!(changed.status.success() || changed.stderr.contains("Read-only"), "{changed:?}");
}

pub(crate) fn device_nodes_are_dead() {
    if Privilege::detect() != Privilege::Root || !may(CapabilitySet::MKNOD) {
        return;
    }
    let image = Image::new();
    let script = "mknod /tmp/null c 1 3 && mknod /dev/other c 1 3 && mknod /dev/shm/n c 1 3; \
                  for n in /tmp/null /dev/other /dev/shm/n; do cat $n 2>&1; done; true";
    let shown = image.sh(script);
    assert_eq!(shown.matches("Permission denied").count(), 3, "{shown}");
    assert_eq!(image.written(), ["tmp", "tmp/null"]);
}

pub(crate) fn no_network() {
    let image = Image::new();
    let sandbox = |args: &[&str]| Sandbox { network: Network::None, ..image.sandbox(args) };
    assert_eq!(text(sandbox(&["ls", "/sys/class/net"])), "lo\n");
    let links = text(sandbox(&["ip", "-o", "link"]));
    assert_eq!(links.lines().count(), 1, "{links}");
    assert!(links.contains("LOOPBACK,UP"), "{links}");
    assert!(text(sandbox(&["ip", "addr"])).contains("127.0.0.1/8"));
    let own = std::fs::read_to_string("/proc/net/dev").unwrap();
    assert_eq!(
        image.sh("cat /proc/net/dev").lines().count(),
        own.lines().count(),
        "the host's network is shared"
    );
}

pub(crate) fn host_name() {
    let image = Image::new();
    let before = rustix::system::uname().nodename().to_owned();
    let sandbox = Sandbox {
        hostname: "there".to_owned(),
        ..image.sandbox(&["sh", "-c", "hostname; cat /etc/hostname"])
    };
    assert_eq!(text(sandbox), "there\nthere\n");
    assert_eq!(rustix::system::uname().nodename(), before.as_c_str());
}

pub(crate) fn insecure() {
    let image = Image::new();
    let script = "mount -t tmpfs x /tmp && echo mounted; grep ^Seccomp: /proc/self/status; \
                  grep -c ' /proc/' /proc/self/mountinfo";
    let sandbox = Sandbox { security: Security::Insecure, ..image.sandbox(&["sh", "-c", script]) };
    let output = run(sandbox).unwrap();
    assert_eq!(output.stdout, "mounted\nSeccomp:\t0\n0\n", "{}", output.stderr);
}

pub(crate) fn default_signals() {
    let image = Image::new();
    let none = "0000000000000000";
    let want = format!("SigBlk:\t{none}\nSigIgn:\t{none}\n");
    assert_eq!(text(image.sandbox(&["grep", "-E", "^Sig(Blk|Ign)", "/proc/self/status"])), want);
}
