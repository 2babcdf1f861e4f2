//! A timeline as trace events, the JSON that Perfetto (ui.perfetto.dev) and `chrome://tracing` open.
//!
//! Form: "Trace Event Format", the JSON object with `traceEvents`. A stage is a process in it, a step a complete event
//! (`X`); what runs at once has threads of its own. Waits are nestable asynchronous events (`b`, `e`), and arrows (`s`,
//! `f`) lead from a step to those that take its result. Times are in microseconds.

use super::{Span, State, Timeline, wait_word};
use crate::progress::measure::Wait;
use serde_json::{Map, Value, json};
use std::time::Duration;

/// The whole file.
pub fn write(timeline: &Timeline) -> String {
    let mut events = Vec::new();
    let mut places = vec![(0, 0); timeline.spans.len()];
    for (process, (group, members)) in (1..).zip(timeline.groups()) {
        events.push(named("process_name", process, 0, json!({"name": group.title()})));
        events.push(named("process_sort_index", process, 0, json!({"sort_index": process})));
        let shown: Vec<usize> = members.into_iter().filter(|&at| is_shown(&timeline.spans[at])).collect();
        for (position, thread) in threads(timeline, &shown) {
            places[position] = (process, thread);
        }
        let used = shown.iter().map(|&at| places[at].1).max().unwrap_or(0);
        for thread in 1..=used {
            let name = if thread == 1 { "steps".to_owned() } else { format!("steps, at once {thread}") };
            events.push(named("thread_name", process, thread, json!({"name": name})));
        }
    }
    let mut number = 0;
    for (position, span) in timeline.spans.iter().enumerate().filter(|(_, span)| is_shown(span)) {
        let (process, thread) = places[position];
        let critical = timeline.is_critical(position);
        events.push(complete(span, process, thread, critical));
        if let Some(times) = span.lookup() {
            number += 1;
            events.extend(asynchronous("looked up", "lookup", (process, thread), number, times));
        }
        for pause in &span.pauses {
            number += 1;
            let times = (pause.from, pause.to);
            events.extend(asynchronous(wait_word(pause.on), "wait", (process, thread), number, times));
        }
        for &input in span.inputs.iter().filter(|&&input| is_shown(&timeline.spans[input])) {
            number += 1;
            let from = &timeline.spans[input];
            let (from_process, from_thread) = places[input];
            let leaves = from.end.min(span.start);
            events.push(json!({
                "ph": "s", "id": number, "cat": "input", "name": "input",
                "pid": from_process, "tid": from_thread, "ts": micros(leaves),
            }));
            events.push(json!({
                "ph": "f", "bp": "e", "id": number, "cat": "input", "name": "input",
                "pid": process, "tid": thread, "ts": micros(span.start),
            }));
        }
    }
    let mut about = json!({
        "title": timeline.title,
        "began": humantime::format_rfc3339_millis(timeline.began).to_string(),
        "seconds": timeline.elapsed.as_secs_f64(),
        "criticalPathSeconds": timeline.critical.length.as_secs_f64(),
    });
    if let Some(failure) = &timeline.failure {
        about["failure"] = failure.as_str().into();
    }
    let mut text = json!({"traceEvents": events, "displayTimeUnit": "ms", "otherData": about}).to_string();
    text.push('\n');
    text
}

/// What never began has no time.
fn is_shown(span: &Span) -> bool {
    span.state != State::NotReached
}

fn micros(time: Duration) -> f64 {
    time.as_nanos() as f64 / 1000.0
}

fn named(what: &str, process: u32, thread: u32, args: Value) -> Value {
    json!({"ph": "M", "name": what, "pid": process, "tid": thread, "args": args})
}

/// A thread, from 1, for each of the spans of a group: those of one thread do not overlap.
fn threads(timeline: &Timeline, members: &[usize]) -> Vec<(usize, u32)> {
    let mut sorted = members.to_vec();
    sorted.sort_by_key(|&at| (timeline.spans[at].start, timeline.spans[at].end));
    let mut ends: Vec<Duration> = Vec::new();
    let mut placed = Vec::new();
    for at in sorted {
        let span = &timeline.spans[at];
        let free = ends.iter().position(|end| *end <= span.start).unwrap_or(ends.len());
        if free == ends.len() {
            ends.push(Duration::ZERO);
        }
        ends[free] = span.end;
        placed.push((at, u32::try_from(free + 1).unwrap_or(u32::MAX)));
    }
    placed
}

fn complete(span: &Span, process: u32, thread: u32, critical: bool) -> Value {
    let category =
        if critical { format!("{},critical", span.state.word()) } else { span.state.word().to_owned() };
    // Names of the colours that the format knows.
    let colour = match span.state {
        State::Cached => "grey",
        State::Failed | State::Stopped => "terrible",
        _ if critical => "bad",
        _ => "good",
    };
    json!({
        "ph": "X", "name": span.name, "cat": category, "cname": colour,
        "pid": process, "tid": thread,
        "ts": micros(span.start), "dur": micros(span.ran_for()),
        "args": details(span, critical),
    })
}

/// What is known of a span. What was not measured is not there.
fn details(span: &Span, critical: bool) -> Value {
    let mut details = Map::new();
    details.insert("state".to_owned(), span.state.word().into());
    details.insert("criticalPath".to_owned(), critical.into());
    let mut more = |name: &str, value: Value| drop(details.insert(name.to_owned(), value));
    if let Some(error) = &span.error {
        more("error", error.as_str().into());
    }
    if let Some(usage) = &span.usage {
        more("cpuUserSeconds", usage.user.as_secs_f64().into());
        more("cpuSystemSeconds", usage.system.as_secs_f64().into());
        if let Some(most) = usage.peak_memory {
            more("peakMemoryBytes", most.into());
        }
        if let Some(io) = &usage.io {
            more("readBytes", io.read.into());
            more("writtenBytes", io.written.into());
            more("diskReadBytes", io.disk_read.into());
            more("diskWrittenBytes", io.disk_written.into());
        }
    }
    if let Some(bytes) = span.layer {
        more("layerBytes", bytes.into());
    }
    for on in [Wait::Lock, Wait::Place, Wait::Network] {
        let waited = span.waited(on);
        if !waited.is_zero() {
            more(&format!("{}WaitSeconds", wait_word(on)), waited.as_secs_f64().into());
        }
    }
    if !span.moved.is_empty() {
        let moved: Map<String, Value> =
            span.moved.iter().map(|moved| (moved.item.clone(), moved.bytes.into())).collect();
        more("movedBytes", moved.into());
    }
    details.into()
}

fn asynchronous(
    name: &str,
    category: &str,
    (process, thread): (u32, u32),
    id: u32,
    (from, to): (Duration, Duration),
) -> [Value; 2] {
    [("b", from), ("e", to)].map(|(phase, at)| {
        json!({
            "ph": phase, "id": id, "cat": category, "name": name,
            "pid": process, "tid": thread, "ts": micros(at),
        })
    })
}
