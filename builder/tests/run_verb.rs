//! `run`: the program's output and status, on an image of busybox alone.
//!
//! It needs root and a static busybox; without them each test says that it is skipped, and fails when
//! `SLIPWAY_REQUIRE_TOOLS` is set.

#![allow(clippy::print_stdout, reason = "a test that is skipped says so")]

use std::io::Write;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

const BUSYBOX: &str = "/bin/busybox";

struct Bench {
    directory: TempDir,
}

impl Bench {
    /// A store with the image `box:1`, or `None` when this machine cannot.
    fn new(test: &str) -> Option<Self> {
        if !rustix::process::geteuid().is_root() || !Path::new(BUSYBOX).exists() {
            assert!(
                std::env::var_os("SLIPWAY_REQUIRE_TOOLS").is_none(),
                "{test} needs root and {BUSYBOX} (package busybox-static)"
            );
            println!("skipped: {test}: it needs root and {BUSYBOX} (package busybox-static)");
            return None;
        }
        let bench = Self { directory: tempfile::tempdir().expect("there is room for a store") };
        let context = bench.directory.path().join("context");
        std::fs::create_dir(&context).expect("a directory can be made");
        std::fs::copy(BUSYBOX, context.join("busybox")).expect("busybox can be copied");
        let dockerfile = "FROM scratch\n\
                          COPY busybox /bin/busybox\n\
                          RUN [\"/bin/busybox\", \"ln\", \"-s\", \"busybox\", \"/bin/sh\"]\n\
                          ENV COLOUR=red\n\
                          WORKDIR /work\n\
                          ENTRYPOINT [\"sh\"]\n\
                          CMD [\"-c\", \"echo default\"]\n";
        std::fs::write(context.join("Dockerfile"), dockerfile).expect("a Dockerfile can be written");
        let built = bench.slipway(&["-t", "box:1", &context.to_string_lossy()], b"");
        assert!(built.status.success(), "{built:?}");
        Some(bench)
    }

    fn slipway(&self, arguments: &[&str], input: &[u8]) -> Output {
        let mut child = Command::new(env!("CARGO_BIN_EXE_slipway"))
            .args(arguments)
            .env("SLIPWAY_ROOT", self.directory.path().join("store"))
            .env("TOKEN", "s3")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program runs");
        // A program that does not read its input closes it.
        let _ = child.stdin.take().expect("it is a pipe").write_all(input);
        child.wait_with_output().expect("it ends")
    }

    /// Status, output and errors.
    fn run(&self, arguments: &[&str], input: &[u8]) -> (Option<i32>, String, String) {
        let output = self.slipway(&[&["run"], arguments].concat(), input);
        let text = |bytes| String::from_utf8(bytes).expect("it is UTF-8");
        (output.status.code(), text(output.stdout), text(output.stderr))
    }
}

#[test]
fn programs_and_their_statuses() {
    let Some(bench) = Bench::new("programs_and_their_statuses") else { return };
    for (arguments, status, out) in [
        (&["box:1"][..], 0, "default\n"),
        (&["box:1", "-c", "pwd; echo $COLOUR; exit 7"], 7, "/work\nred\n"),
        (&["-e", "COLOUR=blue", "-e", "TOKEN", "box:1", "-c", "echo $COLOUR $TOKEN"], 0, "blue s3\n"),
        (&["-w", "/", "-u", "5:6", "box:1", "-c", "pwd; busybox id -u; busybox id -g"], 0, "/\n5\n6\n"),
        (&["--entrypoint", "busybox", "box:1", "echo", "-n", "--help"], 0, "--help"),
        (&["box:1", "-c", "echo x > /f && busybox cat /f"], 0, "x\n"),
        // The first process of a namespace cannot kill itself; its child can.
        (&["box:1", "-c", "sh -c 'kill -9 $$'; exit $?"], 137, ""),
    ] {
        let (got, text, errors) = bench.run(arguments, b"");
        assert_eq!((got, &*text), (Some(status), out), "{arguments:?}: {errors}");
    }
    // What one run writes is not there for the next.
    let (status, ..) = bench.run(&["box:1", "-c", "busybox test ! -e /f"], b"");
    assert_eq!(status, Some(0));
    let (status, _, errors) = bench.run(&["--read-only", "box:1", "-c", "echo x > /f"], b"");
    assert_eq!(status, Some(1));
    assert!(errors.contains("Read-only file system"), "{errors}");
    let (status, out, _) = bench.run(&["--network=none", "box:1", "-c", "echo /sys/class/net/*"], b"");
    assert_eq!((status, &*out), (Some(0), "/sys/class/net/lo\n"));
}

#[test]
fn programs_that_cannot_be_run() {
    let Some(bench) = Bench::new("programs_that_cannot_be_run") else { return };
    for (arguments, status, message) in [
        (&["--entrypoint=nope", "box:1"][..], 127, "error: exec: \"nope\": not found"),
        (&["--entrypoint=/work", "box:1"], 126, "error: exec: \"/work\""),
        (&["-u", "nobody", "box:1"], 125, "error: no user named \"nobody\": the image has no /etc/passwd"),
        (&["-v", "/does/not/exist:/v", "box:1"], 125, "error: -v: cannot use /does/not/exist"),
        (&["--entrypoint=", "box:1"], 125, "error: the image has neither ENTRYPOINT nor CMD"),
        (&["-it", "box:1"], 125, "error: -i -t needs a terminal on standard input"),
        (&["-v", "data:/v", "box:1"], 2, "error: invalid value 'data:/v' for '--volume"),
        (&[], 2, "error: the following required arguments were not provided"),
    ] {
        let (got, out, errors) = bench.run(arguments, b"");
        assert_eq!((got, &*out), (Some(status), ""), "{arguments:?}: {errors}");
        assert!(errors.starts_with(message), "{arguments:?}: {errors}");
    }
}

#[test]
fn input_volumes_and_terminals() {
    let Some(bench) = Bench::new("input_volumes_and_terminals") else { return };
    let cat = ["--entrypoint", "busybox", "box:1", "cat"];
    assert_eq!(bench.run(&[&["-i"][..], &cat].concat(), b"typed\n").1, "typed\n");
    assert_eq!(bench.run(&cat, b"typed\n").1, "", "standard input is not handed over without -i");
    let shared = bench.directory.path().join("shared");
    std::fs::create_dir(&shared).expect("a directory can be made");
    let volume = format!("{}:/v", shared.display());
    let (status, ..) = bench.run(&["-v", &volume, "box:1", "-c", "echo out > /v/f"], b"");
    assert_eq!(status, Some(0));
    assert_eq!(std::fs::read_to_string(shared.join("f")).expect("it was written"), "out\n");
    let read_only = format!("{volume}:ro");
    let (status, ..) = bench.run(&["-v", &read_only, "box:1", "-c", "echo again > /v/f"], b"");
    assert_eq!(status, Some(1));
    // A terminal ends lines with both characters.
    let (status, out, _) = bench.run(&["-t", "box:1", "-c", "busybox tty; echo $TERM; exit 3"], b"");
    assert_eq!((status, &*out), (Some(3), "/dev/pts/0\r\nxterm\r\n"));
    let left: Vec<_> =
        std::fs::read_dir(bench.directory.path().join("store/tmp")).expect("the store is there").collect();
    assert!(left.is_empty(), "{left:?}");
}
