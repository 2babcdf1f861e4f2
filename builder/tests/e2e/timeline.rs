//! `--timeline` and `--trace`: what a build tells of its time.

use crate::support::bases;
use crate::support::lab::{Lab, Serving, as_everyone};
use crate::support::registry::Registry;
use rustix::process::Signal;
use serde_json::Value;
use std::fs;

const TOOLS: &[&str] = &["docker-registry", "skopeo", bases::TOOLS[1], bases::TOOLS[2]];

/// The file of `--trace`, read.
struct Trace(Value);

impl Trace {
    #[track_caller]
    fn read(lab: &Lab, name: &str) -> Trace {
        let text = fs::read_to_string(lab.path(name)).expect("the trace was written");
        Trace(serde_json::from_str(&text).expect("it is JSON"))
    }

    fn steps(&self) -> impl Iterator<Item = &Value> {
        let events = self.0["traceEvents"].as_array().expect("it has events");
        events.iter().filter(|event| event["ph"] == "X")
    }

    /// The event of the step whose name has `part` in it.
    #[track_caller]
    fn step(&self, part: &str) -> &Value {
        let is_it = |event: &&Value| event["name"].as_str().is_some_and(|name| name.contains(part));
        self.steps().find(is_it).unwrap_or_else(|| panic!("{part} is not in {:#}", self.0))
    }

    #[track_caller]
    fn state(&self, part: &str) -> &str {
        self.step(part)["args"]["state"].as_str().expect("a step has a state")
    }

    /// A number that was measured.
    #[track_caller]
    fn number(&self, part: &str, what: &str) -> f64 {
        let args = &self.step(part)["args"];
        args[what].as_f64().unwrap_or_else(|| panic!("{what} is not in {args:#}"))
    }

    /// When it began and ended, in seconds.
    #[track_caller]
    fn times(&self, part: &str) -> (f64, f64) {
        let step = self.step(part);
        let seconds = |what: &str| step[what].as_f64().expect("a step has times") / 1e6;
        (seconds("ts"), seconds("ts") + seconds("dur"))
    }

    /// The names of the critical path.
    fn critical(&self) -> Vec<&str> {
        let critical = self.steps().filter(|step| step["args"]["criticalPath"] == true);
        critical.filter_map(|step| step["name"].as_str()).collect()
    }
}

fn flags(lab: &Lab, name: &str) -> [String; 2] {
    let path = |kind: &str| lab.path(format!("home/{name}.{kind}")).display().to_string();
    [format!("--timeline={}", path("html")), format!("--trace={}", path("json"))]
}

/// The page asks nobody for anything.
#[track_caller]
fn page(lab: &Lab, name: &str) -> String {
    let page = fs::read_to_string(lab.path(format!("home/{name}.html"))).expect("the page was written");
    assert!(page.starts_with("<!DOCTYPE html>") && page.ends_with("</html>\n"), "{page}");
    for forbidden in ["<script", "<link", "src=", "href=", "url(", "http:", "https:"] {
        assert!(!page.contains(forbidden), "{forbidden} in {page}");
    }
    page
}

