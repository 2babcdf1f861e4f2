//! When a request is made again, and after how long.

use super::error::RequestError;
use std::{
    hash::{BuildHasher, Hasher, RandomState},
    time::{Duration, SystemTime},
};

/// How failures that may pass are retried: network errors, timeouts, 408, 425, 429 and 5xx.
#[derive(Clone, Debug)]
pub struct RetryPolicy {
    /// Attempts in all, the first included.
    pub attempts: u32,
    /// The pause after the first failure; it doubles with each further one, and half of it is random.
    pub first_pause: Duration,
    /// The longest pause of our own.
    pub longest_pause: Duration,
    /// The longest `Retry-After` that is waited for; a longer one ends the attempts at once.
    pub longest_retry_after: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            attempts: 5,
            first_pause: Duration::from_secs(1),
            longest_pause: Duration::from_secs(8),
            longest_retry_after: Duration::from_secs(60),
        }
    }
}

/// The longest time by which those who were told to wait come back apart.
const LONGEST_SPREAD: Duration = Duration::from_secs(5);

/// Counts failures in a row.
pub(crate) struct Backoff {
    policy: RetryPolicy,
    failures: u32,
}

impl Backoff {
    pub(crate) fn new(policy: &RetryPolicy) -> Self {
        Self { policy: policy.clone(), failures: 0 }
    }

    /// Forgets the failures, because something went well.
    pub(crate) fn progress(&mut self) {
        self.failures = 0;
    }

    /// Waits before the next attempt, or hands the error back if there shall be none.
    pub(crate) async fn pause(&mut self, error: RequestError) -> Result<(), RequestError> {
        match self.next_pause(&error) {
            Some(pause) => {
                tokio::time::sleep(pause).await;
                Ok(())
            }
            None => Err(error),
        }
    }

    fn next_pause(&mut self, error: &RequestError) -> Option<Duration> {
        self.failures += 1;
        // A port where nobody listens, or a name nobody knows, seldom comes to life: one more try, then say so.
        let attempts =
            if error.never_connected() { self.policy.attempts.min(2) } else { self.policy.attempts };
        if !error.is_transient() || self.failures >= attempts {
            return None;
        }
        let doubled = 2u32.saturating_pow(self.failures - 1);
        let pause = self.policy.first_pause.saturating_mul(doubled).min(self.policy.longest_pause);
        let jittered = pause / 2 + pause.mul_f64(random_unit() / 2.0);
        match error.retry_after() {
            Some(wanted) if wanted > self.policy.longest_retry_after => None,
            Some(wanted) => Some(wanted.max(jittered) + spread(wanted)),
            None => Some(jittered),
        }
    }
}

/// What is added to a pause that a server asked for, so that those it told the same do not come back together: up to a
/// quarter of it, or [`LONGEST_SPREAD`].
pub(super) fn spread(wanted: Duration) -> Duration {
    (wanted / 4).min(LONGEST_SPREAD).mul_f64(random_unit())
}

