//! Registries that take the media types of OCI alone, or those of Docker alone.

use crate::support::bases;
use crate::support::gate::Gate;
use crate::support::lab::{Lab, as_everyone};
use crate::support::output::Build;
use crate::support::registry::Registry;
use crate::support::tools::{output, run, tool};
use serde_json::Value;

const TOOLS: &[&str] = &["docker-registry", "skopeo", bases::TOOLS[1], bases::TOOLS[2]];
const DOCKER: &str = "application/vnd.docker.distribution.manifest.v2+json";
const DOCKER_LIST: &str = "application/vnd.docker.distribution.manifest.list.v2+json";
const OCI: &str = "application/vnd.oci.image.manifest.v1+json";

/// The manifest that skopeo sees, and its digest.
fn raw(reference: &str) -> (Value, String) {
    let inspect = |arguments: &[&str]| {
        run(tool("skopeo")
            .args(["inspect", "--tls-verify=false"])
            .args(arguments)
            .arg(format!("docker://{reference}")))
    };
    let manifest = serde_json::from_str(&inspect(&["--raw"])).expect("it is JSON");
    (manifest, inspect(&["--format={{.Digest}}"]).trim().to_owned())
}

fn context(lab: &Lab) -> String {
    lab.file("context/file", "content\n".repeat(1000));
    let context = lab.dockerfile("context", "FROM scratch\nCOPY file /\nCMD [\"/file\"]\n");
    context.to_str().expect("the path is text").to_owned()
}

as_everyone!(pushes, TOOLS, |lab| {
    let registry = Registry::start(&lab.path("docker"));
    let (docker_alone, oci_alone) =
        (Gate::start(registry.name(), "vnd.oci."), Gate::start(registry.name(), "vnd.docker."));
    let context = context(lab);

    // A build that is pushed at once: what it reports is what landed.
    let name = docker_alone.reference("built:1");
    let metadata = lab.path("home/metadata.json");
    let built =
        lab.build(["--push", "-t", &name, "--metadata-file", metadata.to_str().expect("text"), &context]);
    let (manifest, digest) = raw(&registry.reference("built:1"));
    assert_eq!(manifest["mediaType"], DOCKER);
    assert_eq!(manifest["layers"][0]["mediaType"], "application/vnd.docker.image.rootfs.diff.tar.gzip");
    let said =
        format!("it does not take OCI media types; {name} was pushed with those of Docker, as {digest}");
    assert!(built.text.contains(&said), "{}", built.text);
    let told: Value =
        serde_json::from_slice(&std::fs::read(&metadata).expect("it was written")).expect("JSON");
    assert_eq!(told["containerimage.digest"], digest.as_str());

    // Of several platforms, by `push` afterwards.
    let name = docker_alone.reference("later:1");
    lab.build(["-t", &name, "--platform=linux/amd64,linux/arm64", &context]);
    let pushed = lab.verb(["push", &name]);
    let (manifest, digest) = raw(&registry.reference("later:1"));
    assert_eq!(manifest["mediaType"], DOCKER_LIST);
    assert!(
        manifest["manifests"].as_array().is_some_and(|all| all.len() == 2 && all[1]["mediaType"] == DOCKER)
    );
    assert!(pushed.contains(&format!("Digest: {digest}\n")), "{pushed}");
    let copied = lab.path("home/copied");
    run(tool("skopeo")
        .args(["copy", "--all", "--quiet", "--insecure-policy", "--src-tls-verify=false"])
        .arg(format!("docker://{}", registry.reference("later:1")))
        .arg(format!("dir:{}", copied.display())));

    // And the way back, from registry to registry.
    let back = oci_alone.reference("back:1");
    lab.verb(["copy", "--platform=linux/amd64", &registry.reference("later:1"), &back]);
    assert_eq!(raw(&registry.reference("back:1")).0["mediaType"], OCI);

    // Who asks for media types, annotations or zstd gets them, or is told why not.
    for (output, want) in [
        ("oci-mediatypes=true", "oci-mediatypes=true or false"),
        ("annotation.a=b", "oci-mediatypes=true or false"),
        ("compression=zstd,force-compression=true", "nor can it be pushed with Docker media types"),
    ] {
        let name = docker_alone.reference("refused:1");
        lab.try_build(["-o", &format!("type=registry,name={name},{output}"), &context])
            .assert_refused(1, &["error:", "415", want]);
    }
    Build::from(output(&mut lab.command(["pull", "-q", &registry.reference("refused:1")])))
        .assert_refused(1, &["not found"]);
    lab.assert_nothing_left();
});
