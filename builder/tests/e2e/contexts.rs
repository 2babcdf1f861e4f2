//! Where a build takes its files from.

use crate::support::bases;
use crate::support::lab::{Lab, as_everyone, entries};
use crate::support::registry::Registry;
use crate::support::tools::{run, tool};
use std::fs::{self, File};
use std::path::Path;

const TOOLS: &[&str] = &["docker-registry", "skopeo", bases::TOOLS[1], bases::TOOLS[2]];

fn strings<'a>(arguments: &[&'a str], context: &'a Path) -> Vec<&'a str> {
    let mut all = arguments.to_vec();
    all.push(context.to_str().expect("the path is text"));
    all
}

/// Builds into a directory; the names and contents of the files there.
fn exported(lab: &Lab, arguments: &[&str], context: &Path) -> Vec<(String, String)> {
    static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
    let out = lab.directory(&format!("out-{}", NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed)));
    let output = format!("--output=type=local,dest={}", out.display());
    let mut all = strings(arguments, context);
    all.insert(0, &output);
    lab.build(all);
    entries(&out)
        .into_iter()
        .map(|name| {
            let content =
                fs::read_to_string(out.join(&name)).unwrap_or_else(|error| error.kind().to_string());
            (name, content)
        })
        .collect()
}

fn files(expected: &[(&str, &str)]) -> Vec<(String, String)> {
    expected.iter().map(|(name, content)| ((*name).to_owned(), (*content).to_owned())).collect()
}

as_everyone!(a_named_directory, &[], |lab| {
    let context =
        lab.dockerfile("context", "FROM scratch\nCOPY --from=other /deep/file /named\nCOPY own /own\n");
    lab.file("context/own", "own");
    lab.file("other/deep/file", "other");
    let named = format!("--build-context=other={}", lab.path("other").display());
    assert_eq!(exported(lab, &[&named], &context), files(&[("named", "other"), ("own", "own")]));
    let stage = lab.dockerfile("stage", "FROM other\n");
    lab.file("flat/file", "flat");
    let named = format!("--build-context=other={}", lab.path("flat").display());
    assert_eq!(exported(lab, &[&named], &stage), files(&[("file", "flat")]));
});

as_everyone!(images_by_other_names, TOOLS, |lab| {
    let registry = Registry::start(&lab.path("docker"));
    let base = registry.push_base("busybox");
    let layout = lab.directory("layout");
    run(tool("skopeo")
        .args(["copy", "--quiet", "--insecure-policy", "--src-tls-verify=false", &format!("docker://{base}")])
        .arg(format!("oci:{}:chosen", layout.display())));
    let index: serde_json::Value =
        serde_json::from_slice(&fs::read(layout.join("index.json")).expect("skopeo wrote a layout"))
            .expect("JSON");
    let digest = index["manifests"][0]["digest"].as_str().expect("the image has a digest");

    let context = lab
        .dockerfile("context", "FROM any AS made\nRUN echo ok > /ok\nFROM scratch\nCOPY --from=made /ok /\n");
    for source in [
        format!("docker-image://{base}"),
        format!("docker-image://{base}:latest@{digest}"),
        format!("oci-layout://{}:chosen", layout.display()),
        format!("oci-layout://{}@{digest}", layout.display()),
    ] {
        let named = format!("--build-context=any={source}");
        assert_eq!(exported(lab, &[&named], &context), files(&[("ok", "ok\n")]), "{source}");
    }
    let missing = format!("--build-context=any=oci-layout://{}:absent", layout.display());
    lab.try_build(strings(&[&missing], &context)).assert_refused(1, &["absent"]);
});

as_everyone!(an_earlier_result_is_a_base, TOOLS, |lab| {
    let registry = Registry::start(&lab.path("docker"));
    let base = registry.push_base("busybox");
    let below = lab.dockerfile("below", &format!("FROM {base}\nRUN echo below > /below\nENV SAID=below\n"));
    lab.build(strings(&["-t", "below:1"], &below));
    let above = lab.dockerfile(
        "above",
        "FROM below:1\nRUN echo $SAID > /said\nFROM scratch\nCOPY --from=0 /said /below /\n",
    );
    assert_eq!(exported(lab, &[], &above), files(&[("below", "below\n"), ("said", "below\n")]));
});

