//! What an instruction is made of, for its layout.

use super::layout::{Comments, Indent, Layout, Part};
use crate::heredoc;
use crate::json::{self, Array};
use crate::lines::Joined;
use crate::statement::{Arguments, Statement};
use crate::words;

/// Flags that are true or false, and true when they have no value.
const SWITCHES: [&str; 4] = ["link", "parents", "keep-git-dir", "unpack"];

/// The instruction on lines, without its here-documents. `None` if it has to stay as it is.
pub(super) fn lay_out(
    joined: &Joined<'_>,
    statement: &Statement,
    comments: &Comments<'_>,
    escape: char,
    newline: &[u8],
) -> Option<Vec<u8>> {
    // Comments in front of the keyword, but within the instruction's lines: anywhere else they would count as its own.
    if comments.before(joined).next().is_some() {
        return None;
    }
    let (keyword, rest) = words::first_word(joined.text().trim());
    let keyword_end = joined.range_of(keyword).end;
    let named = matches!(statement.name, "ARG")
        || (matches!(statement.name, "ENV" | "LABEL") && matches!(statement.arguments, Arguments::Pairs(_)));
    let layout = Layout { joined, comments, escape, newline, keyword: statement.name, keyword_end, named };
    let mut parts = Vec::new();
    let mut flags = words::flags(rest, escape);
    for flag in &mut flags {
        let range = joined.range_of(flag.raw);
        parts.push(match flag_text(&flag, escape) {
            Some(text) => Part::text(range, text),
            None => Part::raw(range),
        });
    }
    let rest = flags.rest().trim();
    if rest.starts_with("--") {
        let start = joined.range_of(rest).start;
        parts.push(Part::text(start..start, "--"));
    }
    arguments(joined, statement, rest, escape, &mut parts);
    Some(layout.print(parts))
}

/// A flag without the quotes and the value that it does not need; `None` if it needs them.
fn flag_text(flag: &words::FlagToken<'_>, escape: char) -> Option<String> {
    let Some((_, at)) = flag.value else { return Some(flag.text.to_string()) };
    let (name, value) = (&flag.text[2..at - 1], &flag.text[at..]);
    if SWITCHES.contains(&name) {
        let value = value.to_ascii_lowercase();
        return Some(if value == "true" { format!("--{name}") } else { format!("--{name}={value}") });
    }
    let plain = !value.contains(|c: char| c.is_whitespace() || matches!(c, '\'' | '"') || c == escape);
    plain.then(|| flag.text.to_string())
}

fn arguments(joined: &Joined<'_>, statement: &Statement, rest: &str, escape: char, parts: &mut Vec<Part>) {
    let raw = |part: &str| Part::raw(joined.range_of(part));
    match (statement.name, &statement.arguments) {
        (_, Arguments::Json(_)) => list_of_strings(joined, rest, parts),
        ("FROM", _) => {
            let listed: Vec<&str> = words::list(rest).collect();
            for (i, word) in listed.iter().enumerate() {
                let is_as = i == 1 && listed.len() == 3;
                parts.push(if is_as { Part::text(joined.range_of(word), "AS") } else { raw(word) });
            }
        }
        ("COPY" | "ADD", _) => operands(joined, rest, parts),
        ("EXPOSE" | "VOLUME", _) => parts.extend(words::list(rest).map(raw)),
        (_, Arguments::Pairs(_) | Arguments::Declarations(_)) => {
            parts.extend(words::quoted(rest, escape).map(raw));
        }
        (_, Arguments::Legacy(..)) => {
            let (key, value) = words::first_word(rest);
            parts.extend([raw(key), raw(value)]);
        }
        (_, Arguments::Health(kind, command)) => {
            let (word, after) = rest.split_at(rest.find(char::is_whitespace).unwrap_or(rest.len()));
            parts.push(Part::text(joined.range_of(word), kind.text.to_ascii_uppercase()));
            let after = after.trim_start();
            match **command {
                Arguments::None => {}
                Arguments::Json(_) => list_of_strings(joined, after, parts),
                _ => parts.push(Part { indent: Indent::Author, ..raw(after) }),
            }
        }
        _ => parts.push(Part { indent: Indent::Author, ..raw(rest) }),
    }
}

/// `["a", "b"]`; each member as it is written.
fn list_of_strings(joined: &Joined<'_>, text: &str, parts: &mut Vec<Part>) {
    let Array::Strings(members) = json::array(text) else {
        parts.push(Part::raw(joined.range_of(text)));
        return;
    };
    let range = joined.range_of(text);
    parts.push(Part::text(range.start..range.start + 1, "["));
    let last = members.len().saturating_sub(1);
    for (i, (_, member)) in members.iter().enumerate() {
        let suffix = if i == last { "" } else { "," };
        parts.push(Part { suffix, tight: i == 0, ..Part::raw(joined.range_of(member)) });
    }
    let bracket = Part::text(range.end - 1..range.end, "]");
    parts.push(Part { tight: true, indent: Indent::Blanks(0), ..bracket });
}

/// Words between blanks, but the opening of a here-document is one word even with blanks in it.
fn operands(joined: &Joined<'_>, rest: &str, parts: &mut Vec<Part>) {
    let all = joined.text();
    let rest = joined.range_of(rest);
    let mut position = rest.start;
    let raw = |part: &str| Part::raw(joined.range_of(part));
    for (word, _) in heredoc::openings(all) {
        let range = joined.range_of(word);
        if range.start < position {
            continue;
        }
        parts.extend(words::list(&all[position..range.start]).map(raw));
        position = range.end;
        parts.push(Part::raw(range));
    }
    parts.extend(words::list(&all[position..rest.end]).map(raw));
}
