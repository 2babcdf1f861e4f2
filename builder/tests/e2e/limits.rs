//! Limits of memory and processors, in control groups that the test makes and hands to whoever builds.

use crate::support::bases;
use crate::support::lab::{Lab, as_everyone};
use crate::support::output::Build;
use crate::support::registry::Registry;
use crate::support::tools::output;
use std::fs;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

const TOOLS: &[&str] = &["docker-registry", "skopeo", "setpriv", bases::TOOLS[1], bases::TOOLS[2]];

/// A group in every hierarchy that belongs to the user, as a service manager would delegate it. They go with this value.
struct Delegated {
    name: String,
    directories: Vec<PathBuf>,
}

impl Delegated {
    fn new(lab: &Lab) -> Delegated {
        let unique =
            lab.path("").file_name().map(|name| name.to_string_lossy().into_owned()).unwrap_or_default();
        let mut made = Delegated { name: format!("test-{unique}"), directories: Vec::new() };
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("proc is there");
        for line in mounts.lines().filter(|line| line.contains(" - cgroup")) {
            let mount = line.split(' ').nth(4).expect("a mount has a place");
            let directory = Path::new(mount).join(&made.name);
            let script = "mkdir \"$1\" && cd \"$1\" && mkdir self\n\
                 for file in cpuset.cpus cpuset.mems; do\n\
                   [ -e cgroup.controllers ] || [ ! -e $file ] || cat ../$file > $file\n\
                   [ -e cgroup.controllers ] || [ ! -e $file ] || cat $file > self/$file\n\
                 done\n\
                 chown -R \"$2\" .\n";
            let arguments = ["-c", script, "sh", directory.to_str().expect("text"), &lab.owner()];
            crate::support::tools::run(Command::new("sh").args(arguments));
            made.directories.push(directory);
        }
        made
    }

    /// `build` with options, started inside `self` of version 2, as a service would be.
    fn command(&self, lab: &Lab, options: &[&str], context: &Path) -> Command {
        let unified = self.directories.iter().find(|place| place.join("cgroup.controllers").exists());
        let join = unified
            .map_or_else(String::new, |place| format!("echo 0 > {}/self/cgroup.procs; ", place.display()));
        let (uid, gid) =
            lab.owner().split_once(':').map(|(u, g)| (u.to_owned(), g.to_owned())).expect("an owner");
        let mut command = Command::new("/bin/sh");
        lab.confine(&mut command).uid(0).gid(0).args(["-c", &format!("{join}exec \"$@\""), "sh"]);
        command
            .arg("setpriv")
            .args([format!("--reuid={uid}"), format!("--regid={gid}")])
            .arg("--clear-groups");
        command.arg(lab.program()).args(["build", "--progress=plain", "--no-cache", "--cgroup-parent"]);
        command.arg(format!("/{}/runs", self.name)).args(options).arg(context);
        command
    }

    /// The groups of RUN steps that are there.
    fn groups(&self) -> Vec<PathBuf> {
        let runs = self.directories.iter().filter_map(|place| fs::read_dir(place.join("runs")).ok());
        runs.flatten().filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_dir()).collect()
    }
}

impl Drop for Delegated {
    fn drop(&mut self) {
        for directory in &self.directories {
            for part in ["runs", "self", ""] {
                let _ = fs::remove_dir(directory.join(part));
            }
        }
    }
}

as_everyone!(memory, TOOLS, |lab| {
    let registry = Registry::start(&lab.path("docker"));
    let base = registry.push_base("busybox");
    // `tail` keeps the last line, and there is but one.
    let context =
        lab.dockerfile("context", &format!("FROM {base}\nRUN head -c 200m /dev/zero | tail >/dev/null\n"));
    let delegated = Delegated::new(lab);
    let build = |options: &[&str]| Build::from(output(&mut delegated.command(lab, options, &context)));
    build(&["--memory=32m", "--memory-swap=32m"])
        .assert_refused(1, &["exit code: 137, because memory ran out", "Dockerfile:2"]);
    let enough = build(&["--resource=memory=2g"]);
    assert_eq!(enough.status, Some(0), "{}", enough.text);
    assert_eq!(delegated.groups(), Vec::<PathBuf>::new());
});

as_everyone!(processors, TOOLS, |lab| {
    let registry = Registry::start(&lab.path("docker"));
    let base = registry.push_base("busybox");
    let context = lab.dockerfile(
        "context",
        &format!("FROM {base}\nRUN test $(nproc) = 1 && ! grep -v ':/$' /proc/self/cgroup && sleep 2\n"),
    );
    let delegated = Delegated::new(lab);
    let options =
        ["--cpuset-cpus=0", "--resource=cpu-shares=512", "--cpu-period=100000", "--cpu-quota=50000"];
    let mut child = delegated
        .command(lab, &options, &context)
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("it starts");
    let read = |file: &str| {
        let found =
            delegated.groups().into_iter().find_map(|group| fs::read_to_string(group.join(file)).ok());
        found.map(|text| text.trim().to_owned())
    };
    let begin = Instant::now();
    // Of version 2, or of version 1.
    let wanted = [("cpu.max", "50000 100000"), ("cpu.cfs_quota_us", "50000")];
    let limited = || wanted.iter().any(|(file, value)| read(file).as_deref() == Some(value));
    while !limited() {
        let ended = child.try_wait().expect("it can be waited for");
        assert!(
            ended.is_none() && begin.elapsed() < Duration::from_secs(60),
            "no group has the limit: {ended:?}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
    let shares = read("cpu.weight").or_else(|| read("cpu.shares"));
    assert!(["512", "59"].contains(&shares.as_deref().unwrap_or_default()), "{shares:?}");
    let built = child.wait_with_output().expect("it ends");
    assert!(built.status.success(), "{}", String::from_utf8_lossy(&built.stderr));
    assert_eq!(delegated.groups(), Vec::<PathBuf>::new());
});

// Without a group of his own, a user is told how to get one; root needs none.
as_everyone!(no_group, TOOLS, |lab| {
    let context = lab.dockerfile("context", "FROM scratch\nCOPY Dockerfile /\n");
    let built = lab.try_build([Path::new("--memory=1g"), &context]);
    match lab.who() {
        crate::support::lab::Who::Root => assert_eq!(built.status, Some(0), "{}", built.text),
        crate::support::lab::Who::Unprivileged => {
            let told = built.status == Some(0) || built.text.contains("systemd-run --user --scope");
            assert!(told, "{}", built.text);
        }
    }
    lab.try_build([Path::new("--cgroup-parent=a/../b"), &context])
        .assert_refused(1, &["--cgroup-parent \"a/../b\" leaves the hierarchy"]);
});
