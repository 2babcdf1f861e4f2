//! Corners of the language, and of layers.

use super::{ANYWHERE, BUILDAHS, Input, build_arguments};
use crate::support::image::Pulled;
use crate::support::lab::{Lab, entries};
use crate::support::peer;
use flate2::read::GzDecoder;
use serde_json::json;
use std::fs::{self, File};
use std::path::Path;

#[test]
fn language() {
    let Some(input) = Input::prepare("language", &["onbuild", "debian"]) else { return };
    let target = ["--target", "final"];
    let peer = input.peer(Some(peer::dockerfile), &target);
    for lab in input.users() {
        let context = lab.real_input("language");
        let pulled = input.build(&lab, &context, &target);
        pulled.tree.assert_same(&peer.tree, &ANYWHERE);
        pulled.assert_same_config(
            &peer,
            &[
                BUILDAHS[0],
                BUILDAHS[1],
                BUILDAHS[2],
                ("/config/Cmd", "buildah 1.28 forgets the SHELL of the stage that FROM names"),
                ("/config/Shell", "buildah 1.28 forgets the SHELL of the stage that FROM names"),
            ],
        );
        let cmd = json!(["/bin/bash", "-euo", "pipefail", "-c", "echo \"version $VERSION\""]);
        assert_eq!(pulled.config["config"]["Cmd"], cmd);

        let tree = &pulled.tree;
        assert!(tree.get("/usr/local/bin/bind-low").xattrs.contains_key("security.capability"));
        assert!(tree.get("/data/linked/c").is_same_file_as("/data/linked/a"));
        assert!(tree.get("/copied/c").is_same_file_as("/copied/a"));
        assert_eq!((tree.get("/copied/a").uid, tree.get("/copied/a").gid), (7, 8));
        assert_eq!(tree.get("/data/kept/file").mode, 0o4755);
        assert!(!tree.0.contains_key("/data/gone") && !tree.0.contains_key("/srv/removed"));
        assert_eq!(entries(&pulled.file("/srv/emptied")), ["shown"]);
        assert_eq!(entries(&pulled.file("/texts")), ["bye.txt", "hello.txt"]);
        assert_eq!(
            fs::read_to_string(pulled.file("/etc/messages/MOTD")).ok().as_deref(),
            Some("version 1.2.3, major 1\n")
        );

        let names = layer_entries(&lab.path("pulled/layout"), &pulled);
        for whiteout in ["data/.wh.gone", "data/linked/.wh.b"] {
            assert!(names.iter().any(|name| name == whiteout), "no layer has {whiteout}");
        }
        assert_eq!(lab.verb(["run", &input.reference(&lab)]), "version 1.2.3\n");

        targets(&input, &lab, &context);
        lab.assert_nothing_left();
    }
}

/// The stages in the middle can be built by themselves; the last one when none is named.
fn targets(input: &Input, lab: &Lab, context: &Path) {
    let mut arguments = build_arguments(&input.registry, context);
    let middle = input.registry.reference("language/triggered");
    arguments.extend(
        ["--build-arg=GREETING=good day", "--target=triggered", "--push", "--tag", &middle]
            .map(str::to_owned),
    );
    arguments.push(context.display().to_string());
    lab.build(&arguments);
    let pulled = Pulled::from_registry(&middle, &lab.path("triggered"));
    assert_eq!(
        fs::read_to_string(pulled.file("/srv/trigger.txt")).ok().as_deref(),
        Some("good day from the trigger\n")
    );
    assert_eq!(pulled.config["config"]["OnBuild"], json!(null), "triggers are spent: {}", pulled.config);
    assert_eq!(pulled.config["config"]["WorkingDir"], "/srv/app");

    let texts = lab.directory("texts");
    let mut arguments = build_arguments(&input.registry, context);
    arguments.extend(["--output".to_owned(), texts.display().to_string(), context.display().to_string()]);
    lab.build(&arguments);
    assert_eq!(entries(&texts), ["bye.txt", "hello.txt"]);
}

/// The names in every layer of an OCI layout that skopeo wrote.
fn layer_entries(layout: &Path, pulled: &Pulled) -> Vec<String> {
    let digests = pulled.manifest["layers"].as_array().expect("a manifest has layers").iter();
    let blobs =
        digests.map(|layer| layer["digest"].as_str().expect("a layer has a digest").replace(':', "/"));
    let mut names = Vec::new();
    for blob in blobs {
        let file = File::open(layout.join("blobs").join(blob)).expect("the layout has its layers");
        let mut archive = tar::Archive::new(GzDecoder::new(file));
        for entry in archive.entries().expect("a tar archive") {
            let entry = entry.expect("a whole tar archive");
            names.push(String::from_utf8_lossy(&entry.path_bytes()).trim_start_matches("./").to_owned());
        }
    }
    names
}
