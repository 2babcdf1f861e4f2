//! How history spells things: the spelling is Go's, because tools compare it with what BuildKit writes.

use std::fmt::Write;
use std::time::Duration;

/// `%q` of a list: `["a" "b"]`.
pub(super) fn quoted_list<S: AsRef<str>>(items: &[S]) -> String {
    let quoted: Vec<String> = items.iter().map(|item| quoted(item.as_ref())).collect();
    format!("[{}]", quoted.join(" "))
}

/// `%v` of a list: `[a b]`.
pub(super) fn list<S: AsRef<str>>(items: &[S]) -> String {
    let items: Vec<&str> = items.iter().map(AsRef::as_ref).collect();
    format!("[{}]", items.join(" "))
}

/// `%q` of a string.
fn quoted(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\x07' => out.push_str("\\a"),
            '\x08' => out.push_str("\\b"),
            '\x0c' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\x0b' => out.push_str("\\v"),
            c if (c as u32) < 0x20 || c == '\x7f' => {
                let _ = write!(out, "\\x{:02x}", c as u32);
            }
            c if c.is_control() => {
                let _ = write!(out, "\\u{:04x}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// A duration as Go prints it: `1m30s`, `500ms`, `0s`.
pub(super) fn duration(duration: Duration) -> String {
    let nanos = duration.as_nanos();
    if nanos == 0 {
        return "0s".to_owned();
    }
    if nanos < 1_000_000_000 {
        let (unit, scale) = match nanos {
            0..1_000 => ("ns", 1),
            1_000..1_000_000 => ("µs", 1_000),
            _ => ("ms", 1_000_000),
        };
        return format!("{}{unit}", fraction(nanos, scale));
    }
    let seconds = duration.as_secs();
    let mut out = String::new();
    if seconds >= 3600 {
        let _ = write!(out, "{}h", seconds / 3600);
    }
    if seconds >= 60 {
        let _ = write!(out, "{}m", seconds / 60 % 60);
    }
    let rest = u128::from(seconds % 60) * 1_000_000_000 + u128::from(duration.subsec_nanos());
    let _ = write!(out, "{}s", fraction(rest, 1_000_000_000));
    out
}

/// `nanos / scale` in decimal, without trailing zeros.
fn fraction(nanos: u128, scale: u128) -> String {
    let whole = nanos / scale;
    let digits = scale.ilog10() as usize;
    let rest = format!("{:0digits$}", nanos % scale);
    match rest.trim_end_matches('0') {
        "" => whole.to_string(),
        _ if scale == 1 => whole.to_string(),
        rest => format!("{whole}.{rest}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists() {
        assert_eq!(
            quoted_list(&["/bin/sh", "-c", "echo \"a\"\t\x01\\"]),
            r#"["/bin/sh" "-c" "echo \"a\"\t\x01\\"]"#
        );
        assert_eq!(quoted_list::<&str>(&[]), "[]");
        assert_eq!(list(&["80/tcp", "81/udp"]), "[80/tcp 81/udp]");
    }

    #[test]
    fn durations() {
        for (millis, want) in
            [(0, "0s"), (1, "1ms"), (1500, "1.5s"), (90_000, "1m30s"), (3_600_000, "1h0m0s")]
        {
            assert_eq!(duration(Duration::from_millis(millis)), want);
        }
        assert_eq!(duration(Duration::from_nanos(1_500)), "1.5µs");
    }
}