as_everyone!(ignore_files, &[], |lab| {
    let context = lab.dockerfile("context", "FROM scratch\nCOPY . /\n");
    lab.file("context/kept", "kept");
    lab.file("context/dropped.log", "dropped");
    lab.file("context/deep/dropped.log", "dropped");
    lab.file("context/deep/kept.log", "kept");
    lab.file(
        "context/.dockerignore",
        "# logs, but one\n**/*.log\n!deep/kept.log\nDockerfile\n.dockerignore\n",
    );
    let names = |files: Vec<(String, String)>| files.into_iter().map(|(name, _)| name).collect::<Vec<_>>();
    assert_eq!(names(exported(lab, &[], &context)), ["deep", "kept"]);
    // A Dockerfile's own ignore file stands in for the common one.
    lab.file("context/own.Dockerfile", "FROM scratch\nCOPY . /\n");
    lab.file("context/own.Dockerfile.dockerignore", "*\n!kept\n");
    let file = format!("--file={}", context.join("own.Dockerfile").display());
    assert_eq!(names(exported(lab, &[&file], &context)), ["kept"]);
});

as_everyone!(standard_input, &[], |lab| {
    let context = lab.dockerfile("context", "FROM scratch\nCOPY file /from-tar\n");
    lab.file("context/file", "content");
    lab.file("other.Dockerfile", "FROM scratch\nCOPY file /from-stdin\n");
    let archive = lab.path("context.tar");
    run(tool("tar").arg("-cf").arg(&archive).arg("-C").arg(&context).arg("."));
    for (input, arguments, name) in [
        (&archive, vec!["-"], "from-tar"),
        (&lab.path("other.Dockerfile"), strings(&["-f", "-"], &context), "from-stdin"),
    ] {
        let out = lab.directory(name);
        let mut command = lab.command(["build", "--progress=plain", "-o"]);
        command.arg(&out).args(arguments).stdin(File::open(input).expect("the input was made"));
        run(&mut command);
        assert_eq!(entries(&out), [name]);
    }
    lab.assert_nothing_left();
});

as_everyone!(no_files_at_all, &[], |lab| {
    let empty = lab.directory("empty");
    lab.file("elsewhere/Dockerfile", "FROM scratch\nLABEL a=b\n");
    let file = format!("--file={}", lab.path("elsewhere/Dockerfile").display());
    lab.build(strings(&[&file, "-t", "empty:1"], &empty));
    let inspected: serde_json::Value = serde_json::from_str(&lab.verb(["inspect", "empty:1"])).expect("JSON");
    assert_eq!(inspected[0]["Config"]["Labels"]["a"], "b", "{inspected}");
});

