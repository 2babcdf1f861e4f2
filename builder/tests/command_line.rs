//! Runs the program: what it writes where, and its exit status.

#![allow(clippy::print_stdout, reason = "a test that is skipped says so")]

use std::io::{BufRead, BufReader};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

fn slipway(arguments: &[&str]) -> Output {
    let store = tempfile::tempdir().expect("there is room for a store");
    Command::new(env!("CARGO_BIN_EXE_slipway"))
        .args(arguments)
        .env("SLIPWAY_ROOT", store.path())
        .env_remove("BUILDKIT_PROGRESS")
        .env_remove("SOURCE_DATE_EPOCH")
        .output()
        .expect("the program runs")
}

fn text(bytes: &[u8]) -> &str {
    std::str::from_utf8(bytes).expect("it is UTF-8")
}

#[test]
fn help_goes_to_standard_output() {
    for arguments in [
        &["--help"][..],
        &["-h"],
        &["build", "--help"],
        &["push", "--help"],
        &["manifest", "create", "-h"],
        &["--version"],
    ] {
        let output = slipway(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}");
        assert!(text(&output.stdout).contains("build"), "{arguments:?}");
        assert!(output.stderr.is_empty(), "{arguments:?}");
    }
    let version = slipway(&["version", "--format", "json"]);
    let version: serde_json::Value = serde_json::from_slice(&version.stdout).expect("it is JSON");
    assert_eq!(version["version"], env!("CARGO_PKG_VERSION"));
}

#[test]
fn a_wrong_command_line_is_status_2() {
    for (arguments, message) in [
        (&[][..], "error: the build context is missing; for the current directory write: build .\n"),
        (&["-f", "-", "-"], "error: standard input cannot be both the build context and the Dockerfile\n"),
        (
            &["--cache-to", "type=local,dest=x", "."],
            "error: --cache-to is not supported: steps are cached in the store of this machine only\n",
        ),
        (
            &["--timeline=x", "--trace=x", "."],
            "error: --timeline and --trace are two files; give each its own name\n",
        ),
        (
            &["--check", "--trace=x", "."],
            "error: --timeline and --trace show a build, and with --check, --call, --show-context or --lock nothing is built\n",
        ),
        (&["git://example.org/x#-x", "-t", "x"], "error: \"-x\" is no name of a branch, tag or commit\n"),
        (
            &["--progress=tty", "."],
            "error: --progress=tty needs a terminal on standard error; write --progress=plain\n",
        ),
    ] {
        let output = slipway(arguments);
        assert_eq!(output.status.code(), Some(2), "{arguments:?}");
        assert_eq!(text(&output.stderr), message, "{arguments:?}");
        assert!(output.stdout.is_empty(), "{arguments:?}");
    }
    let unknown = slipway(&["--tagg", "x", "."]);
    assert_eq!(unknown.status.code(), Some(2));
    assert!(text(&unknown.stderr).contains("a similar argument exists: '--tag'"), "{unknown:?}");
}

#[test]
fn no_place_for_the_store() {
    // Root has one always.
    if rustix::process::geteuid().is_root() {
        println!("skipped: no_place_for_the_store: it needs a user other than root");
        return;
    }
    let output =
        Command::new(env!("CARGO_BIN_EXE_slipway")).arg(".").env_clear().output().expect("the program runs");
    assert_eq!(output.status.code(), Some(1));
    assert_eq!(
        text(&output.stderr),
        "error: there is no place for the store: set HOME, XDG_DATA_HOME or SLIPWAY_ROOT\n"
    );
}

/// A context that needs neither a registry nor any privilege.
fn context(dockerfile: &str) -> tempfile::TempDir {
    let directory = tempfile::tempdir().expect("there is room for a context");
    std::fs::write(directory.path().join("Dockerfile"), dockerfile).expect("a Dockerfile can be written");
    directory
}

#[test]
fn a_build_that_goes_well_is_status_0() {
    let context = context("FROM scratch\nLABEL a=b\n");
    let path = context.path().to_str().expect("the path is UTF-8");
    let iidfile = context.path().join("iid");
    let iid = format!("--iidfile={}", iidfile.display());
    let plain = slipway(&["-t", "app:1", &iid, path]);
    assert_eq!(plain.status.code(), Some(0), "{plain:?}");
    assert!(plain.stdout.is_empty());
    let id = std::fs::read_to_string(iidfile).expect("the id was written");
    assert!(text(&plain.stderr).contains(&format!("image {id} for linux/")), "{plain:?}");
    assert!(text(&plain.stderr).ends_with("named app:1\n"), "{plain:?}");
    let quiet = slipway(&["build", "-q", path]);
    assert_eq!((text(&quiet.stdout), text(&quiet.stderr)), (&*format!("{id}\n"), ""));
    for arguments in [&["--progress=quiet", path][..], &["--progress", "auto", "--quiet", path]] {
        assert_eq!(slipway(arguments).stdout, quiet.stdout, "{arguments:?}");
    }
    let silent = slipway(&["--progress=none", path]);
    assert_eq!((text(&silent.stdout), text(&silent.stderr)), ("", ""));
    for line in text(&slipway(&["--progress=rawjson", path]).stderr).lines() {
        serde_json::from_str::<serde_json::Value>(line).expect("every line is JSON");
    }
}

