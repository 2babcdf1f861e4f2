//! Builds of one store at the same time: what one does, the others wait for.

use crate::support::bases;
use crate::support::lab::{Lab, Serving, as_everyone, entries};
use crate::support::registry::Registry;
use crate::support::server::{Files, Page};
use rustix::process::Signal;
use std::fs;
use std::path::PathBuf;
use std::thread::sleep;
use std::time::{Duration, Instant};

const TOOLS: &[&str] = &["docker-registry", "skopeo", bases::TOOLS[1], bases::TOOLS[2]];

/// The first that runs waits for the file `go`; each leaves a line.
const SCRIPT: &str = "echo >> /c/ran; while [ $(wc -l < /c/ran) = 1 ] && ! [ -e /c/go ]; do sleep 0.05; done";

/// A Dockerfile whose RUN tells how often it ran.
struct Counted {
    _registry: Registry,
    context: String,
    cache: PathBuf,
}

impl Counted {
    fn new(lab: &Lab) -> Counted {
        let registry = Registry::start(&lab.path("docker"));
        let base = registry.push_base("busybox");
        let text = format!("FROM {base}\nRUN --mount=type=cache,target=/c {SCRIPT}\nRUN touch /after\n");
        let context = lab.dockerfile("context", &text).to_str().expect("text").to_owned();
        Counted { _registry: registry, context, cache: lab.store().join("mounts") }
    }

    fn start(&self, lab: &Lab, arguments: &[&str]) -> Serving {
        Serving::start(lab, &[&["build", "--progress=plain"], arguments, &[&self.context]].concat())
    }

    /// A file of the cache mount, which is there when a RUN has begun.
    fn file(&self, name: &str) -> PathBuf {
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            if let [only] = &entries(&self.cache)[..] {
                return self.cache.join(only).join(name);
            }
            assert!(Instant::now() < end, "nothing runs");
            sleep(Duration::from_millis(10));
        }
    }

    fn runs(&self) -> usize {
        fs::read(self.file("ran")).map_or(0, |lines| lines.len())
    }

    fn wait_for_runs(&self, wanted: usize) {
        let end = Instant::now() + Duration::from_secs(30);
        while self.runs() < wanted {
            assert!(Instant::now() < end, "{} ran", self.runs());
            sleep(Duration::from_millis(10));
        }
    }

    fn go(&self) {
        fs::write(self.file("go"), "").expect("root may write everything");
    }
}

const TOLD: &str = "waiting for another build";

as_everyone!(a_step_runs_once, TOOLS, |lab| {
    let counted = Counted::new(lab);
    let mut first = counted.start(lab, &[]);
    counted.wait_for_runs(1);
    let mut second = counted.start(lab, &[]);
    second.wait_for(TOLD);
    counted.go();
    assert_eq!((first.wait(), second.wait()), (Some(0), Some(0)), "{}", second.printed());
    assert_eq!(counted.runs(), 1);
    let printed = second.printed();
    assert!(printed.contains("2 of 2 steps cached") || printed.contains("1 of 2 steps cached"), "{printed}");
    lab.assert_nothing_left();
});

as_everyone!(eight_builds_at_once, TOOLS, |lab| {
    let counted = Counted::new(lab);
    let mut builds: Vec<_> = (0..8).map(|_| counted.start(lab, &[])).collect();
    counted.wait_for_runs(1);
    let waiting = |builds: &[Serving]| builds.iter().filter(|build| build.printed().contains(TOLD)).count();
    let end = Instant::now() + Duration::from_secs(60);
    while waiting(&builds) < 7 {
        assert!(Instant::now() < end, "{} wait", waiting(&builds));
        sleep(Duration::from_millis(20));
    }
    counted.go();
    for build in &mut builds {
        assert_eq!(build.wait(), Some(0), "{}", build.printed());
    }
    assert_eq!(counted.runs(), 1);
    lab.assert_nothing_left();
});

as_everyone!(what_was_killed_is_run_by_who_waits, TOOLS, |lab| {
    let counted = Counted::new(lab);
    let mut first = counted.start(lab, &[]);
    counted.wait_for_runs(1);
    let mut second = counted.start(lab, &[]);
    second.wait_for(TOLD);
    first.signal(Signal::KILL);
    first.wait();
    assert_eq!(second.wait(), Some(0), "{}", second.printed());
    assert_eq!(counted.runs(), 2);
});

as_everyone!(who_waits_can_be_stopped, TOOLS, |lab| {
    let counted = Counted::new(lab);
    let mut first = counted.start(lab, &[]);
    counted.wait_for_runs(1);
    let mut second = counted.start(lab, &[]);
    second.wait_for(TOLD);
    let began = Instant::now();
    second.signal(Signal::INT);
    assert_eq!(second.wait(), Some(1), "{}", second.printed());
    assert!(began.elapsed() < Duration::from_secs(2), "{:?}", began.elapsed());
    counted.go();
    assert_eq!((first.wait(), counted.runs()), (Some(0), 1), "{}", first.printed());
    lab.assert_nothing_left();
});

