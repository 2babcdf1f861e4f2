//! How long parsing takes: `cargo run --release -p dockerfile-parser --example speed [MILLISECONDS]`.
//!
//! Prints the best of several runs for 20,000 ordinary instructions, and for input that is meant to be slow, a megabyte
//! of each: the processor's time, which other work on the machine changes little. With a number everything that takes
//! longer is named at the end, and the exit status is 1; formatting, which parses everything four times, may take four
//! times as long.

#![allow(clippy::print_stdout, reason = "this is what it is for")]

#[path = "../src/testing/hostile.rs"]
mod hostile;

use dockerfile_parser::expand::Expander;
use dockerfile_parser::{fmt, ignore, parse};
use std::hint::black_box;
use std::process::ExitCode;
use std::time::Duration;

const SIZE: usize = 1 << 20;

struct Table {
    limit: Option<Duration>,
    slow: Vec<String>,
}

impl Table {
    /// Measures `work`, and not what it takes to drop its result.
    fn measure<T>(&mut self, name: &str, work: impl Fn() -> T) {
        let mut best = Duration::MAX;
        for _ in 0..5 {
            let start = used();
            let result = black_box(work());
            best = best.min(used() - start);
            drop(result);
            if best > Duration::from_secs(1) {
                break;
            }
        }
        let name: String = name.chars().take(44).flat_map(char::escape_debug).collect();
        println!("{:9.3} ms  {name}", best.as_secs_f64() * 1000.0);
        if self.limit.is_some_and(|limit| best > limit) {
            self.slow.push(name);
        }
    }
}

/// What this thread has used so far of a processor's time.
fn used() -> Duration {
    rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime).try_into().unwrap_or_default()
}

fn main() -> ExitCode {
    let limit = std::env::args().nth(1).and_then(|text| text.parse().ok()).map(Duration::from_millis);
    let mut table = Table { limit, slow: Vec::new() };
    let ordinary = hostile::ordinary(20_000);
    table.measure("20,000 instructions", || parse(ordinary.as_bytes()));
    table.measure("20,000 instructions, formatted", || fmt::format(ordinary.as_bytes()));
    for (name, source) in hostile::dockerfiles(SIZE) {
        table.measure(&name, || parse(source.as_bytes()));
    }
    table.limit = table.limit.map(|limit| limit * 4);
    for (name, source) in hostile::dockerfiles(SIZE) {
        table.measure(&format!("fmt {name}"), || fmt::format(source.as_bytes()));
    }
    table.limit = limit;
    let value = hostile::value(SIZE);
    let lookup = |name: &str| (name == "V").then(|| value.clone());
    let expander = Expander::new('\\');
    for word in hostile::words(SIZE) {
        table.measure(&format!("expand {word}"), || expander.word(&word, &lookup));
    }
    for pattern in ["**a[b]\n", "!x\n", "a\n", "[a-z]*?\n"] {
        let file = pattern.repeat(SIZE / pattern.len());
        table.measure(&format!("ignore {pattern}"), || {
            drop(black_box(ignore::Patterns::parse(file.as_bytes())))
        });
    }
    match table.slow.is_empty() {
        true => ExitCode::SUCCESS,
        false => {
            println!("too slow: {}", table.slow.join(", "));
            ExitCode::FAILURE
        }
    }
}
