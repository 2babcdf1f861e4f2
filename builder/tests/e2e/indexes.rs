//! Images and indexes in registries, without a store in between: `copy`, `manifest`, `inspect --raw` and `--remote`.

use crate::support::bases;
use crate::support::lab::{Lab, as_everyone};
use crate::support::output::Build;
use crate::support::registry::Registry;
use crate::support::tools::{output, run, tool};
use serde_json::Value;
use std::fs;

const TOOLS: &[&str] = &["docker-registry", "skopeo", bases::TOOLS[1], bases::TOOLS[2]];
const PLATFORMS: [&str; 2] = ["linux/amd64", "linux/arm64"];

/// Pushes an image of one layer for each platform, and an index of both as `TAG`.
fn push_index(lab: &Lab, registry: &Registry, repository: &str) -> String {
    let reference = registry.reference(&format!("{repository}:1"));
    let context = lab.dockerfile("context", "FROM scratch\nARG TARGETARCH\nCOPY ${TARGETARCH} /arch\n");
    for architecture in ["amd64", "arm64"] {
        lab.file(&format!("context/{architecture}"), architecture.repeat(1000));
    }
    let context = context.to_str().expect("the path is text");
    lab.build(["--push", "-t", &reference, "--platform", &PLATFORMS.join(","), context]);
    reference
}

/// The manifest that skopeo sees.
fn raw(reference: &str) -> String {
    run(tool("skopeo").args(["inspect", "--raw", "--tls-verify=false"]).arg(format!("docker://{reference}")))
}

fn refused<'a>(lab: &Lab, arguments: impl IntoIterator<Item = &'a str>) -> Build {
    Build::from(output(&mut lab.command(arguments)))
}

as_everyone!(copy, TOOLS, |lab| {
    let (from, to) = (Registry::start(&lab.path("docker")), Registry::start(&lab.path("home")));
    let source = push_index(lab, &from, "team/app");

    // To another registry, with all platforms; the second time nothing moves.
    let target = to.reference("copied/app:2");
    let first = lab.verb(["copy", &source, &target]);
    assert!(first.contains("Blobs: 4 sent (") && first.ends_with(&format!("{target}\n")), "{first}");
    assert_eq!(raw(&target), raw(&source));
    let again = lab.verb(["copy", &source, &target]);
    assert!(again.contains("Blobs: 0 sent (0 bytes), 0 mounted, 4 there already"), "{again}");
    let copied = lab.path("home/copied");
    run(tool("skopeo")
        .args(["copy", "--all", "--quiet", "--insecure-policy", "--src-tls-verify=false"])
        .arg(format!("docker://{target}"))
        .arg(format!("dir:{}", copied.display())));

    // To other repositories of the same registry by mounts; one platform alone; several targets.
    let mounted = from.reference("other/app:1");
    let text = lab.verb(["copy", &source, &mounted]);
    assert!(text.contains("Blobs: 0 sent (0 bytes), 4 mounted"), "{text}");
    let (one, two) = (to.reference("arm:1"), to.reference("arm:2"));
    assert_eq!(
        lab.verb(["copy", "-q", "--platform=linux/arm64", &source, &one, &two]),
        format!("{one}\n{two}\n")
    );
    let manifest: Value = serde_json::from_str(&raw(&one)).expect("it is JSON");
    assert_eq!(manifest["layers"].as_array().map(Vec::len), Some(1));
    assert_eq!(raw(&one), raw(&two));

    // What has a subject goes along when it is asked for.
    let subject: Value =
        serde_json::from_str(&lab.verb(["inspect", "--remote", &source])).expect("it is JSON");
    assert_eq!(subject[0]["Referrers"], Value::Null);
    refused(lab, ["copy", &source, "-q", "--platform=linux/s390x", &one])
        .assert_refused(1, &["error:", "has no image for linux/s390x; it has linux/amd64, linux/arm64"]);
    refused(lab, ["copy", &from.reference("absent:1"), &one])
        .assert_refused(1, &["error:", "absent", "not found"]);
    refused(lab, ["copy", &source, &format!("{one}@sha256:{}", "0".repeat(64))])
        .assert_refused(1, &["error:", "has a digest"]);
    lab.assert_nothing_left();
});

as_everyone!(inspect, TOOLS, |lab| {
    let registry = Registry::start(&lab.path("docker"));
    let reference = push_index(lab, &registry, "app");
    let index = raw(&reference);
    assert_eq!(lab.verb(["inspect", "--raw", &reference]), index);
    assert_eq!(lab.verb(["manifest", "inspect", &reference]), index);
    let entries: Value = serde_json::from_str(&index).expect("it is JSON");
    let arm64 = entries["manifests"][1]["digest"].as_str().expect("an index has digests");
    let name = reference.strip_suffix(":1").expect("it has a tag");
    let manifest = lab.verb(["inspect", "--raw", "--platform=linux/arm64", &reference]);
    assert_eq!(manifest, raw(&format!("{name}@{arm64}")));
    let config = lab.verb(["inspect", "--config", "--platform=linux/arm64", &reference]);
    let config: Value = serde_json::from_str(&config).expect("it is JSON");
    assert_eq!((&config["os"], &config["architecture"]), (&"linux".into(), &"arm64".into()));

    let shown: Value =
        serde_json::from_str(&lab.verb(["inspect", "--remote", "--referrers", &reference])).expect("JSON");
    let images = shown[0]["Images"].as_array().expect("there are images");
    let platforms: Vec<&str> = images.iter().filter_map(|image| image["Platform"].as_str()).collect();
    assert_eq!(platforms, PLATFORMS);
    assert_eq!(images[1]["Digest"], arm64);
    assert_eq!(shown[0]["Referrers"], Value::Array(Vec::new()));
    let template = "{{.Name}} {{.MediaType}}";
    let line = lab.verb(["inspect", "--remote", "--format", template, &reference]);
    assert_eq!(line, format!("{reference} application/vnd.oci.image.index.v1+json\n"));

    refused(lab, ["inspect", "--raw", &registry.reference("absent:1")])
        .assert_refused(1, &["error:", "get manifest \"1\"", "not found"]);
    refused(lab, ["inspect", "--raw", &reference, &reference]).assert_refused(2, &["name one image"]);
    refused(lab, ["inspect", "--insecure-registry=x", &reference])
        .assert_refused(2, &["no registry is asked"]);
});

