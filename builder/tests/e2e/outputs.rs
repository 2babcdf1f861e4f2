//! What a build can be asked to make.

use crate::support::bases;
use crate::support::image::{self, Pulled};
use crate::support::lab::{Lab, as_everyone, entries};
use crate::support::registry::Registry;
use crate::support::tools::{run, tool};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

const TOOLS: &[&str] =
    &["docker-registry", image::TOOLS[0], image::TOOLS[1], "podman", bases::TOOLS[1], bases::TOOLS[2]];

/// A small image with a deletion in it.
fn context(lab: &Lab) -> (Registry, PathBuf) {
    let registry = Registry::start(&lab.path("docker"));
    let base = registry.push_base("busybox");
    let context = lab.dockerfile(
        "context",
        &format!("FROM {base}\nRUN mkdir /d && touch /d/gone /d/kept\nRUN rm /d/gone\nCOPY --chown=1:2 f /f\nCMD [\"cat\", \"/f\"]\n"),
    );
    lab.file("context/f", "content\n");
    (registry, context)
}

fn build(lab: &Lab, context: &Path, arguments: &[&str]) {
    lab.build(arguments.iter().copied().chain([path(context)]));
}

fn path(path: &Path) -> &str {
    path.to_str().expect("the path is text")
}

fn json(path: &Path) -> Value {
    let text = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

as_everyone!(oci, TOOLS, |lab| {
    let (registry, context) = context(lab);
    let reference = registry.reference("out/app:1");
    build(lab, &context, &["-t", &reference, "--push"]);
    let pushed = Pulled::from_registry(&reference, &lab.path("pushed"));

    let archive = lab.path("home/oci.tar");
    build(lab, &context, &["-t", "app:1", "-o", &format!("type=oci,dest={}", archive.display())]);
    let unpacked = lab.path("unpacked");
    fs::create_dir(&unpacked).expect("the laboratory is writable");
    run(tool("tar").arg("-xf").arg(&archive).arg("-C").arg(&unpacked));
    let directory = lab.path("home/layout");
    build(lab, &context, &["-t", "app:1", "-o", &format!("type=oci,tar=false,dest={}", directory.display())]);
    for (layout, name) in [(&unpacked, "from-tar"), (&directory, "from-directory")] {
        assert_eq!(json(&layout.join("oci-layout"))["imageLayoutVersion"], "1.0.0");
        let manifest = json(&layout.join("index.json"))["manifests"][0].clone();
        let tag = manifest["annotations"]["org.opencontainers.image.ref.name"]
            .as_str()
            .expect("the image has a name");
        let image = Pulled::from_layout(layout, tag, &lab.path(name));
        image.assert_consistent();
        image.assert_same_config(&pushed, &[]);
        image.tree.assert_same(&pushed.tree, &[]);
    }
    assert!(!pushed.tree.0.contains_key("/d/gone") && pushed.tree.0.contains_key("/d/kept"));
});

as_everyone!(compression, TOOLS, |lab| {
    let (registry, context) = context(lab);
    for (kind, ending) in [("gzip", "tar+gzip"), ("zstd", "tar+zstd"), ("uncompressed", "tar")] {
        let reference = registry.reference(&format!("out/{kind}:1"));
        let output = format!(
            "type=registry,name={reference},compression={kind},force-compression=true,oci-mediatypes=true"
        );
        build(lab, &context, &["-o", &output]);
        let manifest = run(tool("skopeo")
            .args(["inspect", "--raw", "--tls-verify=false"])
            .arg(format!("docker://{reference}")));
        let manifest: serde_json::Value = serde_json::from_str(&manifest).expect("a manifest is JSON");
        for layer in manifest["layers"].as_array().expect("a manifest has layers") {
            assert_eq!(layer["mediaType"], format!("application/vnd.oci.image.layer.v1.{ending}"));
        }
        if kind == "zstd" {
            // Debian's umoci does not know zstd; our own pull into an empty store unpacks and verifies.
            let store = lab.path("home/another-store");
            run(lab.command(["run", &reference, "cat", "/f"]).env("SLIPWAY_ROOT", store));
            continue;
        }
        let pulled = Pulled::from_registry(&reference, &lab.path(kind));
        assert!(pulled.tree.0.contains_key("/f"));
    }
});

as_everyone!(docker, TOOLS, |lab| {
    let (_registry, context) = context(lab);
    let archive = lab.path("home/docker.tar");
    build(
        lab,
        &context,
        &["-t", "app:1", "-t", "app:2", "-o", &format!("type=docker,dest={}", archive.display())],
    );
    let source = format!("docker-archive:{}", archive.display());
    let config: Value = serde_json::from_str(&run(tool("skopeo").args(["inspect", "--config", &source])))
        .expect("skopeo prints JSON");
    assert_eq!(config["config"]["Cmd"], serde_json::json!(["cat", "/f"]));
    let names = run(tool("tar").arg("-xOf").arg(&archive).arg("manifest.json"));
    let manifest: Value = serde_json::from_str(&names).expect("manifest.json is JSON");
    assert_eq!(manifest[0]["RepoTags"].as_array().map(Vec::len), Some(2), "{manifest}");

    let podman = || {
        let mut command = tool("podman");
        command.arg("--root").arg(lab.path("podman/root")).arg("--runroot").arg(lab.path("podman/run"));
        command
    };
    run(podman().arg("load").arg("-i").arg(&archive));
    assert!(run(podman().args(["images", "--format", "{{.Repository}}:{{.Tag}}"])).contains("app:2"));
    // Into another store by `load`, out of it by `save`.
    let (saved, other) = (lab.path("home/saved.tar"), lab.directory("other-store"));
    for arguments in [["load", "-i", path(&archive), ""], ["save", "-o", path(&saved), "app:1"]] {
        let given = arguments.iter().filter(|argument| !argument.is_empty());
        run(lab.command(given).env("SLIPWAY_ROOT", &other));
    }
    run(tool("skopeo").args(["inspect", "--config"]).arg(format!("docker-archive:{}", saved.display())));
});

as_everyone!(files, TOOLS, |lab| {
    let (registry, context) = context(lab);
    let reference = registry.reference("out/files:1");
    build(lab, &context, &["-t", &reference, "--push"]);
    let pushed = Pulled::from_registry(&reference, &lab.path("pushed"));
    let expected: BTreeSet<_> = pushed.tree.0.keys().cloned().collect();

    let archive = lab.path("home/files.tar");
    build(lab, &context, &["-o", &format!("type=tar,dest={}", archive.display())]);
    let piped = lab.command(["build", "-q", "-o", "-"]).arg(&context).output().expect("the program starts");
    assert_eq!(
        piped.stdout,
        fs::read(&archive).expect("the archive was written"),
        "-o - writes the same archive"
    );
    let mut names = BTreeSet::from(["/".to_owned()]);
    for entry in
        tar::Archive::new(File::open(&archive).expect("the archive was written")).entries().expect("a tar")
    {
        let entry = entry.expect("a whole tar archive");
        let path = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let path = format!("/{}", path.trim_start_matches("./").trim_end_matches('/'));
        if path == "/f" {
            assert_eq!((entry.header().uid().ok(), entry.header().gid().ok()), (Some(1), Some(2)));
        }
        names.insert(path);
    }
    assert_eq!(names, expected);

    // A directory belongs to the caller.
    let directory = lab.directory("files");
    build(lab, &context, &["-o", path(&directory)]);
    let local = crate::support::listing::Listing::of(&directory);
    assert_eq!(local.0.keys().cloned().collect::<BTreeSet<_>>(), expected);
    let owner = local.get("/f");
    assert_eq!(format!("{}:{}", owner.uid, owner.gid), lab.owner());
});

as_everyone!(reports, TOOLS, |lab| {
    let (registry, context) = context(lab);
    let (id_file, metadata_file) = (lab.path("home/iid"), lab.path("home/metadata.json"));
    let (first, second) = (registry.reference("out/app:1"), registry.reference("other/app:2"));
    let built = lab.build([
        "-q",
        "-t",
        &first,
        "-t",
        &second,
        "--push",
        "--iidfile",
        path(&id_file),
        "--metadata-file",
        path(&metadata_file),
        path(&context),
    ]);
    let id = fs::read_to_string(&id_file).expect("--iidfile writes a file");
    assert_eq!(String::from_utf8_lossy(&built.stdout).trim(), id.trim(), "-q prints the image ID alone");
    let metadata = json(&metadata_file);
    let digest = metadata["containerimage.digest"].as_str().expect("the image has a digest").to_owned();
    assert_eq!(metadata["containerimage.config.digest"], id.trim(), "{metadata}");
    // Files alone have nothing to tell; a build that fails leaves no ID behind.
    let only = lab.path("home/only.json");
    lab.build(["-o", path(&lab.directory("only")), "--metadata-file", path(&only), path(&context)]);
    assert_eq!(json(&only), serde_json::json!({}));
    let failing = lab.dockerfile("failing", "FROM scratch\nCOPY missing /\n");
    assert_ne!(lab.try_build(["--iidfile", path(&id_file), path(&failing)]).status, Some(0));
    assert!(!id_file.exists());
    for reference in [first, second] {
        let seen = run(tool("skopeo")
            .args(["inspect", "--tls-verify=false", "--format", "{{.Digest}}"])
            .arg(format!("docker://{reference}")));
        assert_eq!(seen.trim(), digest, "{reference}");
    }
});

as_everyone!(the_same_bytes_again, TOOLS, |lab| {
    let (registry, context) = context(lab);
    let mut digests = BTreeSet::new();
    for number in 1..=2 {
        let reference = registry.reference(&format!("out/reproduced:{number}"));
        let mut command = lab.command(["build", "--progress=plain", "--push", "-t", &reference]);
        command.arg(&context).env("SOURCE_DATE_EPOCH", "1600000000");
        command.env("SLIPWAY_ROOT", lab.directory(&format!("store-{number}")));
        run(&mut command);
        let seen = run(tool("skopeo")
            .args(["inspect", "--tls-verify=false", "--format", "{{.Digest}}"])
            .arg(format!("docker://{reference}")));
        digests.insert(seen);
    }
    assert_eq!(digests.len(), 1, "two stores made two images: {digests:?}");
});

/// The blobs of the lab's store that hold a layer, by their digests: how each is stored, and when that was.
fn layer_blobs(store: &Path) -> BTreeMap<String, (&'static str, SystemTime)> {
    let directory = store.join("blobs/sha256");
    let kind = |name: &String| {
        let path = directory.join(name);
        let mut start = Vec::new();
        File::open(&path)
            .and_then(|file| file.take(512).read_to_end(&mut start))
            .expect("a blob can be read");
        let kind = match start[..] {
            [0x1f, 0x8b, ..] => "gzip",
            [0x28, 0xb5, 0x2f, 0xfd, ..] => "zstd",
            [b'{', ..] => return None,
            _ => "tar",
        };
        Some((kind, fs::metadata(&path).and_then(|found| found.modified()).expect("a time")))
    };
    entries(&directory).into_iter().filter_map(|name| Some((name.clone(), kind(&name)?))).collect()
}

as_everyone!(layers_have_the_forms_that_are_wanted, TOOLS, |lab| {
    let registry = Registry::start(&lab.path("docker"));
    let context = lab.dockerfile("context", "FROM scratch\nCOPY f /f\nCOPY small /small\n");
    lab.file("context/f", "content\n".repeat(400_000));
    lab.file("context/small", "content\n");
    let built = |store: &str, arguments: &[&str]| {
        let store = lab.directory(store);
        let mut command = lab.command(["build", "--progress=plain"]);
        run(command
            .args(arguments)
            .arg(&context)
            .env("SLIPWAY_ROOT", &store)
            .env("SOURCE_DATE_EPOCH", "1600000000"));
        layer_blobs(&store)
    };
    let kinds = |blobs: &BTreeMap<String, (&'static str, SystemTime)>| {
        let mut kinds: Vec<_> = blobs.values().map(|(kind, _)| *kind).collect();
        kinds.sort_unstable();
        kinds.join(" ")
    };
    let archive = |name: &str| lab.path(format!("home/{name}.tar"));
    let oci = |name: &str, more: &str| format!("type=oci,dest={}{more}", archive(name).display());
    let bytes = |name: &str| fs::read(archive(name)).expect("the archive was written");

    // The store alone compresses nothing; an archive alone leaves no tar behind.
    assert_eq!(kinds(&built("plain", &["-t", "app:1"])), "tar tar");
    let metadata = lab.path("home/metadata.json");
    let first = built("packed", &["-o", &oci("first", ""), "--metadata-file", path(&metadata)]);
    assert_eq!(kinds(&first), "gzip gzip");
    let index = run(tool("tar").arg("-xOf").arg(archive("first")).arg("index.json"));
    let digest = json(&metadata)["containerimage.digest"].as_str().expect("a digest").to_owned();
    assert!(index.contains(&digest), "{digest} is not in {index}");
    // A second one, and a push, take what is there.
    let reference = registry.reference("out/app:1");
    assert_eq!(built("packed", &["-o", &oci("second", "")]), first);
    assert_eq!(built("packed", &["-t", &reference, "--push"]), first);
    assert!(bytes("first") == bytes("second"));
    // From the tar that was there first comes the same; and the tar comes again when it is wanted.
    assert_eq!(kinds(&built("plain", &["-o", &oci("later", "")])), "gzip gzip tar tar");
    assert!(bytes("first") == bytes("later"));
    assert_eq!(kinds(&built("packed", &["-t", "app:1"])), "gzip gzip tar tar");
    // Each output gets its own.
    let (zstd, least) = (oci("zstd", ",compression=zstd"), oci("least", ",compression-level=1"));
    let several =
        built("several", &["-o", &zstd, "-o", &least, "-o", "type=image,name=app:1,compression=gzip"]);
    assert_eq!(kinds(&several), "gzip gzip gzip gzip tar tar zstd zstd");
    let index = json(&lab.path("several/index.json"));
    let digest = index["manifests"][0]["digest"].as_str().expect("the image has a digest");
    let manifest = json(&lab.path("several/blobs").join(digest.replace(':', "/")));
    assert_eq!(manifest["layers"][0]["mediaType"], "application/vnd.oci.image.layer.v1.tar+gzip");
});

as_everyone!(the_store_is_a_layout, TOOLS, |lab| {
    let (_registry, context) = context(lab);
    build(lab, &context, &["-t", "app:1"]);
    assert!(entries(&lab.store()).contains(&"oci-layout".to_owned()));
    let index = json(&lab.store().join("index.json"));
    let names: Vec<_> = index["manifests"]
        .as_array()
        .expect("an index has manifests")
        .iter()
        .filter_map(|manifest| manifest["annotations"]["org.opencontainers.image.ref.name"].as_str())
        .collect();
    let ours = |name: &&&str| name.ends_with("/app:1");
    let Some(name) = names.iter().find(ours) else { panic!("no image is named app:1: {index:#}") };
    let image = Pulled::from_layout(&lab.store(), name, &lab.path("from-store"));
    image.assert_consistent();
    assert!(image.tree.0.contains_key("/f"));
});
