//! Wildcard patterns on one path, as COPY and ADD sources are matched.
//!
//! The grammar is that of Go's `path.Match`: `*` is any run of characters but slashes, `?` any one but a slash, `[a-z]`
//! and `[^a-z]` one of a class, `\` escapes the next character. With [`Glob::with_double_star`] `**` is any run of whole
//! directories as well (also none), as `--parents` and ignore files have it.

use crate::automaton::{Automaton, Class, Token};
use nom::branch::alt;
use nom::character::complete::{anychar, char, none_of};
use nom::combinator::opt;
use nom::multi::many_till;
use nom::sequence::preceded;
use nom::{IResult, Parser};
use std::borrow::Cow;
use std::fmt;

/// A pattern that is not one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum GlobError {
    /// `[` without its `]`, an empty class, or a range without an end.
    BadClass {
        /// The pattern.
        pattern: String,
    },
    /// A backslash at the end escapes nothing.
    DanglingEscape {
        /// The pattern.
        pattern: String,
    },
    /// A range of a class that runs backwards.
    BackwardsRange {
        /// The range.
        range: String,
    },
}

impl fmt::Display for GlobError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::BadClass { pattern } => write!(
                f,
                "\"{pattern}\" has a broken [...]: it holds characters and ranges and ends with ]; \\[ is a plain bracket"
            ),
            Self::DanglingEscape { pattern } => {
                write!(f, "\"{pattern}\" ends with a backslash that escapes nothing")
            }
            Self::BackwardsRange { range } => write!(f, "the range [{range}] runs backwards"),
        }
    }
}

impl std::error::Error for GlobError {}

/// A compiled pattern.
///
/// ```
/// use dockerfile_parser::glob::Glob;
/// let glob = Glob::new("src/*.[ch]").unwrap();
/// assert!(glob.matches("src/main.c"));
/// assert!(!glob.matches("src/sub/main.c"));
/// assert!(Glob::with_double_star("**/*.c").unwrap().matches("main.c"));
/// ```
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Glob {
    automaton: Automaton,
    literal: Option<String>,
    /// What every match starts with, ends with and holds: most paths are told apart by these alone.
    prefix: String,
    suffix: String,
    infix: String,
    /// The pattern speaks of U+FFFD, which stands for other bytes as well: bytes alone decide nothing.
    lossy: bool,
}

impl Glob {
    /// Compiles a pattern in which `**` is the same as `*`.
    ///
    /// # Errors
    /// Malformed classes and escapes, even where no text would reach them.
    pub fn new(pattern: &str) -> Result<Self, GlobError> {
        Ok(Self::compile(tokens(pattern)?))
    }

    /// Compiles a pattern in which `**` crosses slashes; `**/` also matches nothing at all.
    ///
    /// # Errors
    /// As [`Glob::new`].
    pub fn with_double_star(pattern: &str) -> Result<Self, GlobError> {
        Ok(Self::compile(double_stars(tokens(pattern)?)))
    }

    fn compile(tokens: Vec<Token>) -> Self {
        let automaton = Automaton::new(tokens);
        Self {
            literal: automaton.literal(),
            prefix: automaton.literal_prefix(),
            suffix: automaton.literal_suffix(),
            infix: automaton.longest_literal(),
            lossy: automaton.mentions(char::REPLACEMENT_CHARACTER),
            automaton,
        }
    }

    /// Whether all of `path` matches. Bytes that are not UTF-8 count as U+FFFD each.
    pub fn matches(&self, path: impl AsRef<[u8]>) -> bool {
        let path = path.as_ref();
        if !self.lossy {
            if let Some(literal) = &self.literal {
                return literal.as_bytes() == path;
            }
            if !path.starts_with(self.prefix.as_bytes()) || !path.ends_with(self.suffix.as_bytes()) {
                return false;
            }
        }
        let path = lossy(path);
        path.contains(self.infix.as_str()) && self.automaton.matches(path.chars())
    }

    /// Whether something below the directory `dir` may match (`dir` itself does not count). The empty path is the root.
    pub fn may_match_below(&self, dir: impl AsRef<[u8]>) -> bool {
        let dir = lossy(dir.as_ref());
        let slash = if dir.is_empty() { None } else { Some('/') };
        self.automaton.may_continue(dir.chars().chain(slash))
    }

