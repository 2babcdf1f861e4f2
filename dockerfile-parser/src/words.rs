//! Splitting an instruction's text: keyword, flags, lists, quoted words. Nothing is unquoted here but flags: the words
//! keep their quotes until names are expanded, or they would be unquoted twice.

use nom::bytes::complete::{tag, take_while, take_while1};
use nom::{IResult, Offset, Parser};
use std::borrow::Cow;

/// The blanks that separate list members: every ASCII one but the line feed.
fn is_blank(c: char) -> bool {
    matches!(c, '\t' | '\x0b' | '\x0c' | '\r' | ' ')
}

/// Splits off the first word; the rest starts at the next one.
pub(crate) fn first_word(text: &str) -> (&str, &str) {
    let end = text.find(is_blank).unwrap_or(text.len());
    (&text[..end], text[end..].trim_start_matches(is_blank))
}

/// Words between blanks; quotes mean nothing.
pub(crate) fn list(text: &str) -> impl Iterator<Item = &str> {
    text.split(is_blank).filter(|word| !word.is_empty())
}

/// Words between white space outside quotes; quotes and escapes stay in the words. A quote that is not closed runs to
/// the end: expanding the word will report it.
pub(crate) fn quoted(text: &str, escape: char) -> impl Iterator<Item = &str> {
    let mut rest = text.trim_start();
    std::iter::from_fn(move || {
        let (after, word) = quoted_word(rest, escape)?;
        rest = after.trim_start();
        // An escape character with nothing after it escapes nothing.
        Some(if after.is_empty() { without_dangling_escape(word, escape) } else { word })
    })
    .filter(|word| !word.is_empty())
}

/// Takes a word without quotes and escapes, as most are; `None` if there is none, or it goes on with one of those.
fn plain_word(input: &str) -> Option<(&str, &str)> {
    let ends = |byte: u8| !byte.is_ascii() || byte <= b' ' || matches!(byte, b'\'' | b'"' | b'\\' | b'`');
    let end = input.bytes().position(ends).unwrap_or(input.len());
    let (word, rest) = input.split_at(end);
    // White space that is not ASCII's, and the escape character that is none here, are not worth a fast way.
    let whole = rest.is_empty() || rest.starts_with([' ', '\t']);
    (end > 0 && whole).then_some((rest, word))
}

/// Takes a word: up to white space that is in no quotes. `None` if there is none.
fn quoted_word(input: &str, escape: char) -> Option<(&str, &str)> {
    if let Some(done) = plain_word(input) {
        return Some(done);
    }
    let mut rest = input;
    loop {
        let special = |c: char| c.is_whitespace() || matches!(c, '\'' | '"') || c == escape;
        rest = &rest[rest.find(special).unwrap_or(rest.len())..];
        rest = match rest.chars().next() {
            Some('\'') => rest[1..].split_once('\'').map_or(&rest[rest.len()..], |(_, after)| after),
            Some('"') => {
                let after = inside_quotes(&rest[1..], '"', escape);
                after.strip_prefix('"').unwrap_or(after)
            }
            Some(c) if c == escape => escaped(rest),
            _ => break,
        };
    }
    let word = &input[..input.offset(rest)];
    (!word.is_empty()).then_some((rest, word))
}

/// What is left behind the text inside of quotes, in which the escape character escapes: the quote that ends it, or
/// nothing.
fn inside_quotes(mut input: &str, quote: char, escape: char) -> &str {
    loop {
        input = &input[input.find([quote, escape]).unwrap_or(input.len())..];
        if !input.starts_with(escape) {
            return input;
        }
        input = escaped(input);
    }
}

/// What is left behind an escape character, the first one of `input`, and what it escapes, if anything follows.
fn escaped(input: &str) -> &str {
    let mut chars = input.chars();
    chars.next();
    chars.next();
    chars.as_str()
}

fn without_dangling_escape(word: &str, escape: char) -> &str {
    let escapes = word.len() - word.trim_end_matches(escape).len();
    if escapes % 2 == 1 { &word[..word.len() - escape.len_utf8()] } else { word }
}

