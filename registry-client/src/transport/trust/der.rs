//! What a certificate (RFC 5280, section 4.1) says about when and for what it is good. It is read from certificates that
//! were given by hand, never from what a stranger sends.

use crate::transport::retry::days_before;
use std::ops::RangeInclusive;

const SEQUENCE: u8 = 0x30;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const BOOLEAN: u8 = 0x01;
const OBJECT_IDENTIFIER: u8 = 0x06;
const OCTET_STRING: u8 = 0x04;
/// `[0]` of a certificate: its version.
const VERSION: u8 = 0xa0;
/// `[3]` of a certificate: its extensions.
const EXTENSIONS: u8 = 0xa3;

/// `id-ce-extKeyUsage`, `id-kp-serverAuth` and `anyExtendedKeyUsage`.
const EXTENDED_KEY_USAGE: [u8; 3] = [0x55, 0x1d, 0x25];
const SERVER: [u8; 8] = [0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01];
const ANYTHING: [u8; 4] = [0x55, 0x1d, 0x25, 0x00];

/// When and for what a certificate is good.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Terms {
    /// In seconds since 1970.
    valid: RangeInclusive<u64>,
    /// Whether it may be a server's; a certificate that does not say what it is for is for everything.
    for_servers: bool,
}

impl Terms {
    /// Reads a certificate; `None` if it is none.
    pub(super) fn of(certificate: &[u8]) -> Option<Self> {
        let (certificate, _) = expect(SEQUENCE, certificate)?;
        let (mut fields, _) = expect(SEQUENCE, certificate)?;
        if let Some((_, rest)) = expect(VERSION, fields) {
            fields = rest;
        }
        // Serial number, algorithm of the signature, issuer.
        for _ in 0..3 {
            (_, _, fields) = element(fields)?;
        }
        let (validity, mut fields) = expect(SEQUENCE, fields)?;
        let (from, validity) = time(validity)?;
        let (until, _) = time(validity)?;
        let mut for_servers = true;
        while let Some((tag, content, rest)) = element(fields) {
            if tag == EXTENSIONS {
                for_servers = extensions_allow_servers(content)?;
            }
            fields = rest;
        }
        Some(Self { valid: from..=until, for_servers })
    }

    /// Whether a server may show it at that time (in seconds since 1970).
    pub(super) fn allow_server(&self, now: u64) -> bool {
        self.for_servers && self.valid.contains(&now)
    }
}

/// The `SubjectPublicKeyInfo` of a certificate, of any version; `None` if it is none.
pub(super) fn public_key(certificate: &[u8]) -> Option<&[u8]> {
    let (certificate, _) = expect(SEQUENCE, certificate)?;
    let (mut fields, _) = expect(SEQUENCE, certificate)?;
    if let Some((_, rest)) = expect(VERSION, fields) {
        fields = rest;
    }
    // Serial number, algorithm of the signature, issuer, validity, subject.
    for _ in 0..5 {
        (_, _, fields) = element(fields)?;
    }
    let (_, rest) = expect(SEQUENCE, fields)?;
    fields.get(..fields.len() - rest.len())
}

fn extensions_allow_servers(extensions: &[u8]) -> Option<bool> {
    let (mut extensions, _) = expect(SEQUENCE, extensions)?;
    while !extensions.is_empty() {
        let (extension, rest) = expect(SEQUENCE, extensions)?;
        let (id, mut value) = expect(OBJECT_IDENTIFIER, extension)?;
        if let Some((_critical, after)) = expect(BOOLEAN, value) {
            value = after;
        }
        if id == EXTENDED_KEY_USAGE {
            let (value, _) = expect(OCTET_STRING, value)?;
            let (mut purposes, _) = expect(SEQUENCE, value)?;
            while !purposes.is_empty() {
                let (purpose, rest) = expect(OBJECT_IDENTIFIER, purposes)?;
                if purpose == SERVER || purpose == ANYTHING {
                    return Some(true);
                }
                purposes = rest;
            }
            return Some(false);
        }
        extensions = rest;
    }
    Some(true)
}

/// The content of an element that has this tag, and what follows it.
fn expect(tag: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (found, content, rest) = element(bytes)?;
    (found == tag).then_some((content, rest))
}

/// Tag, content, and what follows (X.690, section 8.1); tags of one byte are all that certificates have.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, length], rest) = bytes.split_first_chunk::<2>()?;
    let (length, rest) = match length {
        0..=0x7f => (usize::from(length), rest),
        0x81..=0x84 => {
            let (digits, rest) = rest.split_at_checked(usize::from(length & 0x7f))?;
            (digits.iter().fold(0, |length, digit| length << 8 | usize::from(*digit)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

/// A time in seconds since 1970, and what follows it. One before 1970 is 1970.
fn time(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let (tag, content, rest) = element(bytes)?;
    let digits = content.strip_suffix(b"Z")?;
    let number = |from: usize, to: usize| -> Option<u64> {
        let digits = digits.get(from..to)?;
        digits.iter().try_fold(0, |n, digit| digit.is_ascii_digit().then(|| n * 10 + u64::from(digit - b'0')))
    };
    let (year, at) = match (tag, digits.len()) {
        // Two digits of the year (RFC 5280, section 4.1.2.5.1).
        (UTC_TIME, 12) => number(0, 2).map(|year| (if year < 50 { 2000 + year } else { 1900 + year }, 2))?,
        (GENERALIZED_TIME, 14) => (number(0, 4)?, 4),
        _ => return None,
    };
    let [month, day, hour, minute, second] = [0, 2, 4, 6, 8].map(|n| number(at + n, at + n + 2));
    let (month, day) = (month.filter(|n| (1..=12).contains(n))?, day.filter(|n| (1..=31).contains(n))?);
    let clock = (hour? * 60 + minute?) * 60 + second?;
    if year < 1970 {
        return Some((0, rest));
    }
    Some((days_before(year, month as usize - 1, day) * 86_400 + clock, rest))
}
