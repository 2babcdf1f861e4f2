//! A timeline as one page that asks nobody for anything: no script, no font, no image. Steps are rows; a row opens and
//! shows all that is known of its step.

use super::{Group, Span, State, Timeline, wait_word};
use crate::progress::bytes::size;
use crate::progress::measure::Wait;
use crate::progress::sanitize;
use std::fmt::Write;
use std::time::Duration;

const STYLE: &str = include_str!("page.css");

/// The whole page.
pub fn write(timeline: &Timeline) -> String {
    let title = escape(&timeline.title);
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <title>{title}: timeline</title>\n<style>\n{STYLE}</style>\n</head>\n<body>\n<h1>{title}</h1>\n"
    );
    summary(&mut page, timeline);
    legend(&mut page);
    let scale = Scale::new(timeline.elapsed);
    let _ = writeln!(
        page,
        "<main style=\"--tick:{}%\">\n<div class=\"head row\"><span>step</span><span>time</span><span>CPU</span>\
         <span>read</span><span>written</span><span>waited</span>{}</div>",
        scale.percent(scale.tick),
        scale.ticks()
    );
    for (group, members) in timeline.groups() {
        let _ = writeln!(page, "<section>\n<h2>{}</h2>", escape(&group.title()));
        for position in members {
            row(&mut page, timeline, position, &scale);
        }
        page.push_str("</section>\n");
    }
    page.push_str("</main>\n</body>\n</html>\n");
    page
}

fn summary(page: &mut String, timeline: &Timeline) {
    let of_graph = || timeline.spans.iter().filter(|span| matches!(span.group, Group::Stage(_)));
    let count = |state| of_graph().filter(|span| span.state == state).count();
    let _ = writeln!(
        page,
        "<p>{}, {}. {} steps: {} ran, {} cached{}. The critical path is {} of it{}.</p>",
        humantime::format_rfc3339_seconds(timeline.began),
        time(timeline.elapsed),
        of_graph().count(),
        count(State::Ran),
        count(State::Cached),
        [State::Failed, State::Stopped, State::NotReached]
            .into_iter()
            .filter(|state| count(*state) > 0)
            .map(|state| format!(", {} {}", count(state), state.word()))
            .collect::<String>(),
        time(timeline.critical.length),
        most_of(timeline)
    );
    if let Some(failure) = &timeline.failure {
        let _ = writeln!(page, "<p class=\"failure\">{}</p>", escape(failure));
    }
}

/// The three spans that the critical path owes most of its length to.
fn most_of(timeline: &Timeline) -> String {
    let mut dear: Vec<&Span> = timeline.critical.nodes.iter().map(|&at| &timeline.spans[at]).collect();
    dear.sort_by_key(|span| std::cmp::Reverse(span.cost()));
    let shown: Vec<String> = dear
        .iter()
        .take(3)
        .filter(|span| !span.cost().is_zero())
        .map(|span| format!("<code>{}</code> ({})", escape(&span.name), time(span.cost())))
        .collect();
    if shown.is_empty() { String::new() } else { format!(", most of it {}", shown.join(", ")) }
}

fn legend(page: &mut String) {
    page.push_str("<p class=\"legend\">");
    for (class, text) in [
        ("ran", "ran"),
        ("ran critical", "on the critical path: nothing gets faster unless these do"),
        ("cached", "cached"),
        ("failed", "failed or stopped"),
        ("lookup", "a cached result was looked for"),
        ("place", "waited for a place (--parallelism)"),
        ("lock", "waited for a lock"),
        ("network", "waited for the network"),
    ] {
        let _ = write!(page, "<span><i class=\"{class}\"></i>{text}</span> ");
    }
    page.push_str("<span>– not measured, or nothing to measure</span></p>\n");
}

