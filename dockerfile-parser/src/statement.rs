//! An instruction's shape: keyword, flags and arguments, told apart by the keyword but not yet interpreted.

use crate::ast::{Keyword, Word};
use crate::diagnostic::Diagnostic;
use crate::json::{self, Array};
use crate::lines::Joined;
use crate::span::Span;
use crate::words;
use std::borrow::Cow;
use std::ops::Range;

/// All instructions.
pub(crate) const KEYWORDS: [&str; 18] = [
    "FROM",
    "RUN",
    "CMD",
    "LABEL",
    "MAINTAINER",
    "EXPOSE",
    "ENV",
    "ADD",
    "COPY",
    "ENTRYPOINT",
    "VOLUME",
    "USER",
    "WORKDIR",
    "ARG",
    "ONBUILD",
    "STOPSIGNAL",
    "HEALTHCHECK",
    "SHELL",
];

/// The instruction with this keyword, in any case.
pub(crate) fn known(keyword: &str) -> Option<&'static str> {
    KEYWORDS.into_iter().find(|known| known.eq_ignore_ascii_case(keyword))
}

/// The flags of all instructions.
const FLAGS: [&str; 19] = [
    "from",
    "chown",
    "chmod",
    "link",
    "parents",
    "exclude",
    "checksum",
    "keep-git-dir",
    "unpack",
    "mount",
    "network",
    "security",
    "device",
    "platform",
    "interval",
    "timeout",
    "start-period",
    "start-interval",
    "retries",
];