/// A number from 0 to 1. Spreading retries of several clients needs no better randomness than hash seeds have.
fn random_unit() -> f64 {
    let bits = RandomState::new().build_hasher().finish();
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

/// Reads `Retry-After` (RFC 9110, section 10.2.3): seconds, or a date.
pub(crate) fn retry_after(value: &str, now: SystemTime) -> Option<Duration> {
    let value = value.trim();
    if let Ok(seconds) = value.parse::<u64>() {
        return Some(Duration::from_secs(seconds));
    }
    let now = now.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
    Some(Duration::from_secs(http_date(value)?.saturating_sub(now)))
}

/// An IMF-fixdate (`Sun, 06 Nov 1994 08:49:37 GMT`) in seconds since 1970.
pub(crate) fn http_date(text: &str) -> Option<u64> {
    let (_, text) = text.split_once(", ")?;
    let fields: Vec<&str> = text.split(' ').collect();
    let [day, month, year, time, "GMT"] = fields[..] else { return None };
    let months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let month = months.iter().position(|name| *name == month)?;
    let (day, year): (u64, u64) = (day.parse().ok()?, year.parse().ok()?);
    let clock: Vec<u64> = time.split(':').map(|n| n.parse().ok()).collect::<Option<_>>()?;
    let [hour @ ..=23, minute @ ..=59, second @ ..=60] = clock[..] else { return None };
    if !(1970..=9999).contains(&year) || !(1..=31).contains(&day) {
        return None;
    }
    Some(((days_before(year, month, day) * 24 + hour) * 60 + minute) * 60 + second)
}

/// Days from 1970 to a day of a year that is not before; months count from 0, days of a month from 1.
pub(super) fn days_before(year: u64, month: usize, day: u64) -> u64 {
    let leap = |year: u64| year.is_multiple_of(4) && (!year.is_multiple_of(100) || year.is_multiple_of(400));
    let before = [0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334][month];
    let leap_days = (1970..year).filter(|year| leap(*year)).count() as u64;
    (year - 1970) * 365 + leap_days + before + u64::from(month > 1 && leap(year)) + day - 1
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transport::error::{Asked, ServerErrors};

    fn failure(status: u16, retry_after: Option<u64>) -> RequestError {
        RequestError::Status {
            asked: Asked { registry: "r".into(), repository: "a".into(), action: "ask".into() },
            status,
            errors: ServerErrors::default(),
            retry_after: retry_after.map(Duration::from_secs),
        }
    }

    #[test]
    fn pauses_double_and_end() {
        let policy = RetryPolicy { attempts: 6, ..RetryPolicy::default() };
        let mut backoff = Backoff::new(&policy);
        for most in [1, 2, 4, 8, 8] {
            let pause = backoff.next_pause(&failure(503, None)).unwrap();
            let most = Duration::from_secs(most);
            assert!(pause >= most / 2 && pause <= most, "{pause:?} is no pause of at most {most:?}");
        }
        assert_eq!(backoff.next_pause(&failure(503, None)), None);
        backoff.progress();
        assert!(backoff.next_pause(&failure(503, None)).is_some());
    }

    #[test]
    fn what_cannot_pass_is_not_tried_again() {
        let policy = RetryPolicy::default();
        for (status, again) in
            [(400, false), (408, true), (425, true), (500, true), (501, false), (504, true)]
        {
            let pause = Backoff::new(&policy).next_pause(&failure(status, None));
            assert_eq!(pause.is_some(), again, "{status}");
        }
    }

    #[test]
    fn retry_after_is_obeyed_within_bounds() {
        let policy = RetryPolicy::default();
        let pause = |seconds| Backoff::new(&policy).next_pause(&failure(503, Some(seconds)));
        let pauses: Vec<Duration> = (0..20).filter_map(|_| pause(30)).collect();
        let bounds = Duration::from_secs(30)..=Duration::from_secs(35);
        assert!(pauses.iter().all(|pause| bounds.contains(pause)), "{pauses:?}");
        assert!(pauses.iter().any(|pause| *pause != pauses[0]), "all come back at once: {pauses:?}");
        assert!(
            pause(0).is_some_and(|pause| pause >= Duration::from_millis(500)),
            "never faster than our own"
        );
        assert_eq!(pause(3600), None);
    }

    #[test]
    fn dates() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777);
        assert_eq!(retry_after("120", now), Some(Duration::from_secs(120)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:47 GMT", now), Some(Duration::from_secs(10)));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:37 GMT", now), Some(Duration::ZERO));
        assert_eq!(retry_after("Sun, 06 Nov 1994 08:49:07 GMT", now), Some(Duration::ZERO), "it is over");
        assert_eq!(http_date("Thu, 29 Feb 2024 00:00:00 GMT"), Some(1_709_164_800));
        assert_eq!(http_date("Fri, 01 Mar 2024 00:00:00 GMT"), Some(1_709_251_200));
        for bad in ["", "soon", "-1", "Sun, 06 Nov 1994 24:00:00 GMT", "Sun, 6 November 1994", "1.5"] {
            assert_eq!(retry_after(bad, now), None, "{bad}");
        }
    }
}
