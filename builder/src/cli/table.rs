//! Columns for the eye, as `docker` prints them.

use std::io::{self, Write};
use std::time::{Duration, SystemTime};

/// Writes a table: each column as wide as its widest cell, three spaces between columns.
///
/// # Errors
/// What `out` says.
pub fn write(out: &mut dyn Write, head: &[&str], rows: &[Vec<String>]) -> io::Result<()> {
    let mut widths: Vec<usize> = head.iter().map(|cell| cell.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut text = String::new();
        for (cell, width) in cells.zip(&widths) {
            text.push_str(&format!("{cell:<width$}   "));
        }
        writeln!(out, "{}", text.trim_end())
    };
    line(&mut head.iter().copied())?;
    for row in rows {
        line(&mut row.iter().map(String::as_str))?;
    }
    Ok(())
}

/// The table as text.
pub fn text(head: &[&str], rows: &[Vec<String>]) -> String {
    let mut bytes = Vec::new();
    // Writing to memory does not fail.
    let _ = write(&mut bytes, head, rows);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// `3 days ago`; `N/A` for what is no time.
pub fn ago(created: Option<&str>, now: SystemTime) -> String {
    let Some(time) = created.and_then(|text| humantime::parse_rfc3339(text).ok()) else {
        return "N/A".to_owned();
    };
    // A clock that was set back makes images of the future.
    let age = now.duration_since(time).unwrap_or(Duration::ZERO);
    let (number, unit) = match age.as_secs() {
        0 => return "Less than a second ago".to_owned(),
        seconds @ 1..60 => (seconds, "second"),
        seconds @ 60..3600 => (seconds / 60, "minute"),
        seconds @ 3600..172_800 => (seconds / 3600, "hour"),
        seconds @ 172_800..1_209_600 => (seconds / 86_400, "day"),
        seconds @ 1_209_600..5_184_000 => (seconds / 604_800, "week"),
        seconds @ 5_184_000..63_072_000 => (seconds / 2_592_000, "month"),
        seconds => (seconds / 31_536_000, "year"),
    };
    format!("{number} {unit}{} ago", if number == 1 { "" } else { "s" })
}

/// The first twelve digits of a digest, or all of it.
pub fn id(digest: &registry_client::digest::Digest, full: bool) -> String {
    if full { digest.to_string() } else { digest.hex().chars().take(12).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns() {
        let mut out = Vec::new();
        let row = |cells: [&str; 3]| cells.map(str::to_owned).to_vec();
        write(&mut out, &["A", "LONG", "B"], &[row(["x", "y", "z"]), row(["wide", "", ""])]).unwrap();
        assert_eq!(
            String::from_utf8(out).unwrap(),
            "A      LONG   B\n\
             x      y      z\n\
             wide\n"
        );
    }

    #[test]
    fn ages() {
        let now = humantime::parse_rfc3339("2024-06-15T12:00:00Z").unwrap();
        for (created, want) in [
            ("2024-06-15T12:00:00Z", "Less than a second ago"),
            ("2024-06-15T11:59:59.2Z", "Less than a second ago"),
            ("2024-06-15T11:59:59Z", "1 second ago"),
            ("2024-06-15T11:58:00Z", "2 minutes ago"),
            ("2024-06-15T11:00:00Z", "1 hour ago"),
            ("2024-06-14T12:00:00Z", "24 hours ago"),
            ("2024-06-13T12:00:00Z", "2 days ago"),
            ("2024-05-30T12:00:00Z", "2 weeks ago"),
            ("2024-03-15T12:00:00Z", "3 months ago"),
            ("1970-01-01T00:00:00Z", "54 years ago"),
            ("2030-01-01T00:00:00Z", "Less than a second ago"),
            ("yesterday", "N/A"),
        ] {
            assert_eq!(ago(Some(created), now), want, "{created}");
        }
        assert_eq!(ago(None, now), "N/A");
    }
}
