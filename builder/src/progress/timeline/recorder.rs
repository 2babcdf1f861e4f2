//! From events to a [`Timeline`].

use super::{Group, Moved, Pause, Span, State, Timeline, critical};
use crate::progress::measure::{Measure, Usage, Wait};
use crate::progress::{Event, Sink, StepId};
use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime};

/// Time since the build began.
type Clock = Box<dyn Fn() -> Duration + Send + Sync>;

/// A wait that is shorter is the price of asking.
const NO_WAIT: Duration = Duration::from_millis(1);

/// Notes what happened when.
pub struct Recorder {
    title: String,
    began: SystemTime,
    clock: Clock,
    state: Mutex<Notes>,
}

#[derive(Default)]
struct Notes {
    steps: Vec<Note>,
    positions: HashMap<StepId, usize>,
    /// When the graph was known.
    placed: Option<Duration>,
}

/// What is known of a step.
#[derive(Default)]
struct Note {
    name: String,
    announced: Duration,
    /// Its stage and inputs; `None` for one that is not of the graph.
    place: Option<(String, Vec<StepId>)>,
    started: Option<Duration>,
    solved: Option<Duration>,
    stopped: bool,
    ended: Option<(Duration, State)>,
    error: Option<String>,
    pauses: Vec<Pause>,
    moved: Vec<Moved>,
    usage: Option<Usage>,
    layer: Option<u64>,
}

impl Recorder {
    /// Starts the clock of a build that is called `title`, at the time of day `began`.
    pub fn new(title: String, began: SystemTime) -> Self {
        let start = Instant::now();
        Self::with_clock(title, began, Box::new(move || start.elapsed()))
    }

    pub(super) fn with_clock(title: String, began: SystemTime, clock: Clock) -> Self {
        Self { title, began, clock, state: Mutex::default() }
    }

    /// What was noted until now, which is the end of the build. `failure` says why it failed.
    pub fn finish(&self, failure: Option<String>) -> Timeline {
        let now = (self.clock)();
        let notes = self.lock();
        let spans = notes.spans(now, failure.as_deref());
        let critical = critical::path(spans.iter().map(|span| critical::Node {
            ready: span.ready,
            end: span.end,
            idle: span.waited(Wait::Place),
            // What never began is at the end of no chain.
            inputs: if span.state == State::NotReached { &[] } else { &span.inputs },
        }));
        Timeline { title: self.title.clone(), began: self.began, elapsed: now, failure, spans, critical }
    }

    fn lock(&self) -> MutexGuard<'_, Notes> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Sink for Recorder {
    fn event(&self, event: Event) {
        let now = (self.clock)();
        let mut notes = self.lock();
        match event {
            Event::Announced { step, name } => notes.announced(step, name, now),
            Event::Started { step } => {
                if let Some(note) = notes.step(step) {
                    note.started.get_or_insert(now);
                }
            }
            Event::Cached { step } => notes.ended(step, now, State::Cached, None),
            Event::Finished { step, .. } => notes.ended(step, now, State::Ran, None),
            Event::Failed { step, error, .. } => notes.ended(step, now, State::Failed, Some(error)),
            Event::Transfer { step, item, current, .. } => notes.moved(step, item, current),
            Event::Measured { step, what } => notes.measured(step, what, now),
            Event::Log { .. } | Event::Explained { .. } | Event::Warning { .. } => {}
        }
    }
}

impl Notes {
    fn step(&mut self, step: StepId) -> Option<&mut Note> {
        self.positions.get(&step).and_then(|position| self.steps.get_mut(*position))
    }

    fn announced(&mut self, step: StepId, name: String, now: Duration) {
        self.positions.insert(step, self.steps.len());
        self.steps.push(Note { name, announced: now, ..Note::default() });
    }

    fn ended(&mut self, step: StepId, now: Duration, state: State, error: Option<String>) {
        let Some(note) = self.step(step) else { return };
        // An image is told as cached once more when the whole build is done.
        if note.ended.is_none() {
            let state = if note.stopped { State::Stopped } else { state };
            note.ended = Some((now, state));
            note.error = error;
        }
    }

    fn moved(&mut self, step: StepId, item: String, current: u64) {
        let Some(note) = self.step(step) else { return };
        match note.moved.iter_mut().find(|moved| moved.item == item) {
            // After a retry it may start anew.
            Some(moved) => moved.bytes = moved.bytes.max(current),
            None => note.moved.push(Moved { item, bytes: current }),
        }
    }

    fn measured(&mut self, step: StepId, what: Measure, now: Duration) {
        if matches!(what, Measure::Place { .. }) {
            self.placed.get_or_insert(now);
        }
        let Some(note) = self.step(step) else { return };
        match what {
            Measure::Place { stage, inputs } => note.place = Some((stage, inputs)),
            Measure::Waited { on, elapsed } if elapsed >= NO_WAIT => {
                note.pauses.push(Pause { on, from: now.saturating_sub(elapsed), to: now });
            }
            Measure::Waited { .. } => {}
            Measure::Used(usage) => note.usage = Some(usage),
            Measure::Layer { bytes } => note.layer = Some(bytes),
            Measure::Solved => note.solved = Some(now),
            Measure::Stopped => note.stopped = true,
        }
    }

