//! Sizes in bytes with a unit: `64m`, `1.5GiB`. Units are powers of 1024 whatever their spelling, as in `docker`.

use super::SpecError;

const WANT: SpecError = SpecError::Shape("write a number of bytes, or a number with k, m, g or t, as in 64m");

/// The size in bytes.
///
/// # Errors
/// [`SpecError::Shape`] for anything that is no number with a unit, is negative, or does not fit 64 bits.
pub fn parse(value: &str) -> Result<u64, SpecError> {
    let split = value.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(value.len());
    let (number, unit) = value.split_at(split);
    let unit = unit.trim().to_ascii_lowercase();
    let shift = match unit.strip_suffix("ib").or_else(|| unit.strip_suffix('b')).unwrap_or(&unit) {
        // "ib" alone is no unit.
        "" if unit != "ib" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        "p" => 50,
        _ => return Err(WANT),
    };
    let factor = 1_u64 << shift;
    if let Ok(whole) = number.parse::<u64>() {
        return whole.checked_mul(factor).ok_or(WANT);
    }
    let fraction: f64 = number.parse().map_err(|_| WANT)?;
    let bytes = fraction * factor as f64;
    // Above 2^53 a fraction of a byte is lost anyway; what matters is that the number is not past the end.
    if bytes.is_finite() && bytes < u64::MAX as f64 { Ok(bytes as u64) } else { Err(WANT) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes() {
        for (text, want) in [
            ("0", 0),
            ("4096", 4096),
            ("64m", 64 << 20),
            ("64MB", 64 << 20),
            ("64 MiB", 64 << 20),
            ("1.5g", 3 << 29),
            ("2kb", 2048),
            ("7b", 7),
            ("1T", 1 << 40),
        ] {
            assert_eq!(parse(text), Ok(want), "{text}");
        }
        for text in ["", "m", "-1", "64x", "1.2.3", "64mm", "9999999p", "ib", "1e3"] {
            assert_eq!(parse(text), Err(WANT), "{text}");
        }
    }
}
