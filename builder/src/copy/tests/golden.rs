//! The cases of `testdata/copy`: trees before, an instruction, the tree after.
//!
//! A file holds several cases, each beginning with `## name` and a reason. Its sections are `source`, `destination`
//! and `ignore` (all optional), one or more instructions, and `result`: warnings, the tree, or the error.
//! `UPDATE_GOLDEN=1 cargo test` rewrites the results; review them as a diff.

use super::super::*;
use super::{listing, own, run_ignoring};
use dockerfile_parser::ignore::Patterns;
use std::fmt::Write as _;
use std::path::PathBuf;

#[derive(Default)]
struct Case {
    head: String,
    source: String,
    destination: String,
    ignore: String,
    instructions: Vec<String>,
    result: String,
}

fn cases(text: &str) -> Vec<Case> {
    let mut cases: Vec<Case> = Vec::new();
    let mut section = String::new();
    for line in text.lines() {
        if line.starts_with("## ") {
            cases.push(Case::default());
            section.clear();
        }
        let Some(case) = cases.last_mut() else { continue };
        if let Some(name) = line.strip_suffix(':')
            && ["source", "destination", "ignore", "result"].contains(&name)
        {
            section = name.to_owned();
            continue;
        }
        if line.starts_with("COPY ") || line.starts_with("ADD ") {
            case.instructions.push(line.to_owned());
            section = "instruction".to_owned();
            continue;
        }
        let part = match section.as_str() {
            "" => &mut case.head,
            "source" => &mut case.source,
            "destination" => &mut case.destination,
            "ignore" => &mut case.ignore,
            "result" => &mut case.result,
            _ => continue,
        };
        if !line.is_empty() {
            writeln!(part, "{line}").unwrap();
        }
    }
    cases
}

fn print(cases: &[Case]) -> String {
    let mut out = String::new();
    for case in cases {
        out += &case.head;
        for (name, part) in
            [("source", &case.source), ("destination", &case.destination), ("ignore", &case.ignore)]
        {
            if !part.is_empty() {
                write!(out, "{name}:\n{part}").unwrap();
            }
        }
        for instruction in &case.instructions {
            writeln!(out, "{instruction}").unwrap();
        }
        write!(out, "result:\n{}\n", case.result).unwrap();
    }
    out
}

/// Just enough of an instruction: flags and words. `<<name:text` is a heredoc, `--from` keeps owners.
fn parse(instruction: &str) -> CopySpec {
    let mut words = instruction.split_whitespace();
    let add = words.next() == Some("ADD");
    let mut spec = CopySpec::new(Vec::<String>::new(), "");
    spec.unpack = if add { Unpack::Auto } else { Unpack::Never };
    let mut names = Vec::new();
    for word in words {
        match word.split_once('=').unwrap_or((word, "")) {
            ("--from", _) => spec.ownership = Ownership::Keep,
            ("--chown", owner) => {
                let (uid, gid) = owner.split_once(':').unwrap();
                spec.chown = Some((uid.parse().unwrap(), gid.parse().unwrap()));
            }
            ("--chmod", mode) => spec.chmod = Some(mode.parse().unwrap()),
            ("--parents", _) => spec.parents = true,
            ("--link", _) => spec.link = true,
            ("--exclude", pattern) => spec.excludes.push(pattern.to_owned()),
            ("--unpack", "false") => spec.unpack = Unpack::Never,
            ("--unpack", _) => spec.unpack = Unpack::Always,
            _ => names.push(word),
        }
    }
    spec.destination = names.pop().unwrap().into();
    spec.sources = names
        .iter()
        .map(|name| match name.strip_prefix("<<").map(|heredoc| heredoc.split_once(':').unwrap()) {
            Some((name, text)) => CopySource::Inline { name: name.into(), bytes: format!("{text}\n").into() },
            None => CopySource::Path { pattern: (*name).to_owned() },
        })
        .collect();
    if spec.ownership == Ownership::Zero {
        spec.chown = spec.chown.or(own());
    }
    spec
}

/// Whether only root can make the trees of the case and own what it writes.
fn needs_root(case: &Case) -> bool {
    let owned = |text: &str| {
        text.lines().any(|line| {
            let words = line.split_whitespace().take(3).skip(1);
            line.starts_with('c') || words.into_iter().any(|w| w.contains(':') || w.contains(','))
        })
    };
    owned(&case.source)
        || owned(&case.destination)
        || owned(&case.source.replace("\n  ", "\n"))
        || case.instructions.iter().any(|i| i.contains("--chown"))
}

fn execute(case: &Case) -> String {
    let source = super::tree(&case.source);
    let destination = super::tree(&case.destination);
    let ignore = (!case.ignore.is_empty()).then(|| IgnoreRules {
        patterns: Patterns::parse(case.ignore.as_bytes()).unwrap(),
        file: ".dockerignore".into(),
    });
    let mut out = String::new();
    for instruction in &case.instructions {
        match run_ignoring(&parse(instruction), source.path(), destination.path(), ignore.as_ref()) {
            Ok(copied) => {
                for warning in copied.warnings {
                    writeln!(out, "warning: {warning}").unwrap();
                }
            }
            Err(error) => {
                write!(out, "error: {error}").unwrap();
                let source = std::error::Error::source(&error);
                writeln!(out, "{}", source.map(|s| format!(": {s}")).unwrap_or_default()).unwrap();
                return out;
            }
        }
    }
    out += &listing::list(destination.path());
    out
}

#[test]
fn cases_of_testdata() {
    let dir = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../testdata/copy");
    let mut files: Vec<_> = std::fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() > 3, "{} has too few files", dir.display());
    let (mut wrong, mut skipped, mut ran) = (String::new(), 0, 0);
    for file in files {
        let text = std::fs::read_to_string(&file).unwrap();
        let preamble = text.split("## ").next().unwrap_or_default().to_owned();
        let mut cases = cases(&text);
        for case in &mut cases {
            if needs_root(case) && own().is_some() {
                skipped += 1;
                continue;
            }
            ran += 1;
            let result = execute(case);
            if result != case.result {
                let name = case.head.lines().next().unwrap_or_default();
                write!(wrong, "{}: {name}\nexpected:\n{}got:\n{result}\n", file.display(), case.result)
                    .unwrap();
                case.result = result;
            }
        }
        if std::env::var_os("UPDATE_GOLDEN").is_some() {
            std::fs::write(&file, preamble + &print(&cases)).unwrap();
        }
    }
    super::privileged::skipping(skipped, "copy cases about owners and devices");
    assert!(ran > 30, "only {ran} cases");
    assert!(wrong.is_empty() || std::env::var_os("UPDATE_GOLDEN").is_some(), "{wrong}");
}
