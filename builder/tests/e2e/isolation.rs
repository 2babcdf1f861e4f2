//! What a RUN can see of the machine.

use crate::support::bases;
use crate::support::lab::{Lab, as_everyone};
use crate::support::registry::Registry;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

const TOOLS: &[&str] = &["docker-registry", "skopeo", bases::TOOLS[1], bases::TOOLS[2]];

/// Runs `script` in a RUN and gives back the file `/out` that it wrote. The program itself is started with an open
/// file that it did not ask for, as a careless caller would.
fn seen_by_run(lab: &Lab, options: &[&str], script: &str) -> String {
    let registry = Registry::start(&lab.path("docker"));
    let base = registry.push_base("busybox");
    let context = lab.dockerfile(
        "context",
        &format!("FROM {base} AS look\nRUN <<'SCRIPT'\n{script}\nSCRIPT\nFROM scratch\nCOPY --from=look /out /out\n"),
    );
    let secret = lab.file("secret", "nobody else's business");
    let out: PathBuf = lab.directory("out");
    let mut command = Command::new("/bin/sh");
    lab.confine(&mut command).args(["-c", "exec 7<\"$1\"; shift; exec \"$@\"", "sh"]).arg(secret);
    command
        .arg(lab.program())
        .args(["build", "--progress=plain", "-o"])
        .arg(&out)
        .args(options)
        .arg(&context);
    crate::support::tools::run(&mut command);
    lab.assert_nothing_left();
    fs::read_to_string(out.join("out")).expect("the script wrote /out")
}

as_everyone!(no_process_of_the_host, TOOLS, |lab| {
    let seen = seen_by_run(
        lab,
        &[],
        "echo self $$ > /out\nfor p in /proc/[0-9]*; do echo pid ${p#/proc/} $(cat $p/comm) >> /out; done",
    );
    let processes: Vec<_> = seen.lines().filter(|line| line.starts_with("pid ")).collect();
    assert!(seen.contains("self 1\n"), "the script is the first process of its namespace: {seen}");
    // The shell, and the `cat` that reads names.
    assert!(!processes.is_empty() && processes.len() <= 2, "{seen}");
    assert!(processes[0].starts_with("pid 1 "), "{seen}");
});

as_everyone!(no_mount_of_the_host, TOOLS, |lab| {
    let seen = seen_by_run(lab, &[], "cut -d' ' -f5 /proc/self/mountinfo > /out");
    let mut points: Vec<_> = seen.lines().collect();
    points.sort_unstable();
    assert!(points.contains(&"/") && points.contains(&"/proc"), "{seen}");
    for point in points {
        let ours = point == "/"
            || ["/proc", "/sys", "/dev"]
                .iter()
                .any(|tree| point == *tree || point.starts_with(&format!("{tree}/")))
            || ["/etc/resolv.conf", "/etc/hosts", "/etc/hostname"].contains(&point);
        assert!(ours, "{point} is mounted: {seen}");
    }
});

as_everyone!(no_open_file_of_the_host, TOOLS, |lab| {
    // The glob itself holds the directory open while it reads it: that is number 3, gone when it is looked at.
    let seen = seen_by_run(
        lab,
        &[],
        "for fd in /proc/self/fd/*; do [ -e $fd ] && echo ${fd##*/} $(readlink $fd) >> /out; done; true",
    );
    let numbers: Vec<_> = seen.lines().filter_map(|line| line.split(' ').next()).collect();
    assert!(numbers.iter().all(|number| ["0", "1", "2"].contains(number)), "{seen}");
    assert!(!seen.contains("secret"), "{seen}");
});

as_everyone!(no_way_out, TOOLS, |lab| {
    let refused = "mount -t tmpfs none /mnt|chroot /proc/1/root true && ls /proc/1/root/*/slipway-e2e-* /proc/1/root/*/*/slipway-e2e-*|\
                   echo c > /proc/sysrq-trigger|echo x > /proc/sys/kernel/core_pattern|cat /proc/kcore|\
                   touch /sys/x|hostname elsewhere|mknod /disk b 8 0 && cat /disk";
    let script: String = refused
        .split('|')
        .map(|attempt| {
            format!("if ( {attempt} ) > /dev/null 2>&1; then echo \"allowed: {attempt}\" >> /out; fi\n")
        })
        .collect();
    let seen = seen_by_run(lab, &[], &format!("mkdir -p /mnt; echo start > /out\n{script}"));
    assert_eq!(seen, "start\n");
});

as_everyone!(capabilities_and_seccomp_are_dockers, TOOLS, |lab| {
    let seen = seen_by_run(lab, &[], "grep -E '^(Cap(Eff|Bnd|Amb)|Seccomp|Uid):' /proc/self/status > /out");
    let field = |name: &str| {
        let line = seen
            .lines()
            .find_map(|line| line.strip_prefix(name))
            .unwrap_or_else(|| panic!("no {name} in {seen}"));
        line.trim().to_owned()
    };
    // chown dac_override fowner fsetid kill setgid setuid setpcap net_bind_service net_raw sys_chroot mknod
    // audit_write setfcap
    assert_eq!(field("CapEff:"), "00000000a80425fb");
    assert_eq!(field("CapBnd:"), "00000000a80425fb");
    assert_eq!(field("CapAmb:"), "0000000000000000");
    assert_eq!(field("Seccomp:"), "2");
});

