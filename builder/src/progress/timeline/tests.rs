use super::*;
use crate::progress::measure::{IoUsage, Measure};
use crate::progress::{Event, Sink, StepId};
use serde_json::Value;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// A recorder whose clock is set by hand, in milliseconds.
struct Played {
    recorder: Recorder,
    clock: Arc<AtomicU64>,
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

impl Played {
    fn new(title: &str) -> Self {
        let clock = Arc::new(AtomicU64::new(0));
        let shown = Arc::clone(&clock);
        let began = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let tell = Box::new(move || ms(shown.load(Ordering::Relaxed)));
        Self { recorder: Recorder::with_clock(title.to_owned(), began, tell), clock }
    }

    fn at(&self, time: u64) -> &Self {
        self.clock.store(time, Ordering::Relaxed);
        self
    }

    fn send(&self, event: Event) -> &Self {
        self.recorder.event(event);
        self
    }

    fn measure(&self, step: u32, what: Measure) -> &Self {
        self.send(Event::Measured { step: StepId(step), what })
    }

    fn announce(&self, step: u32, name: &str) -> &Self {
        self.send(Event::Announced { step: StepId(step), name: name.to_owned() })
    }

    fn place(&self, step: u32, name: &str, stage: &str, inputs: &[u32]) -> &Self {
        let (stage, inputs) = (stage.to_owned(), inputs.iter().copied().map(StepId).collect());
        self.announce(step, name).measure(step, Measure::Place { stage, inputs })
    }

    fn start(&self, step: u32) -> &Self {
        self.send(Event::Started { step: StepId(step) })
    }

    fn waited(&self, step: u32, on: Wait, time: u64) -> &Self {
        self.measure(step, Measure::Waited { on, elapsed: ms(time) })
    }

    fn finish(&self, step: u32) -> &Self {
        self.send(Event::Finished { step: StepId(step), elapsed: Duration::ZERO });
        self.measure(step, Measure::Solved)
    }

    fn cached(&self, step: u32) -> &Self {
        self.measure(step, Measure::Solved).send(Event::Cached { step: StepId(step) })
    }

    fn fail(&self, step: u32, error: &str) -> &Self {
        let error = error.to_owned();
        self.send(Event::Failed { step: StepId(step), elapsed: Duration::ZERO, error })
    }

    fn moved(&self, step: u32, item: &str, current: u64) -> &Self {
        let item = item.to_owned();
        self.send(Event::Transfer { step: StepId(step), item, current, total: None })
    }
}

/// Two stages that run at once, of which the longer one decides:
///
/// ```text
///         10      110 130                    410  500      600 700
/// planning | image |   |                       |    |        |  |
/// a            look     RUN slow...............|    |        |
/// b            look     (place) RUN quick..         |        |
/// final                                        COPY.| cached |  outputs
/// ```
fn two_stages() -> Played {
    let played = Played::new("build <app> & \"co\"");
    played.at(2).announce(90, "[internal] load metadata for base").start(90);
    played.at(8).waited(90, Wait::Network, 6).finish(90);
    played.at(10);
    played.place(0, "[a 1/2] FROM base", "a", &[]);
    played.place(1, "[a 2/2] RUN slow <b>\"x\"</b>\n\u{1b}[31m& 'y'", "a", &[0]);
    played.place(2, "[b 1/1] RUN quick", "b", &[0]);
    played.place(3, "[final 1/2] COPY --from=a https://x/ y", "final", &[1, 2]);
    played.place(4, "[final 2/2] WORKDIR /", "final", &[3]);
    // The image is known, and fetched once the first step that needs it has been looked up.
    played.measure(0, Measure::Solved);
    played.at(20).start(0).moved(0, "aaa", 500).moved(0, "bbb", 100);
    played.at(60).moved(0, "aaa", 1000).waited(0, Wait::Network, 40);
    played.at(80).waited(0, Wait::Network, 50).moved(0, "aaa", 900);
    played.at(110).send(Event::Finished { step: StepId(0), elapsed: ms(90) });
    played.at(130).start(1).waited(2, Wait::Place, 0);
    played.at(150).waited(2, Wait::Place, 15).start(2);
    for at in [160, 170, 180] {
        played.at(at).waited(2, Wait::Lock, 10);
    }
    played.at(200).waited(2, Wait::Lock, 10);
    played.at(250).finish(2);
    let io = Some(IoUsage { read: 5000, written: 4000, disk_read: 300, disk_written: 200 });
    let usage = Usage { user: ms(100), system: ms(50), peak_memory: Some(7_000_000), io };
    played.at(400).measure(1, Measure::Used(usage)).measure(1, Measure::Layer { bytes: 4096 });
    played.at(410).finish(1);
    played.at(430).start(3);
    played.at(500).finish(3);
    played.at(600).cached(4);
    played.at(700);
    played
}

fn named<'t>(timeline: &'t Timeline, part: &str) -> &'t Span {
    let found = timeline.spans.iter().find(|span| span.name.contains(part));
    found.unwrap_or_else(|| panic!("{part} in {timeline:#?}"))
}

