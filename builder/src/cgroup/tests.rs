use super::hierarchy::{Hierarchy, Version, find};
use super::setting::{Controller, settings};
use super::*;
use crate::request::MemorySwap;

const MOUNTS: &str = "\
22 1 8:1 / / rw - ext4 /dev/sda rw
31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755
33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw,relatime shared:4 - cgroup cgroup rw,cpu,cpuacct
35 31 0:32 /outer /sys/fs/cgroup/mem\\040ory rw,relatime - cgroup cgroup rw,memory
40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,xattr,name=systemd
41 31 0:38 / /nowhere/unified rw,relatime - cgroup2 cgroup2 rw
";
const OWN: &str = "9:name=systemd:/x\n4:memory:/outer/a:b\n2:cpu,cpuacct:/job\n0::/user.slice/me\n";

#[test]
fn hierarchies_of_a_machine_with_both_versions() {
    let found = find(&MOUNTS.replace("41 ", "0 1 0:38 / /again rw - cgroup2 c rw\n41 "), OWN);
    let show = |h: &Hierarchy| (h.version, h.mount.display().to_string(), h.own.display().to_string());
    assert_eq!(
        found.iter().map(show).collect::<Vec<_>>(),
        [
            (Version::One, "/sys/fs/cgroup/cpu,cpuacct".into(), "job".into()),
            (Version::One, "/sys/fs/cgroup/mem ory".into(), "a:b".into()),
            (Version::One, "/sys/fs/cgroup/systemd".into(), "x".into()),
            (Version::Two, "/again".into(), "user.slice/me".into()),
        ]
    );
    assert_eq!(found.iter().map(Hierarchy::is_joined).collect::<Vec<_>>(), [true, true, false, true]);
}

fn limits() -> ResourceLimits {
    ResourceLimits {
        memory: Some(1 << 20),
        memory_swap: None,
        cpu_shares: Some(1024),
        cpu_period: Some(100_000),
        cpu_quota: Some(50_000),
        cpuset_cpus: Some("0-1".into()),
        cpuset_mems: None,
    }
}

fn written(controller: Controller, version: Version, limits: &ResourceLimits) -> String {
    let all = settings(controller, version, limits);
    all.iter().map(|s| format!("{}={}", s.file, s.value)).collect::<Vec<_>>().join(" ")
}

#[test]
fn limits_in_both_versions() {
    use Version::{One, Two};
    let all = limits();
    assert_eq!(
        written(Controller::Memory, One, &all),
        "memory.limit_in_bytes=1048576 memory.memsw.limit_in_bytes=2097152"
    );
    assert_eq!(written(Controller::Memory, Two, &all), "memory.max=1048576 memory.swap.max=1048576");
    assert_eq!(
        written(Controller::Cpu, One, &all),
        "cpu.shares=1024 cpu.cfs_period_us=100000 cpu.cfs_quota_us=50000"
    );
    assert_eq!(written(Controller::Cpu, Two, &all), "cpu.weight=100 cpu.max=50000 100000");
    assert_eq!(written(Controller::Cpuset, Two, &all), "cpuset.cpus=0-1");

    let unlimited = ResourceLimits { memory_swap: Some(MemorySwap::Unlimited), ..limits() };
    assert_eq!(
        written(Controller::Memory, One, &unlimited),
        "memory.limit_in_bytes=1048576 memory.memsw.limit_in_bytes=-1"
    );
    assert_eq!(written(Controller::Memory, Two, &unlimited), "memory.max=1048576 memory.swap.max=max");
    let total = ResourceLimits { memory_swap: Some(MemorySwap::Total(1 << 20)), ..limits() };
    assert_eq!(written(Controller::Memory, Two, &total), "memory.max=1048576 memory.swap.max=0");

    let cpu = |cpu_shares, cpu_period, cpu_quota| {
        let limits = ResourceLimits { cpu_shares, cpu_period, cpu_quota, ..ResourceLimits::default() };
        written(Controller::Cpu, Two, &limits)
    };
    assert_eq!(cpu(Some(2), None, None), "cpu.weight=1");
    assert_eq!(cpu(Some(262_144), Some(1000), None), "cpu.weight=10000 cpu.max=max 1000");
    assert_eq!(cpu(None, None, Some(7000)), "cpu.max=7000");
}