    fn spans(&self, now: Duration, failure: Option<&str>) -> Vec<Span> {
        let placed = self.placed.unwrap_or(now);
        let mut spans = vec![self.planning(placed, failure)];
        for note in &self.steps {
            let span = match &note.place {
                Some((stage, inputs)) => self.of_graph(note, stage, inputs, placed, now),
                None => note.span(if note.announced <= placed { Group::Before } else { Group::After }, now),
            };
            spans.push(span);
        }
        spans.extend(self.outputs(&spans, now, failure));
        spans
    }

    /// Everything until the graph is known.
    fn planning(&self, placed: Duration, failure: Option<&str>) -> Span {
        let failed = failure.filter(|_| self.placed.is_none());
        Span {
            name: "reading the Dockerfile and the contexts, finding base images".to_owned(),
            group: Group::Before,
            inputs: Vec::new(),
            ready: Duration::ZERO,
            start: Duration::ZERO,
            end: placed,
            state: if failed.is_some() { State::Failed } else { State::Ran },
            error: failed.map(str::to_owned),
            pauses: Vec::new(),
            moved: Vec::new(),
            usage: None,
            layer: None,
        }
    }

    /// A step of the graph.
    fn of_graph(&self, note: &Note, stage: &str, inputs: &[StepId], placed: Duration, now: Duration) -> Span {
        let mut span = note.span(Group::Stage(stage.to_owned()), now);
        // Before the steps stands what made the graph.
        let position = |step: &StepId| self.positions.get(step).map(|position| position + 1);
        span.inputs = inputs.iter().filter_map(position).collect();
        if span.inputs.is_empty() {
            span.inputs.push(0);
        }
        if note.is_fetched_later() || span.state == State::NotReached {
            return span;
        }
        let done = inputs
            .iter()
            .filter_map(|step| self.steps.get(*self.positions.get(step)?))
            .filter_map(|input| input.done_before(span.start));
        span.ready = done.fold(placed, Duration::max).min(span.start);
        span
    }

    /// Everything after the last step, in a build that got there.
    fn outputs(&self, spans: &[Span], now: Duration, failure: Option<&str>) -> Option<Span> {
        let of_graph: Vec<&Note> = self.steps.iter().filter(|note| note.place.is_some()).collect();
        let solved = of_graph.iter().map(|note| note.solved).collect::<Option<Vec<_>>>()?;
        let begin = solved.into_iter().max()?;
        let taken = |position: &usize| !spans.iter().any(|span| span.inputs.contains(position));
        let of_stage = |position: &usize| matches!(spans[*position].group, Group::Stage(_));
        let failed = failure.filter(|_| of_graph.iter().all(|note| !note.has_failed()));
        Some(Span {
            name: "packing and writing the result".to_owned(),
            group: Group::After,
            inputs: (0..spans.len()).filter(of_stage).filter(taken).collect(),
            ready: begin,
            start: begin,
            end: now,
            state: if failed.is_some() { State::Failed } else { State::Ran },
            error: failed.map(str::to_owned),
            pauses: Vec::new(),
            moved: Vec::new(),
            usage: None,
            layer: None,
        })
    }
}

impl Note {
    /// An image whose result was known before its layers were fetched, for the first step that wants them.
    fn is_fetched_later(&self) -> bool {
        matches!((self.solved, self.started), (Some(solved), Some(started)) if solved <= started)
    }

    fn has_failed(&self) -> bool {
        matches!(self.ended, Some((_, State::Failed)))
    }

    /// When it was done, as far as a step that began at `start` is concerned: that can have had all that it needs of an
    /// image a moment before the image was done, and needs nothing of one that is fetched for another step later.
    fn done_before(&self, start: Duration) -> Option<Duration> {
        let ran = self.started.filter(|began| *began < start).and(self.ended).map(|(at, _)| at.min(start));
        [ran, self.solved].into_iter().flatten().filter(|at| *at <= start).max()
    }

    /// What is known without others: it was ready when it started.
    fn span(&self, group: Group, now: Duration) -> Span {
        let (end, state) = match (self.ended, self.started) {
            // That an image is cached may be told when the whole build is done.
            (Some((at, State::Cached)), None) => {
                (self.solved.map_or(at, |solved| solved.min(at)), State::Cached)
            }
            (Some(ended), _) => ended,
            (None, Some(_)) => (now, State::Stopped),
            (None, None) => (now, State::NotReached),
        };
        let start = self.started.unwrap_or(end).min(end);
        Span {
            name: self.name.clone(),
            group,
            inputs: Vec::new(),
            ready: start,
            start,
            end,
            state,
            error: self.error.clone(),
            pauses: merged(&self.pauses),
            moved: self.moved.clone(),
            usage: self.usage,
            layer: self.layer,
        }
    }
}

/// Waits in order. Those of a kind that overlap, as for the layers of an image, are one, and so are attempts that follow
/// each other.
fn merged(pauses: &[Pause]) -> Vec<Pause> {
    let mut sorted = pauses.to_vec();
    sorted.sort_by_key(|pause| (pause.on, pause.from));
    let mut merged: Vec<Pause> = Vec::with_capacity(sorted.len());
    for pause in sorted {
        match merged.last_mut() {
            Some(last) if last.on == pause.on && pause.from <= last.to + NO_WAIT => {
                last.to = last.to.max(pause.to)
            }
            _ => merged.push(pause),
        }
    }
    merged.sort_by_key(|pause| pause.from);
    merged
}

impl std::fmt::Debug for Recorder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Recorder").field("title", &self.title).finish_non_exhaustive()
    }
}