fn critical(timeline: &Timeline) -> Vec<&str> {
    timeline.critical.nodes.iter().map(|&at| timeline.spans[at].name.as_str()).collect()
}

#[test]
fn a_build_that_goes_well() {
    let timeline = two_stages().recorder.finish(None);
    assert_eq!((timeline.elapsed, timeline.failure.as_ref()), (ms(700), None));
    let times = |part: &str| {
        let span = named(&timeline, part);
        let of = |time: Duration| time.as_millis();
        (of(span.ready), of(span.start), of(span.end), span.state)
    };
    assert_eq!(times("reading the Dockerfile"), (0, 0, 10, State::Ran));
    assert_eq!(times("load metadata"), (2, 2, 8, State::Ran));
    assert_eq!(times("FROM base"), (20, 20, 110, State::Ran));
    assert_eq!(times("RUN slow"), (110, 130, 410, State::Ran));
    assert_eq!(times("RUN quick"), (110, 150, 250, State::Ran));
    assert_eq!(times("COPY"), (410, 430, 500, State::Ran));
    assert_eq!(times("WORKDIR"), (500, 600, 600, State::Cached));
    assert_eq!(times("packing"), (600, 600, 700, State::Ran));
    assert_eq!(named(&timeline, "load metadata").group, Group::Before);
    let groups: Vec<String> = timeline.groups().iter().map(|(group, _)| group.title()).collect();
    assert_eq!(groups, ["before the steps", "stage a", "stage b", "stage final", "after the steps"]);

    let image = named(&timeline, "FROM base");
    let moved: Vec<_> = image.moved.iter().map(|moved| (moved.item.as_str(), moved.bytes)).collect();
    assert_eq!(moved, [("aaa", 1000), ("bbb", 100)]);
    assert_eq!(image.pauses, [Pause { on: Wait::Network, from: ms(20), to: ms(80) }]);
    let quick = named(&timeline, "RUN quick");
    assert_eq!(quick.lookup(), Some((ms(110), ms(135))));
    assert_eq!((quick.waited(Wait::Place), quick.waited(Wait::Lock)), (ms(15), ms(40)));
    assert_eq!(quick.pauses.len(), 3, "{:?}", quick.pauses);
    assert_eq!(quick.cost(), ms(125));
    let slow = named(&timeline, "RUN slow");
    assert_eq!((slow.usage.map(|usage| usage.cpu()), slow.layer), (Some(ms(150)), Some(4096)));

    let path = critical(&timeline);
    assert_eq!(path.len(), 6, "{path:?}");
    assert!(path[0].starts_with("reading") && path[2].contains("RUN slow"), "{path:?}");
    assert!(path[4].contains("WORKDIR") && path[5].starts_with("packing"), "{path:?}");
    // Between 10 and 20 the image was not asked for yet.
    assert_eq!(timeline.critical.length, ms(690));
}

