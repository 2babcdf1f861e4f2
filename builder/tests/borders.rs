//! Who may depend on whom: `docs/architecture.md` says it, this holds it.
//!
//! The first half asks cargo about the crates, the second reads the sources of `builder/src`. Test code is exempt.

use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Crates that would drag files, sockets or a screen into a crate that must not have them.
const OF_THE_BUILDER_ALONE: [&str; 8] =
    ["builder", "dockerfile-parser", "tar", "indicatif", "clap", "walkdir", "zstd", "flate2"];

#[test]
fn the_parser_depends_on_nom_alone() {
    let workspace = Workspace::read();
    assert_eq!(workspace.direct("dockerfile-parser"), names(&["nom"]));
    assert_eq!(workspace.closure("dockerfile-parser"), names(&["memchr", "nom"]));
}

/// `serde` may be asked for; nothing else that is optional may come in beside it.
#[test]
fn the_parser_has_one_optional_dependency() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../dockerfile-parser/Cargo.toml");
    let manifest = fs::read_to_string(manifest).expect("the parser has a manifest");
    let dependencies = manifest.split("\n[").find_map(|section| section.strip_prefix("dependencies]\n"));
    let dependencies: Vec<_> =
        dependencies.unwrap_or_default().lines().filter(|line| line.contains('=')).collect();
    assert_eq!(dependencies, ["nom.workspace = true", "serde = { workspace = true, optional = true }"]);
    assert!(!manifest.contains("default ="), "no feature is on by default");
}

#[test]
fn the_registry_client_knows_neither_store_nor_dockerfiles_nor_screens() {
    let workspace = Workspace::read();
    let direct = workspace.direct("registry-client");
    let crossed: Vec<_> = OF_THE_BUILDER_ALONE.iter().filter(|name| direct.contains(**name)).collect();
    assert!(crossed.is_empty(), "registry-client depends on {crossed:?}");
}

#[test]
fn the_builder_reaches_the_network_through_the_registry_client() {
    let direct = Workspace::read().direct("builder");
    assert!(direct.is_superset(&names(&["dockerfile-parser", "registry-client"])));
    for client in ["reqwest", "hyper", "rustls", "oci-client", "oci-distribution"] {
        assert!(!direct.contains(client), "builder depends on {client}");
    }
}

#[test]
fn versions_are_written_once() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for member in ["dockerfile-parser", "registry-client", "builder"] {
        let manifest =
            fs::read_to_string(root.join(member).join("Cargo.toml")).expect("a member has a manifest");
        let sections = manifest.split("\n[").filter(|section| {
            let name = section.split(']').next().unwrap_or_default();
            name.ends_with("dependencies")
        });
        for line in sections.flat_map(|section| section.lines().skip(1)) {
            let names_a_crate = line.contains('=') && !line.starts_with('#');
            assert!(!names_a_crate || line.contains("workspace"), "{member}/Cargo.toml: {line}");
        }
    }
}

/// What a folder of `builder/src` may not mention, and why.
const FORBIDDEN: &[(&[&str], &[&str], &str)] = &[
    (
        &["graph", "solve"],
        &[
            "std::fs",
            "tokio::fs",
            "std::net",
            "std::process",
            "rustix::",
            "libc::",
            "SystemTime::now",
            "reqwest",
        ],
        "is pure: it runs in tests without a disk or a container",
    ),
    (
        &["content", "request.rs", "remote.rs", "image"],
        &["std::net", "std::process", "SystemTime::now", "tokio::"],
        "computes on values it is given",
    ),
];

/// Only the command line reads the environment, prints and ends the process. `main.rs` hands over to it.
const OF_THE_COMMAND_LINE: &[&str] = &[
    "env::var",
    "env::vars",
    "println!",
    "eprintln!",
    "print!(",
    "eprint!(",
    "io::stdout",
    "io::stderr",
    "process::exit",
];

#[test]
fn pure_folders_stay_pure() {
    let sources = sources();
    for (folders, words, why) in FORBIDDEN {
        for source in sources.iter().filter(|source| folders.contains(&source.module.as_str())) {
            source.assert_lacks(words, why);
        }
    }
}

