//! What the command line says of a result: labels, annotations, names, times, media types; and what is built anew.

use crate::support::bases;
use crate::support::image::{self, Pulled};
use crate::support::lab::{as_everyone, entries};
use crate::support::output::Build;
use crate::support::registry::Registry;
use crate::support::tools::{output, run, tool};
use serde_json::{Value, json};
use std::fs;
use std::path::Path;
use std::time::{Duration, UNIX_EPOCH};

const TOOLS: &[&str] =
    &["docker-registry", image::TOOLS[0], image::TOOLS[1], bases::TOOLS[1], bases::TOOLS[2]];

fn text(path: &Path) -> &str {
    path.to_str().expect("the path is text")
}

fn json_of(path: &Path) -> Value {
    let text = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A blob of a layout directory, as JSON.
fn document(layout: &Path, descriptor: &Value) -> Value {
    let digest = descriptor["digest"].as_str().expect("a descriptor has a digest");
    json_of(&layout.join("blobs").join(digest.replace(':', "/")))
}

fn raw(reference: &str) -> Value {
    let shown = run(tool("skopeo")
        .args(["inspect", "--raw", "--tls-verify=false"])
        .arg(format!("docker://{reference}")));
    serde_json::from_str(&shown).expect("a manifest is JSON")
}

as_everyone!(labels, TOOLS, |lab| {
    let registry = Registry::start(&lab.path("docker"));
    let base = registry.push_base("onbuild");
    let file = lab.dockerfile("file", &format!("FROM {base}\nLABEL base=file mine=file cli=file\n"));
    lab.file("file/app/x", "x");
    let reference = registry.reference("out/labels:1");
    lab.build(["--label", "cli=flag", "--label", "bare", "-t", &reference, "--push", text(&file)]);
    let image = Pulled::from_registry(&reference, &lab.path("labels"));
    let wanted = json!({"base": "file", "mine": "file", "cli": "flag", "bare": ""});
    assert_eq!(image.config["config"]["Labels"], wanted);
});

as_everyone!(annotations_of_one_image, TOOLS, |lab| {
    let registry = Registry::start(&lab.path("docker"));
    let context = lab.dockerfile("context", "FROM scratch\nCOPY Dockerfile /\n");
    let layout = lab.path("home/layout");
    let reference = registry.reference("out/annotated:1");
    lab.build([
        "--annotation",
        "flag=1",
        "--annotation",
        "manifest-descriptor:of.descriptor=2",
        "-o",
        &format!("type=oci,tar=false,dest={},annotation.key=3,annotation-manifest.flag=lost", text(&layout)),
        "-o",
        &format!("type=registry,name={reference}"),
        text(&context),
    ]);
    let entry = json_of(&layout.join("index.json"))["manifests"][0].clone();
    assert_eq!(entry["annotations"], json!({"of.descriptor": "2"}));
    assert_eq!(document(&layout, &entry)["annotations"], json!({"flag": "1", "key": "3"}));
    assert_eq!(raw(&reference)["annotations"], json!({"flag": "1"}));
    // In the store, too.
    lab.build(["--annotation", "kept=4", "-t", "app:1", text(&context)]);
    let inspected: Value =
        serde_json::from_str(&lab.verb(["inspect", "app:1"])).expect("inspect prints JSON");
    assert_eq!(inspected[0]["Annotations"], json!({"kept": "4"}));
});

as_everyone!(annotations_of_an_index, TOOLS, |lab| {
    let context = lab.dockerfile("context", "FROM scratch\nCOPY Dockerfile /\n");
    let layout = lab.path("home/layout");
    lab.build([
        "--platform",
        "linux/amd64,linux/arm64",
        "--annotation",
        "index,manifest:both=1",
        "--annotation",
        "manifest[linux/arm64]:arm=2",
        "--annotation",
        "manifest-descriptor[linux/amd64]:amd=3",
        "--annotation",
        "index-descriptor:top=4",
        "-o",
        &format!("type=oci,tar=false,dest={}", text(&layout)),
        text(&context),
    ]);
    let entry = json_of(&layout.join("index.json"))["manifests"][0].clone();
    assert_eq!(entry["annotations"], json!({"top": "4"}));
    let index = document(&layout, &entry);
    assert_eq!(index["annotations"], json!({"both": "1"}));
    let [amd, arm] = [&index["manifests"][0], &index["manifests"][1]];
    assert_eq!((&amd["annotations"], &arm["annotations"]), (&json!({"amd": "3"}), &Value::Null));
    assert_eq!(document(&layout, amd)["annotations"], json!({"both": "1"}));
    assert_eq!(document(&layout, arm)["annotations"], json!({"both": "1", "arm": "2"}));
    // One set of files serves both.
    assert_eq!(document(&layout, amd)["layers"], document(&layout, arm)["layers"]);
});

as_everyone!(times, TOOLS, |lab| {
    let registry = Registry::start(&lab.path("docker"));
    let base = registry.push_base("busybox");
    let context = lab.dockerfile("context", &format!("FROM {base}\nRUN echo x > /x\nCOPY Dockerfile /\n"));
    let built = |epoch: &str| {
        let metadata = lab.path("home/metadata");
        let argument = format!("SOURCE_DATE_EPOCH={epoch}");
        let output = "type=image,rewrite-timestamp=true";
        let build = lab.build([
            "--build-arg",
            &argument,
            "-o",
            output,
            "-t",
            "app:1",
            "--metadata-file",
            text(&metadata),
            text(&context),
        ]);
        (build, json_of(&metadata)["containerimage.digest"].clone())
    };
    let (_, first) = built("1500000000");
    let blobs = entries(&lab.store().join("blobs/sha256"));
    let (again, same) = built("1500000000");
    assert_eq!((again.executed().len(), &same), (0, &first), "{}", again.text);
    assert_eq!(entries(&lab.store().join("blobs/sha256")), blobs, "nothing is packed again");
    let inspected: Value =
        serde_json::from_str(&lab.verb(["inspect", "app:1"])).expect("inspect prints JSON");
    assert_eq!(inspected[0]["Created"], "2017-07-14T02:40:00Z");
    let (other, later) = built("1500000001");
    assert_eq!(other.executed().len(), 0, "times are in no key: {}", other.text);
    assert_ne!(later, first);
    assert_eq!(built("1500000000").1, first, "both are remembered");

    // The Dockerfile has a say when nobody else has; a context on a disk has no time.
    let own = lab.dockerfile("own", "ARG SOURCE_DATE_EPOCH=1400000000\nFROM scratch\nCOPY Dockerfile /\n");
    let created = |arguments: &[&str]| {
        lab.build(arguments.iter().copied().chain(["-t", "own:1", text(&own)]));
        let inspected: Value =
            serde_json::from_str(&lab.verb(["inspect", "own:1"])).expect("inspect prints JSON");
        inspected[0]["Created"].as_str().expect("it has a time")[..4].to_owned()
    };
    assert_eq!(created(&[]), "2014");
    assert_eq!(created(&["--build-arg", "SOURCE_DATE_EPOCH=1500000000"]), "2017");
    let wrong =
        lab.dockerfile("wrong", "ARG SOURCE_DATE_EPOCH=stage\nFROM scratch AS stage\nCOPY Dockerfile /\n");
    let refused = lab.try_build([text(&wrong)]);
    assert_eq!(refused.status, Some(1), "{}", refused.text);
    assert!(refused.text.contains("SOURCE_DATE_EPOCH=\"stage\" is no number of seconds"), "{}", refused.text);
    assert!(created(&["--build-arg", "SOURCE_DATE_EPOCH=context"]).as_str() > "2020");

    let archive = lab.path("home/files.tar");
    let output = format!("type=tar,dest={}", text(&archive));
    lab.build(["--build-arg", "SOURCE_DATE_EPOCH=1500000000", "-o", &output, text(&context)]);
    let file = fs::File::open(&archive).expect("the archive was written");
    for entry in tar::Archive::new(file).entries().expect("a tar") {
        let entry = entry.expect("a whole tar archive");
        assert!(entry.header().mtime().expect("a number") <= 1_500_000_000, "{:?}", entry.path());
    }
});

as_everyone!(stages_that_run_again, TOOLS, |lab| {
    let registry = Registry::start(&lab.path("docker"));
    let base = registry.push_base("busybox");
    let context = lab.dockerfile(
        "context",
        &format!("FROM {base} AS one\nRUN date +%N > /one\nFROM {base} AS Two\nRUN date +%N > /two\nCOPY --from=one /one /\n"),
    );
    lab.build([text(&context)]);
    assert!(lab.build([text(&context)]).executed().is_empty());
    let again = lab.build(["--no-cache-filter", "TWO", text(&context)]);
    let executed = again.executed();
    assert!(executed.iter().any(|step| step.contains("/two")), "{}", again.text);
    assert!(!executed.iter().any(|step| step.contains("> /one")), "{}", again.text);
    let all = lab.build(["--no-cache", text(&context)]);
    assert_eq!(all.executed().iter().filter(|step| step.starts_with("RUN")).count(), 2, "{}", all.text);
});

as_everyone!(newer_bases, TOOLS, |lab| {
    let registry = Registry::start(&lab.path("docker"));
    let base = registry.reference("moving:1");
    for (number, name) in ["busybox", "onbuild"].iter().enumerate() {
        let there = registry.push_base(name);
        run(tool("skopeo")
            .args([
                "copy",
                "--quiet",
                "--insecure-policy",
                "--src-tls-verify=false",
                "--dest-tls-verify=false",
            ])
            .args([format!("docker://{there}:latest"), format!("docker://{base}")]));
        let context = lab.dockerfile("context", &format!("FROM {base}\nRUN true\n"));
        lab.file("context/app/x", "x");
        if number == 0 {
            lab.build([text(&context)]);
            continue;
        }
        assert!(lab.build([text(&context)]).executed().is_empty(), "what the store knows serves");
        let pulled = lab.build(["--pull", text(&context)]);
        assert!(pulled.text.contains("ONBUILD"), "the tag names another image now: {}", pulled.text);
    }
});

as_everyone!(names, TOOLS, |lab| {
    let registry = Registry::start(&lab.path("docker"));
    let context = lab.dockerfile("context", "FROM scratch\nCOPY Dockerfile /\n");
    let repository = registry.reference("out/by-digest");
    let metadata = lab.path("home/metadata");
    let output = format!("type=image,push=true,push-by-digest=true,store=false,name={repository}");
    lab.build(["-o", &output, "--metadata-file", text(&metadata), text(&context)]);
    let digest = json_of(&metadata)["containerimage.digest"].as_str().expect("it has a digest").to_owned();
    raw(&format!("{repository}@{digest}"));
    let tags = output_of(
        tool("skopeo").args(["list-tags", "--tls-verify=false"]).arg(format!("docker://{repository}")),
    );
    assert!(!tags.contains("latest"), "{tags}");
    assert_eq!(lab.verb(["images", "-q"]), "", "store=false leaves no name");
    let tagged = format!("type=image,push=true,push-by-digest=true,name={repository}:1");
    let refused = lab.try_build(["-o", &tagged, text(&context)]);
    assert!(refused.status != Some(0) && refused.text.contains("gives no tag"), "{}", refused.text);

    let output = "type=image,name=app:1,name-canonical=true,dangling-name-prefix=loose";
    lab.build(["-o", output, text(&context)]);
    let index = json_of(&lab.store().join("index.json"));
    let of = |entry: &Value| entry["annotations"]["io.containerd.image.name"].as_str().map(str::to_owned);
    let names: Vec<String> = index["manifests"].as_array().unwrap().iter().filter_map(of).collect();
    let digest = index["manifests"][0]["digest"].as_str().unwrap();
    let mut wanted = vec![
        "docker.io/library/app:1".to_owned(),
        format!("docker.io/library/app:1@{digest}"),
        format!("docker.io/library/loose@{digest}"),
    ];
    wanted.sort();
    assert_eq!(names, wanted);
    let only = "type=image,name=app:2,dangling-name-prefix=never,danging-name-empty-only=true";
    lab.build(["-o", only, text(&context)]);
    assert!(!fs::read_to_string(lab.store().join("index.json")).unwrap().contains("never"));
});

as_everyone!(one_config_in_two_manifests, &[], |lab| {
    let context = lab.dockerfile("context", "FROM scratch\nCOPY Dockerfile /\n");
    let id = String::from_utf8(lab.build(["-q", "-t", "a:1", text(&context)]).stdout).expect("it is text");
    let id = id.trim();
    lab.build(["-q", "-t", "a:2", "--annotation", "x=y", text(&context)]);
    // It is one image, whichever of its manifests is meant.
    assert!(lab.verb(["inspect", id]).contains(id));
    assert!(lab.verb(["history", &id["sha256:".len()..][..20]]).contains("COPY"));
    lab.verb(["tag", id, "b:1"]);
    let refused = output_of(&mut lab.command(["rmi", id]));
    assert!(refused.contains("a:1") && refused.contains("a:2"), "{refused}");
    lab.verb(["rmi", "--force", id]);
    assert_eq!(lab.verb(["images", "-q"]), "");
});

fn output_of(command: &mut std::process::Command) -> String {
    crate::support::tools::both(&output(command))
}

as_everyone!(forms, TOOLS, |lab| {
    let registry = Registry::start(&lab.path("docker"));
    let base = registry.push_base("busybox");
    let context = lab.dockerfile("context", &format!("FROM {base}\nCOPY Dockerfile /\n"));
    let built = |options: &str, name: &str| {
        let reference = registry.reference(&format!("out/{name}:1"));
        lab.build(["-o", &format!("type=registry,name={reference},{options}"), text(&context)]);
        raw(&reference)
    };
    let kinds = |manifest: &Value| -> Vec<String> {
        let layers = manifest["layers"].as_array().expect("a manifest has layers");
        layers
            .iter()
            .map(|layer| layer["mediaType"].as_str().unwrap().rsplit('.').next().unwrap().to_owned())
            .collect()
    };
    // What came compressed stays so, unless it is forced.
    assert_eq!(kinds(&built("compression=zstd", "kept")), ["tar+gzip", "tar+zstd"]);
    assert_eq!(kinds(&built("compression=zstd,force-compression=true", "forced")), ["tar+zstd", "tar+zstd"]);
    let docker = built("oci-mediatypes=false", "docker");
    assert_eq!(docker["mediaType"], "application/vnd.docker.distribution.manifest.v2+json");
    assert_eq!(docker["layers"][0]["mediaType"], "application/vnd.docker.image.rootfs.diff.tar.gzip");
    let size = |manifest: &Value| manifest["layers"][0]["size"].as_u64().unwrap();
    let least = built("compression=gzip,compression-level=1,force-compression=true", "least");
    let most = built("compression=zstd,compression-level=19,force-compression=true", "most");
    assert!(size(&most) < size(&least), "{} {}", size(&most), size(&least));

    // A docker archive may be compressed, too.
    let archive = lab.path("home/docker.tar");
    let output = format!("type=docker,dest={},compression=gzip,force-compression=true", text(&archive));
    lab.build(["-o", &output, "-t", "app:1", text(&context)]);
    let shown =
        run(tool("skopeo").args(["inspect", "--config"]).arg(format!("docker-archive:{}", text(&archive))));
    let config: Value = serde_json::from_str(&shown).expect("a config is JSON");
    assert_eq!(config["rootfs"]["diff_ids"].as_array().map(Vec::len), Some(2));
});

as_everyone!(the_epoch_is_of_outputs_not_of_results, TOOLS, |lab| {
    let registry = Registry::start(&lab.path("docker"));
    let base = registry.push_base("busybox");
    let context = lab.dockerfile(
        "context",
        &format!(
            "FROM {base}\nCOPY file /made/file\nCOPY <<EOF /heredoc\ntext\nEOF\nWORKDIR /made/work\n\
             RUN stat -c %Y /made/file > /seen && touch -d @1700000007 /touched\n"
        ),
    );
    const OWN: u64 = 1_700_000_000;
    const EPOCH: u64 = 1_500_000_000;
    let file = fs::File::open(lab.file("context/file", "content")).expect("the file was made");
    file.set_modified(UNIX_EPOCH + Duration::from_secs(OWN)).expect("root may set times");
    // What is built in a store: the digest of the image, times of files in it and in both kinds of file outputs.
    let built = |store: &str, epoch: Option<u64>| {
        let (metadata, out) = (lab.path("home/metadata"), lab.path("home/out"));
        let archive = lab.path("home/out.tar");
        let mut command = lab.command(["build", "--progress=plain", "-t", "app:1", "--metadata-file"]);
        command.env("SLIPWAY_ROOT", lab.directory(store)).arg(&metadata).args(["-o", "type=image"]);
        command.args(["-o", &format!("type=local,dest={}", text(&out))]);
        command.args(["-o", &format!("type=tar,dest={}", text(&archive))]).arg(&context);
        command.envs(epoch.map(|epoch| ("SOURCE_DATE_EPOCH", epoch.to_string())));
        let build = Build::from(output(&mut command));
        assert_eq!(build.status, Some(0), "{}", build.text);
        let modified = |path: &str| {
            let metadata = fs::metadata(out.join(path)).expect("it was built");
            metadata
                .modified()
                .ok()
                .and_then(|time| time.duration_since(UNIX_EPOCH).ok())
                .expect("it has a time")
        };
        let times = ["made/file", "touched"].map(|path| modified(path).as_secs());
        let file = fs::File::open(&archive).expect("the archive was written");
        let mut archive = tar::Archive::new(file);
        let newest = archive.entries().expect("a tar").map(|entry| {
            let entry = entry.expect("a whole tar archive");
            entry.header().mtime().expect("a number")
        });
        let newest = newest.max().expect("the archive has entries");
        assert_eq!(fs::read_to_string(out.join("seen")).expect("it was built").trim(), OWN.to_string());
        let made = ["made", "heredoc", "made/work"].map(|path| modified(path).as_secs());
        assert!(made.iter().all(|time| epoch.map_or(*time > OWN, |epoch| *time == epoch)), "{made:?}");
        fs::remove_dir_all(&out).expect("the laboratory is writable");
        (build.executed().len(), json_of(&metadata)["containerimage.digest"].clone(), times, newest)
    };
    let (limited, own) = ([EPOCH, EPOCH], [OWN, OWN + 7]);
    let (ran, reproduced, times, newest) = built("with-first", Some(EPOCH));
    assert_eq!((ran, times, newest), (4, limited, EPOCH));
    let (ran, digest, times, newest) = built("with-first", None);
    assert_eq!((ran, times), (0, own), "the results are those of any build");
    assert!(newest > OWN && digest != reproduced);

    let (ran, digest, times, _) = built("without-first", None);
    assert_eq!((ran, times), (4, own));
    assert_ne!(digest, reproduced);
    let (ran, digest, times, newest) = built("without-first", Some(EPOCH));
    assert_eq!((ran, times, newest), (0, limited, EPOCH));
    assert_eq!(digest, reproduced, "another store, other results, the same image");
});
