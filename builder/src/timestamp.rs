//! Times as image documents write them.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// RFC 3339 in UTC, with as many digits of the second as the time has. Years before 1970 and after 9999, which the
/// format or its readers do not know, become the nearest time they do.
pub fn rfc3339(time: SystemTime) -> String {
    const LAST: Duration = Duration::from_secs(253_402_300_799);
    let since = time.duration_since(UNIX_EPOCH).unwrap_or(Duration::ZERO).min(LAST);
    humantime::format_rfc3339(UNIX_EPOCH + since).to_string()
}

/// The time that a text means as `SOURCE_DATE_EPOCH` has it: whole seconds since 1970.
pub fn seconds(text: &str) -> Option<SystemTime> {
    // Tar headers hold 33 bits at least; what is past them is a mistake in the unit.
    let seconds = text.parse::<u64>().ok().filter(|seconds| *seconds < 1 << 33)?;
    UNIX_EPOCH.checked_add(Duration::from_secs(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_time_has_a_text() {
        for (time, want) in [
            (UNIX_EPOCH, "1970-01-01T00:00:00Z"),
            (UNIX_EPOCH - Duration::from_secs(1), "1970-01-01T00:00:00Z"),
            (UNIX_EPOCH + Duration::new(1_700_000_000, 500_000_000), "2023-11-14T22:13:20.500000000Z"),
            (UNIX_EPOCH + Duration::from_secs(1 << 40), "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(rfc3339(time), want);
        }
    }
}
