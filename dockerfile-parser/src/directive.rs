//! Parser directives at the top of the file (Dockerfile reference, "Parser directives").

use crate::ast::{Directives, Word};
use crate::diagnostic::Diagnostic;
use crate::json;
use crate::lines::physical_line;
use crate::span::Span;
use nom::bytes::complete::{tag, take_while};
use nom::character::complete::{char, satisfy};
use nom::combinator::{recognize, rest, verify};
use nom::sequence::{delimited, preceded};
use nom::{IResult, Offset, Parser};

const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

/// The names of directives.
const KNOWN: [&str; 3] = ["syntax", "escape", "check"];

/// Where the first line starts: behind the byte order mark.
pub(crate) fn begin(source: &[u8]) -> usize {
    if source.starts_with(BYTE_ORDER_MARK) { BYTE_ORDER_MARK.len() } else { 0 }
}

/// Whether a line would be a directive if it stood at the top.
pub(crate) fn is_known(line: &str) -> bool {
    directive(line, "#").is_some_and(|(name, _)| KNOWN.iter().any(|known| known.eq_ignore_ascii_case(name)))
}

/// What stands before the first line that is not a directive.
#[derive(Debug)]
pub(crate) struct Header {
    pub(crate) directives: Directives,
    /// Offset of the first line that is not a directive.
    pub(crate) end: usize,
    pub(crate) diagnostics: Vec<Diagnostic>,
}

/// Reads the directives. The first line that is not a *known* directive ends them: a blank line, any other comment, an
/// unknown name.
pub(crate) fn scan(source: &[u8]) -> Header {
    let mut directives = Directives { syntax: None, escape: '\\', check: None };
    let mut diagnostics = Vec::new();
    let mut seen: Vec<String> = Vec::new();
    let mut end = begin(source);
    while let Some(line) = physical_line(source, end) {
        let Ok(text) = std::str::from_utf8(line.content) else { break };
        let Some((name, value)) = directive(text, "#") else { break };
        let word = |part: &str| {
            let start = line.start + text.offset(part);
            Word { text: part.to_owned(), span: Span::new(start, start + part.len()) }
        };
        let key = name.to_ascii_lowercase();
        if !KNOWN.contains(&key.as_str()) {
            break;
        }
        end = line.next;
        if seen.contains(&key) {
            diagnostics.push(
                Diagnostic::error(
                    "duplicate-directive",
                    word(name).span,
                    format!("the parser directive \"{key}\" is given twice"),
                )
                .help("remove one of them"),
            );
            continue;
        }
        match (key.as_str(), value) {
            ("syntax", _) => directives.syntax = Some(word(value)),
            ("check", _) => directives.check = Some(word(value)),
            (_, "\\") => directives.escape = '\\',
            (_, "`") => directives.escape = '`',
            _ => diagnostics.push(
                Diagnostic::error(
                    "bad-escape",
                    word(value).span,
                    format!("\"{value}\" cannot be the escape character"),
                )
                .help("it is \\ (the default) or `"),
            ),
        }
        seen.push(key);
    }
    Header { directives, end, diagnostics }
}

/// How a file asks for its frontend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Notation {
    /// `# syntax=`, as Dockerfiles have it.
    Comment,
    /// `// syntax=`.
    Slashes,
    /// A JSON object with a `syntax` member; its place is not known.
    Json,
}

/// Finds which frontend a file asks for, in any of the notations in use: `# syntax=` among the directives, also after a
/// `#!` line, `// syntax=`, or a JSON object with a `syntax` member.
///
/// [`crate::parse`] compares it with what is implemented; this is for callers that must tell what language a file is
/// written in.
///
/// ```
/// let file = b"#!/usr/bin/env build\n# syntax=docker/dockerfile:1\nFROM scratch\n";
/// assert_eq!(dockerfile_parser::detect_syntax(file).as_deref(), Some("docker/dockerfile:1"));
/// ```
pub fn detect_syntax(source: &[u8]) -> Option<String> {
    find_syntax(source).map(|(word, _)| word.text)
}

/// [`detect_syntax`], with the place and the notation.
pub(crate) fn find_syntax(source: &[u8]) -> Option<(Word, Notation)> {
    let mut begin = begin(source);
    if source[begin..].starts_with(b"#!") {
        begin = physical_line(source, begin)?.next;
    }
    for (mark, notation) in [("#", Notation::Comment), ("//", Notation::Slashes)] {
        let mut position = begin;
        while let Some(line) = physical_line(source, position) {
            let Some(text) = std::str::from_utf8(line.content).ok() else { break };
            let Some((name, value)) = directive(text, mark) else { break };
            match name.to_ascii_lowercase().as_str() {
                "syntax" => {
                    let start = line.start + text.offset(value);
                    let span = Span::new(start, start + value.len());
                    return Some((Word { text: value.to_owned(), span }, notation));
                }
                "escape" | "check" => position = line.next,
                _ => break,
            }
        }
    }
    let text = json::string_member(std::str::from_utf8(&source[begin..]).ok()?, "syntax")?;
    Some((Word { text, span: Span::new(begin, begin) }, Notation::Json))
}

/// `# name = value` as name and value; blanks around either are not part of it.
pub(crate) fn directive<'t>(line: &'t str, mark: &'static str) -> Option<(&'t str, &'t str)> {
    let parsed: IResult<&str, (&str, &str)> = preceded(
        (blanks, tag(mark), blanks),
        (
            recognize((
                satisfy(|c| c.is_ascii_alphabetic()),
                take_while(|c: char| c.is_ascii_alphanumeric()),
            )),
            preceded(
                delimited(blanks, char('='), blanks),
                verify(rest.map(str::trim_end), |v: &str| !v.is_empty()),
            ),
        ),
    )
    .parse(line);
    parsed.ok().map(|(_, pair)| pair)
}

fn blanks(input: &str) -> IResult<&str, &str> {
    take_while(char::is_whitespace).parse(input)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scanning_stops_at_the_first_other_line() {
        let header = scan(b"# syntax = a/b:1 \n#ESCAPE=`\n# other=1\n# check=skip=all\n");
        assert_eq!(header.directives.syntax.expect("syntax").text, "a/b:1");
        assert_eq!(header.directives.escape, '`');
        assert_eq!(header.directives.check, None);
        assert_eq!(scan(b"\n# escape=`\n").directives.escape, '\\');
        assert_eq!(scan(b"# hello\n# escape=`\n").directives.escape, '\\');
    }

    #[test]
    fn mistakes() {
        let header = scan(b"\xEF\xBB\xBF# escape=x\n# escape=`\n# syntax=\n");
        let found: Vec<_> = header.diagnostics.iter().map(|d| (d.code, d.span)).collect();
        assert_eq!(found, [("bad-escape", Span::new(12, 13)), ("duplicate-directive", Span::new(16, 22))]);
        assert_eq!(header.end, 25);
    }

    #[test]
    fn syntax_in_other_notations() {
        assert_eq!(detect_syntax(b"#!/bin/x\n# syntax=a\n").as_deref(), Some("a"));
        assert_eq!(detect_syntax(b"// check=skip=all\n// syntax=a b\n").as_deref(), Some("a b"));
        assert_eq!(detect_syntax(b"{\"x\": [1, {}], \"syntax\": \"a\"}").as_deref(), Some("a"));
        assert_eq!(detect_syntax(b"FROM a\n# syntax=b\n"), None);
    }
}
