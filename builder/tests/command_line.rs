//! Runs the program: what it writes where, and its exit status.

#![allow(clippy::print_stdout, reason = "a test that is skipped says so")]

use std::process::{Command, Output};

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
    for arguments in [&["--help"][..], &["-h"], &["build", "--help"], &["push", "--help"], &["--version"]] {
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
            &["git://example.org/x", "-t", "x"],
            "error: git://example.org/x is a git repository: such contexts are not supported; \
             fetch it first and give its directory\n",
        ),
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
