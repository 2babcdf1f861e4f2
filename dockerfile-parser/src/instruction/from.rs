//! `FROM [--platform=P] IMAGE [AS NAME]`.

use super::Context;
use crate::ast::{From, Word};
use crate::flags::Takes;
use nom::bytes::complete::take_while;
use nom::character::complete::satisfy;
use nom::combinator::all_consuming;
use nom::{IResult, Parser};

pub(super) fn parse(cx: &mut Context<'_>) -> Option<From> {
    let mut flags = cx.flags(&[("platform", Takes::Value)]);
    let words = cx.take_words();
    let is_as = |word: &Word| word.text.eq_ignore_ascii_case("as");
    let (image, name) = match &words[..] {
        [] => {
            cx.missing("an image", "FROM debian:12 AS build");
            return None;
        }
        [image] => (image.clone(), None),
        [image, keyword, name] if is_as(keyword) => (image.clone(), Some(name.clone())),
        [_, keyword] if is_as(keyword) => {
            cx.error("missing-argument", keyword.span, "AS needs a stage name");
            return None;
        }
        [_, keyword, _, rest @ ..] if is_as(keyword) => {
            cx.error("extra-argument", rest_span(rest), "FROM takes nothing after the stage name");
            return None;
        }
        [_, rest @ ..] => {
            let help = "to name the stage, write: FROM image AS name";
            cx.error_help(
                "extra-argument",
                rest_span(rest),
                "FROM takes one image, and then only AS and a name",
                help,
            );
            return None;
        }
    };
    if let Some(name) = &name
        && !is_stage_name(&name.text)
    {
        let message = format!("\"{}\" cannot be a stage name", name.text);
        let help = "a stage name starts with a letter and goes on with letters, digits, - _ and .";
        cx.error_help("bad-stage-name", name.span, message, help);
        return None;
    }
    Some(From { platform: flags.value("platform"), image, name })
}

fn rest_span(words: &[Word]) -> crate::span::Span {
    let first = words.first().map(|w| w.span).unwrap_or_default();
    words.last().map_or(first, |last| first.to(last.span))
}

/// `[a-z][a-z0-9-_.]*`, in any case.
fn is_stage_name(name: &str) -> bool {
    let parsed: IResult<&str, _> = all_consuming((
        satisfy(|c| c.is_ascii_alphabetic()),
        take_while(|c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.')),
    ))
    .parse(name);
    parsed.is_ok()
}