as_everyone!(stages_at_once, TOOLS, |lab| {
    let registry = Registry::start(&lab.path("docker"));
    let base = registry.push_base("busybox");
    let context = lab.dockerfile(
        "context",
        &format!(
            "FROM {base} AS one\n\
             RUN --mount=type=cache,id=c,target=/c,sharing=locked sleep 1; head -c 5000000 /dev/zero > /file\n\
             FROM {base} AS two\n\
             RUN --mount=type=cache,id=c,target=/c,sharing=locked sleep 1; i=0; while [ $i -lt 100000 ]; do i=$((i+1)); done; x=$(dd if=/dev/zero bs=1M count=100 2>/dev/null | tr '\\0' x)\n\
             FROM {base}\n\
             COPY --from=one /file /one\n\
             COPY --from=two /etc /two\n\
             RUN cat /one > /dev/null; echo '<b>&'\n"
        ),
    );
    let context = context.display().to_string();
    let cold = flags(lab, "cold");
    lab.build([&*cold[0], &*cold[1], "--parallelism=2", &*context]);
    let trace = Trace::read(lab, "home/cold.json");
    for part in ["FROM", "head", "while", "COPY --from=one", "COPY --from=two", "cat"] {
        assert_eq!(trace.state(part), "ran", "{part}");
    }
    // The kernel has counted what the programs read and wrote, and the processor time they took.
    assert!(trace.number("head", "writtenBytes") >= 5e6, "{:#}", trace.step("head"));
    assert!(trace.number("cat", "readBytes") >= 5e6, "{:#}", trace.step("cat"));
    assert!(trace.number("cat", "writtenBytes") < 10e6, "{:#}", trace.step("cat"));
    assert!(trace.number("while", "cpuUserSeconds") > 0.01, "{:#}", trace.step("while"));
    assert!(trace.number("head", "cpuUserSeconds") < 1.0, "{:#}", trace.step("head"));
    assert!((1e8..1e9).contains(&trace.number("while", "peakMemoryBytes")), "{:#}", trace.step("while"));
    assert!(
        trace.number("head", "layerBytes") >= 5e6 && trace.number("COPY --from=one", "layerBytes") >= 5e6
    );
    // One of the two had the cache mount, and the other one waited for it.
    let waited = |part: &str| trace.step(part)["args"]["lockWaitSeconds"].as_f64().unwrap_or(0.0);
    let (least, most) = (waited("head").min(waited("while")), waited("head").max(waited("while")));
    assert!(least < 0.5 && (0.9..20.0).contains(&most), "{least} {most}");
    // The layers of the base came from a server, and before the steps on them began.
    assert!(trace.number("FROM", "networkWaitSeconds") > 0.0);
    assert!(trace.step("FROM")["args"]["movedBytes"].as_object().is_some_and(|moved| !moved.is_empty()));
    assert_eq!(trace.state("load metadata"), "ran");
    // It ends, and one that waited for it begins, at the same moment.
    assert!(trace.times("FROM").0 < trace.times("head").0 && trace.times("FROM").1 < trace.times("head").1);
    assert!(trace.times("head").1.max(trace.times("while").1) <= trace.times("cat").0);
    // The path goes through the stage that had to wait, and through what takes its files.
    let path = trace.critical();
    let slow = if waited("head") > waited("while") { "head" } else { "while" };
    assert!(path.iter().any(|name| name.contains(slow)), "{path:?}");
    assert!(path.iter().any(|name| name.contains("cat /one")), "{path:?}");
    let (critical, all) = (&trace.0["otherData"]["criticalPathSeconds"], &trace.0["otherData"]["seconds"]);
    let (critical, all) = (critical.as_f64().unwrap_or(0.0), all.as_f64().unwrap_or(0.0));
    assert!((2.0..=all).contains(&critical), "{critical} {all} {:#}", trace.0);
    let shown = page(lab, "cold");
    for text in
        ["stage one", "stage two", "echo &#39;&lt;b&gt;&amp;&#39;", "class=\"wait lock\"", "ran critical"]
    {
        assert!(shown.contains(text), "{text}");
    }

    let warm = flags(lab, "warm");
    lab.build([&*warm[0], &*warm[1], &*context]).assert_all_cached();
    let trace = Trace::read(lab, "home/warm.json");
    for part in ["head", "while", "COPY --from=one", "COPY --from=two", "cat"] {
        assert_eq!(trace.state(part), "cached", "{part}");
    }
    assert!(page(lab, "warm").contains("0 ran, "));
    lab.assert_nothing_left();
});

as_everyone!(waits_for_a_place, TOOLS, |lab| {
    let registry = Registry::start(&lab.path("docker"));
    let base = registry.push_base("busybox");
    let context = lab.dockerfile(
        "context",
        &format!(
            "FROM {base} AS one\nRUN sleep 0.5; echo 1 > /f\nFROM {base} AS two\nRUN sleep 0.5; echo 2 > /f\n\
             FROM scratch\nCOPY --from=one /f /1\nCOPY --from=two /f /2\n"
        ),
    );
    let context = context.display().to_string();
    let [_, trace] = flags(lab, "place");
    lab.build([&*trace, "--parallelism=1", &*context]);
    let trace = Trace::read(lab, "home/place.json");
    let waited = |part: &str| trace.step(part)["args"]["placeWaitSeconds"].as_f64().unwrap_or(0.0);
    assert!(waited("echo 1").max(waited("echo 2")) > 0.45, "{:#}", trace.0);
    assert!(!lab.path("home/place.html").exists());
});