as_everyone!(manifest, TOOLS, |lab| {
    let registry = Registry::start(&lab.path("docker"));
    let both = push_index(lab, &registry, "app");
    let (amd64, arm64) = (registry.reference("one:amd64"), registry.reference("two:arm64"));
    lab.verb(["copy", "-q", "--platform=linux/amd64", &both, &amd64]);
    lab.verb(["copy", "-q", "--platform=linux/arm64", &both, &arm64]);

    // Of images in other repositories. The platforms are those of their configs.
    let index = registry.reference("made:1");
    let dry = lab.verb(["manifest", "create", "--dry-run", &index, &amd64, &arm64]);
    refused(lab, ["inspect", "--raw", &index]).assert_refused(1, &["not found"]);
    let made = lab.verb(["manifest", "create", "--annotation", "org.example=yes", &index, &amd64, &arm64]);
    assert!(made.starts_with("Digest: sha256:") && made.ends_with(&format!("{index}\n")), "{made}");
    let json = |reference: &str| serde_json::from_str::<Value>(&raw(reference)).expect("it is JSON");
    let value = json(&index);
    assert_eq!(value["annotations"]["org.example"], "yes");
    assert_eq!(serde_json::from_str::<Value>(&dry).expect("it is JSON")["manifests"], value["manifests"]);
    assert_eq!(value["manifests"][1]["platform"]["architecture"], "arm64");
    // skopeo and we ourselves find all that is in it.
    for platform in ["amd64", "arm64"] {
        run(tool("skopeo")
            .args([
                "copy",
                "--quiet",
                "--insecure-policy",
                "--src-tls-verify=false",
                "--override-arch",
                platform,
            ])
            .arg(format!("docker://{index}"))
            .arg(format!("dir:{}", lab.path(format!("home/{platform}")).display())));
        lab.verb(["pull", "-q", &format!("--platform=linux/{platform}"), &index]);
    }

    // Two images for one platform, unless one takes the place of what was there.
    let context = lab.dockerfile("newer", "FROM scratch\nLABEL newer=yes\n");
    let newer = registry.reference("newer:1");
    let newer_context = context.to_str().expect("the path is text");
    lab.build(["--push", "--platform=linux/arm64", "-t", &newer, newer_context]);
    refused(lab, ["manifest", "create", &index, &arm64, &newer])
        .assert_refused(1, &["two images for linux/arm64", &arm64, &newer]);
    lab.verb(["manifest", "create", "--amend", &index, &newer]);
    let amended = json(&index);
    assert_eq!(amended["manifests"].as_array().map(Vec::len), Some(2));
    assert_eq!(amended["annotations"], value["annotations"]);
    let digests = |value: &Value| {
        let entries = value["manifests"].as_array().cloned().unwrap_or_default();
        entries.iter().filter_map(|entry| entry["digest"].as_str().map(str::to_owned)).collect::<Vec<_>>()
    };
    assert_eq!(digests(&amended)[0], digests(&value)[0]);
    assert_ne!(digests(&amended)[1], digests(&value)[1]);

    // Changes of an entry and of the index; the images stay as they are.
    lab.verb(["manifest", "annotate", &index, "linux/arm64", "--variant=v9", "--annotation=a=b"]);
    lab.verb(["manifest", "annotate", &index, &amd64, "--os-version=1.2", "--os-features=x,y"]);
    lab.verb(["manifest", "annotate", "-q", &index, "--annotation", "more=too"]);
    let changed = json(&index);
    assert_eq!(digests(&changed), digests(&amended));
    let entries = &changed["manifests"];
    assert_eq!(entries[1]["platform"]["variant"], "v9");
    assert_eq!(entries[1]["annotations"]["a"], "b");
    assert_eq!(entries[0]["platform"]["os.version"], "1.2");
    assert_eq!(entries[0]["platform"]["os.features"], serde_json::json!(["x", "y"]));
    assert_eq!(changed["annotations"], serde_json::json!({"org.example": "yes", "more": "too"}));

    refused(lab, ["manifest", "annotate", &index, "linux/s390x", "--variant=v1"])
        .assert_refused(1, &["the index has no entry linux/s390x; it has linux/amd64"]);
    refused(lab, ["manifest", "annotate", &newer, "--annotation=a=b"])
        .assert_refused(1, &["is an image, and no index"]);
    refused(lab, ["manifest", "annotate", &index]).assert_refused(2, &["there is nothing to change"]);
    refused(lab, ["manifest", "annotate", &index, "--arch=arm"]).assert_refused(2, &["<IMAGE>"]);
    refused(lab, ["manifest", "create", &index, &registry.reference("absent:1")])
        .assert_refused(1, &["not found"]);
    refused(lab, ["manifest", "push", "--purge", &index]).assert_refused(2, &["manifest push is not needed"]);
    assert!(fs::read_dir(lab.store().join("tmp")).map_or(true, |mut entries| entries.next().is_none()));
    lab.assert_nothing_left();
});