#[test]
fn a_build_that_does_everything_from_the_cache() {
    let played = Played::new("build .");
    played.at(3).place(0, "FROM base", "s", &[]).place(1, "RUN x", "s", &[0]);
    played.measure(0, Measure::Solved);
    played.at(5).cached(1);
    // Nobody has needed the layers of the image; that is told at the end.
    played.at(9).send(Event::Cached { step: StepId(0) });
    let timeline = played.at(10).recorder.finish(None);
    let image = named(&timeline, "FROM");
    assert_eq!((image.end, image.state, image.cost()), (ms(3), State::Cached, ms(0)));
    let run = named(&timeline, "RUN");
    assert_eq!((run.ready, run.end, run.state, run.cost()), (ms(3), ms(5), State::Cached, ms(2)));
    assert_eq!(timeline.critical.length, ms(10));
}

/// Two who wait for the layers of an image: the one who did not fetch them may go on before the other says so.
#[test]
fn time_with_an_image_counts_once() {
    let played = Played::new("build .");
    played.at(1).place(0, "FROM base", "s", &[]).place(1, "RUN x", "s", &[0]).place(2, "RUN y", "t", &[0]);
    played.measure(0, Measure::Solved).at(2).start(0);
    played.at(50).cached(1);
    played.at(99).start(2);
    played.at(100).send(Event::Finished { step: StepId(0), elapsed: ms(98) });
    let timeline = played.at(150).finish(2).recorder.finish(None);
    assert_eq!(named(&timeline, "RUN x").cost(), ms(0));
    assert_eq!(named(&timeline, "RUN y").ready, ms(99));
    assert_eq!(timeline.critical.length, ms(149));
}

#[test]
fn a_step_that_fails() {
    let played = Played::new("build .");
    played.at(1).place(0, "RUN bad", "s", &[]).place(1, "RUN other", "t", &[]);
    played.place(2, "RUN third", "u", &[]).place(3, "RUN after", "s", &[0]);
    played.at(2).start(0).start(1).start(2);
    played.at(50).fail(0, "exit code 1");
    played.at(60).measure(1, Measure::Stopped).fail(1, "stopped");
    let timeline = played.at(70).recorder.finish(Some("RUN bad: exit code 1".to_owned()));
    let states = ["bad", "other", "third", "after"].map(|part| named(&timeline, part).state);
    assert_eq!(states, [State::Failed, State::Stopped, State::Stopped, State::NotReached]);
    let bad = named(&timeline, "bad");
    assert_eq!((bad.end, bad.error.as_deref()), (ms(50), Some("exit code 1")));
    assert_eq!(named(&timeline, "third").end, ms(70));
    assert!(!timeline.spans.iter().any(|span| span.name.starts_with("packing")));
    assert_eq!(critical(&timeline)[1..], ["RUN third"]);
}

#[test]
fn failures_without_a_step() {
    let early = Played::new("build .").at(5).recorder.finish(Some("no Dockerfile".to_owned()));
    assert_eq!(early.spans.len(), 1);
    assert_eq!((early.spans[0].state, early.spans[0].end), (State::Failed, ms(5)));
    assert_eq!(early.spans[0].error.as_deref(), Some("no Dockerfile"));

    let played = Played::new("build .");
    played.at(1).place(0, "WORKDIR /", "s", &[]).cached(0);
    played.at(3).announce(80, "pushing app").start(80);
    played.at(9).fail(80, "denied");
    let late = played.at(10).recorder.finish(Some("the registry: denied".to_owned()));
    let packing = named(&late, "packing");
    assert_eq!((packing.state, packing.start, packing.end), (State::Failed, ms(1), ms(10)));
    assert_eq!(named(&late, "pushing").group, Group::After);
    assert_eq!(named(&late, "WORKDIR").state, State::Cached);
}

#[test]
fn what_nobody_announced_is_left_out() {
    let played = Played::new("build .");
    played.start(7).fail(7, "x").cached(8).moved(9, "x", 1).waited(9, Wait::Lock, 5);
    assert_eq!(played.at(5).recorder.finish(None).spans.len(), 1);
}

