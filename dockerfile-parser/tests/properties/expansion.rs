//! Words, made of pieces whose value is known, against what comes out of them.

use dockerfile_parser::expand::{ExpandErrorKind, Expander};
use proptest::prelude::*;

/// The names that have values.
const VALUES: [(&str, &str); 4] = [("A", "a"), ("AB", "ab.ab"), ("E", ""), ("S", "x y")];

fn value(name: &str) -> Option<String> {
    VALUES.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
}

/// A piece of a word.
#[derive(Clone, Debug)]
enum Piece {
    Text(String),
    Escaped(char),
    Single(String),
    Double(Vec<Piece>),
    Name {
        name: String,
        braces: bool,
    },
    /// `-`, `+`, `?`.
    Conditional {
        name: String,
        colon: bool,
        operator: char,
        word: Vec<Piece>,
    },
    /// `#`, `##`, `%`, `%%`.
    Trim {
        name: String,
        operator: &'static str,
        pattern: String,
    },
    /// `/`, `//`.
    Replace {
        name: String,
        all: bool,
        pattern: String,
        by: String,
    },
}

fn print(pieces: &[Piece], escape: char) -> String {
    let one = |piece: &Piece| match piece {
        Piece::Text(text) => text.clone(),
        Piece::Escaped(c) => format!("{escape}{c}"),
        Piece::Single(text) => format!("'{text}'"),
        Piece::Double(inside) => format!("\"{}\"", print(inside, escape)),
        Piece::Name { name, braces: true } => format!("${{{name}}}"),
        Piece::Name { name, braces: false } => format!("${name}"),
        Piece::Conditional { name, colon, operator, word } => {
            format!("${{{name}{}{operator}{}}}", if *colon { ":" } else { "" }, print(word, escape))
        }
        Piece::Trim { name, operator, pattern } => format!("${{{name}{operator}{pattern}}}"),
        Piece::Replace { name, all, pattern, by } => {
            format!("${{{name}{}{pattern}/{by}}}", if *all { "//" } else { "/" })
        }
    };
    pieces.iter().map(one).collect()
}

/// What the pieces come to; the name that is required and not there is the error.
fn evaluate(pieces: &[Piece]) -> Result<String, String> {
    let mut out = String::new();
    for piece in pieces {
        match piece {
            Piece::Text(text) | Piece::Single(text) => out.push_str(text),
            Piece::Escaped(c) => out.push(*c),
            Piece::Double(inside) => out.push_str(&evaluate(inside)?),
            Piece::Name { name, .. } => out.push_str(&value(name).unwrap_or_default()),
            Piece::Conditional { name, colon, operator, word } => {
                let value = value(name);
                let set = value.as_ref().is_some_and(|value| !*colon || !value.is_empty());
                match (operator, set) {
                    ('-', false) | ('+', true) => out.push_str(&evaluate(word)?),
                    ('+', false) => {}
                    ('?', false) => {
                        evaluate(word)?;
                        return Err(name.clone());
                    }
                    _ => out.push_str(&value.unwrap_or_default()),
                }
            }
            Piece::Trim { name, operator, pattern } => {
                out.push_str(&trim(&value(name).unwrap_or_default(), operator, pattern))
            }
            Piece::Replace { name, all, pattern, by } => {
                out.push_str(&replace(&value(name).unwrap_or_default(), *all, pattern, by));
            }
        }
    }
    Ok(out)
}

fn matches(pattern: &[u8], text: &[u8]) -> bool {
    match (pattern, text) {
        ([], []) => true,
        ([b'*', rest @ ..], _) => (0..=text.len()).any(|skip| matches(rest, &text[skip..])),
        ([b'?', rest @ ..], [_, after @ ..]) => matches(rest, after),
        ([p, rest @ ..], [t, after @ ..]) => p == t && matches(rest, after),
        _ => false,
    }
}

/// All cuts are tried, the shortest or the longest first. Values and patterns are ASCII.
fn trim(value: &str, operator: &str, pattern: &str) -> String {
    let mut lengths: Vec<usize> = (0..=value.len()).collect();
    if operator.len() == 2 {
        lengths.reverse();
    }
    let start = operator.starts_with('#');
    let cut = lengths.into_iter().find(|length| {
        let part = if start { &value[..*length] } else { &value[value.len() - length..] };
        matches(pattern.as_bytes(), part.as_bytes())
    });
    let cut = cut.unwrap_or(0);
    if start { value[cut..].to_owned() } else { value[..value.len() - cut].to_owned() }
}

