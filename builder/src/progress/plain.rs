//! One line after the other: for pipes, files and logs. Every line starts with its step's number, so that `grep '^#3 '`
//! gives one step's story.
//!
//! ```text
//! #3 [build 2/5] RUN make
//! #3 0.123 cc -c main.c
//! #3 DONE 1.2s
//! ```
//! Steps are numbered in the order they were announced, so a step has the same number in every run of the same build. The
//! lines of steps that run at once are kept together: one step has the floor until it ends or has had it long enough,
//! and what the others say waits meanwhile.

use super::rate::Meter;
use super::{Event, Paint, Sink, StepId, bytes, sanitize};
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long a step keeps the floor while others wait.
const FLOOR: Duration = Duration::from_secs(5);
/// How much may wait, in bytes.
const WAITING: usize = 256 * 1024;
/// How often the state of a transfer is written.
const TRANSFER: Duration = Duration::from_secs(5);

/// Time since the start of the build.
type Clock = Box<dyn Fn() -> Duration + Send + Sync>;

/// Writes plain lines.
pub struct Plain {
    clock: Clock,
    state: Mutex<State>,
}

struct State {
    out: Box<dyn Write + Send>,
    steps: BTreeMap<StepId, Step>,
    /// Who has the floor, and since when.
    floor: Option<(StepId, Duration)>,
    /// Whether something was written: steps are set apart by an empty line.
    started: bool,
    /// Colours lines of warnings.
    paint: Option<Paint>,
}

#[derive(Default)]
struct Step {
    name: String,
    /// From 1.
    number: usize,
    started: Option<Duration>,
    /// Lines that wait for the floor.
    waiting: String,
    transfers: BTreeMap<String, Transfer>,
    done: bool,
}

struct Transfer {
    meter: Meter,
    /// When its state was written last, and how many bytes that said.
    written: (Duration, u64),
}

impl Plain {
    /// Writes to `out`. What cannot be written is lost: a build goes on when nobody reads along any more.
    pub fn new(out: Box<dyn Write + Send>) -> Self {
        let start = Instant::now();
        Self::with_clock(out, Box::new(move || start.elapsed()))
    }

    /// Lines of warnings are given their colours by `paint`.
    #[must_use]
    pub fn painted(self, paint: Paint) -> Self {
        self.state.lock().unwrap_or_else(PoisonError::into_inner).paint = Some(paint);
        self
    }

    fn with_clock(out: Box<dyn Write + Send>, clock: Clock) -> Self {
        let state = State { out, steps: BTreeMap::new(), floor: None, started: false, paint: None };
        Self { clock, state: Mutex::new(state) }
    }
}

impl Sink for Plain {
    fn event(&self, event: Event) {
        let now = (self.clock)();
        self.state.lock().unwrap_or_else(PoisonError::into_inner).event(event, now);
    }
}

impl State {
    fn event(&mut self, event: Event, now: Duration) {
        match event {
            Event::Announced { step, name } => self.step(step).name = sanitize::line(name.as_bytes()),
            Event::Started { step } => {
                self.step(step).started = Some(now);
                self.say(step, "", now);
            }
            Event::Cached { step } => self.end(step, "CACHED", now),
            Event::Log { step, line, .. } => {
                let started = *self.step(step).started.get_or_insert(now);
                let at = now.saturating_sub(started).as_secs_f64();
                self.say(step, &format!("{at:.3} {}", sanitize::line(&line)), now);
            }
            Event::Transfer { step, item, current, total } => {
                self.transfer(step, item, current, total, now);
            }
            Event::Finished { step, elapsed } => {
                self.end(step, &format!("DONE {:.1}s", elapsed.as_secs_f64()), now);
            }
            Event::Failed { step, error, .. } => {
                let error = sanitize::line(error.replace('\n', " ").as_bytes());
                self.end(step, &format!("ERROR: {error}"), now);
            }
            Event::Warning { text } => self.warning(&text),
            Event::Explained { .. } | Event::Measured { .. } => {}
        }
        // Lines are meant to be read while they are new.
        let _ = self.out.flush();
    }

