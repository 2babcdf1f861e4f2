//! Sizes in bytes with binary units: `64m`, `1.5GiB`, `512 kb`.

/// The number of bytes; fractions are dropped. `None` if it is not a size.
pub(super) fn parse(text: &str) -> Option<u64> {
    let end = text.rfind(|c: char| c.is_ascii_digit() || c == '.' || c == ' ')? + 1;
    let (number, unit) =
        (text[..end].strip_suffix(' ').unwrap_or(&text[..end]), text[end..].to_ascii_lowercase());
    if !number.chars().all(|c| c.is_ascii_digit() || c == '.') {
        return None;
    }
    let number: f64 = number.parse().ok()?;
    let power = match unit.as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 1,
        "m" | "mb" | "mib" => 2,
        "g" | "gb" | "gib" => 3,
        "t" | "tb" | "tib" => 4,
        "p" | "pb" | "pib" => 5,
        _ => return None,
    };
    let bytes = number * 1024_f64.powi(power);
    // The cast saturates, and no kernel has a file system that large.
    (bytes.is_finite() && bytes < i64::MAX as f64).then_some(bytes as u64)
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn units() {
        for (text, bytes) in [
            ("32", 32),
            ("32b", 32),
            ("32k", 32 << 10),
            ("32KB", 32 << 10),
            ("32Kib", 32 << 10),
            ("32 mb", 32 << 20),
            ("1.5g", 3 << 29),
            (".5m", 1 << 19),
            ("1T", 1 << 40),
            ("2PiB", 2 << 50),
        ] {
            assert_eq!(parse(text), Some(bytes), "{text}");
        }
        for bad in ["", "k", "-1", "1x", "1kk", "1bb", "1 2", "1.2.3", "1e99p", "9999999p", "+1", " 1"] {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