/// Directories in place of the kernel's: what is written where, and what is not there.
fn unified(root: &Path, own: &str, controllers: &str) -> Vec<Hierarchy> {
    let mut directory = root.to_owned();
    for name in [""].into_iter().chain(own.split('/')) {
        directory.push(name);
        fs::create_dir_all(&directory).expect("a directory");
        fs::write(directory.join("cgroup.subtree_control"), "").expect("a file");
    }
    fs::write(root.join("cgroup.controllers"), controllers).expect("a file");
    find(&format!("41 31 0:38 / {} rw - cgroup2 cgroup2 rw\n", root.display()), &format!("0::/{own}\n"))
}

#[test]
fn a_place_of_version_2() {
    let root = tempfile::tempdir().expect("a directory");
    let hierarchies = unified(root.path(), "user/session", "cpu memory pids");
    let memory = ResourceLimits { memory: Some(1 << 20), ..ResourceLimits::default() };
    let places = Cgroups::among(&hierarchies, &memory, None).expect("there is a place");
    assert_eq!(places.places.len(), 1);
    let control = |path: &str| fs::read_to_string(root.path().join(path).join("cgroup.subtree_control"));
    assert_eq!(control("user/session").expect("a file"), "+memory");
    assert_eq!(control("user").expect("a file"), "");

    let below = Cgroups::among(&hierarchies, &memory, Some("user-1.slice"));
    // The kernel would have made the files of the new directory.
    let Err(CgroupError::Refused { path, .. }) = below else { panic!("{below:?}") };
    assert_eq!(path, root.path().join("user.slice"));
    assert_eq!(control("").expect("a file"), "+memory");

    let cpuset = ResourceLimits { cpuset_cpus: Some("0".into()), ..ResourceLimits::default() };
    let missing = Cgroups::among(&hierarchies, &cpuset, None).expect_err("no controller");
    assert_eq!(
        missing.to_string(),
        "no limit of cpuset can be set: this machine has no cpuset controller of control groups"
    );
    let none = Cgroups::among(&[], &ResourceLimits::default(), Some("/x")).expect_err("no hierarchy");
    assert!(matches!(none, CgroupError::NoHierarchy));
    assert!(Cgroups::prepare(&ResourceLimits::default(), None).expect("nothing to do").is_none());
}

#[test]
fn parents() {
    let path = |given: &str| place::parent_path(given).map(|path| path.display().to_string());
    for (given, want) in [
        ("/", ""),
        ("/a/b/", "a/b"),
        ("a//b", "a/b"),
        ("ci.slice", "ci.slice"),
        ("a-b-c.slice", "a.slice/a-b.slice/a-b-c.slice"),
        ("-.slice", ""),
        ("x/a-b.slice", "x/a-b.slice"),
    ] {
        assert_eq!(path(given).expect(given), want, "{given}");
    }
    for (given, want) in [
        ("", "--cgroup-parent \"\" is empty"),
        ("../x", "--cgroup-parent \"../x\" leaves the hierarchy by \"..\""),
        ("a--b.slice", "--cgroup-parent \"a--b.slice\" is no name of a slice"),
        ("a\0", "--cgroup-parent \"a\\0\" has a NUL byte in it"),
    ] {
        assert_eq!(path(given).expect_err(given).to_string(), want);
    }
}

#[test]
fn counts_of_kills() {
    assert_eq!(count_of("low 0\nhigh 0\nmax 3\noom 1\noom_kill 2\noom_group_kill 0\n"), Some(2));
    assert_eq!(count_of("oom_kill_disable 0\nunder_oom 0\noom_kill 1\n"), Some(1));
    assert_eq!(count_of(""), None);
}
