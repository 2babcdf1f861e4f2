//! Diagnostics as plain text with an excerpt of the source.

use super::{Diagnostic, Severity};
use crate::span::LineIndex;

/// How many characters of a line are shown at most.
const WIDTH: usize = 160;

/// How many characters before the mark are shown when a line is too long.
const LEAD: usize = 40;

/// Renders one finding:
///
/// ```text
/// error: COPY needs a source and a destination, and has only one of them
///  --> Dockerfile:7:6
/// 7 | COPY app
///   |      ^^^
/// help: add where to
/// ```
///
/// A check names itself, so that it can be skipped. The text ends with a line feed. For many findings about one file
/// make the index once and use [`render_with`].
pub fn render(file_name: &str, source: &[u8], diagnostic: &Diagnostic) -> String {
    render_with(file_name, &LineIndex::new(source), diagnostic)
}

/// [`render`] with an index of the source.
pub fn render_with(file_name: &str, index: &LineIndex<'_>, diagnostic: &Diagnostic) -> String {
    let start = index.locate(diagnostic.span.start);
    let end = index.locate(diagnostic.span.end.max(diagnostic.span.start));
    let line: Vec<char> = index.line(start.line).chars().collect();
    let from = (start.column - 1).min(line.len());
    let to = if end.line == start.line { end.column - 1 } else { line.len() };
    let to = to.clamp(from, line.len().max(from));

    let (shown_from, shown_to) = window(line.len(), from);
    let mut excerpt = String::new();
    let mut marks = String::new();
    if shown_from > 0 {
        excerpt.push('…');
        marks.push(' ');
    }
    for &c in &line[shown_from..from] {
        excerpt.push(visible(c));
        // A tab keeps its width in both lines.
        marks.push(if c == '\t' { '\t' } else { ' ' });
    }
    excerpt.extend(line[from..shown_to].iter().copied().map(visible));
    marks.push_str(&"^".repeat(to.min(shown_to).saturating_sub(from).max(1)));
    if shown_to < line.len() {
        excerpt.push('…');
    }

    let label = match diagnostic.severity {
        Severity::Error => "error",
        Severity::Warning => "warning",
    };
    // Checks are named in capitals, and may be errors by the author's wish.
    let is_check = diagnostic.code.starts_with(|c: char| c.is_ascii_uppercase());
    let rule = if is_check { format!(" ({})", diagnostic.code) } else { String::new() };
    let number = start.line.to_string();
    let gutter = " ".repeat(number.len());
    let mut text = format!(
        "{label}: {message}{rule}\n{gutter}--> {file_name}:{number}:{column}\n{number} | {excerpt}\n{gutter} | {marks}\n",
        message = printable(&diagnostic.message),
        column = start.column,
    );
    if let Some(help) = &diagnostic.help {
        text.push_str(&format!("help: {}\n", printable(help)));
    }
    text
}

/// The part of a line that is shown: around its character `mark`.
fn window(length: usize, mark: usize) -> (usize, usize) {
    if length <= WIDTH {
        return (0, length);
    }
    let from = mark.saturating_sub(LEAD).min(length - WIDTH);
    (from, from + WIDTH)
}

/// A source must not send control sequences to the terminal of whoever reads the error.
fn visible(c: char) -> char {
    if c.is_control() && c != '\t' { char::REPLACEMENT_CHARACTER } else { c }
}

fn printable(text: &str) -> String {
    text.chars().map(visible).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::span::Span;

    #[test]
    fn shape() {
        let source = b"FROM a AS build\n\nCOPY --from=buld /out/app /app\n";
        let diagnostic =
            Diagnostic::error("x", Span::new(29, 33), "COPY --from names no stage or image: \"buld\"")
                .help("line 1 defines a stage named \"build\"");
        let expected = "error: COPY --from names no stage or image: \"buld\"\n --> Dockerfile:3:13\n3 | COPY --from=buld \
                        /out/app /app\n  |             ^^^^\nhelp: line 1 defines a stage named \"build\"\n";
        assert_eq!(render("Dockerfile", source, &diagnostic), expected);
    }

    #[test]
    fn marks_stay_under_their_text() {
        let source = "RUN\té\x1b[31m x \\\n y\r\n".as_bytes();
        let warning = Diagnostic::warning("SomeRule", Span::new(4, 18), "bad");
        assert_eq!(
            render("d/f", source, &warning),
            "warning: bad (SomeRule)\n --> d/f:1:5\n1 | RUN\té\u{fffd}[31m x \\\n  |    \t^^^^^^^^^^\n"
        );
        let end = Diagnostic::error("x", Span::new(99, 120), "end");
        assert_eq!(render("f", b"a\n", &end), "error: end\n --> f:2:1\n2 | \n  | ^\n");
    }

    #[test]
    fn long_lines_are_cut() {
        let source = "x".repeat(1000) + "bad" + &"y".repeat(1000);
        let text = render("f", source.as_bytes(), &Diagnostic::error("x", Span::new(1000, 1003), "m"));
        let lines: Vec<&str> = text.lines().collect();
        let column = lines[3].find('^').expect("marks");
        assert_eq!(lines[2].chars().skip(column).take(3).collect::<String>(), "bad");
        assert!(lines[2].chars().count() < 200, "{text}");
    }
}
