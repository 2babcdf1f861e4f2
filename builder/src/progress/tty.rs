//! A live display for a terminal: steps that are done scroll away above, those that run are redrawn in place with the
//! time they take, what they move and the last lines they wrote.

mod frame;

use super::{Event, Paint, Sink, StepId, sanitize};
use frame::{Outcome, State, Style};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::sync::mpsc::{self, RecvTimeoutError, Sender};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// How often it is redrawn.
const TICK: Duration = Duration::from_millis(100);

/// Tells columns and rows of the terminal; asked at every redraw, because windows are resized.
pub type Size = Box<dyn Fn() -> (u16, u16) + Send + Sync>;

/// Draws on a terminal.
pub struct Tty {
    shared: Arc<Shared>,
    ticker: Mutex<Option<(Sender<()>, JoinHandle<()>)>>,
}

struct Shared {
    bar: ProgressBar,
    state: Mutex<State>,
    size: Size,
    start: Instant,
    paint: OnceLock<Paint>,
}

impl Tty {
    /// Draws to `target` until it is closed.
    pub fn new(target: ProgressDrawTarget, size: Size, colours: bool) -> Self {
        let bar = ProgressBar::with_draw_target(None, target);
        if let Ok(style) = ProgressStyle::with_template("{msg}") {
            bar.set_style(style);
        }
        let state = Mutex::new(State::new(Style { colours }));
        let shared = Arc::new(Shared { bar, state, size, start: Instant::now(), paint: OnceLock::new() });
        let (sender, receiver) = mpsc::channel();
        let drawn = Arc::clone(&shared);
        // One thread draws; events only change the state, so that a chatty step is not slowed down by the terminal.
        let draw = move || {
            while let Err(RecvTimeoutError::Timeout) = receiver.recv_timeout(TICK) {
                drawn.draw();
            }
        };
        // Without a thread to spare nothing is redrawn between events; the build matters more.
        let ticker = std::thread::Builder::new().name("progress".to_owned()).spawn(draw).ok();
        Self { shared, ticker: Mutex::new(ticker.map(|thread| (sender, thread))) }
    }

    /// Lines of warnings are given their colours by `paint`.
    #[must_use]
    pub fn painted(self, paint: Paint) -> Self {
        self.shared.paint.get_or_init(|| paint);
        self
    }

    /// Takes the live part away, so that something else can be written. What comes afterwards is not shown.
    pub fn close(&self) {
        let ticker = self.ticker.lock().unwrap_or_else(PoisonError::into_inner).take();
        if let Some((sender, thread)) = ticker {
            drop(sender);
            // Nothing can be done about a thread that panicked while drawing.
            let _ = thread.join();
        }
        self.shared.bar.finish_and_clear();
    }
}

impl Drop for Tty {
    fn drop(&mut self) {
        self.close();
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn draw(&self) {
        let frame = self.state().frame((self.size)(), self.start.elapsed());
        self.bar.set_message(frame);
        self.bar.tick();
    }
}

impl Sink for Tty {
    fn event(&self, event: Event) {
        let now = self.shared.start.elapsed();
        let mut state = self.shared.state();
        let ended: Option<(StepId, Outcome)> = match event {
            Event::Announced { step, name } => {
                state.announced(step, sanitize::line(name.as_bytes()));
                None
            }
            Event::Started { step } => {
                state.started(step, now);
                None
            }
            Event::Log { step, line, .. } => {
                state.log(step, sanitize::line(&line));
                None
            }
            Event::Transfer { step, item, current, total } => {
                state.transfer(step, sanitize::line(item.as_bytes()), current, total, now);
                None
            }
            Event::Cached { step } => Some((step, Outcome::Cached)),
            Event::Finished { step, elapsed } => Some((step, Outcome::Finished(elapsed))),
            Event::Failed { step, elapsed, .. } => Some((step, Outcome::Failed(elapsed))),
            Event::Explained { .. } => None,
            Event::Measured { .. } => return,
            Event::Warning { text } => {
                drop(state);
                for line in text.lines() {
                    let line = sanitize::line(line.as_bytes());
                    match self.shared.paint.get() {
                        Some(paint) => self.shared.bar.println(paint(&line)),
                        None => self.shared.bar.println(line),
                    }
                }
                return;
            }
        };
        if let Some((step, outcome)) = ended {
            let line = state.ended(step, outcome, (self.shared.size)());
            let frame = state.frame((self.shared.size)(), now);
            drop(state);
            // The step leaves the live part before its line is written above it.
            self.shared.bar.set_message(frame);
            self.shared.bar.println(line);
        }
    }
}

#[cfg(test)]
mod tests;