as_everyone!(what_a_context_holds, &[], |lab| {
    let context = lab.dockerfile("context", "FROM scratch\n");
    lab.file("context/src/main.c", "int main;");
    lab.file("context/target/debug/a.out", vec![0; 3000]);
    lab.file("context/notes.md", "notes");
    lab.file("context/.dockerignore", "# what nobody needs\ntarget\n*.md\n");
    lab.file("other/x", "12");
    let named = format!("--build-context=other={}", lab.path("other").display());
    let shown = lab.verb([Path::new("--show-context"), Path::new(&named), &context]);
    let wanted = format!(
        "build context {}\n      32 B  .dockerignore\n      13 B  Dockerfile\n            src/\n       9 B  src/main.c\n\
         left out:\n       5 B  notes.md  .dockerignore:3  *.md\n    3.0 kB  target/   .dockerignore:2  target\n\
         3 files, 54 B; left out: 2 files, 3.0 kB\n\ncontext \"other\" {}\n       2 B  x\n1 file, 2 B\n",
        context.display(),
        lab.path("other").display()
    );
    let widths = |text: &str| text.lines().map(|line| line.trim_start().to_owned()).collect::<Vec<_>>();
    assert_eq!(widths(&shown), widths(&wanted));

    let json: serde_json::Value =
        serde_json::from_str(&lab.verb([Path::new("--show-context=json"), &context])).expect("it is JSON");
    let listed = &json["contexts"][0];
    assert_eq!(listed["leftOut"][1]["files"], 1);
    assert_eq!(listed["leftOut"][1]["size"], 3000);
    assert_eq!(listed["leftOut"][1]["rule"]["pattern"], "target");
    assert_eq!(listed["entries"][3]["path"], "src/main.c");

    // An archive on standard input, which a user's program can only read after it has entered a namespace.
    let archive = lab.path("context.tar");
    run(tool("tar").arg("-C").arg(&context).arg("-cf").arg(&archive).args(["."]));
    let mut command = lab.command(["--show-context", "-"]);
    command.stdin(fs::File::open(&archive).expect("the archive is there"));
    let shown = run(&mut command);
    assert!(shown.contains("left out: 2 files, 3.0 kB"), "{shown}");
    assert!(shown.starts_with("build context standard input\n"), "{shown}");

    // Whoever has no Dockerfile yet may look, too.
    lab.file("bare/.dockerignore", "b\n");
    lab.file("bare/a", "a");
    lab.file("bare/b", "b");
    let shown = lab.verb([Path::new("--show-context"), &lab.path("bare")]);
    assert!(shown.contains("left out:\n       1 B  b  .dockerignore:1  b\n2 files, 3 B"), "{shown}");
    lab.try_build([Path::new("--show-context"), Path::new("-f"), Path::new("absent"), &lab.path("bare")])
        .assert_refused(1, &["no Dockerfile at absent"]);
    lab.assert_nothing_left();
});

as_everyone!(messages_name_what_was_given, &["tar"], |lab| {
    let context = lab.directory("context");
    for (name, text, ignore, expected) in [
        (
            "Dockerfile",
            "FROM scratch\nCOPY nope /\n",
            "x",
            &["\"nope\" not found in the context from standard input"][..],
        ),
        ("Dockerfile", "FROM scratch\n", "[x", &["error: .dockerignore:1: "]),
        (
            "other",
            "FROM scratch\n",
            "x",
            &["there is no Dockerfile in the context from standard input; name the Dockerfile with -f"],
        ),
    ] {
        let _ = fs::remove_dir_all(&context);
        lab.file(&format!("context/{name}"), text);
        lab.file("context/.dockerignore", format!("{ignore}\n"));
        let archive = lab.path("context.tar");
        run(tool("tar").arg("-C").arg(&context).arg("-cf").arg(&archive).args(["."]));
        let mut command = lab.command(["build", "--progress=plain", "-"]);
        command.stdin(File::open(&archive).expect("the archive is there"));
        let refused = crate::support::output::Build::from(crate::support::tools::output(&mut command));
        refused.assert_refused(1, expected);
        assert!(!refused.text.contains("/tmp/"), "a place of the store is shown:\n{}", refused.text);
    }
    let _ = fs::remove_dir_all(&context);
    let context = lab.dockerfile("context", "FROM scratch\nLABEL a=b\n");
    lab.directory("context/.dockerignore");
    lab.try_build([&context])
        .assert_refused(1, &["error: cannot read the ignore file", ".dockerignore: it is a directory"]);
    lab.assert_nothing_left();
});

/// Puts `bytes` into a layout under their SHA-512 digest.
fn by_sha512(layout: &Path, media_type: &str, bytes: &[u8]) -> serde_json::Value {
    let file = layout.join("blob");
    fs::write(&file, bytes).expect("the layout is writable");
    let sum = run(tool("sha512sum").arg(&file));
    let hex = sum.split(' ').next().expect("a sum");
    fs::create_dir_all(layout.join("blobs/sha512")).expect("the layout is writable");
    fs::rename(&file, layout.join("blobs/sha512").join(hex)).expect("the layout is writable");
    serde_json::json!({ "mediaType": media_type, "digest": format!("sha512:{hex}"), "size": bytes.len() })
}

