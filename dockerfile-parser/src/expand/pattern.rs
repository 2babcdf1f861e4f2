//! Patterns of `${name#pattern}` and its relatives: `*` and `?` only, no brackets; neither matches a line feed.

use crate::automaton::{Automaton, Token};

/// Compiles a pattern. The error is the text of an escape that means nothing.
pub(super) fn compile(pattern: &str) -> Result<Automaton, String> {
    let mut tokens = Vec::with_capacity(pattern.len());
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        tokens.push(match c {
            '*' => Token::Many { but: Some('\n') },
            '?' => Token::One { but: Some('\n') },
            '\\' => match chars.next() {
                Some(c @ ('*' | '?' | '\\' | '/' | '}')) => Token::Char(c),
                Some(c) => return Err(format!("\\{c}")),
                None => return Err("\\".to_owned()),
            },
            c => Token::Char(c),
        });
    }
    Ok(Automaton::new(tokens))
}

/// `value` without the shortest (or longest) start that matches.
pub(super) fn without_prefix(pattern: &Automaton, value: &str, longest: bool) -> String {
    let characters = match pattern.literal() {
        Some(literal) => return value.strip_prefix(literal.as_str()).unwrap_or(value).to_owned(),
        None => pattern.prefix(value.chars(), longest).unwrap_or(0),
    };
    value.chars().skip(characters).collect()
}

/// `value` without the shortest (or longest) end that matches.
pub(super) fn without_suffix(pattern: Automaton, value: &str, longest: bool) -> String {
    let keep = match pattern.literal() {
        Some(literal) => return value.strip_suffix(literal.as_str()).unwrap_or(value).to_owned(),
        None => {
            let cut = pattern.reversed().prefix(value.chars().rev(), longest).unwrap_or(0);
            value.chars().count() - cut
        }
    };
    value.chars().take(keep).collect()
}

/// `value` with the first match, or all matches, replaced. Matches are the longest possible; an empty one right behind
/// another match is none. `None` if the result would have more than `limit` bytes.
pub(super) fn replace(
    pattern: &Automaton,
    value: &str,
    replacement: &str,
    all: bool,
    limit: usize,
) -> Option<String> {
    if let Some(literal) = pattern.literal().filter(|literal| !literal.is_empty()) {
        let most = if all { usize::MAX } else { 1 };
        let grows = replacement.len().saturating_sub(literal.len());
        let growth = value.matches(literal.as_str()).take(most).count().saturating_mul(grows);
        return (value.len().saturating_add(growth) <= limit)
            .then(|| value.replacen(literal.as_str(), replacement, most));
    }
    let mut out = String::with_capacity(value.len());
    let mut position = 0;
    let mut last_end = None;
    while let Some((start, end)) = pattern.find(&value[position..]) {
        let (start, end) = (position + start, position + end);
        out.push_str(&value[position..start]);
        if start < end || last_end != Some(start) {
            out.push_str(replacement);
        }
        last_end = Some(end);
        position = end;
        if out.len() > limit {
            return None;
        }
        if !all {
            break;
        }
        if start == end {
            // An empty match: step over one character.
            let Some(c) = value[end..].chars().next() else { break };
            out.push(c);
            position += c.len_utf8();
        }
    }
    out.push_str(value.get(position..).unwrap_or_default());
    (out.len() <= limit).then_some(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefixes_and_suffixes() {
        let p = |pattern: &str| compile(pattern).expect("a pattern");
        assert_eq!(without_prefix(&p("*/"), "a/b/c", false), "b/c");
        assert_eq!(without_prefix(&p("*/"), "a/b/c", true), "c");
        assert_eq!(without_prefix(&p("x"), "a/b", true), "a/b");
        assert_eq!(without_prefix(&p("*"), "abc", false), "abc");
        assert_eq!(without_suffix(p(".*"), "a.tar.gz", false), "a.tar");
        assert_eq!(without_suffix(p(".*"), "a.tar.gz", true), "a");
        assert_eq!(without_suffix(p("\\*?"), "ab*é", false), "ab");
    }

    #[test]
    fn replacements() {
        let r = |pattern: &str, value: &str, by: &str, all| {
            replace(&compile(pattern).expect("pattern"), value, by, all, 100).expect("it is short")
        };
        assert_eq!(r("a", "banana", "o", false), "bonana");
        assert_eq!(r("a", "banana", "o", true), "bonono");
        assert_eq!(r("a*a", "banana!", "-", true), "b-!");
        assert_eq!(r("a?", "banana", "-", true), "b--a");
        assert_eq!(r("*", "abc", "x", true), "x");
        assert_eq!(r("*", "ab\ncd", "x", true), "x\nx");
        assert_eq!(r("", "ab", "-", true), "-a-b-");
        assert_eq!(r("", "ab", "-", false), "-ab");
        assert_eq!(r("x*y", "axbxyz", "$1", true), "a$1z");
    }

    #[test]
    fn bad_escapes() {
        assert_eq!(compile("a\\b"), Err("\\b".to_owned()));
        assert_eq!(compile("a\\"), Err("\\".to_owned()));
    }

    #[test]
    fn hostile_patterns_stay_linear() {
        let value = "a".repeat(200_000);
        let pattern = compile("*a*a*a*a*a*b").expect("a pattern");
        assert_eq!(replace(&pattern, &value, "x", true, value.len()), Some(value.clone()));
        assert_eq!(replace(&pattern, &value, "x", true, value.len() - 1), None);
        assert_eq!(without_prefix(&pattern, &value, true).len(), value.len());
    }
}
