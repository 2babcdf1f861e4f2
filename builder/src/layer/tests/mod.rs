//! Layers as a whole, with the kernel and with other people's tools.

mod damage;
mod interop;
mod namespace;
mod overlay;
mod packing;

use super::testing::skip;
use std::process::{Command, Output};

/// Runs a command, and says what it printed when it fails.
fn run(command: &mut Command) -> Output {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    assert!(
        output.status.success(),
        "{command:?}: {}\n{}{}",
        output.status,
        text(&output.stdout),
        text(&output.stderr)
    );
    output
}

/// Whether a tool is there; says so when a test must be skipped for it.
fn has(test: &str, tool: &str) -> bool {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(tool).is_file()));
    if !found {
        skip(test, tool);
    }
    found
}

/// Whether user namespaces can be made.
fn has_namespaces(test: &str) -> bool {
    let works = Command::new("unshare").args(["-Urm", "true"]).output().is_ok_and(|o| o.status.success());
    if !works {
        skip(test, "user namespaces and unshare");
    }
    works
}