as_everyone!(a_layout_with_sha512_and_nested_indexes, &["skopeo", "sha512sum"], |lab| {
    let made = lab.dockerfile("made", "FROM scratch\nCOPY Dockerfile /deep\n");
    let first = lab.path("home/first");
    lab.build([Path::new("-o"), Path::new(&format!("type=oci,tar=false,dest={}", first.display())), &made]);
    let read = |layout: &Path, descriptor: &serde_json::Value| {
        let digest = descriptor["digest"].as_str().expect("a digest").replace(':', "/");
        fs::read(layout.join("blobs").join(digest)).expect("a blob")
    };
    let parsed = |bytes: &[u8]| -> serde_json::Value { serde_json::from_slice(bytes).expect("JSON") };
    let index = parsed(&fs::read(first.join("index.json")).expect("a layout"));
    let mut manifest = parsed(&read(&first, &index["manifests"][0]));

    let layout = lab.directory("sha512");
    fs::write(layout.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)
        .expect("the layout is writable");
    let again = |part: &serde_json::Value| {
        let media_type = part["mediaType"].as_str().expect("a media type");
        by_sha512(&layout, media_type, &read(&first, part))
    };
    manifest["config"] = again(&manifest["config"]);
    manifest["layers"][0] = again(&manifest["layers"][0]);
    let media_type = "application/vnd.oci.image.manifest.v1+json";
    let mut entry = by_sha512(&layout, media_type, manifest.to_string().as_bytes());
    entry["platform"] = index["manifests"][0]["platform"].clone();
    let nested = serde_json::json!({ "schemaVersion": 2, "manifests": [entry] });
    let outer = by_sha512(&layout, "application/vnd.oci.image.index.v1+json", nested.to_string().as_bytes());
    let top = serde_json::json!({ "schemaVersion": 2, "manifests": [outer] });
    fs::write(layout.join("index.json"), top.to_string()).expect("the layout is writable");

    let context = lab.dockerfile("context", "FROM base\nCOPY Dockerfile /top\n");
    let deep = ("deep", "FROM scratch\nCOPY Dockerfile /deep\n");
    let wanted = files(&[deep, ("top", "FROM base\nCOPY Dockerfile /top\n")]);
    for reference in [String::new(), format!("@{}", entry["digest"].as_str().expect("a digest"))] {
        let base = format!("--build-context=base=oci-layout://{}{reference}", layout.display());
        assert_eq!(exported(lab, &[&base], &context), wanted, "{reference}");
    }
    lab.assert_nothing_left();
});

as_everyone!(a_stage_by_another_name, &[], |lab| {
    let text = "FROM scratch AS one\nCOPY Dockerfile /one\nFROM missing.example/base AS two\nCOPY --from=any /one /two\n";
    let context = lab.dockerfile("context", text);
    let options = ["--build-context=missing.example/base=target:one", "--build-context=any=target:0"];
    assert_eq!(exported(lab, &options, &context), files(&[("one", text), ("two", text)]));
    lab.try_build(strings(&["--build-context=any=target:oen", options[0]], &context)).assert_refused(
        1,
        &["the context \"any\" is target:oen, and there is no such stage", "Dockerfile:4:13"],
    );
});

as_everyone!(other_names_of_dockerfiles, &[], |lab| {
    lab.file("lower/dockerfile", "FROM scratch\nCOPY <<E /lower\nE\n");
    assert_eq!(exported(lab, &[], &lab.path("lower")), files(&[("lower", "")]));
    // The usual name counts first; buildah's does not count at all.
    lab.file("lower/Dockerfile", "FROM scratch\nCOPY <<E /upper\nE\n");
    assert_eq!(exported(lab, &[], &lab.path("lower")), files(&[("upper", "")]));
    lab.file("other/Containerfile", "FROM scratch\n");
    lab.try_build([lab.path("other")]).assert_refused(1, &["Dockerfile"]);
});

as_everyone!(ignore_files_of_named_contexts, &[], |lab| {
    let context = lab.dockerfile("context", "FROM scratch\nCOPY --from=other . /\n");
    lab.file("other/kept", "kept");
    lab.file("other/dropped", "dropped");
    lab.file("other/.dockerignore", "dropped\n.dockerignore\n");
    // That of the main context is not of this one.
    lab.file("context/.dockerignore", "kept\n");
    let named = format!("--build-context=other={}", lab.path("other").display());
    assert_eq!(exported(lab, &[&named], &context), files(&[("kept", "kept")]));
});
