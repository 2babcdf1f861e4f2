//! The form of the cases.
//!
//! ```text
//! == its name
//! % argument --build-arg=A=b            for both
//! % ignore *.log                        a line of the ignore file
//! % crlf                                lines of the Dockerfile end in CR and LF
//! % config /config/Shell: the reason    a member of the config that may differ
//! % tree /etc/: the reason              a path, a tree, or an ending (`*.pyc`) that may differ
//! FROM busybox
//! ...
//! ```

use std::fs;
use std::path::Path;

/// One Dockerfile.
#[derive(Debug, Default)]
pub(super) struct Case {
    pub(super) name: String,
    pub(super) dockerfile: String,
    pub(super) arguments: Vec<String>,
    /// The ignore file.
    pub(super) ignore: Option<String>,
    /// JSON pointers of what may differ, each with the reason.
    pub(super) config: Vec<(String, String)>,
    /// Paths that may differ, each with the reason.
    pub(super) tree: Vec<(String, String)>,
}

/// The cases of one file.
pub(super) fn read(path: &Path) -> Vec<Case> {
    let text = fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut cases: Vec<Case> = Vec::new();
    let mut ending = "\n";
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("== ") {
            cases.push(Case { name: name.to_owned(), ..Case::default() });
            ending = "\n";
            continue;
        }
        // What stands before the first case is for the reader.
        let Some(case) = cases.last_mut() else { continue };
        let Some(setting) = line.strip_prefix("% ") else {
            case.dockerfile.push_str(line);
            case.dockerfile.push_str(ending);
            continue;
        };
        let (key, value) = setting.split_once(' ').unwrap_or((setting, ""));
        let reasoned = || {
            let (what, why) =
                value.split_once(": ").unwrap_or_else(|| panic!("{}: {line}: no reason", case.name));
            (what.to_owned(), why.to_owned())
        };
        match key {
            "argument" => case.arguments.push(value.to_owned()),
            "ignore" => case.ignore.get_or_insert_default().push_str(&format!("{value}\n")),
            "crlf" => ending = "\r\n",
            "config" => case.config.push(reasoned()),
            "tree" => case.tree.push(reasoned()),
            _ => panic!("{}: what is {line:?}?", case.name),
        }
    }
    assert!(!cases.is_empty(), "{} holds no cases", path.display());
    cases
}