    /// The path, if the pattern has no wildcards: escapes removed.
    pub fn literal(&self) -> Option<&str> {
        self.literal.as_deref()
    }
}

/// Whether a pattern has an unescaped wildcard (`*`, `?` or `[`).
pub fn has_wildcard(pattern: &str) -> bool {
    let mut chars = pattern.chars();
    while let Some(c) = chars.next() {
        match c {
            '*' | '?' | '[' => return true,
            '\\' => drop(chars.next()),
            _ => {}
        }
    }
    false
}

/// The shortest path that means the same: no empty, `.` and inner `..` elements, no trailing slash; `.` for nothing.
///
/// Purely by text, as Go's `path.Clean`.
///
/// ```
/// use dockerfile_parser::glob::clean;
/// assert_eq!(clean("./a//b/../c/"), "a/c");
/// assert_eq!(clean("/.."), "/");
/// assert_eq!(clean(""), ".");
/// ```
pub fn clean(path: &str) -> String {
    let rooted = path.starts_with('/');
    let mut kept: Vec<&str> = Vec::new();
    for element in path.split('/') {
        match element {
            "" | "." => {}
            ".." if kept.last().is_some_and(|last| *last != "..") => drop(kept.pop()),
            ".." if rooted => {}
            _ => kept.push(element),
        }
    }
    let joined = kept.join("/");
    match (rooted, joined.is_empty()) {
        (true, _) => format!("/{joined}"),
        (false, true) => ".".to_owned(),
        (false, false) => joined,
    }
}

fn lossy(path: &[u8]) -> Cow<'_, str> {
    String::from_utf8_lossy(path)
}

/// Reads a pattern; every star is a single star.
fn tokens(pattern: &str) -> Result<Vec<Token>, GlobError> {
    let mut tokens = Vec::with_capacity(pattern.len());
    let mut rest = pattern;
    while !rest.is_empty() {
        match token(rest) {
            Ok((after, token)) => {
                tokens.push(token);
                rest = after;
            }
            Err(_) if rest.starts_with('[') => {
                return Err(GlobError::BadClass { pattern: pattern.to_owned() });
            }
            Err(_) => return Err(GlobError::DanglingEscape { pattern: pattern.to_owned() }),
        }
    }
    Ok(tokens)
}

fn token(input: &str) -> IResult<&str, Token> {
    alt((
        char('*').map(|_| Token::Many { but: Some('/') }),
        char('?').map(|_| Token::One { but: Some('/') }),
        class.map(Token::Class),
        preceded(char('\\'), anychar).map(Token::Char),
        none_of("[\\").map(Token::Char),
    ))
    .parse(input)
}

/// `[^a-z_]`. A class holds something, and `-` and `]` in it are escaped.
fn class(input: &str) -> IResult<&str, Class> {
    let (input, _) = char('[').parse(input)?;
    let (input, negation) = opt(char('^')).parse(input)?;
    let member = || alt((preceded(char('\\'), anychar), none_of("-]\\")));
    let range = (member(), opt(preceded(char('-'), member()))).map(|(low, high)| (low, high.unwrap_or(low)));
    let (input, (ranges, _)) = many_till(range, char(']')).parse(input)?;
    if ranges.is_empty() {
        return nom::combinator::fail().parse(input);
    }
    Ok((input, Class { negated: negation.is_some(), ranges }))
}

/// Makes two stars in a row a double star. One at the start that no slash follows matches within a name too, if
/// everything after it is plain (`**.go` is `**/*.go`): so it is in ignore files elsewhere.
fn double_stars(tokens: Vec<Token>) -> Vec<Token> {
    const STAR: Token = Token::Many { but: Some('/') };
    let plain_after_two = tokens.iter().skip(2).all(|token| matches!(token, Token::Char(_)));
    let mut out = Vec::with_capacity(tokens.len());
    let mut i = 0;
    while i < tokens.len() {
        if tokens[i] != STAR || tokens.get(i + 1) != Some(&STAR) {
            out.push(tokens[i].clone());
            i += 1;
            continue;
        }
        let first = i == 0;
        i += 2;
        let slash = tokens.get(i) == Some(&Token::Char('/'));
        i += usize::from(slash);
        if i == tokens.len() || (first && !slash && plain_after_two) {
            out.push(Token::Many { but: None });
        } else {
            out.push(Token::Directories);
        }
    }
    out
}

