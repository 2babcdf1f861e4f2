//! `docs/compatibility.md` names tests; each of them must be there.
//!
//! A test is named `file.rs::test` by the end of its path, a case of a text file `file.txt::case`, and a Dockerfile of
//! `testdata/parser` by its directory, `parser/name`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

/// A row of a table: what it is about, what is done, and the tests that show it.
struct Row {
    line: usize,
    does: String,
    tests: Vec<String>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// The rows of all tables, heads and rules left out.
fn rows() -> Vec<Row> {
    let text = fs::read_to_string(root().join("docs/compatibility.md")).expect("docs/compatibility.md");
    let mut rows = Vec::new();
    for (index, line) in text.lines().enumerate() {
        let Some(inner) = line.strip_prefix('|').and_then(|line| line.strip_suffix('|')) else { continue };
        // A pipe of a cell is written `\|`.
        let inner = inner.replace("\\|", "\u{0}");
        let cells: Vec<&str> = inner.split('|').map(str::trim).collect();
        let [about, does, shown] = cells[..] else { panic!("line {}: {} cells", index + 1, cells.len()) };
        if about == "Behaviour" || about.starts_with("---") {
            continue;
        }
        let tests = shown.split('`').skip(1).step_by(2).map(|name| name.replace('\u{0}', "|")).collect();
        rows.push(Row { line: index + 1, does: does.to_owned(), tests });
    }
    rows
}

/// The text of each file that may hold tests, by its path from the root.
fn files() -> BTreeMap<String, String> {
    let root = root();
    let mut files = BTreeMap::new();
    for top in ["builder/src", "builder/tests", "dockerfile-parser", "registry-client", "testdata"] {
        let walk = walkdir::WalkDir::new(root.join(top));
        for entry in walk.into_iter().filter_entry(|entry| entry.file_name() != "target") {
            let entry = entry.expect("the sources can be read");
            let path = entry.path();
            let wanted = path.extension().is_some_and(|ending| ending == "rs" || ending == "txt")
                || path.file_name().is_some_and(|name| name == "Dockerfile");
            if wanted {
                let text = fs::read(path).expect("the sources can be read");
                let below = path.strip_prefix(&root).expect("the walk began there");
                files.insert(format!("/{}", below.display()), String::from_utf8_lossy(&text).into_owned());
            }
        }
    }
    files
}

/// Whether `text`, of a file that ends in `.rs`, holds a test of that name.
fn holds_test(text: &str, name: &str) -> bool {
    // One for root and one for others; one of a table; or one by itself.
    let forms =
        [format!("as_everyone!({name},"), format!("as_everyone!(\n    {name},"), format!("fn {name}(")];
    forms.iter().any(|form| text.contains(form))
}

/// What is wrong with the name of a test.
fn fault(files: &BTreeMap<String, String>, name: &str) -> Option<String> {
    let Some((file, test)) = name.split_once("::") else {
        let there =
            name.starts_with("parser/") && files.contains_key(&format!("/testdata/{name}/Dockerfile"));
        return (!there).then(|| "there is no such directory of testdata".to_owned());
    };
    let found: Vec<_> = files.iter().filter(|(path, _)| path.ends_with(&format!("/{file}"))).collect();
    let [(_, text)] = found[..] else { return Some(format!("{} files are called {file}", found.len())) };
    let there = match file.ends_with(".txt") {
        true => text.lines().any(|line| line == format!("## {test}") || line == format!("== {test}")),
        false => holds_test(text, test),
    };
    (!there).then(|| format!("{file} has no {test}"))
}

#[test]
fn every_test_that_is_named_is_there() {
    let (rows, files) = (rows(), files());
    let mut faults = Vec::new();
    for row in &rows {
        for name in &row.tests {
            faults.extend(fault(&files, name).map(|why| format!("line {}: `{name}`: {why}", row.line)));
        }
    }
    assert!(faults.is_empty(), "{} names:\n{}", faults.len(), faults.join("\n"));
}

/// What is done is shown. Only what is not done has no test, and says "no" or "open".
#[test]
fn every_row_has_a_test() {
    let rows = rows();
    let bare = rows.iter().filter(|row| row.tests.is_empty());
    let silent = |row: &&Row| !["no", "open"].iter().any(|word| row.does.starts_with(word));
    let lines: Vec<_> = bare.filter(silent).map(|row| row.line).collect();
    assert!(lines.is_empty(), "lines without a test: {lines:?}");
    assert!(rows.len() > 400, "only {} rows", rows.len());
}
