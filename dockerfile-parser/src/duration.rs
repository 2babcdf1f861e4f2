//! Durations in Go's notation: `1m30s`, `500ms`, `1.5h`.

use nom::branch::alt;
use nom::bytes::complete::tag;
use nom::character::complete::{char, digit0, one_of};
use nom::combinator::{all_consuming, opt, value};
use nom::multi::many1;
use nom::{IResult, Parser};
use std::time::Duration;

/// A signed duration, as written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Signed {
    pub(crate) negative: bool,
    pub(crate) magnitude: Duration,
}

/// Reads a sequence of decimal numbers with units (`ns us µs ms s m h`); `0` needs no unit. `None` if it is not one, or
/// beyond 292 years (64 bits of nanoseconds).
pub(crate) fn parse(text: &str) -> Option<Signed> {
    let sign: IResult<&str, Option<char>> = opt(one_of("+-")).parse(text);
    let (rest, sign) = sign.ok()?;
    let negative = sign == Some('-');
    if rest == "0" {
        return Some(Signed { negative, magnitude: Duration::ZERO });
    }
    let (_, parts) = all_consuming(many1(part)).parse(rest).ok()?;
    let nanoseconds = parts.into_iter().try_fold(0_u64, |sum, part| sum.checked_add(part?))?;
    (nanoseconds <= i64::MAX as u64)
        .then_some(Signed { negative, magnitude: Duration::from_nanos(nanoseconds) })
}

/// One number with its unit in nanoseconds; `None` inside when it overflows.
fn part(input: &str) -> IResult<&str, Option<u64>> {
    let (rest, (whole, fraction)) = (digit0, opt((char('.'), digit0))).parse(input)?;
    let fraction = fraction.map_or("", |(_, digits)| digits);
    if whole.is_empty() && fraction.is_empty() {
        return nom::combinator::fail().parse(input);
    }
    let (rest, unit) = unit(rest)?;
    let whole = if whole.is_empty() { Some(0) } else { whole.parse::<u64>().ok() };
    Ok((
        rest,
        whole.and_then(|n| n.checked_mul(unit)).and_then(|n| n.checked_add(fraction_of(fraction, unit))),
    ))
}

fn unit(input: &str) -> IResult<&str, u64> {
    alt((
        value(1, tag("ns")),
        value(1_000, alt((tag("us"), tag("µs"), tag("μs")))),
        value(1_000_000, tag("ms")),
        value(1_000_000_000, tag("s")),
        value(60_000_000_000, tag("m")),
        value(3_600_000_000_000, tag("h")),
    ))
    .parse(input)
}

/// `0.digits` of `unit`, rounded down. Digits past the eighteenth cannot make a nanosecond.
fn fraction_of(digits: &str, unit: u64) -> u64 {
    let (mut numerator, mut denominator) = (0_u128, 1_u128);
    for digit in digits.bytes().take(18) {
        numerator = numerator * 10 + u128::from(digit - b'0');
        denominator *= 10;
    }
    // Less than `unit`, so it fits.
    u64::try_from(u128::from(unit) * numerator / denominator).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notation() {
        let ok = |text| parse(text).map(|s| (s.negative, s.magnitude));
        assert_eq!(ok("1m30s"), Some((false, Duration::from_secs(90))));
        assert_eq!(ok("500ms"), Some((false, Duration::from_millis(500))));
        assert_eq!(ok("1.5h"), Some((false, Duration::from_secs(5400))));
        assert_eq!(ok(".5s"), Some((false, Duration::from_millis(500))));
        assert_eq!(ok("1.s2us"), Some((false, Duration::from_nanos(1_000_002_000))));
        assert_eq!(ok("-2ns"), Some((true, Duration::from_nanos(2))));
        assert_eq!(ok("0"), Some((false, Duration::ZERO)));
        assert_eq!(ok("2562047h47m16.854775807s"), Some((false, Duration::from_nanos(i64::MAX as u64))));
        for bad in
            ["", "1", "s", ".s", "1x", "1 s", "--1s", "2562047h47m16.854775808s", "99999999999999999999h"]
        {
            assert_eq!(parse(bad), None, "{bad}");
        }
    }
}