/// Whether a class of the pattern runs backwards: it can match nothing, so it is a mistake.
pub(crate) fn refuse_backwards_ranges(pattern: &str) -> Result<(), GlobError> {
    for token in tokens(pattern)? {
        let Token::Class(class) = token else { continue };
        if let Some((low, high)) = class.ranges.into_iter().find(|(low, high)| low > high) {
            return Err(GlobError::BackwardsRange { range: format!("{low}-{high}") });
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn like_go() {
        // The table of Go's path.Match documentation and tests, in our own selection.
        for (pattern, path, expected) in [
            ("abc", "abc", true),
            ("*", "abc", true),
            ("*c", "abc", true),
            ("a*", "a", true),
            ("a*", "ab/c", false),
            ("a*/b", "abc/b", true),
            ("a*/b", "a/c/b", false),
            ("a*b*c*d*e*/f", "axbxcxdxe/f", true),
            ("a*b*c*d*e*/f", "axbxcxdxexxx/fff", false),
            ("a*b?c*x", "abxbbxdbxebxczzx", true),
            ("ab[c]", "abc", true),
            ("ab[b-d]", "abc", true),
            ("ab[e-g]", "abc", false),
            ("ab[^c]", "abc", false),
            ("ab[^e-g]", "abc", true),
            ("a\\*b", "a*b", true),
            ("a\\*b", "ab", false),
            ("a?b", "a☺b", true),
            ("a[^a]b", "a☺b", true),
            ("a???b", "a☺b", false),
            ("[a-ζ]*", "α", true),
            ("a?b", "a/b", false),
            ("a*b", "a/b", false),
            ("[\\]a]", "]", true),
            ("[\\-]", "-", true),
            ("[x\\-]", "x", true),
            ("[\\-x]", "-", true),
            ("*x", "xxx", true),
            ("**", "a/b", false),
            (".*", ".x", true),
            ("*", ".x", true),
            ("", "", true),
            ("*", "", true),
        ] {
            assert_eq!(Glob::new(pattern).expect(pattern).matches(path), expected, "{pattern} on {path}");
        }
        for bad in [
            "[]a]", "[-]", "[x-]", "[-x]", "[a-b-c]", "[", "[^", "[^bc", "a[", "a\\", "[a\\", "[]", "[^]",
            "x[a-",
        ] {
            assert!(Glob::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn double_star() {
        for (pattern, path, expected) in [
            ("**", "a/b", true),
            ("**/x", "x", true),
            ("**/x", "a/b/x", true),
            ("**/x", "ax", false),
            ("**x", "a/bx", true),
            ("a/**", "a", false),
            ("a/**", "a/b/c", true),
            ("a/**/b", "a/b", true),
            ("a/**/b", "a/x/y/b", true),
            ("a/**/b", "a/xb", false),
            ("a**/b", "ab", true),
            ("a**/b", "ax/b", true),
            ("**/*.go", "a/b.go", true),
            ("**/*.go", "b.go", true),
            ("**go*", "xgo", false),
            ("**go*", "x/gopher", true),
            ("*/**", "a/b", true),
            ("*/**", "a", false),
            ("a/**/**/b", "a/b", true),
        ] {
            assert_eq!(
                Glob::with_double_star(pattern).expect(pattern).matches(path),
                expected,
                "{pattern} on {path}"
            );
        }
    }

    #[test]
    fn below_a_directory() {
        let below =
            |pattern: &str, dir: &str| Glob::with_double_star(pattern).expect(pattern).may_match_below(dir);
        assert!(below("a/b", "a") && below("a/b", "") && below("**/x", "q/r") && below("a/**", "a/b"));
        assert!(!below("a/b", "a/b") && !below("a/b", "b") && !below("a", "a") && !below("a*", "ab"));
    }

    #[test]
    fn bytes_that_are_not_text() {
        assert!(Glob::new("a?").expect("pattern").matches(b"a\xff"));
        assert!(Glob::new("a\u{fffd}").expect("pattern").matches(b"a\xff"));
        assert!(Glob::new("*\u{fffd}").expect("pattern").matches(b"a\xff"));
        assert!(Glob::new("*a?b*").expect("pattern").matches(b"\xffa\xffb\xff"));
        assert!(!has_wildcard("a\\*") && has_wildcard("a\\\\*"));
    }
}