fn row(page: &mut String, timeline: &Timeline, position: usize, scale: &Scale) {
    let span = &timeline.spans[position];
    let critical = timeline.is_critical(position);
    let name = escape(&span.name);
    let took = match span.state {
        State::Cached | State::NotReached => span.state.word().to_owned(),
        State::Ran => time(span.ran_for()),
        State::Failed | State::Stopped => format!("{} {}", span.state.word(), time(span.ran_for())),
    };
    let cpu = span.usage.map(|usage| time(usage.cpu()));
    let io = span.usage.and_then(|usage| usage.io);
    let waited: Duration = [Wait::Lock, Wait::Place, Wait::Network].map(|on| span.waited(on)).iter().sum();
    let read = io.map(|io| size(io.read)).or_else(|| moved(span));
    let written = io.map(|io| size(io.written)).or_else(|| span.layer.map(size));
    let cell = |text: Option<String>| text.unwrap_or_else(|| "–".to_owned());
    let _ = writeln!(
        page,
        "<details class=\"{}{}\"><summary class=\"row\"><span class=\"name\" title=\"{name}\">{}{name}</span>\
         <span>{took}</span><span>{}</span><span>{}</span><span>{}</span><span>{}</span>{}</summary>",
        class(span.state),
        if critical { " critical" } else { "" },
        if critical { "<b title=\"on the critical path\">●</b> " } else { "" },
        cell(cpu),
        cell(read),
        cell(written),
        if waited.is_zero() { "–".to_owned() } else { time(waited) },
        bars(span, critical, scale),
    );
    let _ = writeln!(page, "<dl>{}</dl></details>", facts(timeline, span, critical));
}

fn class(state: State) -> &'static str {
    match state {
        State::Ran => "ran",
        State::Cached => "cached",
        State::Failed | State::Stopped => "failed",
        State::NotReached => "unreached",
    }
}

fn moved(span: &Span) -> Option<String> {
    (!span.moved.is_empty()).then(|| size(span.bytes_moved()))
}

fn bars(span: &Span, critical: bool, scale: &Scale) -> String {
    let mut bars = "<span class=\"track\">".to_owned();
    if span.state != State::NotReached {
        let mut bar = |class: &str, from: Duration, to: Duration, text: &str| {
            let (left, width) = (scale.percent(from), scale.percent(to.saturating_sub(from)));
            let _ = write!(
                bars,
                "<i class=\"{class}\" style=\"left:{left}%;width:{width}%\" title=\"{text} {} to {}: {}\"></i>",
                time(from),
                time(to),
                time(to.saturating_sub(from))
            );
        };
        if let Some((from, to)) = span.lookup() {
            bar("lookup", from, to, "looked up");
        }
        let more = if critical { " critical" } else { "" };
        bar(&format!("{}{more}", class(span.state)), span.start, span.end, span.state.word());
        for pause in &span.pauses {
            let word = wait_word(pause.on);
            bar(
                &format!("wait {word}"),
                pause.from,
                pause.to,
                &format!("waited for {}", explained(pause.on)),
            );
        }
    }
    bars.push_str("</span>");
    bars
}

/// Everything that is known of a span.
fn facts(timeline: &Timeline, span: &Span, critical: bool) -> String {
    let mut facts = String::new();
    let mut fact = |what: &str, text: &str| {
        let _ = write!(facts, "<dt>{what}</dt><dd>{}</dd>", escape(text));
    };
    fact("what", &span.name);
    let path = if critical { ", on the critical path" } else { "" };
    fact("how", &format!("{}{path}", span.state.word()));
    if let Some(error) = &span.error {
        fact("error", error);
    }
    if span.state != State::NotReached {
        fact(
            "began",
            &format!("{}; everything it takes was there at {}", time(span.start), time(span.ready)),
        );
        fact("ended", &format!("{}, after {}", time(span.end), time(span.ran_for())));
    }
    if let Some(usage) = &span.usage {
        let text = format!("{} in programs, {} in the kernel", time(usage.user), time(usage.system));
        fact("CPU", &text);
        match usage.peak_memory {
            Some(most) => fact("memory", &format!("{} at most in one process", size(most))),
            None => fact("memory", "not measured: no process had more than the builder itself"),
        }
        match &usage.io {
            Some(io) => {
                fact("read", &format!("{}, from the disk {}", size(io.read), size(io.disk_read)));
                fact("written", &format!("{}, to the disk {}", size(io.written), size(io.disk_written)));
            }
            None => fact("read, written", "not measured: the kernel does not say"),
        }
    } else if matches!(span.state, State::Ran | State::Failed | State::Stopped) {
        fact("CPU", "not measured: it is measured of the programs of RUN");
    }
    if let Some(bytes) = span.layer {
        fact("layer", &format!("files of {}", size(bytes)));
    }
    for on in [Wait::Lock, Wait::Place, Wait::Network] {
        let waited = span.waited(on);
        if !waited.is_zero() {
            fact("waited", &format!("{} for {}", time(waited), explained(on)));
        }
    }
    for moved in &span.moved {
        fact("moved", &format!("{} of {}", size(moved.bytes), moved.item));
    }
    for &input in &span.inputs {
        fact("takes", &timeline.spans[input].name);
    }
    facts
}

