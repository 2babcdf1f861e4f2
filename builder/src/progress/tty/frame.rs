//! What the terminal shows at one moment, as text: no terminal is needed to make it.

use crate::progress::StepId;
use crate::progress::rate::Meter;
use crate::progress::sanitize::{fit, width};
use std::collections::{BTreeMap, VecDeque};
use std::time::Duration;

/// How many log lines are shown under a running step, at most.
const LOG_LINES: usize = 6;
/// How many transfers are shown under a running step, at most.
const TRANSFERS: usize = 4;
const SPINNER: [char; 10] = ['⠋', '⠙', '⠹', '⠸', '⠼', '⠴', '⠦', '⠧', '⠇', '⠏'];

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    Cached,
    Finished(Duration),
    Failed(Duration),
}

/// With colours or without.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    pub(super) colours: bool,
}

impl Style {
    fn paint(self, code: &str, text: &str) -> String {
        if self.colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text.to_owned() }
    }
}

pub(super) struct State {
    style: Style,
    names: BTreeMap<StepId, String>,
    running: BTreeMap<StepId, Running>,
    ran: usize,
    cached: usize,
}

#[derive(Default)]
struct Running {
    since: Duration,
    lines: VecDeque<String>,
    transfers: BTreeMap<String, Meter>,
}

impl State {
    pub(super) fn new(style: Style) -> Self {
        Self { style, names: BTreeMap::new(), running: BTreeMap::new(), ran: 0, cached: 0 }
    }

    pub(super) fn announced(&mut self, step: StepId, name: String) {
        self.names.insert(step, name);
    }

    pub(super) fn started(&mut self, step: StepId, now: Duration) {
        self.running.entry(step).or_default().since = now;
    }

    pub(super) fn log(&mut self, step: StepId, line: String) {
        // Lines that come after the end have no place to be shown.
        let Some(running) = self.running.get_mut(&step) else { return };
        if running.lines.len() == LOG_LINES {
            running.lines.pop_front();
        }
        running.lines.push_back(line);
    }

    pub(super) fn transfer(
        &mut self,
        step: StepId,
        item: String,
        current: u64,
        total: Option<u64>,
        now: Duration,
    ) {
        let Some(running) = self.running.get_mut(&step) else { return };
        if total == Some(current) {
            running.transfers.remove(&item);
            return;
        }
        let meter = running.transfers.entry(item).or_insert_with(|| Meter::new(now, current, total));
        meter.moved(now, current, total);
    }

    /// The line that stays of a step.
    pub(super) fn ended(&mut self, step: StepId, outcome: Outcome, (columns, _): (u16, u16)) -> String {
        self.running.remove(&step);
        let (mark, colour, right) = match outcome {
            Outcome::Cached => ('✔', "36", "CACHED".to_owned()),
            Outcome::Finished(elapsed) => ('✔', "32", time(elapsed)),
            Outcome::Failed(elapsed) => ('✘', "1;31", format!("FAILED {}", time(elapsed))),
        };
        match outcome {
            Outcome::Cached => self.cached += 1,
            Outcome::Finished(_) => self.ran += 1,
            Outcome::Failed(_) => {}
        }
        self.style.paint(colour, &self.line(step, mark, &right, columns))
    }

    /// The live part: at most as many lines as fit on the screen.
    pub(super) fn frame(&self, (columns, rows): (u16, u16), now: Duration) -> String {
        if self.running.is_empty() {
            return String::new();
        }
        let all = self.names.len();
        let mut head = format!("Building {}  {} of {all} steps", time(now), self.ran + self.cached);
        if self.cached > 0 {
            head.push_str(&format!(", {} cached", self.cached));
        }
        let mut lines = vec![self.style.paint("1", &fit(&head, usize::from(columns).saturating_sub(1)))];
        // The cursor needs a row, and so does the first line.
        let rows = usize::from(rows).saturating_sub(2).max(1);
        let (shown, more) = if self.running.len() > rows { (rows - 1, 1) } else { (self.running.len(), 0) };
        let details = (rows - shown - more).checked_div(shown).unwrap_or(0);
        let spinner = SPINNER[(now.as_millis() / 100 % SPINNER.len() as u128) as usize];
        for (step, running) in self.running.iter().take(shown) {
            let elapsed = time(now.saturating_sub(running.since));
            lines.push(self.line(*step, spinner, &elapsed, columns));
            for detail in running.details(details, now) {
                let text = fit(&detail, usize::from(columns).saturating_sub(5));
                lines.push(format!("    {}", self.style.paint("2", &text)));
            }
        }
        if more > 0 {
            lines.push(format!("  … {} more", self.running.len() - shown));
        }
        lines.join("\n")
    }

    /// `✔ name                 1.2s`, as wide as the terminal less one column, which some terminals wrap at.
    fn line(&self, step: StepId, mark: char, right: &str, columns: u16) -> String {
        let name = self.names.get(&step).map_or("", String::as_str);
        let room = usize::from(columns).saturating_sub(width(right) + 4);
        let name = fit(name, room);
        let gap = " ".repeat(room.saturating_sub(width(&name)));
        format!("{mark} {name}{gap} {right}")
    }
}

impl Running {
    fn details(&self, limit: usize, now: Duration) -> Vec<String> {
        let mut details: Vec<String> = self
            .transfers
            .iter()
            .take(TRANSFERS.min(limit))
            .map(|(item, meter)| format!("{item}  {}", meter.shown(now)))
            .collect();
        let room = LOG_LINES.min(limit - details.len());
        details.extend(self.lines.iter().skip(self.lines.len().saturating_sub(room)).cloned());
        details
    }
}

/// `1.2s`, `1m05s`, `2h03m`.
pub(super) fn time(time: Duration) -> String {
    match time.as_secs() {
        0..60 => format!("{}.{}s", time.as_secs(), time.subsec_millis() / 100),
        seconds @ 60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        seconds => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
    }
}
