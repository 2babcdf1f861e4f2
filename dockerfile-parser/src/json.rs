//! Just enough JSON (RFC 8259) to tell the exec form from the shell form.
//!
//! Text is the exec form only when the whole of it is valid JSON, so everything must be checked, not only strings. The
//! structure is followed with a stack on the heap: nesting costs memory, never the call stack.

use nom::branch::alt;
use nom::bytes::complete::{tag, take_while, take_while1};
use nom::character::complete::{char, digit1, one_of};
use nom::combinator::{opt, recognize, value};
use nom::{IResult, Offset, Parser};

/// What the text of an argument is.
#[derive(Debug, PartialEq)]
pub(crate) enum Array<'t> {
    /// Not a JSON array, or not valid JSON: the shell form.
    No,
    /// A valid array with a member that is not a string: a mistake. Holds that member (its opening, if it is nested).
    Other(&'t str),
    /// An array of strings: the decoded text and the literal, quotes included.
    Strings(Vec<(String, &'t str)>),
}

/// Reads `text` as a JSON array of strings.
pub(crate) fn array(text: &str) -> Array<'_> {
    let text = text.trim_start();
    if !text.starts_with('[') {
        return Array::No;
    }
    let mut strings = Vec::new();
    let mut other = None;
    let valid = walk(text, |event| match event {
        Event::Member { key: None, string: Some(decoded), raw } => strings.push((decoded, raw)),
        Event::Member { raw, .. } => other = other.or(Some(raw)),
    });
    match (valid, other) {
        (false, _) => Array::No,
        (true, Some(raw)) => Array::Other(raw),
        (true, None) => Array::Strings(strings),
    }
}

/// The value of a string member of a JSON object.
pub(crate) fn string_member(text: &str, name: &str) -> Option<String> {
    if !text.trim_start().starts_with('{') {
        return None;
    }
    let mut found = None;
    let valid = walk(text, |event| {
        let Event::Member { key, string, .. } = event;
        if key.as_deref() == Some(name) {
            found = string;
        }
    });
    found.filter(|_| valid)
}

/// A member of the outermost array or object.
enum Event<'t> {
    Member { key: Option<String>, string: Option<String>, raw: &'t str },
}

#[derive(Clone, Copy, PartialEq)]
enum Expect {
    Value,
    /// After `[`: a value or `]`.
    First,
    /// After a value.
    CommaOrClose,
    /// After `{` (a closing brace may follow) or a comma in an object.
    Key {
        first: bool,
    },
}

/// Whether `text` is one valid JSON array or object and nothing else; members of the outermost level are reported on
/// the way.
fn walk<'t>(text: &'t str, mut report: impl FnMut(Event<'t>)) -> bool {
    let mut rest = blanks(text);
    let mut open: Vec<u8> = Vec::new();
    let mut expect = Expect::Value;
    let mut key = None;
    loop {
        let Some(first) = rest.bytes().next() else { return false };
        match (expect, first) {
            (Expect::First, b']')
            | (Expect::CommaOrClose, b']' | b'}')
            | (Expect::Key { first: true }, b'}') => {
                let opener = if first == b']' { b'[' } else { b'{' };
                if open.pop() != Some(opener) {
                    return false;
                }
                rest = blanks(&rest[1..]);
                if open.is_empty() {
                    return rest.is_empty();
                }
                expect = Expect::CommaOrClose;
            }
            (Expect::CommaOrClose, b',') => {
                rest = blanks(&rest[1..]);
                let in_array = open.last() == Some(&b'[');
                expect = if in_array { Expect::Value } else { Expect::Key { first: false } };
            }
            (Expect::Key { .. }, b'"') => {
                let Ok((after, name)) = string(rest) else { return false };
                let Some(after) = blanks(after).strip_prefix(':') else { return false };
                key = Some(name).filter(|_| open.len() == 1);
                rest = blanks(after);
                expect = Expect::Value;
            }
            (Expect::Value | Expect::First, b'[' | b'{') => {
                if open.len() == 1 {
                    report(Event::Member { key: key.take(), string: None, raw: &rest[..1] });
                }
                open.push(first);
                rest = blanks(&rest[1..]);
                expect = if first == b'[' { Expect::First } else { Expect::Key { first: true } };
            }
            (Expect::Value | Expect::First, _) if !open.is_empty() => {
                let Ok((after, decoded)) = scalar(rest) else { return false };
                if open.len() == 1 {
                    let raw = &rest[..rest.offset(after)];
                    report(Event::Member { key: key.take(), string: decoded, raw });
                }
                rest = blanks(after);
                expect = Expect::CommaOrClose;
            }
            _ => return false,
        }
    }
}

fn blanks(text: &str) -> &str {
    text.trim_start_matches([' ', '\t', '\r', '\n'])
}

/// A string (decoded), number, `true`, `false` or `null`.
fn scalar(input: &str) -> IResult<&str, Option<String>> {
    alt((string.map(Some), value(None, number), value(None, alt((tag("true"), tag("false"), tag("null"))))))
        .parse(input)
}

fn number(input: &str) -> IResult<&str, &str> {
    recognize((
        opt(char('-')),
        alt((tag("0"), recognize((one_of("123456789"), opt(digit1))))),
        opt((char('.'), digit1)),
        opt((one_of("eE"), opt(one_of("+-")), digit1)),
    ))
    .parse(input)
}

fn string(input: &str) -> IResult<&str, String> {
    let (mut input, _) = char('"').parse(input)?;
    let mut decoded = String::new();
    loop {
        let (after, plain) = take_while(|c: char| c >= ' ' && c != '"' && c != '\\').parse(input)?;
        decoded.push_str(plain);
        if let Some(after) = after.strip_prefix('"') {
            return Ok((after, decoded));
        }
        let (after, c) = escape(after)?;
        decoded.push(c);
        input = after;
    }
}

/// One escape sequence. A surrogate without its partner becomes U+FFFD.
fn escape(input: &str) -> IResult<&str, char> {
    let (input, letter) = nom::sequence::preceded(char('\\'), one_of("\"\\/bfnrtu")).parse(input)?;
    let simple = match letter {
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'u' => {
            let (after, high) = hex4(input)?;
            if let 0xD800..=0xDBFF = high
                && let Ok((after, low @ 0xDC00..=0xDFFF)) =
                    nom::sequence::preceded(tag("\\u"), hex4).parse(after)
            {
                let code = 0x10000 + ((high - 0xD800) << 10) + (low - 0xDC00);
                return Ok((after, char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER)));
            }
            return Ok((after, char::from_u32(high).unwrap_or(char::REPLACEMENT_CHARACTER)));
        }
        other => other,
    };
    Ok((input, simple))
}

