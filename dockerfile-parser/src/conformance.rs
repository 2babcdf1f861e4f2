//! BuildKit's own tables (Apache-2.0), which are not part of this repository.
//!
//! They are looked for in `SLIPWAY_CONFORMANCE`, or beside the checkout in `../shared/conformance`; without them these
//! tests say so and check nothing.

use crate::directive;
use crate::expand::Expander;
use crate::lines::Reader;
use crate::span::LineIndex;
use crate::statement::{self, Arguments, Statement};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// The tables' folder `name`, if it is there.
#[allow(clippy::print_stderr, reason = "a test that checks nothing must say so")]
pub(crate) fn folder(name: &str) -> Option<PathBuf> {
    let beside = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/conformance");
    let root = std::env::var_os("SLIPWAY_CONFORMANCE").map_or(beside, PathBuf::from);
    let folder = root.join(name);
    if !folder.is_dir() {
        eprintln!("skipped: {} is not there (set SLIPWAY_CONFORMANCE)", folder.display());
        return None;
    }
    Some(folder)
}

fn cases(folder: &Path) -> Vec<PathBuf> {
    let mut cases: Vec<PathBuf> =
        std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()).collect();
    cases.sort();
    cases
}

fn statements(source: &[u8]) -> Result<Vec<Statement>, String> {
    let header = directive::scan(source);
    let escape = header.directives.escape;
    let mut reader = Reader::new(source, header.end, escape);
    let mut statements = Vec::new();
    while let Some(line) = reader.next_instruction() {
        statements.push(statement::parse(&line.joined, escape).map_err(|d| d.message)?);
    }
    Ok(statements)
}

/// A statement in the notation of the `result` files.
fn dump(statement: &Statement) -> String {
    let mut text = statement.keyword.text.to_lowercase();
    if !statement.flags.is_empty() {
        let flags = statement.flags.iter().map(|flag| match &flag.value {
            Some(value) => quote(&format!("--{}={}", flag.name, value.text)),
            None => quote(&format!("--{}", flag.name)),
        });
        text += &format!(" [{}]", flags.collect::<Vec<_>>().join(" "));
    }
    dump_arguments(&statement.arguments, &mut text);
    text
}

fn dump_arguments(arguments: &Arguments, text: &mut String) {
    let mut add = |part: &str| {
        text.push(' ');
        text.push_str(&quote(part));
    };
    match arguments {
        Arguments::None => {}
        Arguments::Unknown => add(""),
        Arguments::Text(word) => add(&word.text),
        Arguments::Json(words) | Arguments::List(words) => words.iter().for_each(|word| add(&word.text)),
        Arguments::Legacy(key, value) => [&key.text, &value.text, ""].into_iter().for_each(add),
        Arguments::Pairs(pairs) => {
            pairs.iter().flat_map(|(key, value)| [&key.text, &value.text, "="]).for_each(add);
        }
        Arguments::Declarations(declarations) => {
            declarations.iter().for_each(|(name, default)| match default {
                Some(default) => add(&format!("{}={}", name.text, default.text)),
                None => add(&name.text),
            })
        }
        Arguments::Health(kind, command) => {
            add(&kind.text);
            dump_arguments(command, text);
        }
        Arguments::Nested(inner) => *text += &format!(" ({})", dump(inner)),
    }
}

/// A string in Go's notation, as far as the tables need it.
fn quote(text: &str) -> String {
    let mut quoted = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => quoted += "\\\"",
            '\\' => quoted += "\\\\",
            '\u{8}' => quoted += "\\b",
            '\u{c}' => quoted += "\\f",
            '\n' => quoted += "\\n",
            '\r' => quoted += "\\r",
            '\t' => quoted += "\\t",
            '\0'..' ' => quoted += &format!("\\x{:02x}", u32::from(c)),
            c => quoted.push(c),
        }
    }
    quoted + "\""
}

#[test]
fn valid_files() {
    let Some(folder) = folder("dockerfile-parser/valid") else { return };
    let cases = cases(&folder);
    assert!(!cases.is_empty());
    for case in cases {
        let source = std::fs::read(case.join("Dockerfile")).expect("a Dockerfile");
        let expected = std::fs::read_to_string(case.join("result")).expect("a result");
        let statements = statements(&source).unwrap_or_else(|error| panic!("{}: {error}", case.display()));
        let dumped: Vec<String> = statements.iter().map(|s| format!("({})", dump(s))).collect();
        assert_eq!(dumped.join("\n"), expected.trim(), "{}", case.display());
    }
}

#[test]
fn invalid_files() {
    let Some(folder) = folder("dockerfile-parser/invalid") else { return };
    let cases = cases(&folder);
    assert!(!cases.is_empty());
    for case in cases {
        let source = std::fs::read(case.join("Dockerfile")).expect("a Dockerfile");
        assert!(crate::parse(&source).is_err(), "{}", case.display());
    }
}

#[test]
fn line_numbers() {
    let Some(folder) = folder("dockerfile-parser/lines") else { return };
    let source = std::fs::read(folder.join("Dockerfile")).expect("a Dockerfile");
    let index = LineIndex::new(&source);
    let lines: Vec<(usize, usize)> = statements(&source)
        .expect("statements")
        .iter()
        .map(|s| (index.locate(s.source.span.start).line, index.locate(s.source.span.end).line))
        .collect();
    assert_eq!(lines, [(5, 5), (11, 12), (17, 31)]);
}

#[test]
fn single_words() {
    let Some(folder) = folder("shell-words") else { return };
    let table = std::fs::read_to_string(folder.join("envVarTest")).expect("the table");
    let values = BTreeMap::from([("PWD", "/home"), ("SHELL", "bash"), ("KOREAN", "한국어"), ("NULL", "")]);
    let lookup = |name: &str| values.get(name).map(|value| (*value).to_owned());
    let mut checked = 0;
    for line in table.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()) {
        let parts: Vec<&str> = line.split('|').map(str::trim).collect();
        let [platform, word, expected] = parts[..] else { panic!("not a row: {line}") };
        if platform == "W" {
            continue;
        }
        checked += 1;
        let expanded = Expander::new('\\').word(word, &lookup);
        match expected {
            "error" => assert!(expanded.is_err(), "{line}: {expanded:?}"),
            _ => assert_eq!(expanded.map(|e| e.text).as_deref(), Ok(expected), "{line}"),
        }
    }
    assert!(checked > 100);
}

#[test]
fn split_words() {
    let Some(folder) = folder("shell-words") else { return };
    let table = std::fs::read_to_string(folder.join("wordsTest")).expect("the table");
    let mut values = BTreeMap::new();
    let mut checked = 0;
    for line in table.lines().filter(|line| !line.starts_with('#') && !line.is_empty()) {
        if let Some(assignment) = line.strip_prefix("ENV ") {
            let (name, value) = assignment.trim_start().split_once('=').expect("an assignment");
            values.insert(name.to_owned(), value.to_owned());
            continue;
        }
        let (words, expected) = line.split_once(" | ").expect("a row");
        checked += 1;
        let split = Expander::new('\\').words(words.trim(), &|name| values.get(name).cloned());
        match expected.trim_start() {
            "error" => assert!(split.is_err(), "{line}: {split:?}"),
            expected => {
                let expected: Vec<String> = expected.split(',').map(str::to_owned).collect();
                assert_eq!(split.as_ref(), Ok(&expected), "{line}");
            }
        }
    }
    assert!(checked > 10);
}