/// One `--name[=value]` as it stands.
#[derive(Debug, PartialEq)]
pub(crate) struct FlagToken<'t> {
    /// All of it.
    pub(crate) raw: &'t str,
    /// Quotes and escapes removed.
    pub(crate) text: Cow<'t, str>,
    /// Where the value starts, in `raw` and in `text`: behind the first `=`.
    pub(crate) value: Option<(usize, usize)>,
    /// A quote was opened and not closed.
    pub(crate) unterminated: bool,
}

/// Takes flags off the front. They end at the first word that does not start with `--`, or at a lone `--`, which is
/// removed.
pub(crate) fn flags(text: &str, escape: char) -> FlagTokens<'_> {
    FlagTokens { rest: text.trim_start(), escape, ended: false }
}

/// The flags at the front of a text.
pub(crate) struct FlagTokens<'t> {
    rest: &'t str,
    escape: char,
    ended: bool,
}

impl<'t> FlagTokens<'t> {
    /// What follows those that were taken.
    pub(crate) fn rest(&self) -> &'t str {
        self.rest
    }
}

impl<'t> Iterator for FlagTokens<'t> {
    type Item = FlagToken<'t>;

    fn next(&mut self) -> Option<FlagToken<'t>> {
        if self.ended || !self.rest.starts_with("--") {
            return None;
        }
        let (after, token) = match plain_word(self.rest) {
            Some((after, raw)) => (after, plain_flag(raw)),
            None => {
                let (after, raw) = flag_token(self.rest, self.escape);
                (after, decode_flag(raw, self.escape))
            }
        };
        self.rest = after.trim_start();
        self.ended = token.text == "--";
        (!self.ended).then_some(token)
    }
}

/// Takes a flag, quotes and escapes kept: up to white space that is in no quotes.
fn flag_token(input: &str, escape: char) -> (&str, &str) {
    let mut rest = input;
    loop {
        let special = |c: char| c.is_whitespace() || matches!(c, '\'' | '"') || c == escape;
        rest = &rest[rest.find(special).unwrap_or(rest.len())..];
        rest = match rest.chars().next() {
            Some(quote @ ('\'' | '"')) => {
                let after = inside_quotes(&rest[1..], quote, escape);
                after.strip_prefix(quote).unwrap_or(after)
            }
            Some(c) if c == escape => escaped(rest),
            _ => return (rest, &input[..input.offset(rest)]),
        };
    }
}

/// A flag without quotes and escapes.
fn plain_flag(raw: &str) -> FlagToken<'_> {
    let value = raw.find('=').map(|at| (at + 1, at + 1));
    FlagToken { raw, text: Cow::Borrowed(raw), value, unterminated: false }
}

fn decode_flag(raw: &str, escape: char) -> FlagToken<'_> {
    if !raw.contains(['\'', '"', escape]) {
        return plain_flag(raw);
    }
    let mut text = String::with_capacity(raw.len());
    let mut value = None;
    let mut quote = None;
    let mut chars = raw.char_indices();
    while let Some((at, mut c)) = chars.next() {
        let mut escaped = false;
        if c == escape {
            let Some((_, next)) = chars.next() else { break };
            (c, escaped) = (next, true);
        }
        match quote {
            _ if escaped => text.push(c),
            None if c == '\'' || c == '"' => quote = Some(c),
            Some(q) if c == q => quote = None,
            _ => {
                text.push(c);
                if c == '=' && value.is_none() {
                    value = Some((at + 1, text.len()));
                }
            }
        }
    }
    FlagToken { raw, text: Cow::Owned(text), value, unterminated: quote.is_some() }
}

/// Words as a shell would see them in the raw text, quotes kept; `<<` and the blanks after it belong to the word.
/// `None` when quoting or `${...}` is broken: then nothing on the line can be told apart.
pub(crate) fn shell(text: &str) -> Option<Vec<&str>> {
    let mut words = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let mut position = rest;
        while position.chars().next().is_some_and(|c| !c.is_whitespace()) {
            position = shell_part(position)?;
        }
        words.push(&rest[..rest.offset(position)]);
        rest = position.trim_start();
    }
    Some(words)
}