    fn transfer(&mut self, step: StepId, item: String, current: u64, total: Option<u64>, now: Duration) {
        let entry = self.step(step);
        // What still moved when a step had failed is no news.
        if entry.done {
            return;
        }
        let shown = sanitize::line(item.as_bytes());
        let done = total == Some(current);
        let news = match entry.transfers.get(&item) {
            None => true,
            // The end is told once, however often it is heard of; what is on its way, now and then.
            Some(Transfer { written: (at, bytes), .. }) => {
                *bytes != current && (done || now.saturating_sub(*at) >= TRANSFER)
            }
        };
        let begun = Transfer { meter: Meter::new(now, current, total), written: (now, current) };
        let transfer = entry.transfers.entry(item).or_insert(begun);
        transfer.meter.moved(now, current, total);
        if !news {
            return;
        }
        transfer.written = (now, current);
        let meter = &transfer.meter;
        let text = match meter.average(now).filter(|_| done) {
            Some(rate) => format!("{shown} {} done  {}/s", bytes::size(current), bytes::size(rate)),
            None if done => format!("{shown} {} done", bytes::size(current)),
            None => format!("{shown} {}", meter.shown(now)),
        };
        self.say(step, &text, now);
    }

    fn step(&mut self, step: StepId) -> &mut Step {
        let number = self.steps.len() + 1;
        self.steps.entry(step).or_insert_with(|| Step { number, ..Step::default() })
    }

    /// One line of a step: written when it has the floor or can get it, else kept.
    fn say(&mut self, step: StepId, text: &str, now: Duration) {
        let entry = self.step(step);
        if !text.is_empty() {
            entry.waiting.push_str(text);
            entry.waiting.push('\n');
        }
        let waiting = entry.waiting.len();
        let take = match self.floor {
            None => true,
            Some((holder, _)) if holder == step => true,
            Some((_, since)) => now.saturating_sub(since) >= FLOOR || waiting > WAITING,
        };
        if take {
            self.give_floor(step, now);
        }
    }

    /// The last line of a step. It is written at once, together with all that waited: a step that is done is news.
    fn end(&mut self, step: StepId, text: &str, now: Duration) {
        let entry = self.step(step);
        entry.waiting.push_str(text);
        entry.waiting.push('\n');
        entry.done = true;
        self.give_floor(step, now);
        self.floor = None;
        // Whoever waits gets the floor now, the first announced first.
        let next = self.steps.iter().find(|(_, step)| !step.done && !step.waiting.is_empty());
        if let Some(next) = next.map(|(step, _)| *step) {
            self.give_floor(next, now);
        }
    }

    /// Writes all that waits, under the step's name unless it was speaking already.
    fn give_floor(&mut self, step: StepId, now: Duration) {
        let mut text = String::new();
        if !matches!(self.floor, Some((holder, _)) if holder == step) {
            self.interrupt(&mut text);
            self.floor = Some((step, now));
            let entry = self.step(step);
            text.push_str(&format!("#{} {}\n", entry.number, entry.name));
        }
        let entry = self.step(step);
        for line in std::mem::take(&mut entry.waiting).lines() {
            text.push_str(&format!("#{} {line}\n", entry.number));
        }
        let _ = self.out.write_all(text.as_bytes());
    }

    /// Takes the floor from whoever has it, and sets apart what comes.
    fn interrupt(&mut self, text: &mut String) {
        if let Some((holder, _)) = self.floor.take() {
            text.push_str(&format!("#{} ...\n", self.step(holder).number));
        }
        if self.started {
            text.push('\n');
        }
        self.started = true;
    }

    fn warning(&mut self, text: &str) {
        let mut lines = String::new();
        self.interrupt(&mut lines);
        for line in text.lines() {
            let line = sanitize::line(line.as_bytes());
            lines.push_str(&self.paint.as_ref().map_or_else(|| line.to_string(), |paint| paint(&line)));
            lines.push('\n');
        }
        let _ = self.out.write_all(lines.as_bytes());
    }
}

#[cfg(test)]
mod tests;
