//! The corpus of the fuzz targets, and damaged copies of it: what `fuzz/run.sh` does for hours on a nightly toolchain,
//! this does for seconds on any.
//!
//! `SLIPWAY_FUZZ_ROUNDS` is how many damaged copies are made for each target (default 3000).

#[path = "../../fuzz/checks.rs"]
mod checks;
#[path = "../../fuzz/replay.rs"]
mod replay;

use replay::replay;

/// Pieces that mean something somewhere.
const PIECES: [&str; 34] = [
    "\\\n", "`\n", "\n", "\r\n", "\\", "`", "\"", "'", "$", "${", "}", ":-", "//", "#", "<<", "<<-", "EOF",
    "\nEOF\n", "[", "]", ",", "=", " ", "\t", "--", "!", "**", "*", "?", "\0", "\u{feff}", "\u{a0}",
    "\u{2028}", "é",
];

#[test]
fn parser() {
    replay("parser", &PIECES, checks::parser);
}

#[test]
fn words() {
    replay("words", &PIECES, checks::words);
}

#[test]
fn ignore() {
    replay("ignore", &PIECES, checks::ignore);
}

#[test]
fn mounts() {
    replay("mounts", &PIECES, checks::mounts);
}
