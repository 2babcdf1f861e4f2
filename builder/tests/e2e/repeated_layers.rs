//! Images that have the same layer more than once: `RUN true`, a WORKDIR that is there, COPY --link of the same files.

use crate::support::bases;
use crate::support::image::{self, Pulled};
use crate::support::lab::{Lab, as_everyone};
use crate::support::registry::Registry;
use crate::support::tools::run;
use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

const TOOLS: &[&str] =
    &["docker-registry", image::TOOLS[0], image::TOOLS[1], bases::TOOLS[1], bases::TOOLS[2]];

/// A registry with the busybox base; its reference.
fn busybox(lab: &Lab) -> (Registry, String) {
    let registry = Registry::start(&lab.path("docker"));
    let base = registry.push_base("busybox");
    (registry, base)
}

fn text(path: &Path) -> &str {
    path.to_str().expect("the path is text")
}

fn read(path: PathBuf) -> String {
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// How many layers of the image in a layout are there, and how many different ones.
fn layers(layout: &Path, directory: &Path) -> (usize, usize) {
    let image = Pulled::from_layout(layout, "1", directory);
    image.assert_consistent();
    let layers = image.manifest["layers"].as_array().expect("an image has layers");
    let digests: BTreeSet<_> = layers.iter().map(|layer| layer["digest"].to_string()).collect();
    (layers.len(), digests.len())
}

as_everyone!(steps_that_change_nothing, TOOLS, |lab| {
    let (registry, base) = busybox(lab);
    let context = lab.dockerfile(
        "context",
        &format!(
            "FROM {base}\nRUN true\nWORKDIR /tmp\nRUN true\nWORKDIR /tmp\nRUN echo later > /later\nRUN true\n"
        ),
    );
    let reference = registry.reference("repeated:1");
    let layout = lab.path("home/layout");
    lab.build([
        "-t",
        &reference,
        "-o",
        &format!("type=oci,tar=false,dest={}", layout.display()),
        "-o",
        "type=registry",
        "-o",
        "type=image",
        text(&context),
    ]);
    let (all, different) = layers(&layout, &lab.path("pulled"));
    assert!(all == 7 && different < 6, "{different} of {all} layers are different");
    let pulled = Pulled::from_registry(&reference, &lab.path("from-registry"));
    assert_eq!(read(pulled.file("/later")), "later\n");

    // From the store: its steps, its files, its programs.
    let context = lab
        .dockerfile("next", &format!("FROM {reference}\nRUN cat /later > /next\nRUN true\nCMD cat /next\n"));
    let out = lab.path("home/out");
    lab.build([
        "-t",
        "next",
        "-o",
        "type=image",
        "-o",
        &format!("type=local,dest={}", out.display()),
        text(&context),
    ]);
    assert_eq!(read(out.join("next")), "later\n");
    assert_eq!(lab.verb(["run", "next"]), "later\n");
    assert_eq!(lab.verb(["run", "--read-only", "next"]), "later\n");

    // And out of it, into another one.
    let archive = lab.path("home/next.tar");
    lab.verb(["save", "-o", text(&archive), "next"]);
    let other = lab.directory("other");
    for arguments in [vec!["load", "-i", text(&archive)], vec!["run", "next"]] {
        let printed = run(lab.command(&arguments).env("SLIPWAY_ROOT", &other));
        assert!(arguments[0] == "load" || printed == "later\n", "{printed}");
    }
    let context = lab.dockerfile("again", "FROM next\nRUN cat /next > /again\n");
    run(lab.command(["build", "--progress=plain", text(&context)]).env("SLIPWAY_ROOT", &other));
});

as_everyone!(a_linked_copy_comes_again, TOOLS, |lab| {
    let (_registry, base) = busybox(lab);
    let context = lab.dockerfile(
        "context",
        &format!(
            "FROM {base}\nCOPY --link files /files\nRUN rm /files/deleted && echo changed > /files/changed && touch /files/new\n\
             COPY --link files /files\nRUN cat /files/deleted /files/changed > /files/both\n\
             COPY --link files /files\nRUN ls /files > /list\n"
        ),
    );
    lab.file("context/files/deleted", "from the context\n");
    lab.file("context/files/changed", "as it was\n");
    let (layout, out) = (lab.path("home/layout"), lab.path("home/out"));
    lab.build([
        "-t",
        "linked:1",
        "-o",
        &format!("type=oci,tar=false,dest={}", layout.display()),
        "-o",
        &format!("type=local,dest={}", out.display()),
        text(&context),
    ]);
    assert_eq!(read(out.join("files/both")), "from the context\nas it was\n");
    assert_eq!(read(out.join("list")), "both\nchanged\ndeleted\nnew\n");
    assert_eq!(layers(&layout, &lab.path("pulled")), (7, 5));
    lab.build([&context]).assert_all_cached();
});
