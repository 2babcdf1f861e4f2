//! Diagnostics as JSON, for editors and for programs that read what a build says.

use super::{Diagnostic, Severity};
use crate::span::LineIndex;
use std::fmt::Write as _;

/// One finding as a JSON object on one line:
///
/// ```
/// use dockerfile_parser::{diagnostic, parse};
///
/// let source = b"FROM debian\nRNU true\n";
/// let errors = parse(source).unwrap_err();
/// assert_eq!(
///     diagnostic::json("Dockerfile", source, &errors[0]),
///     concat!(
///         r#"{"file":"Dockerfile","severity":"error","code":"unknown-instruction","#,
///         r#""message":"unknown instruction \"RNU\"","help":"did you mean RUN?","#,
///         r#""start":{"line":2,"column":1,"offset":12},"end":{"line":2,"column":4,"offset":15}}"#
///     )
/// );
/// ```
///
/// | member | what it is |
/// | --- | --- |
/// | `file` | the name given |
/// | `severity` | `error` or `warning` |
/// | `code` | [`Diagnostic::code`] |
/// | `message`, `help` | one sentence each; `help` is `null` if there is none |
/// | `start`, `end` | first character, and the one behind the last: `line` and `column` (in characters) count from 1, `offset` (in bytes) from 0 |
///
/// For many findings about one file make the index once and use [`json_with`].
pub fn json(file_name: &str, source: &[u8], diagnostic: &Diagnostic) -> String {
    json_with(file_name, &LineIndex::new(source), diagnostic)
}

/// [`json`] with an index of the source.
pub fn json_with(file_name: &str, index: &LineIndex<'_>, diagnostic: &Diagnostic) -> String {
    let severity = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    let mut text = String::from("{\"file\":");
    quote(file_name, &mut text);
    text.push_str(",\"severity\":");
    quote(severity, &mut text);
    text.push_str(",\"code\":");
    quote(diagnostic.code, &mut text);
    text.push_str(",\"message\":");
    quote(&diagnostic.message, &mut text);
    text.push_str(",\"help\":");
    match &diagnostic.help {
        Some(help) => quote(help, &mut text),
        None => text.push_str("null"),
    }
    let span = diagnostic.span;
    for (name, offset) in [("start", span.start), ("end", span.end.max(span.start))] {
        let place = index.locate(offset);
        // Writing to a string cannot fail.
        let _ = write!(
            text,
            ",\"{name}\":{{\"line\":{},\"column\":{},\"offset\":{offset}}}",
            place.line, place.column
        );
    }
    text.push('}');
    text
}

/// A JSON string (RFC 8259, section 7). What a terminal might obey is escaped too, as is what ends a line elsewhere.
fn quote(text: &str, out: &mut String) {
    out.push('"');
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            // All control characters, and the two separators, are below U+FFFF: one escape each.
            c if c.is_control() || matches!(c, '\u{2028}' | '\u{2029}') => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::span::Span;

    #[test]
    fn places_are_counted_in_characters_lines_and_bytes() {
        let source = "FROM a\nRUN é \\\n x\n".as_bytes();
        let start = source.iter().position(|b| *b == b'x').expect("an x");
        let warning = Diagnostic::warning("SomeRule", Span::new(11, start + 1), "m");
        assert_eq!(
            json("d/Dockerfile", source, &warning),
            format!(
                r#"{{"file":"d/Dockerfile","severity":"warning","code":"SomeRule","message":"m","help":null,"start":{{"line":2,"column":5,"offset":11}},"end":{{"line":3,"column":3,"offset":{}}}}}"#,
                start + 1
            )
        );
    }

    #[test]
    fn strings_are_escaped() {
        let mut text = String::new();
        quote("a\"\\\n\r\t\u{1}\u{1b}[2J\u{7f}\u{9b}\u{2028}é😀", &mut text);
        assert_eq!(text, r#""a\"\\\n\r\t\u0001\u001b[2J\u007f\u009b\u2028é😀""#);
    }
}
