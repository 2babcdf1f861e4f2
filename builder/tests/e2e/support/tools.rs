//! What this machine has, and what is done about what it has not.

use std::env;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

/// Says that part of a test does not run here; fails where CI promised that everything is there.
pub(crate) fn skip(what: &str, why: &str) {
    let line = format!("skipped: {what}: {why}");
    assert!(env::var_os("SLIPWAY_REQUIRE_TOOLS").is_none_or(|value| value == "0"), "{line}");
    // Not eprintln: the test harness would swallow it when the test passes.
    let _ = writeln!(std::io::stderr(), "{line}");
}

/// Whether `what` can run: as root, with every one of `tools` in PATH.
pub(crate) fn available(what: &str, tools: &[&str]) -> bool {
    if !rustix::process::geteuid().is_root() {
        skip(what, "needs root");
        return false;
    }
    match tools.iter().find(|tool| find(tool).is_none()) {
        Some(missing) => {
            skip(what, &format!("{missing} is not installed"));
            false
        }
        None => true,
    }
}

/// A program of PATH, or of the directories of system programs that PATH may lack.
pub(crate) fn find(tool: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path)
        .chain(["/usr/sbin", "/sbin", "/usr/local/sbin"].map(PathBuf::from))
        .map(|directory| directory.join(tool))
        .find(|candidate| candidate.is_file())
}

/// A command of a tool that `available` found.
pub(crate) fn tool(name: &str) -> Command {
    Command::new(find(name).unwrap_or_else(|| panic!("{name} is not installed")))
}

/// Runs to the end; fails the test with everything that was printed when the status is not 0.
#[track_caller]
pub(crate) fn run(command: &mut Command) -> String {
    let output = output(command);
    assert!(output.status.success(), "{command:?}: {}\n{}", output.status, both(&output));
    String::from_utf8(output.stdout).unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// Runs to the end, whatever the status.
#[track_caller]
pub(crate) fn output(command: &mut Command) -> Output {
    command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// Standard output and standard error, one after the other.
pub(crate) fn both(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// A path below `testdata/` of the repository.
pub(crate) fn testdata(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata").join(path)
}