fn hex4(input: &str) -> IResult<&str, u32> {
    let digits = nom::bytes::complete::take_while_m_n(4, 4, |c: char| c.is_ascii_hexdigit());
    nom::combinator::map_res(digits, |d: &str| u32::from_str_radix(d, 16)).parse(input)
}

/// A JSON-looking start, for hints: `[` and then something quoted.
pub(crate) fn looks_meant(text: &str) -> bool {
    let parsed: IResult<&str, _> =
        (char('['), take_while(char::is_whitespace), one_of("\"'")).parse(text.trim_start());
    let bare: IResult<&str, _> =
        (char('['), take_while1(|c: char| c != ']'), char(']')).parse(text.trim_start());
    parsed.is_ok() || bare.is_ok_and(|(rest, _)| rest.trim().is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn strings(text: &str) -> Option<Vec<String>> {
        match array(text) {
            Array::Strings(list) => Some(list.into_iter().map(|(s, _)| s).collect()),
            _ => None,
        }
    }

    #[test]
    fn arrays_of_strings() {
        assert_eq!(strings("[]"), Some(vec![]));
        assert_eq!(
            strings(r#" [ "a" , "b\n\u00e9\ud83d\ude00\ud800x" ]  "#).unwrap(),
            ["a", "b\né😀\u{fffd}x"]
        );
        assert_eq!(strings(r#"["\/\"\\"]"#).unwrap(), ["/\"\\"]);
    }

    #[test]
    fn not_json() {
        for text in [
            "",
            "x",
            "[",
            "['a']",
            r#"["a"] b"#,
            r#"["a",]"#,
            r#"["a" "b"]"#,
            r#"["\x"]"#,
            "[\"a\tb\"]",
            "[01]",
            "[1.]",
            r#"["a"}"#,
            r#"[{"a"}]"#,
            r#"[{"a":1,}]"#,
            "[,]",
            "[tru]",
            "\"a\"",
            "[\"\\u12g4\"]",
            "[-]",
        ] {
            assert_eq!(array(text), Array::No, "{text}");
        }
    }

    #[test]
    fn other_members() {
        for text in ["[1]", "[\"a\", null]", "[[\"a\"]]", "[{\"a\": [1, {\"b\": -1.5e+3}], \"c\": true}]"] {
            assert!(matches!(array(text), Array::Other(_)), "{text}");
        }
        assert_eq!(array("[\"a\", 12 ]"), Array::Other("12"));
    }

    #[test]
    fn deep_nesting_is_flat_on_the_stack() {
        let text = "[".repeat(500_000) + &"]".repeat(500_000);
        assert!(matches!(array(&text), Array::Other(_)));
        assert_eq!(array(&"[".repeat(1_000_000)), Array::No);
    }
}