as_everyone!(without_the_cache_nobody_is_waited_for, TOOLS, |lab| {
    let counted = Counted::new(lab);
    let mut first = counted.start(lab, &[]);
    counted.wait_for_runs(1);
    let again = lab.build(["--no-cache", &counted.context]);
    assert_eq!((again.executed().len(), counted.runs()), (2, 2), "{}", again.text);
    counted.go();
    assert_eq!(first.wait(), Some(0), "{}", first.printed());
});

// Each waits for what the other runs, one after the other, with one place in the budget of each.
as_everyone!(two_builds_in_opposite_order, TOOLS, |lab| {
    let registry = Registry::start(&lab.path("docker"));
    let base = registry.push_base("busybox");
    let stage = |name: &str| format!("FROM {base} AS {name}\nRUN sleep 0.5 && touch /{name}\n");
    let end = format!("FROM {base}\nCOPY --from=a /a /\nCOPY --from=b /b /\n");
    let contexts = [
        lab.dockerfile("one", &[stage("a"), stage("b"), end.clone()].concat()),
        lab.dockerfile("other", &[stage("b"), stage("a"), end].concat()),
    ];
    let mut builds = contexts.map(|context| {
        let context = context.to_str().expect("text").to_owned();
        Serving::start(lab, &["build", "--progress=plain", "--parallelism=1", &context])
    });
    for build in &mut builds {
        assert_eq!(build.wait(), Some(0), "{}", build.printed());
    }
    let ran = |name: &str| {
        let line = format!("RUN sleep 0.5 && touch /{name}");
        let ran = |build: &Serving| {
            let printed = build.printed();
            let number = printed.lines().find(|l| l.ends_with(&line)).and_then(|l| l.split(' ').next());
            let number = number.expect("the step is told").to_owned();
            printed.lines().any(|l| l.starts_with(&format!("{number} DONE")))
        };
        builds.iter().filter(|build| ran(build)).count()
    };
    assert_eq!((ran("a"), ran("b")), (1, 1), "{}\n{}", builds[0].printed(), builds[1].printed());
});

as_everyone!(one_downloads_and_the_others_wait, TOOLS, |lab| {
    let files = Files::start();
    files.put(
        "file",
        Page {
            body: vec![7; 10_000],
            headers: vec![("ETag".to_owned(), "\"1\"".to_owned())],
            pause: Some(Duration::from_millis(500)),
            ..Page::default()
        },
    );
    let base = served_base(&files);
    let text = format!("FROM {base}\nADD {} /file\nRUN cat /file > /other\n", files.url("file"));
    let context = lab.dockerfile("context", &text).to_str().expect("text").to_owned();
    let mut builds: Vec<_> =
        (0..4).map(|_| Serving::start(lab, &["build", "--progress=plain", &context])).collect();
    for build in &mut builds {
        assert_eq!(build.wait(), Some(0), "{}", build.printed());
    }
    let log = files.take_log();
    let downloads = |what: &str| log.iter().filter(|l| l.contains(what) && l.ends_with(" 200")).count();
    assert_eq!(downloads("GET /file "), 1, "{log:#?}");
    // One layer, and the config.
    let mut blobs: Vec<_> = log.iter().filter(|line| line.contains("/blobs/")).collect();
    let all = blobs.len();
    blobs.sort();
    blobs.dedup();
    assert_eq!(blobs.len(), 2, "{log:#?}");
    assert!(all <= 1 + 4, "the layer came once, the config once for each at most: {log:#?}");
    lab.assert_nothing_left();
});

/// The busybox base, from a registry whose layer comes slowly; its reference.
fn served_base(files: &Files) -> String {
    let directory = bases::base("busybox");
    let manifest = fs::read(directory.join("manifest.json")).expect("skopeo wrote it");
    let parsed: serde_json::Value = serde_json::from_slice(&manifest).expect("it is JSON");
    let kind = parsed["mediaType"].as_str().unwrap_or("application/vnd.oci.image.manifest.v1+json");
    let headers = vec![("Content-Type".to_owned(), kind.to_owned())];
    files.put("v2/base/manifests/latest", Page { body: manifest, headers, ..Page::default() });
    let config = parsed["config"]["digest"].as_str().expect("a manifest has a config");
    let layers = parsed["layers"].as_array().expect("a manifest has layers").iter();
    let digests = layers.map(|layer| layer["digest"].as_str().expect("a layer has a digest"));
    for digest in digests.chain([config]) {
        let hex = digest.split_once(':').expect("a digest has an algorithm").1;
        let body = fs::read(directory.join(hex)).expect("skopeo wrote it");
        let pause = (digest != config).then_some(Duration::from_millis(500));
        files.put(&format!("v2/base/blobs/{digest}"), Page { body, pause, ..Page::default() });
    }
    files.put("v2/", "{}");
    format!("{}/base:latest", files.url("").trim_start_matches("http://").trim_end_matches('/'))
}
