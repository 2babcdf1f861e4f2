//! Pulls and pushes over a network that is not well: what is in the store or in the registry afterwards is whole, or it is not
//! there.

use crate::support::bases;
use crate::support::lab::{Lab, Who, as_everyone, entries};
use crate::support::proxy::Proxy;
use crate::support::registry::Registry;
use crate::support::tools::{both, output, run, tool};
use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};

const TOOLS: &[&str] = &["docker-registry", "skopeo", bases::TOOLS[1], bases::TOOLS[2]];
/// Bytes of the layers: some come in one read, one takes many.
const SIZES: [usize; LAYERS] = [1, 500, 5_000, 20_000, 60_000, 100_000, 200_000, 200_000, 400_000, 1_000_000];
const LAYERS: usize = 10;
/// Pulls or pushes of one user, some at once.
const RUNS: u64 = 24;
const AT_ONCE: usize = 6;

/// An image of layers that cannot be compressed, in the registry.
fn image(lab: &Lab, registry: &Registry) -> String {
    let mut text = "FROM scratch\n".to_owned();
    let mut state = 1_u64;
    for (layer, size) in SIZES.into_iter().enumerate() {
        let noise: Vec<u8> = (0..size)
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

/// What went well, and how many connections did not.
#[derive(Default)]
struct Tally {
    whole: AtomicU64,
    faults: AtomicU64,
}

impl Tally {
    /// Runs `one` for each of the seeds of this user, some at once; it tells whether it went well, and of how many faults.
    fn of(lab: &Lab, one: impl Fn(u64) -> (bool, u64) + Sync) {
        let (tally, next) = (Tally::default(), AtomicU64::new(0));
        let first = if lab.who() == Who::Root { 0 } else { RUNS };
        std::thread::scope(|scope| {
            for _ in 0..AT_ONCE {
                scope.spawn(|| {
                    loop {
                        let run = next.fetch_add(1, Ordering::Relaxed);
                        if run >= RUNS {
                            return;
                        }
                        let (whole, faults) = one(first + run);
                        tally.whole.fetch_add(u64::from(whole), Ordering::Relaxed);
                        tally.faults.fetch_add(faults, Ordering::Relaxed);
                    }
                });
            }
        });
        // Otherwise the test has shown nothing.
        let (whole, faults) = (tally.whole.into_inner(), tally.faults.into_inner());
        assert!(whole > 0 && faults > RUNS, "{whole} of {RUNS} went well, {faults} connections did not");
    }
}

as_everyone!(pulls, TOOLS, |lab| {
    let registry = Registry::start(&lab.path("docker"));
    let reference = image(lab, &registry);
    let want = contents(&format!("docker://{reference}"), &lab.path("want"));
    Tally::of(lab, |seed| {
        let proxy = Proxy::start(registry.name(), seed, 35);
        let name = proxy.reference("app:1");
        let store = lab.path(format!("home/store-{seed}"));
        let mut pull = lab.command(["pull", "-q", &name]);
        let pulled = output(pull.env("SLIPWAY_ROOT", &store));
        if !pulled.status.success() {
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
        let got = lab.path(format!("got-{seed}"));
        assert!(contents(&here, &got) == want, "seed {seed}");
        assert_eq!(entries(&store.join("tmp")), [""; 0], "seed {seed}");
        for directory in [store, got] {
            std::fs::remove_dir_all(directory).expect("it is ours");
        }
        (pulled.status.success(), proxy.faults())
    });
});

as_everyone!(pushes, TOOLS, |lab| {
    let registry = Registry::start(&lab.path("docker"));
    let reference = image(lab, &registry);
    let want = contents(&format!("docker://{reference}"), &lab.path("want"));
    Tally::of(lab, |seed| {
        let proxy = Proxy::start(registry.name(), 1_000 + seed, 35);
        let repository = format!("pushed-{seed}:1");
        let name = proxy.reference(&repository);
        lab.verb(["tag", &reference, &name]);
        let pushed = output(&mut lab.command(["push", "-q", &name]));
        let there = format!("docker://{}", registry.reference(&repository));
        let got = lab.path(format!("got-{seed}"));
        if pushed.status.success() {
            assert!(contents(&there, &got) == want, "seed {seed}");
        } else {
            let text = both(&pushed);
            assert!(text.starts_with("error: ") && !text.contains("panicked"), "{text}");
            // The name may be there if only the last answer was lost; then so is everything.
            let mut inspect = tool("skopeo");
            if output(inspect.args(["inspect", "--tls-verify=false", &there])).status.success() {
                assert!(contents(&there, &got) == want, "seed {seed}");
            }
        }
        (pushed.status.success(), proxy.faults())
    });
    lab.assert_nothing_left();
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
