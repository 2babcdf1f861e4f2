//! What COPY and ADD share: sources, destination, options.

use super::Context;
use crate::ast::{CopyOptions, Source, Word};
use crate::flags::{Flags, Known, Takes};
use crate::heredoc;
use crate::statement::Arguments;
use crate::words;

/// Those of COPY and ADD.
pub(super) const CHOWN: Known = ("chown", Takes::Value);
pub(super) const CHMOD: Known = ("chmod", Takes::Value);
pub(super) const LINK: Known = ("link", Takes::Switch);
pub(super) const EXCLUDE: Known = ("exclude", Takes::Values);

pub(super) fn options(flags: &mut Flags) -> Box<CopyOptions> {
    Box::new(CopyOptions {
        chown: flags.value("chown"),
        chmod: flags.value("chmod"),
        link: flags.switch("link").unwrap_or(false),
        excludes: flags.values("exclude"),
    })
}

/// Sources and destination, at least one source.
pub(super) fn sources(cx: &mut Context<'_>) -> Option<(Vec<Source>, Word)> {
    let mut operands = match cx.take_arguments() {
        Arguments::Json(words) => words.into_iter().map(Source::Path).collect(),
        Arguments::List(words) if cx.heredocs.is_empty() => words.into_iter().map(Source::Path).collect(),
        _ => operands(cx),
    };
    let destination = match operands.pop() {
        Some(Source::Path(word)) => word,
        Some(Source::Heredoc(heredoc)) => {
            let message = format!("a here-document cannot be the destination of {}", cx.name);
            cx.error_help("heredoc-destination", heredoc.span, message, "name the destination behind it");
            return None;
        }
        None => {
            cx.missing("a source and a destination", &format!("{} src/ /app/", cx.name));
            return None;
        }
    };
    if operands.is_empty() {
        let message = format!("{} needs a source and a destination, and has only one of them", cx.name);
        let help = format!("for example: {} {} /app/", cx.name, destination.text);
        cx.error_help("missing-argument", destination.span, message, help);
        return None;
    }
    Some((operands, destination))
}

/// The plain form: words between blanks, except that a here-document's opening is one word even with blanks in it
/// (`<< "a b"`).
fn operands(cx: &mut Context<'_>) -> Vec<Source> {
    let all = cx.joined.text();
    let (mut position, end) = (cx.statement.rest.start, cx.statement.rest.end);
    let mut operands = Vec::new();
    let mut heredocs = std::mem::take(&mut cx.heredocs).into_iter();
    for (word, _) in heredoc::openings(all) {
        let range = cx.joined.range_of(word);
        let Some(heredoc) = heredocs.next() else { break };
        if range.start < position {
            continue;
        }
        operands
            .extend(words::list(&all[position..range.start]).map(|word| Source::Path(cx.joined.word(word))));
        operands.push(Source::Heredoc(heredoc));
        position = range.end;
    }
    operands.extend(words::list(&all[position..end]).map(|word| Source::Path(cx.joined.word(word))));
    operands
}
