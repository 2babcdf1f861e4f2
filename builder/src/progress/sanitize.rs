//! Log lines made fit for a terminal: what a program in a build writes must not steer the terminal of whoever watches.

use std::iter::Peekable;
use std::str::Chars;

/// The text of a line as a terminal would leave it standing, without anything that steers a terminal.
///
/// Escape sequences (ECMA-48 CSI, OSC and the like) are dropped, carriage returns take what was in front of them away
/// (progress bars), and what is left of control characters, and of those that reorder text, is shown as an escape.
pub fn line(bytes: &[u8]) -> String {
    let text = String::from_utf8_lossy(bytes);
    let text = text.trim_end_matches(['\r', '\n']);
    // A bar that redraws itself writes `10%\r20%\r30%`.
    let text = text.rsplit('\r').find(|part| !part.is_empty()).unwrap_or_default();
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        match c {
            '\x1b' => skip_sequence(&mut chars),
            // The same sequences, introduced by one character of the C1 set.
            '\u{9b}' => skip_csi(&mut chars),
            '\u{90}' | '\u{98}' | '\u{9d}' | '\u{9e}' | '\u{9f}' => skip_string(&mut chars),
            '\t' => out.push('\t'),
            '\x08' => {
                out.pop();
            }
            c if c.is_control() || reorders(c) => out.extend(c.escape_unicode()),
            c => out.push(c),
        }
    }
    out
}

/// The bidirectional controls: with them a line can read differently from what it says.
fn reorders(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{61c}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{2028}' | '\u{2029}')
}

fn skip_sequence(chars: &mut Peekable<Chars<'_>>) {
    match chars.peek() {
        Some('[') => {
            chars.next();
            skip_csi(chars);
        }
        Some(']' | 'P' | 'X' | '^' | '_') => {
            chars.next();
            skip_string(chars);
        }
        _ => {
            // Intermediate bytes, then the final one.
            while chars.next_if(|c| (' '..='/').contains(c)).is_some() {}
            chars.next_if(|c| ('0'..='~').contains(c));
        }
    }
}

/// Parameters and intermediates, then a final byte. A sequence that is cut short ends where it stops being one.
fn skip_csi(chars: &mut Peekable<Chars<'_>>) {
    while chars.next_if(|c| (' '..='?').contains(c)).is_some() {}
    chars.next_if(|c| ('@'..='~').contains(c));
}

/// Up to BEL or ST (`ESC \`).
fn skip_string(chars: &mut Peekable<Chars<'_>>) {
    while let Some(c) = chars.next() {
        match c {
            '\x07' | '\u{9c}' => return,
            '\x1b' => {
                chars.next_if_eq(&'\\');
                return;
            }
            _ => {}
        }
    }
}

/// How many columns a terminal gives a character.
fn columns(c: char) -> usize {
    match c {
        // Combining marks, zero-width space and joiners, variation selectors.
        '\u{300}'..='\u{36f}'
        | '\u{200b}'..='\u{200d}'
        | '\u{20d0}'..='\u{20f0}'
        | '\u{fe00}'..='\u{fe0f}' => 0,
        // Unicode's East Asian Wide blocks and emoji, coarsely: too wide a guess only cuts a line earlier.
        '\u{1100}'..='\u{115f}'
        | '\u{2e80}'..='\u{a4cf}'
        | '\u{ac00}'..='\u{d7a3}'
        | '\u{f900}'..='\u{faff}'
        | '\u{fe30}'..='\u{fe6f}'
        | '\u{ff00}'..='\u{ff60}'
        | '\u{ffe0}'..='\u{ffe6}'
        | '\u{1f300}'..='\u{1f64f}'
        | '\u{1f680}'..='\u{1faff}'
        | '\u{20000}'..='\u{3fffd}' => 2,
        _ => 1,
    }
}

/// How many columns a text takes.
pub fn width(text: &str) -> usize {
    text.chars().map(columns).sum()
}

/// The text cut to `limit` columns, with `…` where something was cut; tabs become single spaces.
pub fn fit(text: &str, limit: usize) -> String {
    let mut out = String::new();
    let mut used = 0;
    let mut chars = text.chars().map(|c| if c == '\t' { ' ' } else { c }).peekable();
    while let Some(c) = chars.next() {
        let after = used + columns(c);
        let room = if chars.peek().is_some() { limit.saturating_sub(1) } else { limit };
        if after > room {
            if limit > 0 {
                out.push('…');
            }
            return out;
        }
        used = after;
        out.push(c);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_steers_the_terminal() {
        for (bytes, want) in [
            (&b"plain"[..], "plain"),
            (b"tab\tstays", "tab\tstays"),
            (b"dos line\r", "dos line"),
            (b"10%\r20%\r30%\r", "30%"),
            (b"\r\r", ""),
            (b"\x1b[1;31mred\x1b[0m", "red"),
            (b"\x1b]0;title\x07text", "text"),
            (b"\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
            (b"\x1bPq#0\x1b\\sixel", "sixel"),
            (b"\x1b(Bcharset \x1b7saved", "charset saved"),
            (b"cut \x1b[31", "cut "),
            (b"cut \x1b]0;never closed", "cut "),
            (b"cut \x1b", "cut "),
            (b"bell \x07 null \0", "bell \\u{7} null \\u{0}"),
            (b"ab\x08c", "ac"),
            ("c1 \u{9b}31mred \u{9d}0;t\u{9c}x".as_bytes(), "c1 red x"),
            (b"not utf-8 \xff", "not utf-8 \u{fffd}"),
            ("over\u{202e}ride".as_bytes(), "over\\u{202e}ride"),
        ] {
            assert_eq!(line(bytes), want, "{bytes:?}");
        }
    }

    #[test]
    fn no_byte_gets_through() {
        for first in 0..=255_u8 {
            for second in 0..=255_u8 {
                let shown = line(&[first, second, b'x', 0xc2, first]);
                assert!(
                    !shown.chars().any(|c| c.is_control() && c != '\t'),
                    "{first:#x} {second:#x}: {shown:?}"
                );
            }
        }
    }

    #[test]
    fn fitting() {
        for (text, limit, want) in [
            ("abc", 3, "abc"),
            ("abcd", 3, "ab…"),
            ("a\tb", 3, "a b"),
            ("漢字", 4, "漢字"),
            ("漢字", 3, "漢…"),
            ("漢字x", 4, "漢…"),
            ("abc", 1, "…"),
            ("abc", 0, ""),
            ("", 0, ""),
        ] {
            let fitted = fit(text, limit);
            assert_eq!(fitted, want, "{text} {limit}");
            assert!(width(&fitted) <= limit);
        }
    }
}