#[test]
fn the_command_line_alone_prints_and_reads_the_environment() {
    for source in sources().iter().filter(|source| !["cli", "main.rs"].contains(&source.module.as_str())) {
        source.assert_lacks(
            OF_THE_COMMAND_LINE,
            "is below the command line, which prints and reads the environment",
        );
    }
}

/// The text of one source file without comments and tests, and the folder (or file) of `src` it is in.
struct Source {
    path: PathBuf,
    module: String,
    lines: Vec<(usize, String)>,
}

impl Source {
    fn read(root: &Path, path: PathBuf) -> Source {
        let text = fs::read_to_string(&path).expect("sources are text");
        let below = path.strip_prefix(root).expect("the walk started there");
        let module = below.iter().next().expect("a file has a name").to_string_lossy().into_owned();
        let lines = text
            .lines()
            .enumerate()
            .take_while(|(_, line)| *line != "#[cfg(test)]")
            .filter(|(_, line)| !line.trim_start().starts_with("//"))
            .map(|(index, line)| (index + 1, line.to_owned()))
            .collect();
        Source { path, module, lines }
    }

    #[track_caller]
    fn assert_lacks(&self, words: &[&str], why: &str) {
        for (number, line) in &self.lines {
            for word in words {
                assert!(
                    !line.contains(word),
                    "{}:{number}: `{word}`, but {} {why}",
                    self.path.display(),
                    self.module
                );
            }
        }
    }
}

fn sources() -> Vec<Source> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let found: Vec<_> = walkdir::WalkDir::new(&root)
        .sort_by_file_name()
        .into_iter()
        .map(|entry| entry.expect("sources can be read").into_path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .filter(|path| !path.iter().any(|part| part == "tests" || part == "tests.rs" || part == "testing"))
        .map(|path| Source::read(&root, path))
        .collect();
    assert!(found.len() > 5, "the sources are not where they were");
    found
}

/// What cargo knows about the crates: everything but development dependencies, for a Linux like this one (crates for
/// other systems were never downloaded).
struct Workspace {
    /// Names of what each package depends on, by the package's name.
    dependencies: BTreeMap<String, BTreeSet<String>>,
}

impl Workspace {
    fn read() -> Workspace {
        let output = Command::new(env!("CARGO"))
            .args(["metadata", "--format-version=1", "--locked", "--offline", "--filter-platform"])
            .arg(format!("{}-unknown-linux-gnu", std::env::consts::ARCH))
            .current_dir(env!("CARGO_MANIFEST_DIR"))
            .output()
            .expect("cargo runs");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let metadata: Value = serde_json::from_slice(&output.stdout).expect("cargo prints JSON");
        let text = |value: &Value| value.as_str().expect("cargo names packages").to_owned();
        let list = |value: &Value| value.as_array().expect("cargo prints lists").clone();

        let by_id: BTreeMap<String, String> = list(&metadata["packages"])
            .iter()
            .map(|package| (text(&package["id"]), text(&package["name"])))
            .collect();
        let dependencies = list(&metadata["resolve"]["nodes"])
            .iter()
            .map(|node| {
                let used = list(&node["deps"])
                    .iter()
                    .filter(|dependency| {
                        list(&dependency["dep_kinds"]).iter().any(|kind| kind["kind"].is_null())
                    })
                    .map(|dependency| by_id[&text(&dependency["pkg"])].clone())
                    .collect();
                (by_id[&text(&node["id"])].clone(), used)
            })
            .collect();
        Workspace { dependencies }
    }

    fn direct(&self, package: &str) -> BTreeSet<String> {
        self.dependencies[package].clone()
    }

    fn closure(&self, package: &str) -> BTreeSet<String> {
        let mut reached = BTreeSet::new();
        let mut open = vec![package.to_owned()];
        while let Some(next) = open.pop() {
            open.extend(
                self.dependencies[&next].iter().filter(|name| reached.insert((*name).clone())).cloned(),
            );
        }
        reached
    }
}

fn names(list: &[&str]) -> BTreeSet<String> {
    list.iter().map(|name| (*name).to_owned()).collect()
}
