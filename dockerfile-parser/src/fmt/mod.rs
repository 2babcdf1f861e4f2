//! Prints a Dockerfile in canonical layout.
//!
//! Only what means nothing is changed: the result parses to the same instructions, comments, directives and
//! here-documents ([`same_meaning`]), and printing it again changes nothing more.
//!
//! | what | becomes |
//! | --- | --- |
//! | instructions, `AS`, `CMD` and `NONE` of HEALTHCHECK | upper case |
//! | blanks between flags, words and the members of a JSON list | one space, and a comma without a space before it |
//! | blanks around an instruction, after a comment, after a continuation | removed |
//! | empty lines | at most one in a row; none at the start, at the end, within a continuation |
//! | lines that go on | broken where they were; flags and words are indented by four blanks |
//! | ENV, LABEL, ARG with several names | on one line if they were and fit, else one name on each line, below each other |
//! | a flag's value | without quotes where it needs none; `--flag=true` is `--flag` |
//! | directives | `# name=value`, the name in lower case |
//! | `#comment` | `# comment` |
//! | the byte order mark | removed |
//! | line endings | those of the first line; in a here-document as they are |
//!
//! Text for a shell is kept to the byte, the indentation of its lines included: blanks may be part of a string in it, it
//! is what the cache knows the step by, and the image's history shows it. So is the trigger of ONBUILD, which the image
//! stores, and a value that runs to the end of its line.

mod instruction;
mod layout;
mod meaning;
#[cfg(test)]
mod tests;

pub use meaning::same_meaning;

use crate::diagnostic::Diagnostic;
use crate::directive;
use crate::heredoc;
use crate::lines::{self, Reader, physical_line};
use crate::parse;
use crate::statement;
use layout::Comments;

/// Formats a Dockerfile.
///
/// ```
/// let source = b"from debian:12   as  build\n\n\nrun  make \\\n     install\nCOPY --link=true [\"a b\",\"/\"]\n";
/// let formatted = dockerfile_parser::fmt::format(source).unwrap();
/// assert_eq!(
///     String::from_utf8(formatted).unwrap(),
///     "FROM debian:12 AS build\n\nRUN make \\\n     install\nCOPY --link [\"a b\", \"/\"]\n"
/// );
/// ```
///
/// # Errors
/// Those of [`crate::parse`]: a file that is not understood is not touched. What checks find is no error here.
pub fn format(source: &[u8]) -> Result<Vec<u8>, Vec<Diagnostic>> {
    format_counting(source).map(|(formatted, _)| formatted)
}

/// [`format`], and how many instructions kept the layout they had because another would have changed their meaning.
fn format_counting(source: &[u8]) -> Result<(Vec<u8>, usize), Vec<Diagnostic>> {
    crate::parse_with_checks(source, Some("skip=all"))?;
    let mut printer = Printer::new(source);
    printer.directives();
    printer.rest();
    Ok((printer.out, printer.kept))
}

struct Printer<'s> {
    source: &'s [u8],
    /// Offset of what was not printed yet.
    position: usize,
    escape: char,
    newline: &'static [u8],
    out: Vec<u8>,
    /// How much of `out` is directives.
    directives: usize,
    /// Empty lines were read since the last line printed.
    blank: bool,
    /// Instructions that kept their layout.
    kept: usize,
}

impl<'s> Printer<'s> {
    fn new(source: &'s [u8]) -> Self {
        let header = directive::scan(source);
        let first = source.split(|byte| *byte == b'\n').next().unwrap_or_default();
        Self {
            source,
            position: header.end,
            escape: header.directives.escape,
            newline: if first.ends_with(b"\r") { b"\r\n" } else { b"\n" },
            out: Vec::with_capacity(source.len() + 64),
            directives: 0,
            blank: false,
            kept: 0,
        }
    }

    fn directives(&mut self) {
        let mut at = directive::begin(self.source);
        while at < self.position
            && let Some(line) = physical_line(self.source, at)
        {
            if let Ok(text) = std::str::from_utf8(line.content)
                && let Some((name, value)) = directive::directive(text, "#")
            {
                self.line(format!("# {}={value}", name.to_ascii_lowercase()).as_bytes());
            }
            at = line.next;
        }
        self.directives = self.out.len();
    }

    fn rest(&mut self) {
        while let Some(line) = physical_line(self.source, self.position) {
            let content = &line.content[lines::leading_blanks(line.content)..];
            if content.is_empty() {
                self.blank = true;
                self.position = line.next;
            } else if content.starts_with(b"#") {
                self.position = line.next;
                self.comment(content);
            } else {
                self.instruction(line.start);
            }
        }
    }

    /// Prints one line, or several that belong together, without the last line ending.
    fn line(&mut self, text: &[u8]) {
        if std::mem::take(&mut self.blank) && !self.out.is_empty() {
            self.out.extend(self.newline);
        }
        self.out.extend(text);
        self.out.extend(self.newline);
    }

    fn comment(&mut self, content: &[u8]) {
        let text = layout::comment(content);
        // Below an empty line `# escape=x` is a comment: without that line it would be a directive.
        let is_directive = std::str::from_utf8(&text).is_ok_and(directive::is_known);
        if self.out.len() == self.directives && is_directive {
            self.blank = false;
            self.out.extend(self.newline);
        }
        self.line(&text);
    }

    /// Prints the instruction that starts on the line at `start`.
    fn instruction(&mut self, start: usize) {
        let mut reader = Reader::new(self.source, start, self.escape);
        let Some(logical) = reader.instruction_here() else { return };
        let joined = &logical.joined;
        let comments = Comments::find(self.source, joined, reader.position());
        if joined.text().trim().is_empty() {
            // Nothing but continuation characters up to the end of the file.
            self.position = reader.position();
            comments.all().for_each(|comment| self.comment(comment));
            return;
        }
        let bodies = reader.position();
        let laid_out = statement::parse(joined, self.escape).ok().and_then(|statement| {
            if statement.may_hold_heredocs() {
                for (_, opening) in heredoc::openings(joined.text()) {
                    reader.heredoc_body(&opening.name, opening.strip_tabs)?;
                }
            }
            instruction::lay_out(joined, &statement, &comments, self.escape, self.newline)
        });
        let end = reader.position();
        let body = &self.source[bodies..end];
        let laid_out = laid_out
            .map(|text| [&text, self.newline, body].concat())
            .filter(|text| self.means(text, start, end));
        let is_laid_out = laid_out.is_some();
        let text = laid_out.unwrap_or_else(|| {
            self.kept += 1;
            let line = physical_line(self.source, start).map_or(&[][..], |line| line.content);
            self.source[start + lines::leading_blanks(line)..end].to_owned()
        });
        let text = text.strip_suffix(self.newline).or(text.strip_suffix(b"\n")).unwrap_or(&text);
        self.line(text);
        self.position = end;
        // As it stood, the instruction has them with it.
        if is_laid_out && bodies == end {
            comments.behind(joined).for_each(|comment| self.comment(comment));
        }
    }

    /// Whether `text` is the instruction between `start` and `end`, and all of it.
    ///
    /// The layout is chosen so that it is. But the language has corners: a backslash before a blank that is none to
    /// the reader of continuations, say. An instruction with one of those keeps the layout it has.
    fn means(&self, text: &[u8], start: usize, end: usize) -> bool {
        let before = parse::single(self.source, start, self.escape);
        let after = parse::single(text, 0, self.escape);
        match (before, after) {
            (Some((before, before_end)), Some((after, after_end))) => {
                before_end == end && after_end == text.len() && meaning::same_instruction(before, after)
            }
            _ => false,
        }
    }
}
