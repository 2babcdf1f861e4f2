//! How fast something moves, and how long the rest will take.

use super::bytes;
use std::time::Duration;

/// A rate is that of the last one or two of these.
const WINDOW: Duration = Duration::from_secs(5);
/// A rate over a blink says nothing.
const BLINK: Duration = Duration::from_millis(200);

/// One transfer. Times are those since some beginning, the same for all calls.
#[derive(Clone, Copy, Debug)]
pub struct Meter {
    /// When it was first heard of, and where it was: what was there already does not count.
    begun: (Duration, u64),
    /// Where it was one or two windows ago, and where when this window began.
    marks: [(Duration, u64); 2],
    /// When it was heard of last, and where it was.
    last: (Duration, u64),
    total: Option<u64>,
}

impl Meter {
    /// One that is at `current` bytes.
    pub fn new(now: Duration, current: u64, total: Option<u64>) -> Self {
        let here = (now, current);
        Self { begun: here, marks: [here; 2], last: here, total }
    }

    /// It is at `current` bytes now. Fewer than before means that it begins anew.
    pub fn moved(&mut self, now: Duration, current: u64, total: Option<u64>) {
        if current < self.last.1 {
            *self = Self::new(now, current, total);
        }
        if now.saturating_sub(self.marks[1].0) >= WINDOW {
            self.marks = [self.marks[1], (now, current)];
        }
        (self.last, self.total) = ((now, current), total);
    }

    /// Bytes per second of late; `None` if it is too early to say.
    pub fn rate(&self, now: Duration) -> Option<u64> {
        self.since(self.marks[0], now)
    }

    /// Bytes per second of all of it; `None` if it is too early to say.
    pub fn average(&self, now: Duration) -> Option<u64> {
        self.since(self.begun, now)
    }

    fn since(&self, (begin, first): (Duration, u64), now: Duration) -> Option<u64> {
        let elapsed = now.saturating_sub(begin);
        (elapsed >= BLINK).then(|| ((self.last.1 - first) as f64 / elapsed.as_secs_f64()) as u64)
    }

    /// How long the rest takes at that rate; `None` if nobody can say.
    pub fn left(&self, now: Duration) -> Option<Duration> {
        let rest = self.total?.checked_sub(self.last.1)?;
        let rate = self.rate(now).filter(|rate| *rate > 0)?;
        Some(Duration::from_secs(rest.div_ceil(rate)))
    }

    /// `5.0 MB / 9.0 MB  2.0 MB/s  2s left`, as far as it is known.
    pub fn shown(&self, now: Duration) -> String {
        let mut shown = bytes::size(self.last.1);
        if let Some(total) = self.total {
            shown.push_str(&format!(" / {}", bytes::size(total)));
        }
        if let Some(rate) = self.rate(now) {
            shown.push_str(&format!("  {}/s", bytes::size(rate)));
        }
        if let Some(left) = self.left(now) {
            shown.push_str(&format!("  {} left", coarse(left)));
        }
        shown
    }
}

/// `5s`, `1m05s`, `2h03m`.
fn coarse(time: Duration) -> String {
    match time.as_secs() {
        seconds @ 0..60 => format!("{seconds}s"),
        seconds @ 60..3600 => format!("{}m{:02}s", seconds / 60, seconds % 60),
        seconds => format!("{}h{:02}m", seconds / 3600, seconds / 60 % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    #[test]
    fn what_was_there_does_not_count() {
        let mut meter = Meter::new(at(1000), 4_000_000, Some(10_000_000));
        assert_eq!((meter.rate(at(1100)), meter.left(at(1100))), (None, None), "it is too early");
        meter.moved(at(3000), 6_000_000, Some(10_000_000));
        assert_eq!(meter.rate(at(3000)), Some(1_000_000));
        assert_eq!(meter.left(at(3000)), Some(at(4000)));
        assert_eq!(meter.shown(at(3000)), "6.0 MB / 10.0 MB  1.0 MB/s  4s left");
    }

    #[test]
    fn the_rate_is_that_of_the_last_seconds() {
        let mut meter = Meter::new(at(0), 0, Some(1_000_000_000));
        for second in 1..=20 {
            meter.moved(at(second * 1000), second * 10_000_000, Some(1_000_000_000));
        }
        assert_eq!(meter.rate(at(20_000)), Some(10_000_000));
        // It slows down: after two windows nothing is left of what was before.
        for second in 21..=32 {
            meter.moved(at(second * 1000), 200_000_000 + (second - 20) * 1_000_000, Some(1_000_000_000));
        }
        assert_eq!(meter.rate(at(32_000)), Some(1_000_000));
        assert_eq!(meter.average(at(32_000)), Some(212_000_000 / 32));
        assert_eq!(meter.shown(at(32_000)), "212.0 MB / 1.0 GB  1.0 MB/s  13m08s left");
        // And stands still, though nobody says so.
        assert!(meter.rate(at(600_000)).is_some_and(|rate| rate < 20_000));
    }

    #[test]
    fn what_begins_anew_is_measured_anew() {
        let mut meter = Meter::new(at(0), 0, None);
        meter.moved(at(1000), 9_000_000, None);
        meter.moved(at(2000), 0, None);
        meter.moved(at(4000), 1_000_000, None);
        assert_eq!(meter.rate(at(4000)), Some(500_000));
        assert_eq!(meter.shown(at(4000)), "1.0 MB  500.0 kB/s", "without a total nobody knows how long");
        assert_eq!(coarse(Duration::from_secs(7_384)), "2h03m");
    }
}
