//! Pulls and pushes over a network that is not well: what is in the store or in the registry afterwards is whole, or it is not
//! there.

use crate::support::bases;
use crate::support::lab::{Lab, as_everyone, entries};
use crate::support::proxy::Proxy;
use crate::support::registry::Registry;
use crate::support::tools::{both, output, run, tool};
use std::path::Path;

const TOOLS: &[&str] = &["docker-registry", "skopeo", bases::TOOLS[1], bases::TOOLS[2]];
const LAYERS: usize = 6;

/// An image of layers that cannot be compressed, in the registry.
fn image(lab: &Lab, registry: &Registry) -> String {
    let mut text = "FROM scratch\n".to_owned();
    let mut state = 1_u64;
    for layer in 0..LAYERS {
        let noise: Vec<u8> = (0..200_000)
            .map(|_| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                (state >> 56) as u8
            })
            .collect();
        lab.file(&format!("context/{layer}"), noise);
        text.push_str(&format!("COPY {layer} /\n"));
    }
    let context = lab.dockerfile("context", &text);
    let reference = registry.reference("app:1");
    lab.build(["--push", "-t", &reference, context.to_str().expect("the path is text")]);
    reference
}

/// All bytes of an image, as skopeo reads and verifies them.
fn contents(source: &str, into: &Path) -> Vec<(String, Vec<u8>)> {
    run(tool("skopeo")
        .args(["copy", "--quiet", "--insecure-policy", "--src-tls-verify=false", source])
        .arg(format!("dir:{}", into.display())));
    // Its own notes apart.
    let names = entries(into).into_iter().filter(|name| name != "version");
    names.map(|name| (name.clone(), std::fs::read(into.join(name)).expect("it was copied"))).collect()
}

as_everyone!(pulls, TOOLS, |lab| {
    let registry = Registry::start(&lab.path("docker"));
    let reference = image(lab, &registry);
    let want = contents(&format!("docker://{reference}"), &lab.path("want"));
    let (mut whole, mut faults) = (0, 0);
    for seed in 0..5 {
        let proxy = Proxy::start(registry.name(), seed, 35);
        let name = proxy.reference("app:1");
        let store = lab.path(format!("home/store-{seed}"));
        let mut pull = lab.command(["pull", "-q", &name]);
        let pulled = output(pull.env("SLIPWAY_ROOT", &store));
        faults += proxy.faults();
        if pulled.status.success() {
            whole += 1;
        } else {
            let text = both(&pulled);
            assert!(
                text.starts_with("error: ") && text.contains(&name["127.0.0.1:".len()..name.len() - 2]),
                "{text}"
            );
            assert!(!text.contains("panicked"), "{text}");
        }
        // What came is of use for the next try, and what was wrong is not in the way.
        run(lab.command(["pull", "-q", &reference]).env("SLIPWAY_ROOT", &store));
        let here = format!("oci:{}:{reference}", store.display());
        assert_eq!(contents(&here, &lab.path(format!("got-{seed}"))), want, "seed {seed}");
        assert_eq!(entries(&store.join("tmp")), [""; 0], "seed {seed}");
    }
    assert!(whole > 0 && faults > 0, "{whole} pulls went well, {faults} connections did not");
});

// What a mirror sends is wrong in the middle of a layer: the registry itself is asked, whether the layer is kept as it is or
// unpacked while it comes.
as_everyone!(mirrors_that_lie, TOOLS, |lab| {
    let registry = Registry::start(&lab.path("docker"));
    let reference = image(lab, &registry);
    let want = contents(&format!("docker://{reference}"), &lab.path("want"));
    let proxy = Proxy::corrupting(registry.name(), 100_000);
    let mirror = format!("{}=http://{}", registry.name(), proxy.reference("").trim_end_matches('/'));
    let store = lab.path("home/store");
    let mut pull = lab.command(["pull", "--registry-mirror", &mirror, &reference]);
    let pulled = output(pull.env("SLIPWAY_ROOT", &store));
    let text = both(&pulled);
    assert!(pulled.status.success(), "{text}");
    assert_eq!(text.matches("this mirror was of no use").count(), 1, "{text}");
    assert_eq!(contents(&format!("oci:{}:{reference}", store.display()), &lab.path("got")), want);

    let context =
        lab.dockerfile("from", &format!("FROM {reference} AS base\nFROM scratch\nCOPY --from=base / /\n"));
    let out = lab.path("home/out");
    let mut build = lab.command(["build", "--progress=plain", "--registry-mirror", &mirror, "-o"]);
    let built = output(build.arg(&out).arg(&context).env("SLIPWAY_ROOT", lab.path("home/other")));
    let text = both(&built);
    assert!(built.status.success() && text.contains("this mirror was of no use"), "{text}");
    for layer in 0..LAYERS {
        let read = |path: &Path| std::fs::read(path.join(layer.to_string())).expect("it is there");
        assert!(read(&out) == read(&lab.path("context")), "{layer}");
    }
    assert!(proxy.faults() > 0);
});

as_everyone!(pushes, TOOLS, |lab| {
    let registry = Registry::start(&lab.path("docker"));
    let reference = image(lab, &registry);
    let want = contents(&format!("docker://{reference}"), &lab.path("want"));
    let (mut whole, mut faults) = (0, 0);
    for seed in 10..15 {
        let proxy = Proxy::start(registry.name(), seed, 35);
        let repository = format!("pushed-{seed}:1");
        let name = proxy.reference(&repository);
        lab.verb(["tag", &reference, &name]);
        let pushed = output(&mut lab.command(["push", "-q", &name]));
        faults += proxy.faults();
        let there = format!("docker://{}", registry.reference(&repository));
        if pushed.status.success() {
            whole += 1;
            assert_eq!(contents(&there, &lab.path(format!("got-{seed}"))), want, "seed {seed}");
        } else {
            let text = both(&pushed);
            assert!(text.starts_with("error: ") && !text.contains("panicked"), "{text}");
            // The name may be there if only the last answer was lost; then so is everything.
            let mut inspect = tool("skopeo");
            if output(inspect.args(["inspect", "--tls-verify=false", &there])).status.success() {
                assert_eq!(contents(&there, &lab.path(format!("got-{seed}"))), want, "seed {seed}");
            }
        }
    }
    assert!(whole > 0 && faults > 0, "{whole} pushes went well, {faults} connections did not");
    lab.assert_nothing_left();
});
