//! Replays the corpus of a fuzz target, and damaged copies of it, in an ordinary test.

use std::fs;
use std::path::Path;

/// SplitMix64: the same numbers everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    fn below(&mut self, limit: usize) -> usize {
        (self.next() % limit.max(1) as u64) as usize
    }
}

/// Damages `input` at a few places; `pieces` mean something somewhere in it, `other` is another input of its kind.
fn damage(random: &mut Random, pieces: &[&str], input: &mut Vec<u8>, other: &[u8]) {
    for _ in 0..1 + random.below(4) {
        let at = random.below(input.len() + 1);
        let to = (at + random.below(12)).min(input.len());
        match random.below(6) {
            0 => drop(input.drain(at..to)),
            1 => input.splice(at..at, pieces[random.below(pieces.len())].bytes()).for_each(drop),
            2 => input.splice(at..to, pieces[random.below(pieces.len())].bytes()).for_each(drop),
            3 => input.insert(at, random.below(256) as u8),
            4 => {
                let piece = input[at..to].to_vec();
                let there = random.below(input.len() + 1);
                input.splice(there..there, piece).for_each(drop);
            }
            _ => {
                let from = random.below(other.len());
                let piece = &other[from..(from + random.below(40)).min(other.len())];
                input.splice(at..to, piece.iter().copied()).for_each(drop);
            }
        }
    }
}

/// Runs `check` on each input of the target's corpus, and then on damaged copies.
pub(crate) fn replay(target: &str, pieces: &[&str], check: fn(&[u8])) {
    let rounds = std::env::var("SLIPWAY_FUZZ_ROUNDS").ok().and_then(|text| text.parse().ok()).unwrap_or(3000);
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus").join(target);
    let mut files: Vec<_> =
        fs::read_dir(folder).expect("the corpus").map(|entry| entry.expect("an entry").path()).collect();
    files.sort();
    let corpus: Vec<Vec<u8>> = files.iter().map(|path| fs::read(path).expect("a file")).collect();
    assert!(corpus.len() > 5, "the corpus of {target} is nearly empty");
    for (input, path) in corpus.iter().zip(&files) {
        on(check, input, &path.display().to_string());
    }
    let mut random = Random(1);
    for round in 0..rounds {
        let mut input = corpus[random.below(corpus.len())].clone();
        let other = random.below(corpus.len());
        damage(&mut random, pieces, &mut input, &corpus[other]);
        on(check, &input, &format!("round {round}"));
    }
}

/// Runs a check, and says on which input it failed.
fn on(check: fn(&[u8]), input: &[u8], name: &str) {
    let failed = std::panic::catch_unwind(|| check(input)).is_err();
    assert!(!failed, "{name}: {}", input.escape_ascii());
}