#[test]
fn a_build_that_fails_is_status_1() {
    let context = context("FROM scratch\nFOO bar\n");
    let path = context.path().to_str().expect("the path is UTF-8");
    let unknown = slipway(&[path]);
    assert_eq!(unknown.status.code(), Some(1));
    let message = text(&unknown.stderr);
    assert!(message.starts_with("error: unknown instruction \"FOO\"\n --> Dockerfile:2:1\n"), "{message}");
    for (arguments, status, message) in [
        (["-f", "/nowhere/Dockerfile", path], 1, "error: there is no Dockerfile at /nowhere/Dockerfile"),
        (["-t", "UPPER", path], 2, "error: \"UPPER\" is no image name"),
        (
            ["-q", "--", "/nowhere"],
            1,
            "error: the build context /nowhere cannot be used: it does not exist\n",
        ),
    ] {
        let output = slipway(&arguments);
        assert_eq!(output.status.code(), Some(status), "{arguments:?}");
        assert!(text(&output.stderr).starts_with(message), "{arguments:?}: {output:?}");
    }
}

#[test]
fn a_frontend_is_not_fetched_but_compared() {
    let context = context("# syntax=docker/dockerfile:1.999\nFROM scratch\nLABEL a=b\n");
    let path = context.path().to_str().expect("the path is UTF-8");
    let newer = slipway(&["--progress=plain", path]);
    assert_eq!(newer.status.code(), Some(0), "{newer:?}");
    assert!(
        text(&newer.stderr).contains("warning: the frontend docker/dockerfile:1.999 is not fetched"),
        "{newer:?}"
    );
    let known = slipway(&["--progress=plain", "--build-arg=BUILDKIT_SYNTAX=docker/dockerfile:1", path]);
    assert!(!text(&known.stderr).contains("frontend"), "{known:?}");
    let custom = slipway(&["--progress=plain", "--build-arg=BUILDKIT_SYNTAX=example.org/x", path]);
    assert!(
        text(&custom.stderr).contains("warning: BUILDKIT_SYNTAX: the frontend example.org/x"),
        "{custom:?}"
    );
    assert!(!text(&custom.stderr).contains("1.999"), "{custom:?}");
}

#[test]
fn arguments_without_effect_are_told() {
    let context = context("FROM scratch\nARG KNOWN\nLABEL a=b\n");
    let path = context.path().to_str().expect("the path is text");
    let store = tempfile::tempdir().expect("a temporary directory");
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_slipway"));
    command.env("SLIPWAY_ROOT", store.path()).args(["build", "--progress=plain"]);
    for name in [
        "BUILDKIT_INLINE_CACHE",
        "BUILDKIT_BUILD_NAME",
        "BUILDKIT_SYNTAX",
        "TARGETARCH",
        "KNOWN",
        "KNWON",
        "HTTP_PROXY",
    ] {
        command.arg(format!("--build-arg={name}=1"));
    }
    let ended = command.arg(path).output().expect("the program starts");
    let said = text(&ended.stderr);
    let told: Vec<&str> =
        said.lines().filter(|line| line.contains("has no effect: no ARG declares it")).collect();
    assert_eq!(told.len(), 3, "{said}");
    for name in ["BUILDKIT_INLINE_CACHE", "BUILDKIT_BUILD_NAME", "KNWON"] {
        assert!(told.iter().any(|line| line.contains(&format!("--build-arg {name} "))), "{said}");
    }
}

#[test]
fn checks_can_be_set_from_outside() {
    let context = context("FROM scratch\nMAINTAINER me\n");
    let path = context.path().to_str().expect("the path is text");
    let run = |settings: &[&str]| slipway(&[&["build", "--check"], settings, &[path]].concat());
    assert_eq!(run(&[]).status.code(), Some(1));
    let skipped = run(&["--build-arg=BUILDKIT_DOCKERFILE_CHECK=skip=MaintainerDeprecated"]);
    assert_eq!(
        (skipped.status.code(), text(&skipped.stdout)),
        (Some(0), "Check complete, no warnings found.\n")
    );
    let wrong = run(&["--build-arg=BUILDKIT_DOCKERFILE_CHECK=ship=all"]);
    assert_eq!(wrong.status.code(), Some(1));
}

