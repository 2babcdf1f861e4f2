//! What a RUN gets only when the command line says so: SSH agents, and leave from the sandbox.

use crate::support::bases;
use crate::support::lab::{Lab, as_everyone};
use crate::support::output::Build;
use crate::support::registry::Registry;
use crate::support::server::Repositories;
use crate::support::tools::{output, run, tool};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

const TOOLS: &[&str] = &["docker-registry", "skopeo", bases::TOOLS[1], bases::TOOLS[2]];
const SSH_TOOLS: &[&str] =
    &["docker-registry", "skopeo", bases::TOOLS[1], bases::TOOLS[2], "ssh-agent", "ssh-add", "ssh-keygen"];

/// Asks the agent for its keys, then to forget them all; prints the types of its answers and how many keys there are.
const CLIENT: &str = r#"#!/usr/bin/perl
use IO::Socket::UNIX;
$| = 1;
my $agent = IO::Socket::UNIX->new($ENV{SSH_AUTH_SOCK}) or die "no agent at $ENV{SSH_AUTH_SOCK}: $!";
sub ask { print $agent pack("N a*", length $_[0], $_[0]); read $agent, my $n, 4; read $agent, my $b, unpack "N", $n; $b }
my ($type, $keys) = unpack "C N", ask(pack "C", 11);
my ($refused) = unpack "C", ask(pack "C", 19);
my @stat = stat $ENV{SSH_AUTH_SOCK};
printf "answer %d keys %d refused %d at %s owner %d:%d mode %o\n", $type, $keys, $refused, $ENV{SSH_AUTH_SOCK}, $stat[4], $stat[5], $stat[2] & 07777;
"#;

/// The user's agent with one key.
struct Agent(Child, PathBuf);

impl Agent {
    fn start(lab: &Lab, key: &Path) -> Agent {
        let socket = lab.directory("agent").join("socket");
        let mut command = Command::new("ssh-agent");
        lab.confine(&mut command).arg("-D").arg("-a").arg(&socket).stdout(Stdio::null());
        let child = command.spawn().expect("ssh-agent runs");
        let deadline = Instant::now() + Duration::from_secs(10);
        while !socket.exists() && Instant::now() < deadline {
            std::thread::sleep(Duration::from_millis(10));
        }
        let mut add = Command::new("ssh-add");
        run(lab.confine(&mut add).arg("-q").arg(key).env("SSH_AUTH_SOCK", &socket));
        Agent(child, socket)
    }

    fn keys(&self) -> usize {
        run(tool("ssh-add").arg("-l").env("SSH_AUTH_SOCK", &self.1)).lines().count()
    }
}

