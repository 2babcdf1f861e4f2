//! What a registry tells about how much it lets us ask: Docker Hub's `RateLimit-*` headers, and when to come back.

use super::retry::retry_after;
use reqwest::header::{HeaderMap, RETRY_AFTER};
use std::{
    fmt,
    time::{Duration, SystemTime},
};

/// In a window of so long, trying again a few times may help.
const SHORT_WINDOW: Duration = Duration::from_secs(60);

/// How many pulls are allowed in a while (`RateLimit-Limit: 100;w=21600`).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RateLimit {
    /// Pulls in all.
    pub limit: u64,
    /// Pulls that are left.
    pub remaining: Option<u64>,
    /// In how long.
    pub window: Option<Duration>,
    /// Whose pulls are counted: an address or an account.
    pub source: Option<String>,
}

impl RateLimit {
    pub(crate) fn of(headers: &HeaderMap) -> Option<Self> {
        let text = |name: &str| headers.get(name)?.to_str().ok();
        let (limit, window) = numbers(text("ratelimit-limit")?)?;
        let remaining = text("ratelimit-remaining").and_then(numbers);
        let source = text("docker-ratelimit-source").map(super::error::printable);
        Some(Self { limit, remaining: remaining.map(|(n, _)| n), window, source })
    }

    /// Whether nothing is left for longer than anybody waits.
    pub(super) fn is_used_up(&self) -> bool {
        self.remaining == Some(0) && self.window.is_some_and(|window| window > SHORT_WINDOW)
    }

    /// Whether less than a tenth is left.
    pub(super) fn is_low(&self) -> bool {
        self.remaining.is_some_and(|remaining| remaining.saturating_mul(10) < self.limit)
    }
}

impl fmt::Display for RateLimit {
    /// `100 pulls in 6 hours for 192.0.2.1`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} pulls", self.limit)?;
        if let Some(window) = self.window {
            write!(f, " in {}", humane(window))?;
        }
        match &self.source {
            Some(source) => write!(f, " for {source}"),
            None => Ok(()),
        }
    }
}

/// `100;w=21600`, or a number alone.
fn numbers(text: &str) -> Option<(u64, Option<Duration>)> {
    let mut parts = text.split(';').map(str::trim);
    let count = parts.next()?.parse().ok()?;
    let window = parts.find_map(|part| part.strip_prefix("w=")?.parse().ok());
    Some((count, window.map(Duration::from_secs)))
}

/// In the largest unit that divides it.
pub(super) fn humane(time: Duration) -> String {
    let seconds = time.as_secs();
    let units = [(86_400, "day"), (3_600, "hour"), (60, "minute"), (1, "second")];
    let fitting = units.into_iter().find(|(length, _)| seconds >= *length && seconds.is_multiple_of(*length));
    let (length, unit) = fitting.unwrap_or((1, "second"));
    let count = seconds / length;
    format!("{count} {unit}{}", if count == 1 { "" } else { "s" })
}

/// How long a server wants us to wait: `Retry-After`, or Docker Hub's `X-Retry-After`, which is a time since 1970.
pub(super) fn wanted_pause(headers: &HeaderMap, now: SystemTime) -> Option<Duration> {
    let text = |name: &str| headers.get(name)?.to_str().ok();
    if let Some(value) = text(RETRY_AFTER.as_str()) {
        return retry_after(value, now);
    }
    let then: u64 = text("x-retry-after")?.trim().parse().ok()?;
    let now = now.duration_since(SystemTime::UNIX_EPOCH).ok()?.as_secs();
    Some(Duration::from_secs(then.saturating_sub(now)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn headers(list: &[(&'static str, &str)]) -> HeaderMap {
        list.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect()
    }

    #[test]
    fn limits_of_docker_hub() {
        let list = [
            ("ratelimit-limit", "100;w=21600"),
            ("ratelimit-remaining", "9;w=21600"),
            ("docker-ratelimit-source", "192.0.2.1"),
        ];
        let limit = RateLimit::of(&headers(&list)).unwrap();
        assert_eq!(limit.to_string(), "100 pulls in 6 hours for 192.0.2.1");
        assert!(limit.is_low());
        let limit = RateLimit::of(&headers(&[list[0], ("ratelimit-remaining", "10")])).unwrap();
        assert!(!limit.is_low() && !limit.is_used_up());
        assert_eq!(limit.to_string(), "100 pulls in 6 hours");
        for bad in ["", "many", ";w=1", "-1"] {
            assert_eq!(RateLimit::of(&headers(&[("ratelimit-limit", bad)])), None, "{bad}");
        }
        assert_eq!(RateLimit::of(&headers(&[("ratelimit-limit", "5;w=x")])).unwrap().to_string(), "5 pulls");
    }

    #[test]
    fn times() {
        for (seconds, want) in
            [(0, "0 seconds"), (1, "1 second"), (90, "90 seconds"), (3600, "1 hour"), (86_400, "1 day")]
        {
            assert_eq!(humane(Duration::from_secs(seconds)), want);
        }
    }

    #[test]
    fn pauses() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
        let pause = |list: &[(&'static str, &str)]| wanted_pause(&headers(list), now).map(|p| p.as_secs());
        assert_eq!(pause(&[("retry-after", "7"), ("x-retry-after", "1060")]), Some(7));
        assert_eq!(pause(&[("x-retry-after", "1060")]), Some(60));
        assert_eq!(pause(&[("x-retry-after", "900")]), Some(0));
        assert_eq!(pause(&[("x-retry-after", "soon")]), None);
        assert_eq!(pause(&[]), None);
    }
}
