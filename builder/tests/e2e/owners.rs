//! One user, with subordinate ids and without, on one store.

use crate::support::bases;
use crate::support::lab::{Lab, Who};
use crate::support::output::Build;
use crate::support::registry::Registry;
use crate::support::tools::{output, run};
use std::fs;
use std::path::Path;

const TOOLS: &[&str] = &["docker-registry", "skopeo", "unshare", "setpriv", bases::TOOLS[1], bases::TOOLS[2]];

/// Who maps what.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ids {
    Ranges,
    One,
}

/// Builds `context`; what runs, and the owners that a program saw.
#[track_caller]
fn build(lab: &Lab, ids: Ids, context: &Path) -> (Build, String) {
    let out = lab.path("home/out");
    let export = format!("type=local,dest={}", out.display());
    let arguments =
        ["build", "--progress=plain", "-t", "owners", "-o", "type=image", "-o", &export].map(Path::new);
    let arguments = arguments.into_iter().chain([context]);
    let build = Build::from(output(&mut match ids {
        Ids::Ranges => lab.command(arguments),
        Ids::One => lab.command_with_one_id(arguments),
    }));
    assert_eq!(build.status, Some(0), "{ids:?}: {}", build.text);
    assert_eq!(build.text.contains("only one user id can be mapped"), ids == Ids::One, "{}", build.text);
    let seen = fs::read_to_string(out.join("seen")).expect("the image has it");
    (build, seen)
}

fn check(name: &str, order: &[Ids]) {
    let Some(lab) = Lab::new(name, Who::Unprivileged, TOOLS) else { return };
    let registry = Registry::start(&lab.path("docker"));
    let busybox = registry.push_base("busybox");
    let base = registry.reference("base:1");
    let image = lab.dockerfile(
        "base",
        &format!("FROM {busybox}\nRUN echo text > /owned && chmod 600 /owned && chown 7:8 /owned\n"),
    );
    // With a store of its own: this one knows only what a registry says.
    let mut command = lab.command(["build", "-t", &base, "--push"]);
    run(command.arg(&image).env("SLIPWAY_ROOT", lab.path("home/other")));

    let context = lab.dockerfile(
        "context",
        &format!(
            "FROM {base}\n\
             RUN --mount=type=cache,target=/c if [ ! -e /c/x ]; then \
             echo cached > /c/x && chmod 600 /c/x && (chown 7 /c/x || true); fi && cat /c/x\n\
             RUN stat -c %u:%g /owned > /seen && cat /owned\n\
             COPY file /file\n"
        ),
    );
    lab.file("context/file", "content");
    let owners = |ids| match ids {
        Ids::Ranges => "7:8\n",
        Ids::One => "0:0\n",
    };
    for &ids in order {
        let (build, seen) = build(&lab, ids, &context);
        assert_eq!(seen, owners(ids), "{ids:?}");
        assert_eq!(build.executed().len(), 3, "{ids:?}: {}", build.text);
    }
    // Each finds its own again.
    for &ids in order {
        let (build, seen) = build(&lab, ids, &context);
        assert_eq!(seen, owners(ids), "{ids:?}");
        build.assert_all_cached();
        let stat = ["run", "owners", "stat", "-c", "%u:%g", "/owned"];
        let printed = run(&mut match ids {
            Ids::Ranges => lab.command(stat),
            Ids::One => lab.command_with_one_id(stat),
        });
        assert_eq!(printed, owners(ids), "{ids:?}");
    }
    lab.verb(["rmi", "owners"]);
    lab.assert_nothing_left();
}

#[test]
fn ranges_after_one_id() {
    check("ranges_after_one_id", &[Ids::One, Ids::Ranges]);
}

#[test]
fn one_id_after_ranges() {
    check("one_id_after_ranges", &[Ids::Ranges, Ids::One]);
}
