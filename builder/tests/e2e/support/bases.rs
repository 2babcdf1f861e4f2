//! The base images of `testdata/bases/`, made once per machine and kept.

use super::lab::scratch;
use super::tools::{both, output, run, testdata};
use std::collections::BTreeSet;
use std::io::Write as _;
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

/// The OCI layout of `testdata/bases/foreign.sh`: an index of busybox for this machine's processor and for another one,
/// whose name comes with it. `None`, said on standard error, where the package of the other one cannot be had.
pub(crate) fn multi(test: &str) -> Option<(PathBuf, String)> {
    static MADE: Mutex<Option<bool>> = Mutex::new(None);
    let kept = directory();
    let mut made = MADE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
    let there = *made.get_or_insert_with(|| {
        let mut script = Command::new(testdata("bases/foreign.sh"));
        let ended = output(script.arg(&kept).env("TMPDIR", scratch()));
        assert!(matches!(ended.status.code(), Some(0 | 3)), "{}", both(&ended));
        ended.status.success()
    });
    if !there {
        // A mirror need not carry other architectures, whatever else is promised.
        let _ = writeln!(std::io::stderr(), "skipped: {test}: no busybox-static for another architecture");
        return None;
    }
    let other = if cfg!(target_arch = "aarch64") { "amd64" } else { "arm64" };
    Some((kept.join("busybox-multi"), other.to_owned()))
}

/// `SLIPWAY_TEST_BASES`, or `bases` in cargo's target directory.
fn directory() -> PathBuf {
    match std::env::var_os("SLIPWAY_TEST_BASES") {
        Some(path) => path.into(),
        None => Path::new(env!("CARGO_TARGET_TMPDIR")).join("../bases"),
    }
}
