//! The Dockerfiles of `testdata/compared/`: what comes of each is what buildah makes of it, config and file tree.
//!
//! A file there holds cases; see `cases.rs` for their form. buildah builds each once, we as root and unprivileged. What
//! differs is written in the case, with the reason.

mod cases;
mod context;

use crate::support::bases;
use crate::support::image::{effective, remove, tidy};
use crate::support::lab::{Lab, Who};
use crate::support::layers::Flat;
use crate::support::listing::covers;
use crate::support::tools::{both, output, run, testdata, tool};
use cases::Case;
use std::cell::Cell;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The release of buildah that the differences in the cases are those of.
const WRITTEN_FOR: &str = "1.28";

/// What every configuration may differ in.
const CONFIGS: [(&str, &str); 2] = [
    ("/config/Hostname", "buildah stores the name of its working container"),
    ("/config/ArgsEscaped", "BuildKit sets it with every CMD, and so do we"),
];

/// What every tree may differ in. buildah makes places for what it binds for RUN, and leaves them in the image.
const PLACES: [&str; 7] =
    ["/dev", "/etc/hostname", "/etc/hosts", "/etc/resolv.conf", "/proc", "/run", "/sys"];

/// The base images, under the names that the cases have for them.
const BASES: [&str; 2] = ["busybox", "onbuild"];

#[test]
fn format() {
    compare("format");
}

#[test]
fn variables() {
    compare("variables");
}

#[test]
fn metadata() {
    compare("metadata");
}

#[test]
fn run_steps() {
    compare("run");
}

#[test]
fn copies() {
    compare("copy");
}

#[test]
fn additions() {
    compare("add");
}

#[test]
fn stages() {
    compare("stages");
}

#[test]
fn ignored() {
    compare("ignore");
}

/// There are as many as the project promises, and no two of one name.
#[test]
fn there_are_enough() {
    let mut names = Vec::new();
    for entry in fs::read_dir(testdata("compared")).expect("testdata/compared") {
        let path = entry.expect("an entry").path();
        names.extend(cases::read(&path).into_iter().map(|case| case.name));
    }
    let all = names.len();
    names.sort();
    names.dedup();
    assert_eq!(names.len(), all, "names are given twice");
    assert!(all >= 120, "only {all} cases");
}

/// Builds the cases of one file with both, and compares.
fn compare(group: &str) {
    let name = format!("compared::{group}");
    let tools: Vec<&str> =
        ["buildah", "skopeo", "tar", "bzip2", "xz", "zstd"].into_iter().chain(bases::TOOLS).collect();
    let Some(bench) = Lab::new(&name, Who::Root, &tools) else { return };
    let cases = cases::read(&testdata("compared").join(format!("{group}.txt")));
    let context = context::make(&bench);
    let peer = Peer::new(&bench);
    let labs: Vec<Ours> = [Who::Root, Who::Unprivileged]
        .into_iter()
        .filter_map(|who| Lab::new(&name, who, &[]))
        .map(Ours::new)
        .collect();
    let mut failures = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        let dockerfile = bench.file(&format!("cases/{number}/Dockerfile"), &case.dockerfile);
        if let Some(ignore) = &case.ignore {
            bench.file(&format!("cases/{number}/Dockerfile.dockerignore"), ignore);
        }
        let theirs = match peer.build(case, &dockerfile, &context) {
            Ok(theirs) => theirs,
            Err(error) => {
                failures.push(format!("{} (buildah): {error}", case.name));
                continue;
            }
        };
        for lab in &labs {
            let who = lab.lab.who();
            let ours = match lab.build(case, &dockerfile) {
                Ok(ours) => ours,
                Err(error) => {
                    failures.push(format!("{} ({who:?}): {error}", case.name));
                    continue;
                }
            };
            failures.extend(
                differences(case, &ours, &theirs, peer.is_written_for())
                    .map(|text| format!("{} ({who:?}): {text}", case.name)),
            );
        }
    }
    for ours in &labs {
        ours.lab.assert_nothing_left();
    }
    assert!(failures.is_empty(), "{} differences:\n{}", failures.len(), failures.join("\n"));
}