fn explained(on: Wait) -> &'static str {
    match on {
        Wait::Lock => "a lock that another step or build held",
        Wait::Place => "a place among the steps that run at once",
        Wait::Network => "the network, from the request to the last byte",
    }
}

/// From times to places on the page.
struct Scale {
    elapsed: Duration,
    /// The time between two lines.
    tick: Duration,
}

impl Scale {
    fn new(elapsed: Duration) -> Self {
        // A build takes some time, and then a division by it is one.
        let elapsed = elapsed.max(Duration::from_micros(1));
        let mut tick = Duration::from_micros(1);
        // 1, 2, 5, 10, 20, 50...
        for factor in [2.0, 2.5, 2.0].into_iter().cycle() {
            if elapsed.as_secs_f64() / tick.as_secs_f64() <= 8.0 {
                break;
            }
            tick = Duration::from_nanos((tick.as_nanos() as f64 * factor).round() as u64);
        }
        Self { elapsed, tick }
    }

    fn percent(&self, time: Duration) -> String {
        let percent = 100.0 * time.as_secs_f64() / self.elapsed.as_secs_f64();
        format!("{:.3}", percent.clamp(0.0, 100.0))
    }

    fn ticks(&self) -> String {
        let mut ticks = "<span class=\"track\">".to_owned();
        let mut at = Duration::ZERO;
        while at < self.elapsed {
            let _ = write!(ticks, "<em style=\"left:{}%\">{}</em>", self.percent(at), time(at));
            at += self.tick;
        }
        ticks.push_str("</span>");
        ticks
    }
}

/// `0 s`, `850 µs`, `12.3 ms`, `4.56 s`, `3 min 05 s`.
fn time(time: Duration) -> String {
    let micros = time.as_micros();
    match micros {
        0 => "0 s".to_owned(),
        1..1000 => format!("{micros} µs"),
        1000..1_000_000 => format!("{} ms", short(micros as f64 / 1e3)),
        1_000_000..60_000_000 => format!("{} s", short(micros as f64 / 1e6)),
        _ => format!("{} min {:02} s", time.as_secs() / 60, time.as_secs() % 60),
    }
}

/// Three digits or so, without zeros at the end.
fn short(value: f64) -> String {
    let text = match value {
        ..10.0 => format!("{value:.2}"),
        10.0..100.0 => format!("{value:.1}"),
        _ => return format!("{value:.0}"),
    };
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

/// Text for the page, in elements and in attributes between double quotes.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for (number, line) in text.split('\n').enumerate() {
        if number > 0 {
            escaped.push(' ');
        }
        for c in sanitize::line(line.as_bytes()).chars() {
            match c {
                '&' => escaped.push_str("&amp;"),
                '<' => escaped.push_str("&lt;"),
                '>' => escaped.push_str("&gt;"),
                '"' => escaped.push_str("&quot;"),
                '\'' => escaped.push_str("&#39;"),
                c => escaped.push(c),
            }
        }
    }
    escaped
}
