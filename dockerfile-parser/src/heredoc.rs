//! Here-documents: their openings on an instruction's line, and their bodies.
//!
//! The word and the body are always read with backslash as the escape character, whatever `# escape=` says.

use crate::ast::Heredoc;
use crate::diagnostic::Diagnostic;
use crate::lines::{Joined, Reader};
use crate::span::Span;
use crate::words;
use nom::bytes::complete::{tag, take_while};
use nom::character::complete::{char, digit0};
use nom::combinator::{opt, rest};
use nom::{IResult, Parser};

/// `[fd]<<[-]word`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Opening {
    pub(crate) name: String,
    pub(crate) strip_tabs: bool,
    pub(crate) expand: bool,
    pub(crate) fd: Option<u32>,
}

/// The openings on a line, with the text of each, in order.
pub(crate) fn openings(line: &str) -> Vec<(&str, Opening)> {
    if !line.contains("<<") {
        return Vec::new();
    }
    let words = words::shell(line).unwrap_or_default();
    words.into_iter().filter_map(|word| Some((word, opening(word)?))).collect()
}

/// Reads one shell word as an opening.
pub(crate) fn opening(word: &str) -> Option<Opening> {
    let parsed: IResult<&str, _> =
        (digit0, tag("<<"), opt(char('-')), take_while(char::is_whitespace), rest).parse(word);
    let (_, (fd, _, dash, _, name)) = parsed.ok()?;
    if name.contains('<') {
        return None;
    }
    let (name, quoted) = unquote(name)?;
    Some(Opening { name, strip_tabs: dash.is_some(), expand: !quoted, fd: fd.parse().ok() })
}

/// Removes quotes and escapes; `true` if there were quotes. `None` for an empty or broken word.
fn unquote(word: &str) -> Option<(String, bool)> {
    let mut name = String::with_capacity(word.len());
    let mut quoted = false;
    let mut rest = word.chars();
    while let Some(c) = rest.next() {
        match c {
            '\'' => {
                let (inside, after) = rest.as_str().split_once('\'')?;
                name.push_str(inside);
                (quoted, rest) = (true, after.chars());
            }
            '"' => {
                quoted = true;
                loop {
                    match rest.next()? {
                        '"' => break,
                        '\\' if rest.as_str().starts_with(['"', '$', '\\']) => name.extend(rest.next()),
                        c => name.push(c),
                    }
                }
            }
            '\\' => name.extend(rest.next()),
            c if c.is_whitespace() => return None,
            c => name.push(c),
        }
    }
    Some((name, quoted)).filter(|(name, _)| !name.is_empty())
}

/// Reads the bodies for `openings` (slices of `joined`'s text); gives them with the end of the last terminator.
pub(crate) fn read_bodies(
    reader: &mut Reader<'_>,
    source: &[u8],
    joined: &Joined<'_>,
    openings: Vec<(&str, Opening)>,
    diagnostics: &mut Vec<Diagnostic>,
) -> (Vec<Heredoc>, Option<usize>) {
    let mut heredocs = Vec::with_capacity(openings.len());
    let mut end = None;
    for (word, opening) in openings {
        let span = joined.span_of(word);
        let before = reader.clone();
        let Some(lines) = reader.heredoc_body(&opening.name, opening.strip_tabs) else {
            let name = &opening.name;
            let mut diagnostic = Diagnostic::error(
                "unterminated-heredoc",
                span,
                format!("no line ends this here-document: \"{name}\""),
            );
            diagnostic = match before.near_terminator(name) {
                Some(line) => diagnostic.help(format!(
                    "line {line} holds \"{name}\" with white space around it; the line must hold nothing else \
                     (<<-{name} allows leading tabs)"
                )),
                None => diagnostic.help(format!("add a line that holds only {name}")),
            };
            diagnostics.push(diagnostic);
            return (heredocs, end);
        };
        end = Some(lines.end);
        let body = body_text(source, lines.body, opening.strip_tabs, diagnostics);
        heredocs.push(Heredoc {
            name: opening.name,
            strip_tabs: opening.strip_tabs,
            expand: opening.expand,
            fd: opening.fd,
            body,
            span,
            body_span: lines.body,
        });
    }
    (heredocs, end)
}

fn body_text(source: &[u8], span: Span, strip_tabs: bool, diagnostics: &mut Vec<Diagnostic>) -> String {
    let bytes = &source[span.start..span.end];
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let at = span.start + error.valid_up_to();
            let bad = Span::new(at, at + error.error_len().unwrap_or(bytes.len() - error.valid_up_to()));
            diagnostics.push(
                Diagnostic::error("invalid-utf8", bad, "this is not valid UTF-8")
                    .help("a here-document holds text; COPY binary data from a file"),
            );
            return String::new();
        }
    };
    if !strip_tabs {
        return text.to_owned();
    }
    text.split_inclusive('\n').map(|line| line.trim_start_matches('\t')).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openings_on_a_line() {
        let names =
            |line: &str| openings(line).into_iter().map(|(w, o)| (w.to_owned(), o.name)).collect::<Vec<_>>();
        let pair = |a: &str, b: &str| (a.to_owned(), b.to_owned());
        assert_eq!(names("RUN cat <<A 3<<-'B' > x"), [pair("<<A", "A"), pair("3<<-'B'", "B")]);
        assert_eq!(names("COPY << A /x"), [pair("<< A", "A")]);
        for none in
            ["RUN echo '<<A'", "RUN cat <<<A", "RUN echo $((1<<2))", "RUN x<<A", "RUN cat <<", "RUN cat <<''"]
        {
            assert_eq!(names(none), [], "{none}");
        }
    }

    #[test]
    fn parts_of_an_opening() {
        let plain = Opening { name: "EOF".into(), strip_tabs: false, expand: true, fd: None };
        assert_eq!(opening("<<EOF"), Some(plain.clone()));
        assert_eq!(opening("<<E\\OF"), Some(plain.clone()));
        for quoted in ["<<'EOF'", "<<\"EOF\"", "<<E\"O\"F"] {
            assert_eq!(opening(quoted), Some(Opening { expand: false, ..plain.clone() }), "{quoted}");
        }
        assert_eq!(opening("4<<-EOF"), Some(Opening { strip_tabs: true, fd: Some(4), ..plain.clone() }));
        assert_eq!(opening("<<\"a b\"").map(|o| o.name).as_deref(), Some("a b"));
        assert_eq!(opening("<<a b"), None);
        assert_eq!(opening("<<'a"), None);
    }
}