#[test]
fn fmt_checks_and_rewrites() {
    let context = context("from scratch\nLABEL a=b\n");
    let file = context.path().join("Dockerfile");
    let path = file.to_str().expect("the path is UTF-8");
    let check = slipway(&["fmt", "--check", path]);
    assert_eq!((check.status.code(), text(&check.stdout)), (Some(1), &*format!("{path}\n")));
    let printed = slipway(&["fmt", path]);
    assert_eq!((printed.status.code(), text(&printed.stdout)), (Some(0), "FROM scratch\nLABEL a=b\n"));
    assert_eq!(std::fs::read(&file).expect("it is there"), b"from scratch\nLABEL a=b\n");
    let done = slipway(&["fmt", "-w", path]);
    assert_eq!((done.status.code(), text(&done.stdout), text(&done.stderr)), (Some(0), "", ""));
    assert_eq!(std::fs::read(&file).expect("it is there"), b"FROM scratch\nLABEL a=b\n");
    assert_eq!(slipway(&["fmt", "--check", path]).status.code(), Some(0));
    std::fs::write(&file, "FROM scratch\nLABLE a=b\n").expect("a Dockerfile can be written");
    let wrong = slipway(&["fmt", path]);
    assert_eq!(wrong.status.code(), Some(1));
    assert!(text(&wrong.stderr).contains("help: did you mean LABEL?"), "{wrong:?}");
    assert_eq!(slipway(&["fmt", "--chekc"]).status.code(), Some(2));
}

#[test]
fn the_second_signal_ends_at_once() {
    use rustix::process::{Pid, Signal, kill_process};
    if !rustix::process::geteuid().is_root() {
        println!("skipped: the_second_signal_ends_at_once: without root the program may start twice");
        return;
    }
    for (signals, status) in [
        ([Signal::INT, Signal::INT], 130),
        ([Signal::TERM, Signal::INT], 130),
        ([Signal::INT, Signal::TERM], 143),
    ] {
        let store = tempfile::tempdir().expect("there is room for a store");
        // It waits for an ignore file that does not come, which nothing but a signal can end.
        let context = context("FROM scratch\n");
        let pipe = context.path().join("Dockerfile.dockerignore");
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        rustix::fs::mknodat(rustix::fs::CWD, &pipe, rustix::fs::FileType::Fifo, mode, 0)
            .expect("a pipe can be made");
        let mut child = Command::new(env!("CARGO_BIN_EXE_slipway"))
            .arg("--progress=plain")
            .arg(context.path())
            .env("SLIPWAY_ROOT", store.path())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program runs");
        let pid = Pid::from_child(&child);
        wait_until(|| listens(child.id()));
        // Only when it has come to read can the other end be opened; held open, it keeps the reader waiting.
        let writer = std::cell::OnceCell::new();
        wait_until(|| {
            let flags = rustix::fs::OFlags::WRONLY | rustix::fs::OFlags::NONBLOCK;
            let opened = rustix::fs::open(&pipe, flags, rustix::fs::Mode::empty());
            opened.is_ok_and(|end| writer.set(end).is_ok())
        });
        kill_process(pid, signals[0]).expect("it is there");
        let mut said = BufReader::new(child.stderr.take().expect("it is a pipe"));
        let mut line = String::new();
        said.read_line(&mut line).expect("it says something");
        assert_eq!(line, "stopping; interrupt again to stop at once\n");
        assert_eq!(child.try_wait().expect("it is ours"), None);
        kill_process(pid, signals[1]).expect("it is there");
        assert_eq!(child.wait().expect("it ends").code(), Some(status), "{signals:?}");
    }
}

/// Whether a process handles SIGINT and SIGTERM: bit n-1 of the mask is signal n (proc_pid_status(5)).
fn listens(pid: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:")).unwrap_or_default();
    let mask = u64::from_str_radix(caught.trim(), 16).unwrap_or(0);
    mask & (1 << 1) != 0 && mask & (1 << 14) != 0
}

fn wait_until(done: impl Fn() -> bool) {
    let start = Instant::now();
    while !done() {
        assert!(start.elapsed() < Duration::from_secs(30), "it did not happen");
        std::thread::sleep(Duration::from_millis(5));
    }
}