/// What is left after one part of a shell word.
fn shell_part(input: &str) -> Option<&str> {
    let plain: IResult<&str, &str> =
        take_while1(|c: char| !c.is_whitespace() && !matches!(c, '\\' | '\'' | '"' | '$' | '<')).parse(input);
    if let Ok((rest, _)) = plain {
        return Some(rest);
    }
    match input.chars().next()? {
        '\\' => Some(escaped(input)),
        '\'' => input[1..].split_once('\'').map(|(_, rest)| rest),
        '"' => shell_double_quoted(&input[1..]),
        '$' => crate::expand::skip_dollar(input),
        _ => {
            let heredoc: IResult<&str, _> =
                (tag("<<"), take_while(|c| matches!(c, '\t' | '\r' | ' '))).parse(input);
            Some(heredoc.map_or(&input[1..], |(rest, _)| rest))
        }
    }
}

fn shell_double_quoted(mut input: &str) -> Option<&str> {
    loop {
        input = input.trim_start_matches(|c| !matches!(c, '"' | '\\' | '$'));
        match input.chars().next()? {
            '"' => return Some(&input[1..]),
            '$' => input = crate::expand::skip_dollar(input)?,
            _ => input = input[1..].strip_prefix(['"', '$', '\\']).unwrap_or(&input[1..]),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quoted_words() {
        let words = |text: &'static str, escape| quoted(text, escape).collect::<Vec<_>>();
        assert_eq!(words(r#"a="b c" d='e "f' g\ h"#, '\\'), [r#"a="b c""#, r#"d='e "f'"#, r"g\ h"]);
        assert_eq!(words(r#"a="b\"c" "d e"#, '\\'), [r#"a="b\"c""#, r#""d e"#]);
        assert_eq!(words("a` b c\\", '`'), ["a` b", "c\\"]);
        assert_eq!(words("a b\\", '\\'), ["a", "b"]);
        assert_eq!(words("a \\", '\\'), ["a"]);
        assert_eq!(words("a b\\\\", '\\'), ["a", "b\\\\"]);
        assert_eq!(words("'a\\' b", '\\'), ["'a\\'", "b"]);
    }

    #[test]
    fn flag_tokens() {
        let text = |t: &str| {
            let mut tokens = flags(t, '\\');
            let texts = tokens.by_ref().map(|f| (f.raw.to_owned(), f.text.into_owned()));
            (texts.collect::<Vec<_>>(), tokens.rest().to_owned())
        };
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(
            text("--a --b=c d --e"),
            (vec![pair("--a", "--a"), pair("--b=c", "--b=c")], "d --e".to_owned())
        );
        assert_eq!(text(r#"--a="b 'c" d"#), (vec![pair(r#"--a="b 'c""#, "--a=b 'c")], "d".to_owned()));
        assert_eq!(text(r"--a=b\ c -- --d"), (vec![pair(r"--a=b\ c", "--a=b c")], "--d".to_owned()));
        assert_eq!(text("-a b"), (vec![], "-a b".to_owned()));
        assert_eq!(text("--"), (vec![], String::new()));
        let flag = flags("--\"x=y\"=z", '\\').next().expect("one flag");
        assert_eq!((flag.value, &*flag.text), (Some((5, 4)), "--x=y=z"));
    }

    #[test]
    fn shell_words() {
        assert_eq!(shell("cat << EOF >x").unwrap(), ["cat", "<< EOF", ">x"]);
        assert_eq!(
            shell("a \"b $c ${d:-e f}\" 'g h'i <<<x").unwrap(),
            ["a", "\"b $c ${d:-e f}\"", "'g h'i", "<<<x"]
        );
        assert_eq!(shell("it's <<EOF"), None);
        assert_eq!(shell("${a^^} <<EOF"), None);
    }
}