/// Opens and closes every element in order; gives the text between them, and the values of attributes.
fn read_page(page: &str) -> (Vec<String>, Vec<(String, String)>) {
    let mut rest = page.strip_prefix("<!DOCTYPE html>").expect("the page says what it is");
    let (mut open, mut texts, mut attributes) = (Vec::<String>::new(), Vec::new(), Vec::new());
    while let Some(start) = rest.find('<') {
        let text = &rest[..start];
        assert!(!text.contains('>') || open.last().is_some_and(|tag| tag == "style"), "{text:?}");
        if open.last().is_none_or(|tag| tag != "style") {
            texts.push(text.to_owned());
        }
        let end = start + rest[start..].find('>').expect("a tag ends");
        let tag = &rest[start + 1..end];
        rest = &rest[end + 1..];
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop().as_deref(), Some(name), "before {rest:.100}");
            continue;
        }
        let (name, mut inner) = tag.split_once(' ').unwrap_or((tag, ""));
        while !inner.is_empty() {
            let (key, more) = inner.split_once("=\"").unwrap_or_else(|| panic!("attributes of {tag}"));
            let (value, more) = more.split_once('"').unwrap_or_else(|| panic!("attributes of {tag}"));
            attributes.push((key.trim().to_owned(), value.to_owned()));
            inner = more.trim_start();
        }
        if name != "meta" {
            open.push(name.to_owned());
        }
    }
    assert!(open.is_empty() && rest.trim().is_empty(), "{open:?} are open");
    (texts, attributes)
}

#[test]
fn the_page_is_well_formed_and_alone() {
    for timeline in [
        two_stages().recorder.finish(None),
        two_stages().recorder.finish(Some("<script>alert(1)</script>".to_owned())),
        Played::new("").recorder.finish(None),
    ] {
        let page = html::write(&timeline);
        let (texts, attributes) = read_page(&page);
        for name in attributes.iter().map(|(name, _)| name.as_str()) {
            assert!(
                ["lang", "charset", "name", "content", "class", "style", "title"].contains(&name),
                "{name}"
            );
        }
        for forbidden in ["<script", "<link", "<img", "url(", "@import", "<b>\"", "\u{1b}"] {
            assert!(!page.contains(forbidden), "{forbidden}");
        }
        // An address is in the name of a step only.
        let address = |text: &&String| text.contains("http") && !text.contains("COPY --from=a https://x/ y");
        assert_eq!(texts.iter().find(address), None);
        let address = |text: &&(String, String)| text.1.contains("http") && !text.1.contains("COPY");
        assert_eq!(attributes.iter().find(address), None);
    }
}

#[test]
fn what_the_page_shows() {
    let page = html::write(&two_stages().recorder.finish(None));
    let (texts, attributes) = read_page(&page);
    let shows = |text: &str| texts.iter().any(|shown| shown.contains(text));
    for text in [
        "build &lt;app&gt; &amp; &quot;co&quot;",
        "RUN slow &lt;b&gt;&quot;x&quot;&lt;/b&gt; &amp; &#39;y&#39;",
        "2023-11-14T22:13:20Z, 700 ms. 5 steps: 4 ran, 1 cached. The critical path is 690 ms of it",
        "stage final",
        "150 ms",
        "5.0 kB",
        "100 ms in programs, 50 ms in the kernel",
        "7.0 MB at most in one process",
        "4.0 kB, to the disk 200 B",
        "1.0 kB of aaa",
        "60 ms for the network",
        "40 ms for a lock",
        "15 ms for a place",
        "not measured",
    ] {
        assert!(shows(text), "{text}\n{page}");
    }
    let of_class =
        |class: &str| attributes.iter().filter(|(name, value)| name == "class" && value == class).count();
    // Bars and rows, and one in the legend.
    assert_eq!((of_class("ran critical"), of_class("cached critical")), (5 * 2 + 1, 2));
    assert_eq!((of_class("wait network"), of_class("wait lock"), of_class("wait place")), (2, 2, 1));
    for (_, style) in attributes.iter().filter(|(name, value)| name == "style" && value.starts_with("left")) {
        let number = |text: &str| -> f64 { text.split([':', '%']).nth(1).unwrap().parse().unwrap() };
        let (left, width) = style.split_once(';').unwrap_or((style, "width:0%"));
        let sum = number(left) + number(width);
        assert!((0.0..=100.002).contains(&sum), "{style}");
    }
}