/// `text`, without memory of its own if it is one of `known`.
fn interned(known: &[&'static str], text: &str) -> Cow<'static, str> {
    match known.iter().find(|known| **known == text) {
        Some(known) => Cow::Borrowed(known),
        None => Cow::Owned(text.to_owned()),
    }
}

/// A flag as written.
#[derive(Clone, Debug)]
pub(crate) struct RawFlag {
    /// Without `--`; borrowed when it is one of [`FLAGS`].
    pub(crate) name: Cow<'static, str>,
    /// Of `--name`.
    pub(crate) name_span: Span,
    /// What follows `=`, quotes removed.
    pub(crate) value: Option<Word>,
}

/// The arguments of an instruction.
#[derive(Debug, Default)]
pub(crate) enum Arguments {
    /// There are none.
    #[default]
    None,
    /// All of the text.
    Text(Word),
    /// The JSON form.
    Json(Vec<Word>),
    /// Words between blanks.
    List(Vec<Word>),
    /// `name=value ...`.
    Pairs(Vec<(Word, Word)>),
    /// `name value`.
    Legacy(Word, Word),
    /// `name[=value] ...`.
    Declarations(Vec<(Word, Option<Word>)>),
    /// HEALTHCHECK: its type, and the command.
    Health(Word, Box<Arguments>),
    /// ONBUILD: the trigger.
    Nested(Box<Statement>),
    /// Those of an unknown instruction, or of an ONBUILD in an ONBUILD.
    Unknown,
}

/// Keyword, flags, arguments.
#[derive(Debug)]
pub(crate) struct Statement {
    pub(crate) keyword: Keyword,
    /// The keyword in upper case; empty if it is none of [`KEYWORDS`].
    pub(crate) name: &'static str,
    pub(crate) flags: Vec<RawFlag>,
    pub(crate) arguments: Arguments,
    /// Where the text behind the flags is in the joined text, blanks around it trimmed.
    pub(crate) rest: Range<usize>,
    /// The text, blanks around it trimmed.
    pub(crate) source: Word,
}

impl Statement {
    /// Whether `<<` in the text can open a here-document: RUN, COPY, ADD, also as a trigger, but not in JSON form.
    pub(crate) fn may_hold_heredocs(&self) -> bool {
        match &self.arguments {
            Arguments::Nested(trigger) => trigger.may_hold_heredocs(),
            Arguments::Json(_) => false,
            _ => matches!(self.name, "RUN" | "COPY" | "ADD"),
        }
    }
}

/// Parses all of `joined`.
pub(crate) fn parse(joined: &Joined<'_>, escape: char) -> Result<Statement, Diagnostic> {
    parse_part(joined, joined.text(), escape, false)
}

fn parse_part(joined: &Joined<'_>, text: &str, escape: char, nested: bool) -> Result<Statement, Diagnostic> {
    let source = text.trim();
    let (keyword, rest) = words::first_word(source);
    let mut flags = Vec::new();
    let mut tokens = words::flags(rest, escape);
    for token in &mut tokens {
        let raw = joined.range_of(token.raw);
        if token.unterminated {
            return Err(Diagnostic::error(
                "unterminated-quote",
                joined.span(raw),
                "a quote in this flag is not closed",
            ));
        }
        let (name_end, value) = match token.value {
            Some((in_raw, in_text)) => {
                let span = joined.span(raw.start + in_raw..raw.end);
                let value = Word { text: token.text[in_text..].to_owned(), span };
                (raw.start + in_raw - 1, Some((in_text - 1, value)))
            }
            None => (raw.end, None),
        };
        let name = &token.text[2..value.as_ref().map_or(token.text.len(), |(end, _)| *end)];
        flags.push(RawFlag {
            name: interned(&FLAGS, name),
            name_span: joined.span(raw.start..name_end),
            value: value.map(|(_, word)| word),
        });
    }
    let rest = tokens.rest().trim();
    let name = known(keyword).unwrap_or_default();
    let arguments = match name {
        "RUN" | "CMD" | "ENTRYPOINT" | "SHELL" => json_or_text(joined, rest)?,
        "ADD" | "COPY" | "VOLUME" => match json_form(joined, rest)? {
            Some(words) => Arguments::Json(words),
            None => list(joined, words::list(rest)),
        },
        "EXPOSE" | "FROM" => list(joined, words::list(rest)),
        "ARG" => declarations(joined, rest, escape),
        "ENV" | "LABEL" => key_values(joined, rest, name, escape)?,
        "HEALTHCHECK" if rest.is_empty() => Arguments::None,
        "HEALTHCHECK" => {
            let end = rest.find(char::is_whitespace).unwrap_or(rest.len());
            let command = json_or_text(joined, rest[end..].trim_start())?;
            Arguments::Health(joined.word(&rest[..end]), Box::new(command))
        }
        "ONBUILD" if rest.is_empty() => Arguments::None,
        "ONBUILD" if nested => Arguments::Unknown,
        "ONBUILD" => Arguments::Nested(Box::new(parse_part(joined, rest, escape, true)?)),
        "MAINTAINER" | "STOPSIGNAL" | "USER" | "WORKDIR" => text_or_none(joined, rest),
        _ => Arguments::Unknown,
    };
    let keyword = Keyword { text: interned(&[name], keyword), span: joined.span_of(keyword) };
    let rest = joined.range_of(rest);
    Ok(Statement { keyword, name, flags, arguments, rest, source: joined.word(source) })
}

fn text_or_none(joined: &Joined<'_>, text: &str) -> Arguments {
    if text.is_empty() { Arguments::None } else { Arguments::Text(joined.word(text)) }
}

fn list<'t>(joined: &Joined<'_>, words: impl Iterator<Item = &'t str>) -> Arguments {
    let words: Vec<Word> = words.map(|word| joined.word(word)).collect();
    if words.is_empty() { Arguments::None } else { Arguments::List(words) }
}

fn declarations(joined: &Joined<'_>, text: &str, escape: char) -> Arguments {
    let words = words::quoted(text, escape).map(|word| match word.split_once('=') {
        Some((name, value)) => (joined.word(name), Some(joined.word(value))),
        None => (joined.word(word), None),
    });
    let declarations: Vec<_> = words.collect();
    if declarations.is_empty() { Arguments::None } else { Arguments::Declarations(declarations) }
}

fn json_or_text(joined: &Joined<'_>, text: &str) -> Result<Arguments, Diagnostic> {
    Ok(match json_form(joined, text)? {
        Some(words) => Arguments::Json(words),
        None => text_or_none(joined, text),
    })
}

fn json_form(joined: &Joined<'_>, text: &str) -> Result<Option<Vec<Word>>, Diagnostic> {
    match json::array(text) {
        Array::No => Ok(None),
        Array::Strings(list) => {
            Ok(Some(list.into_iter().map(|(text, raw)| Word { text, span: joined.span_of(raw) }).collect()))
        }
        Array::Other(member) => Err(Diagnostic::error(
            "json-not-strings",
            joined.span_of(member),
            "a JSON array of arguments may hold strings only",
        )
        .help(
            "put this in double quotes, or start the command with something other than [ for the shell form",
        )),
    }
}

fn key_values(joined: &Joined<'_>, text: &str, name: &str, escape: char) -> Result<Arguments, Diagnostic> {
    let mut words = words::quoted(text, escape).peekable();
    let Some(first) = words.peek() else { return Ok(Arguments::None) };
    if !first.contains('=') {
        let (key, value) = words::first_word(text);
        if value.is_empty() {
            return Err(Diagnostic::error(
                "missing-value",
                joined.span_of(key),
                format!("{name} needs a value for \"{key}\""),
            )
            .help(format!("write {name} {key}=value; {name} {key}= sets it empty")));
        }
        return Ok(Arguments::Legacy(joined.word(key), joined.word(value)));
    }
    let mut pairs = Vec::new();
    for word in words {
        let Some((key, value)) = word.split_once('=') else {
            return Err(Diagnostic::error(
                "missing-equals",
                joined.span_of(word),
                format!("{name} needs name=value, and \"{word}\" has no ="),
            )
            .help("put a value that holds blanks in double quotes"));
        };
        pairs.push((joined.word(key), joined.word(value)));
    }
    Ok(Arguments::Pairs(pairs))
}
