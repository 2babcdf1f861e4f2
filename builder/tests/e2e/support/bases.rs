//! The base images of `testdata/bases/make.sh`, made once per machine and kept.

use super::lab::scratch;
use super::tools::{run, testdata};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Mutex;

/// What the script needs.
pub(crate) const TOOLS: [&str; 3] = ["mmdebstrap", "busybox", "jq"];

/// The directory of base image `name`, in skopeo's `dir:` form; made now when it is not there.
pub(crate) fn base(name: &str) -> PathBuf {
    static MADE: Mutex<BTreeSet<String>> = Mutex::new(BTreeSet::new());
    let kept = directory();
    let mut made = MADE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    if made.insert(name.to_owned()) {
        // The script locks the directory, so test processes wait for each other.
        run(Command::new(testdata("bases/make.sh")).arg(&kept).arg(name).env("TMPDIR", scratch()));
    }
    kept.join(name)
}

/// `SLIPWAY_TEST_BASES`, or `bases` in cargo's target directory.
fn directory() -> PathBuf {
    match std::env::var_os("SLIPWAY_TEST_BASES") {
        Some(path) => path.into(),
        None => Path::new(env!("CARGO_TARGET_TMPDIR")).join("../bases"),
    }
}
