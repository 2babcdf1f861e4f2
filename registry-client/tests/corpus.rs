//! The corpus of the fuzz targets, and damaged copies of it: what `fuzz/run.sh` does for hours on a nightly toolchain,
//! this does for seconds on any.
//!
//! `SLIPWAY_FUZZ_ROUNDS` is how many damaged copies are made for each target (default 3000).

#[path = "../../fuzz/registry_checks.rs"]
mod registry_checks;
#[path = "../../fuzz/replay.rs"]
mod replay;

use replay::replay;

/// Pieces that mean something somewhere.
const PIECES: [&str; 32] = [
    "/",
    ":",
    "@",
    ".",
    "-",
    "_",
    "[",
    "]",
    "*",
    "=",
    ",",
    "\"",
    "\\",
    "\n",
    " ",
    "\t",
    "{",
    "}",
    "null",
    "true",
    "[[registry]]\n",
    "[[registry.mirror]]\n",
    "location = 'x'\n",
    "sha256:",
    "Bearer ",
    "realm=\"\"",
    "\"mediaType\":",
    "\"manifests\":[],",
    "\"layers\":[],",
    "\0",
    "\u{2028}",
    "é",
];

#[test]
fn references() {
    replay("references", &PIECES, registry_checks::references);
}

#[test]
fn challenges() {
    replay("challenges", &PIECES, registry_checks::challenges);
}

#[test]
fn registries() {
    replay("registries", &PIECES, registry_checks::registries);
}

#[test]
fn manifests() {
    replay("manifests", &PIECES, registry_checks::manifests);
}
