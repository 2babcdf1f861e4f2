//! Fields of a header block.

/// A text field ends at its first NUL, or is filled to its end.
pub(super) fn until_nul(field: &[u8]) -> &[u8] {
    field.split(|b| *b == 0).next().unwrap_or(field)
}

/// A number that cannot be negative.
pub(super) fn number(field: &[u8]) -> Option<u64> {
    signed_number(field).and_then(|number| u64::try_from(number).ok())
}

/// A number field: octal digits among spaces and NULs, or, with the top bit set, a big-endian two's complement number.
pub(super) fn signed_number(field: &[u8]) -> Option<i64> {
    let (&first, rest) = field.split_first()?;
    if first & 0x80 != 0 {
        let negative = first & 0x40 != 0;
        let mut number = i128::from(first & 0x7f) - if negative { 0x80 } else { 0 };
        for byte in rest {
            // Eleven bytes below the first: far from the ends of an i128.
            number = number << 8 | i128::from(*byte);
        }
        return i64::try_from(number).ok();
    }
    let padding = |b: &u8| *b == b' ' || *b == 0;
    let start = field.iter().position(|b| !padding(b)).unwrap_or(field.len());
    let digits = until_nul(&field[start..]).trim_ascii_end();
    let mut number: i64 = 0;
    for digit in digits {
        if !(b'0'..=b'7').contains(digit) {
            return None;
        }
        number = number.checked_mul(8)?.checked_add(i64::from(digit - b'0'))?;
    }
    Some(number)
}