as_everyone!(no_network_when_asked, TOOLS, |lab| {
    let seen =
        seen_by_run(lab, &["--network=none"], "ls /sys/class/net > /out; grep -c : /proc/net/dev >> /out");
    assert!(seen.starts_with("lo\n") || seen.starts_with("1\n"), "{seen}");
    assert!(seen.ends_with("1\n"), "{seen}");
});

as_everyone!(the_environment_is_the_images, TOOLS, |lab| {
    let seen = seen_by_run(lab, &[], "env | cut -d= -f1 | sort > /out");
    let names: Vec<_> = seen.lines().filter(|name| !["PWD", "SHLVL", "OLDPWD", "_"].contains(name)).collect();
    assert_eq!(names, ["HOME", "PATH"]);
});

as_everyone!(nothing_stays_behind, TOOLS, |lab| {
    let registry = Registry::start(&lab.path("docker"));
    let base = registry.push_base("busybox");
    // The daemon would live on; the mount points of /proc and friends would be empty directories in the layer.
    let context = lab.dockerfile("context", &format!("FROM {base}\nRUN (sleep 1000 &) && touch /only\n"));
    let out = lab.path("home/layer.tar");
    lab.build(["-o".to_owned(), format!("type=tar,dest={}", out.display()), context.display().to_string()]);
    lab.assert_nothing_left();
    let before: Vec<_> = names_of_base();
    let archive = fs::File::open(&out).expect("the tar was written");
    let mut names: Vec<_> = tar::Archive::new(archive)
        .entries()
        .expect("a tar archive")
        .map(|entry| {
            let entry = entry.expect("a whole tar archive");
            format!(
                "/{}",
                String::from_utf8_lossy(&entry.path_bytes()).trim_start_matches("./").trim_end_matches('/')
            )
        })
        .filter(|name| name != "/" && !before.contains(name))
        .collect();
    names.sort();
    assert_eq!(names, ["/only"]);
});

/// Every path of the busybox base.
fn names_of_base() -> Vec<String> {
    let directory = bases::base("busybox");
    let manifest: serde_json::Value =
        serde_json::from_slice(&fs::read(directory.join("manifest.json")).expect("the base was made"))
            .expect("JSON");
    let digest = manifest["layers"][0]["digest"].as_str().expect("the base has a layer");
    let blob =
        fs::File::open(directory.join(digest.trim_start_matches("sha256:"))).expect("the base has its layer");
    let mut archive = tar::Archive::new(flate2::read::GzDecoder::new(blob));
    let entries = archive.entries().expect("a tar archive");
    entries
        .map(|entry| {
            let entry = entry.expect("a whole tar archive");
            format!(
                "/{}",
                String::from_utf8_lossy(&entry.path_bytes()).trim_start_matches("./").trim_end_matches('/')
            )
        })
        .collect()
}

// Also those of a base image's triggers, which nobody has read.
as_everyone!(no_file_of_the_host_by_a_here_document, TOOLS, |lab| {
    let registry = Registry::start(&lab.path("docker"));
    let base = registry.push_base("busybox");
    let target = lab.file("home/target", "mine");
    let name = target.to_str().expect("the path is text");
    let up = format!("{}{}", "../".repeat(20), &name[1..]);
    for name in [name, &up] {
        let evil = lab.dockerfile(
            "evil",
            &format!("FROM {base}\nONBUILD COPY --chmod=4777 <<{name} /h/\nonbuild\n{name}\n"),
        );
        lab.build([Path::new("-t"), Path::new("evil:1"), &evil]);
        let context = lab.dockerfile(
            "context",
            &format!(
                "FROM evil:1\nRUN <<{name}\n#!/bin/sh\necho ran > /ran\n{name}\nADD <<{name} /add/\nadded\n{name}\n\
                 RUN cat /h/target /add/target /ran > /out && ! test -e {0}\nFROM scratch\nCOPY --from=0 /out /\n",
                target.display()
            ),
        );
        let out = lab.directory("out");
        lab.build([Path::new("-o"), &out, &context]);
        assert_eq!(fs::read_to_string(out.join("out")).expect("it was made"), "onbuild\nadded\nran\n");
        assert_eq!(fs::read_to_string(&target).expect("it is there"), "mine");
    }
    let context = lab.dockerfile("context", "FROM scratch\nCOPY <<../.. /h/\nx\n../..\n");
    lab.try_build([&context]).assert_refused(1, &["cannot become a file of that name", "Dockerfile:2:"]);
    lab.assert_nothing_left();
});
