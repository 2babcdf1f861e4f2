//! Dockerfiles with what must come of them: `testdata/parser/<name>/{Dockerfile,ast.txt,diagnostics.txt}`.
//!
//! `UPDATE_GOLDEN=1 cargo test -p dockerfile-parser --test golden` rewrites the last two; the diff is to be reviewed.

use dockerfile_parser::{diagnostic, parse};
use std::fs;
use std::path::{Path, PathBuf};

/// What is parsed, and what is found: the contents of `ast.txt` and `diagnostics.txt`.
fn outcome(source: &[u8]) -> (String, String) {
    let (ast, diagnostics) = match parse(source) {
        Ok(parsed) => (format!("{:#?}\n", parsed.dockerfile), parsed.warnings),
        Err(errors) => (String::new(), errors),
    };
    let rendered: Vec<String> = diagnostics
        .iter()
        .map(|d| format!("[{}] {}", d.code, diagnostic::render("Dockerfile", source, d)))
        .collect();
    (ast, rendered.join("\n"))
}

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/parser");
    let mut cases: Vec<PathBuf> =
        fs::read_dir(folder).expect("testdata/parser").map(|entry| entry.expect("an entry").path()).collect();
    cases.sort();
    cases
}

#[test]
fn golden() {
    let update = std::env::var_os("UPDATE_GOLDEN").is_some();
    let cases = cases();
    assert!(cases.len() >= 250, "only {} cases", cases.len());
    for case in cases {
        let source = fs::read(case.join("Dockerfile")).expect("a Dockerfile");
        let (ast, diagnostics) = outcome(&source);
        for (name, actual) in [("ast.txt", ast), ("diagnostics.txt", diagnostics)] {
            let path = case.join(name);
            if update {
                fs::write(&path, &actual).expect("testdata can be written");
                continue;
            }
            let expected =
                fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
            assert!(actual == expected, "{} is now:\n{actual}\n\n(it was:\n{expected})", path.display());
        }
    }
}

/// A file that is wrong has an error, one that is right an AST: no case may slip from one to the other by an update.
#[test]
fn names_tell_the_outcome() {
    for case in cases() {
        let name = case.file_name().expect("a name").to_string_lossy().into_owned();
        let source = fs::read(case.join("Dockerfile")).expect("a Dockerfile");
        assert_eq!(parse(&source).is_err(), name.starts_with("bad-"), "{name}");
    }
}