#[test]
fn events_of_the_trace() {
    let timeline = two_stages().recorder.finish(None);
    let trace: Value = serde_json::from_str(&trace::write(&timeline)).unwrap();
    let events = trace["traceEvents"].as_array().unwrap();
    let of = |phase: &'static str| events.iter().filter(move |event| event["ph"] == phase);
    assert_eq!(of("X").count(), timeline.spans.len());
    let slow = of("X").find(|event| event["name"].as_str().unwrap().contains("slow")).unwrap();
    assert_eq!((slow["ts"].as_f64(), slow["dur"].as_f64()), (Some(130_000.0), Some(280_000.0)));
    assert_eq!(slow["cat"], "ran,critical");
    let args = &slow["args"];
    assert_eq!((&args["state"], &args["criticalPath"]), (&"ran".into(), &true.into()));
    assert_eq!((&args["cpuUserSeconds"], &args["readBytes"]), (&0.1.into(), &5000.into()));
    let quick = of("X").find(|event| event["name"].as_str().unwrap().contains("quick")).unwrap();
    assert_eq!(quick["args"]["lockWaitSeconds"], 0.04);
    assert_eq!(quick["args"].get("cpuUserSeconds"), None);
    // Every process and thread has a name.
    let names: HashMap<u64, &str> = of("M")
        .filter(|event| event["name"] == "process_name")
        .map(|event| (event["pid"].as_u64().unwrap(), event["args"]["name"].as_str().unwrap()))
        .collect();
    assert_eq!(names[&slow["pid"].as_u64().unwrap()], "stage a");
    for event in of("X") {
        let is_name = |name: &&Value| {
            name["name"] == "thread_name" && name["pid"] == event["pid"] && name["tid"] == event["tid"]
        };
        assert_eq!(of("M").filter(is_name).count(), 1, "{event}");
    }
    // On one thread nothing overlaps.
    let mut threads: BTreeMap<(u64, u64), Vec<(f64, f64)>> = BTreeMap::new();
    for event in of("X") {
        let thread = (event["pid"].as_u64().unwrap(), event["tid"].as_u64().unwrap());
        let from = event["ts"].as_f64().unwrap();
        threads.entry(thread).or_default().push((from, from + event["dur"].as_f64().unwrap()));
    }
    assert!(threads.keys().any(|(_, thread)| *thread == 2), "what is read meanwhile has a thread of its own");
    for (thread, times) in &mut threads {
        times.sort_by(|a, b| a.partial_cmp(b).unwrap());
        assert!(times.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{thread:?}: {times:?}");
    }
    // What is opened is closed, and arrows have two ends.
    let ids = |phase| {
        let mut ids: Vec<u64> = of(phase).map(|event| event["id"].as_u64().unwrap()).collect();
        ids.sort_unstable();
        ids
    };
    assert_eq!(ids("b"), ids("e"));
    assert_eq!(ids("s"), ids("f"));
    assert_eq!(ids("s").len(), timeline.spans.iter().map(|span| span.inputs.len()).sum::<usize>());
    let all: Vec<u64> = ids("b").into_iter().chain(ids("s")).collect();
    assert_eq!(all.iter().collect::<std::collections::HashSet<_>>().len(), all.len());
    assert_eq!(trace["otherData"]["criticalPathSeconds"], 0.69);
}

#[test]
fn what_was_not_reached_is_in_no_trace() {
    let played = Played::new("build .");
    played.at(1).place(0, "RUN bad", "s", &[]).place(1, "RUN after", "s", &[0]);
    played.at(2).start(0);
    let usage = Usage { user: ms(1), ..Usage::default() };
    played.at(3).measure(0, Measure::Used(usage)).fail(0, "exit code 1");
    let timeline = played.at(4).recorder.finish(Some("bad \"news\"".to_owned()));
    let text = trace::write(&timeline);
    assert!(!text.contains("RUN after"), "{text}");
    let trace: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(trace["otherData"]["failure"], "bad \"news\"");
    let page = html::write(&timeline);
    read_page(&page);
    assert!(page.contains("not reached") && page.contains("RUN after"), "{page}");
    for why in ["not measured: no process had more", "not measured: the kernel does not say"] {
        assert!(page.contains(why), "{why}");
    }
    assert_eq!(critical(&timeline)[1..], ["RUN bad"]);
}