/// What is not the same and not allowed to differ; and, with the buildah that the cases were written for, what is allowed
/// to differ and does not.
fn differences(case: &Case, ours: &Flat, theirs: &Flat, strict: bool) -> impl Iterator<Item = String> {
    let mut found = Vec::new();
    let mut configs = [effective(&ours.config), effective(&theirs.config)];
    for (pointer, _) in &case.config {
        if strict && configs[0].pointer(pointer) == configs[1].pointer(pointer) {
            found.push(format!("{pointer} may differ in the config, and does not"));
        }
    }
    for config in &mut configs {
        // BuildKit names the working directory even when it is the root, and so do we.
        if config["config"]["WorkingDir"] == "/" {
            remove(config, "/config/WorkingDir");
        }
        for pointer in CONFIGS
            .iter()
            .map(|(pointer, _)| *pointer)
            .chain(case.config.iter().map(|(pointer, _)| &**pointer))
        {
            remove(config, pointer);
        }
    }
    let [ours_config, theirs_config] = configs.map(tidy);
    if ours_config != theirs_config {
        found.push(format!("config\n    ours:  {ours_config}\n    peer:  {theirs_config}"));
    }
    let mut differing = ours.tree.differences(&theirs.tree);
    differing.retain(|(path, _)| ours.tree.0.contains_key(path) || !PLACES.contains(&&**path));
    for (pattern, _) in &case.tree {
        let before = differing.len();
        differing.retain(|(path, _)| !covers(pattern, path));
        if strict && differing.len() == before {
            found.push(format!("{pattern} may differ in the tree, and does not"));
        }
    }
    found.extend(differing.into_iter().map(|(_, text)| text));
    found.into_iter()
}

/// buildah, with a store of its own.
struct Peer {
    directory: PathBuf,
    version: String,
}

impl Peer {
    fn new(bench: &Lab) -> Peer {
        let version = run(tool("buildah").arg("--version"));
        let peer = Peer { directory: bench.directory("buildah"), version };
        for name in BASES {
            let id = run(peer
                .command()
                .args(["pull", "--quiet"])
                .arg(format!("dir:{}", bases::base(name).display())));
            run(peer.command().args(["tag", id.trim(), &format!("localhost/{name}")]));
        }
        peer
    }

    fn is_written_for(&self) -> bool {
        self.version.split_whitespace().nth(2).is_some_and(|number| number.starts_with(WRITTEN_FOR))
    }

    fn command(&self) -> Command {
        let mut command = tool("buildah");
        command
            .arg("--root")
            .arg(self.directory.join("root"))
            .arg("--runroot")
            .arg(self.directory.join("run"));
        command.env("TMPDIR", &self.directory);
        command
    }

    /// One process does all: the image goes straight into a directory.
    fn build(&self, case: &Case, dockerfile: &Path, context: &Path) -> Result<Flat, String> {
        let out = dockerfile.with_file_name("theirs");
        let mut command = self.command();
        // The docker format keeps HEALTHCHECK, SHELL and ONBUILD; `--layers=false` makes one layer, which is the fastest.
        command.args([
            "build",
            "--quiet",
            "--format=docker",
            "--layers=false",
            "--isolation=chroot",
            "--network=host",
        ]);
        command.args(["--identity-label=false", "--pull=false"]).arg("--file").arg(dockerfile);
        if case.ignore.is_some() {
            command.arg("--ignorefile").arg(dockerfile.with_extension("dockerignore"));
        }
        command.args(&case.arguments).arg("--tag").arg(format!("dir:{}", out.display())).arg(context);
        let ended = output(&mut command);
        if ended.status.success() { Ok(Flat::read(&out)) } else { Err(both(&ended)) }
    }
}

/// Our program, with a store of one user that holds the bases.
struct Ours {
    lab: Lab,
    context: PathBuf,
    built: Cell<usize>,
}

impl Ours {
    fn new(lab: Lab) -> Ours {
        for name in BASES {
            let archive = lab.path(format!("{name}.tar"));
            run(tool("skopeo")
                .args([
                    "copy",
                    "--quiet",
                    "--insecure-policy",
                    &format!("dir:{}", bases::base(name).display()),
                ])
                .arg(format!("docker-archive:{}:{name}:latest", archive.display())));
            lab.verb(["load", "--input", &archive.display().to_string()]);
        }
        let context = context::make(&lab);
        Ours { lab, context, built: Cell::new(0) }
    }

    fn build(&self, case: &Case, dockerfile: &Path) -> Result<Flat, String> {
        self.built.set(self.built.get() + 1);
        let out = self.lab.directory(&format!("ours/{}", self.built.get()));
        let mut arguments = vec![
            format!("--output=type=oci,tar=false,compression=uncompressed,dest={}", out.display()),
            format!("--file={}", dockerfile.display()),
        ];
        arguments.extend(case.arguments.iter().cloned());
        arguments.push(self.context.display().to_string());
        let build = self.lab.try_build(&arguments);
        if build.status == Some(0) { Ok(Flat::read(&out)) } else { Err(build.text) }
    }
}