impl Drop for Agent {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn key(lab: &Lab, name: &str, passphrase: &str) -> PathBuf {
    let path = lab.directory("keys").join(name);
    let mut command = Command::new("ssh-keygen");
    run(lab.confine(&mut command).args(["-q", "-t", "ed25519", "-N", passphrase, "-f"]).arg(&path));
    path
}

as_everyone!(ssh, SSH_TOOLS, |lab| {
    let registry = Registry::start(&lab.path("docker"));
    let base = registry.push_base("debian");
    let (first, second) = (key(lab, "first", ""), key(lab, "second", ""));
    let agent = Agent::start(lab, &first);
    lab.file("context/client", CLIENT);
    let context = lab.dockerfile(
        "context",
        &format!(
            "FROM {base}\nCOPY --chmod=755 client /client\nRUN --mount=type=ssh /client\n\
             RUN --mount=type=ssh,id=keys,target=/agent,mode=0666,uid=33,gid=44 /client\n\
             RUN --mount=type=ssh,id=absent test -z \"$SSH_AUTH_SOCK\"\nRUN test ! -e /agent && test ! -e /run/buildkit\n"
        ),
    );
    let keys = format!("keys={},{}", first.display(), second.display());
    let build = |arguments: &[&str]| {
        let mut command = lab.command(["build", "--progress=plain"]);
        command.args(arguments).arg(&context).env("SSH_AUTH_SOCK", &agent.1);
        Build::from(output(&mut command))
    };
    let built = build(&["--ssh", "default", "--ssh", &keys]);
    assert_eq!(built.status, Some(0), "{}", built.text);
    for line in [
        "answer 12 keys 1 refused 5 at /run/buildkit/ssh_agent.0 owner 0:0 mode 600",
        "answer 12 keys 2 refused 5 at /agent owner 33:44 mode 666",
    ] {
        assert!(built.text.contains(line), "{line}\n{}", built.text);
    }
    assert_eq!(agent.keys(), 1, "the agent forgot its keys");
    // Which agent there is does not count.
    build(&["--ssh", &format!("default={}", second.display())]).assert_all_cached();

    let locked = key(lab, "locked", "passphrase");
    build(&["--no-cache", "--ssh", &format!("default={}", locked.display())])
        .assert_refused(1, &["ssh-add refuses", "locked", "Dockerfile:3:"]);
    build(&["--ssh", "default=/absent"]).assert_refused(2, &["--ssh", "/absent"]);
    let required =
        lab.dockerfile("required", &format!("FROM {base}\nRUN --mount=type=ssh,required=true true\n"));
    lab.try_build([&required])
        .assert_refused(1, &["requires the SSH agent \"default\"", "--ssh default", "Dockerfile:2:"]);
    drop(agent);
    lab.assert_nothing_left();
});

/// Stands for ssh: wants the agent that it is told of to have a key, and does here what it is asked to do elsewhere.
const SSH: &str = "#!/bin/sh\nssh-add -l > /dev/null || { echo no agent with keys >&2; exit 255; }\n\
                   for last; do :; done\necho \"$last\" >> LOG\nexec sh -c \"$last\"\n";

as_everyone!(repositories_by_ssh, &["git", "ssh-agent", "ssh-add", "ssh-keygen"], |lab| {
    let repositories = Repositories::start(&lab.path("repositories"));
    repositories.commit("app", &[("file", "by ssh")]);
    let repository = lab.path("repositories/app");
    run(tool("chown").args(["-R", &lab.owner()]).arg(&repository));
    let log = lab.directory("log").join("log");
    // Not made by this process: a child that another test starts meanwhile would hold it open for writing.
    let text = lab.file("programs/ssh.txt", SSH.replace("LOG", &log.display().to_string()));
    run(tool("install").args(["-m", "755"]).arg(&text).arg(text.with_extension("")));
    let path = format!("{}:/usr/bin:/bin:/usr/sbin:/sbin", lab.path("programs").display());
    let url = format!("git@host.invalid:{}", repository.display());
    let context = lab.dockerfile("context", &format!("FROM scratch\nADD {url} /app/\n"));
    let out = lab.directory("out");
    let build = |arguments: &[&str]| {
        let mut command = lab.command(["build", "--progress=plain", "--output"]);
        command.arg(&out).args(arguments).arg(&context).env("PATH", &path);
        Build::from(output(&mut command))
    };
    build(&[]).assert_refused(1, &["no agent with keys", "Dockerfile:2:"]);
    let keys = format!("default={}", key(lab, "first", "").display());
    let built = build(&["--ssh", &keys]);
    assert_eq!(built.status, Some(0), "{}", built.text);
    assert_eq!(std::fs::read_to_string(out.join("app/file")).ok().as_deref(), Some("by ssh"));
    let asked = std::fs::read_to_string(&log).expect("it was asked");
    assert!(asked.lines().all(|line| line.starts_with("git-upload-pack ")), "{asked}");
    lab.assert_nothing_left();
});

as_everyone!(entitlements, TOOLS, |lab| {
    let registry = Registry::start(&lab.path("docker"));
    let base = registry.push_base("busybox");
    let context = lab.dockerfile(
        "context",
        &format!(
            "FROM {base}\nRUN --security=insecure grep -E '^(CapEff|Seccomp):' /proc/self/status\n\
             RUN grep -E '^(CapEff|Seccomp):' /proc/self/status\nRUN --network=host true\n"
        ),
    );
    let text = context.to_str().expect("the path is text");
    lab.try_build([text]).assert_refused(
        1,
        &[
            "RUN --security=insecure is not allowed",
            "--allow security.insecure",
            "--allow network.host",
            "Dockerfile:2:",
            "Dockerfile:4:",
        ],
    );
    let built = lab.build(["--allow", "security.insecure,network.host", text]);
    let lines = |name: &str| -> Vec<String> {
        let value = |line: &str| line.split(&format!(" {name}:\t")).nth(1).map(str::to_owned);
        built.text.lines().filter_map(value).collect()
    };
    let (capabilities, seccomp) = (lines("CapEff"), lines("Seccomp"));
    assert!(capabilities[0] > capabilities[1], "{capabilities:?}");
    assert_eq!(capabilities[1], "00000000a80425fb");
    assert_eq!(seccomp, ["0", "2"]);
    for (value, message) in [
        ("device=x", "RUN --device is not there yet"),
        ("everything", "write network.host or security.insecure"),
    ] {
        lab.try_build(["--allow", value, text]).assert_refused(2, &[message]);
    }
    lab.assert_nothing_left();
});