/// From left to right the longest match at each place; an empty one behind a match is none.
fn replace(value: &str, all: bool, pattern: &str, by: &str) -> String {
    let mut out = String::new();
    let (mut at, mut behind_match, mut done) = (0, false, false);
    while at <= value.len() {
        let longest =
            (at..=value.len()).rev().find(|end| matches(pattern.as_bytes(), &value.as_bytes()[at..*end]));
        if let Some(end) = longest.filter(|end| !done && (*end > at || !behind_match)) {
            out.push_str(by);
            done = !all;
            if end > at {
                (at, behind_match) = (end, true);
                continue;
            }
        }
        out.push_str(value.get(at..at + 1).unwrap_or_default());
        (at, behind_match) = (at + 1, false);
    }
    out
}

fn name() -> impl Strategy<Value = String> {
    prop::sample::select(vec!["A", "AB", "E", "S", "N", "M_1"]).prop_map(str::to_owned)
}

fn flat() -> impl Strategy<Value = Piece> {
    let trim = prop::sample::select(vec!["#", "##", "%", "%%"]);
    prop_oneof![
        "[a-z., ]{0,4}".prop_map(Piece::Text),
        prop::sample::select(vec!['$', '"', '\\', '\'', ' ', 'x', '`']).prop_map(Piece::Escaped),
        "[a-z$\" \\\\]{0,4}".prop_map(Piece::Single),
        name().prop_map(|name| Piece::Name { name, braces: true }),
        (name(), trim, "[ab.*?]{0,4}").prop_map(|(name, operator, pattern)| Piece::Trim {
            name,
            operator,
            pattern
        }),
        (name(), any::<bool>(), "[ab.*?]{1,3}", "[xy]{0,2}")
            .prop_map(|(name, all, pattern, by)| Piece::Replace { name, all, pattern, by }),
    ]
}

fn pieces() -> impl Strategy<Value = Vec<Piece>> {
    let piece = flat().prop_recursive(4, 24, 4, |inner| {
        let word = prop::collection::vec(inner.clone(), 0..4);
        let operator = prop::sample::select(vec!['-', '+', '?']);
        prop_oneof![
            (name(), any::<bool>(), operator, word.clone())
                .prop_map(|(name, colon, operator, word)| Piece::Conditional { name, colon, operator, word }),
            word.prop_map(|word| Piece::Double(word.into_iter().map(for_double).collect())),
        ]
    });
    // A name without braces ends where the next piece cannot go on with it.
    let bare = name().prop_map(|name| vec![Piece::Name { name, braces: false }, Piece::Text(".".to_owned())]);
    let part = prop_oneof![4 => piece.prop_map(|piece| vec![piece]), 1 => bare];
    prop::collection::vec(part, 0..5).prop_map(|parts| parts.concat())
}

/// In double quotes single ones mean nothing, double ones would end it, and only `"`, `$` and the escape can be escaped.
fn for_double(piece: Piece) -> Piece {
    match piece {
        Piece::Single(text) => Piece::Text(text.replace(['$', '"', '\\'], "s")),
        Piece::Double(inside) => Piece::Text(format!("{}", inside.len())),
        Piece::Escaped(c) if c != '$' && c != '"' => Piece::Escaped('$'),
        other => other,
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn words_come_to_what_their_pieces_come_to(pieces in pieces(), backtick in any::<bool>()) {
        let escape = if backtick { '`' } else { '\\' };
        // With a backtick the backslash in text is itself; the model has it in quotes only, where it always is.
        let word = print(&pieces, escape);
        let expanded = Expander::new(escape).word(&word, &|name: &str| value(name));
        match (evaluate(&pieces), expanded) {
            (Ok(expected), Ok(expanded)) => prop_assert_eq!(expanded.text, expected, "{}", word),
            (Err(name), Err(error)) => {
                let required = match error.kind {
                    ExpandErrorKind::Required { name, .. } => name,
                    other => return Err(TestCaseError::fail(format!("{word}: {other:?}"))),
                };
                prop_assert_eq!(required, name, "{}", word);
            }
            (expected, expanded) => prop_assert!(false, "{word}: {expected:?}, but {expanded:?}"),
        }
    }
}