as_everyone!(a_build_that_fails, TOOLS, |lab| {
    let registry = Registry::start(&lab.path("docker"));
    let base = registry.push_base("busybox");
    let context = lab.dockerfile("context", &format!("FROM {base}\nRUN true\nRUN exit 3\nRUN echo after\n"));
    let context = context.display().to_string();
    let files = flags(lab, "failed");
    lab.try_build([&*files[0], &*files[1], &*context]).assert_refused(1, &["exit code: 3"]);
    let trace = Trace::read(lab, "home/failed.json");
    assert_eq!((trace.state("RUN true"), trace.state("RUN exit 3")), ("ran", "failed"));
    assert!(!trace.steps().any(|step| step["name"].as_str().is_some_and(|name| name.contains("after"))));
    assert!(trace.0["otherData"]["failure"].as_str().is_some_and(|text| text.contains("exit code: 3")));
    let shown = page(lab, "failed");
    assert!(shown.contains("1 failed, 1 not reached"), "{shown}");
    assert!(shown.contains("failed critical") && !shown.contains("unreached critical"), "{shown}");

    // Nor does it get to the steps.
    let context = lab.dockerfile("context", "FROM nowhere.invalid/x:1\n").display().to_string();
    let files = flags(lab, "early");
    lab.try_build([&*files[0], &*files[1], &*context]).assert_refused(1, &["nowhere.invalid"]);
    assert_eq!(Trace::read(lab, "home/early.json").state("load metadata"), "failed");
    page(lab, "early");
});

as_everyone!(a_file_that_cannot_be_written, TOOLS, |lab| {
    let registry = Registry::start(&lab.path("docker"));
    let base = registry.push_base("busybox");
    let context = lab.dockerfile("context", &format!("FROM {base}\nRUN echo it ran\n")).display().to_string();
    let absent = lab.path("home/absent/page.html").display().to_string();
    let [_, trace] = flags(lab, "other");
    let build = lab.try_build(["-t", "made", &*format!("--timeline={absent}"), &*trace, &*context]);
    build.assert_refused(1, &[&format!("error: cannot write {absent}: "), "named made"]);
    // The build is done all the same, and so is the other file.
    lab.verb(["inspect", "made"]);
    assert_eq!(Trace::read(lab, "home/other.json").state("echo it ran"), "ran");
    // The failure of a build is the first thing to know.
    lab.dockerfile("context", &format!("FROM {base}\nRUN exit 3\n"));
    let build = lab.try_build([&*format!("--timeline={absent}"), &*context]);
    build.assert_refused(1, &["exit code: 3", &format!("error: cannot write {absent}: ")]);
});

as_everyone!(a_build_that_is_stopped, TOOLS, |lab| {
    let registry = Registry::start(&lab.path("docker"));
    let base = registry.push_base("busybox");
    let context = lab.dockerfile(
        "context",
        &format!("FROM {base}\nRUN echo first\nRUN echo it runs; sleep 100000\nRUN echo after\n"),
    );
    let context = context.display().to_string();
    let files = flags(lab, "stopped");
    let mut build = Serving::start(lab, &["build", "--progress=plain", &files[0], &files[1], &context]);
    build.wait_for(" it runs\n");
    build.signal(Signal::INT);
    assert_eq!(build.wait(), Some(1), "{}", build.printed());
    let trace = Trace::read(lab, "home/stopped.json");
    assert_eq!((trace.state("echo first"), trace.state("sleep")), ("ran", "stopped"));
    assert!(page(lab, "stopped").contains("1 stopped, 1 not reached"));
    lab.assert_nothing_left();
});
