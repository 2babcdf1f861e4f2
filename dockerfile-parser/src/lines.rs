//! Physical lines joined to logical ones, and the way back from a joined byte to a source byte.

use crate::ast::Word;
use crate::diagnostic::Diagnostic;
use crate::span::Span;
use nom::{FindSubstring, Offset};
use std::borrow::Cow;
use std::ops::Range;

/// One line of the file.
#[derive(Clone, Copy, Debug)]
pub(crate) struct PhysicalLine<'s> {
    /// Offset of its first byte.
    pub(crate) start: usize,
    /// Its bytes without the line ending (`\n`, `\r\n`).
    pub(crate) content: &'s [u8],
    /// One past its line ending.
    pub(crate) next: usize,
}

/// The line that starts at `start`; `None` at the end of the source.
pub(crate) fn physical_line(source: &[u8], start: usize) -> Option<PhysicalLine<'_>> {
    let rest = source.get(start..).filter(|rest| !rest.is_empty())?;
    let next = rest.find_substring(&b"\n"[..]).map_or(rest.len(), |i| i + 1);
    let mut end = next;
    while end > 0 && matches!(rest[end - 1], b'\r' | b'\n') {
        end -= 1;
    }
    Some(PhysicalLine { start, content: &rest[..end], next: start + next })
}

/// Text put together from pieces of the source, which knows where each byte came from.
///
/// Nearly all instructions are one line: theirs is not copied.
#[derive(Clone, Debug, Default)]
pub(crate) struct Joined<'s> {
    text: Cow<'s, str>,
    /// Where the first piece starts in the source.
    start: usize,
    /// Start of each piece but the first in `text` and in the source, both ascending.
    breaks: Vec<(usize, usize)>,
}

impl<'s> Joined<'s> {
    /// The bytes that stand at `source_start`. What is not UTF-8 is reported and replaced byte by byte, so that offsets
    /// stay true and the rest of the line can still be understood.
    fn new(bytes: &'s [u8], source_start: usize, diagnostics: &mut Vec<Diagnostic>) -> Self {
        let text = match std::str::from_utf8(bytes) {
            Ok(text) => Cow::Borrowed(text),
            Err(_) => {
                let mut text = String::with_capacity(bytes.len());
                push_replacing(&mut text, bytes, source_start, diagnostics);
                Cow::Owned(text)
            }
        };
        Self { text, start: source_start, breaks: Vec::new() }
    }

    /// Adds a line, as [`Joined::new`] does.
    fn push(&mut self, bytes: &[u8], source_start: usize, diagnostics: &mut Vec<Diagnostic>) {
        self.breaks.push((self.text.len(), source_start));
        if let Cow::Borrowed(first) = self.text {
            let mut text = String::with_capacity(2 * (first.len() + bytes.len()));
            text.push_str(first);
            self.text = Cow::Owned(text);
        }
        push_replacing(self.text.to_mut(), bytes, source_start, diagnostics);
    }

    /// The joined text.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    /// Where a range of the joined text stands: from its first source byte to one past its last.
    pub(crate) fn span(&self, range: Range<usize>) -> Span {
        let start = self.source_offset(range.start);
        if range.is_empty() {
            return Span::new(start, start);
        }
        Span::new(start, self.source_offset(range.end - 1) + 1)
    }

    /// The range of `part`, which must be a slice of [`Joined::text`].
    pub(crate) fn range_of(&self, part: &str) -> Range<usize> {
        let start = self.text.offset(part);
        start..start + part.len()
    }

    /// The span of `part`, which must be a slice of [`Joined::text`].
    pub(crate) fn span_of(&self, part: &str) -> Span {
        self.span(self.range_of(part))
    }

    /// `part`, which must be a slice of [`Joined::text`], as a word.
    pub(crate) fn word(&self, part: &str) -> Word {
        Word { text: part.to_owned(), span: self.span_of(part) }
    }

    /// Where the text starts in the source.
    pub(crate) fn start(&self) -> usize {
        self.start
    }

    /// Where further lines start, in the joined text and in the source; both ascend.
    pub(crate) fn breaks(&self) -> &[(usize, usize)] {
        &self.breaks
    }

    fn source_offset(&self, offset: usize) -> usize {
        let index = self.breaks.partition_point(|(at, _)| *at <= offset);
        let (at, source) = index.checked_sub(1).map_or((0, self.start), |i| self.breaks[i]);
        source + (offset - at)
    }
}

fn push_replacing(
    text: &mut String,
    mut bytes: &[u8],
    mut source_start: usize,
    diagnostics: &mut Vec<Diagnostic>,
) {
    loop {
        let error = match std::str::from_utf8(bytes) {
            Ok(rest) => return text.push_str(rest),
            Err(error) => error,
        };
        let good = error.valid_up_to();
        let bad = error.error_len().unwrap_or(bytes.len() - good);
        text.push_str(&String::from_utf8_lossy(&bytes[..good]));
        text.extend(std::iter::repeat_n('?', bad));
        let at = source_start + good;
        match diagnostics.last_mut() {
            Some(last) if last.span.end == at => last.span.end += bad,
            _ => diagnostics.push(
                Diagnostic::error("invalid-utf8", Span::new(at, at + bad), "this is not valid UTF-8")
                    .help("save the Dockerfile as UTF-8; other encodings are possible in comments only"),
            ),
        }
        bytes = &bytes[good + bad..];
        source_start = at + bad;
    }
}

/// An instruction's text, before it is looked into.
#[derive(Debug)]
pub(crate) struct LogicalLine<'s> {
    /// The text, continuations joined.
    pub(crate) joined: Joined<'s>,
    /// The first empty line within the continuation.
    pub(crate) empty_continuation: Option<Span>,
    /// The comment block above.
    pub(crate) comments: Vec<String>,
    /// Bytes that are not UTF-8.
    pub(crate) diagnostics: Vec<Diagnostic>,
}

/// The lines of a here-document's body.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct BodyLines {
    /// From the first byte of the body to the first byte of the terminator's line.
    pub(crate) body: Span,
    /// End of the terminator, line ending not included.
    pub(crate) end: usize,
}

/// Reads logical lines, and here-document bodies on demand.
#[derive(Clone, Debug)]
pub(crate) struct Reader<'s> {
    source: &'s [u8],
    position: usize,
    escape: u8,
}

impl<'s> Reader<'s> {
    /// Reads `source` from `position` on; `escape` is a backslash or a backtick.
    pub(crate) fn new(source: &'s [u8], position: usize, escape: char) -> Self {
        Self { source, position, escape: if escape == '`' { b'`' } else { b'\\' } }
    }

    fn take_line(&mut self) -> Option<PhysicalLine<'s>> {
        let line = physical_line(self.source, self.position)?;
        self.position = line.next;
        Some(line)
    }

    /// The next instruction's text with the comments above it.
    ///
    /// Blank lines do not separate a comment from its instruction; an empty comment (`#`) does.
    pub(crate) fn next_instruction(&mut self) -> Option<LogicalLine<'s>> {
        let mut comments = Vec::new();
        loop {
            let line = self.take_line()?;
            let blanks = leading_blanks(line.content);
            let content = &line.content[blanks..];
            if let Some(comment) = content.strip_prefix(b"#") {
                match String::from_utf8_lossy(comment).trim() {
                    "" => comments.clear(),
                    text => comments.push(text.to_owned()),
                }
                continue;
            }
            if content.is_empty() {
                continue;
            }
            let logical = self.join(content, line.start + blanks, comments);
            if !logical.joined.text.trim().is_empty() {
                return Some(logical);
            }
            // Nothing but continuation characters: not an instruction, and its comments belong to the next one.
            comments = logical.comments;
        }
    }

    /// Offset of the next line.
    pub(crate) fn position(&self) -> usize {
        self.position
    }

    /// The text that starts on the next line, which must be neither blank nor a comment. It may be blank all the same, if
    /// there is nothing but continuation characters up to the end of the source.
    pub(crate) fn instruction_here(&mut self) -> Option<LogicalLine<'s>> {
        let line = self.take_line()?;
        let blanks = leading_blanks(line.content);
        Some(self.join(&line.content[blanks..], line.start + blanks, Vec::new()))
    }

    fn join(&mut self, first: &'s [u8], start: usize, comments: Vec<String>) -> LogicalLine<'s> {
        let (mut content, mut continues) = self.strip_continuation(first);
        let mut diagnostics = Vec::new();
        let joined = Joined::new(content, start, &mut diagnostics);
        let mut logical = LogicalLine { joined, empty_continuation: None, comments, diagnostics };
        while continues {
            let Some(line) = self.take_line() else { break };
            match line.content[leading_blanks(line.content)..].first() {
                None => {
                    let span = Span::new(line.start, line.start + line.content.len());
                    logical.empty_continuation = logical.empty_continuation.or(Some(span));
                }
                Some(b'#') => {}
                Some(_) => {
                    (content, continues) = self.strip_continuation(line.content);
                    logical.joined.push(content, line.start, &mut logical.diagnostics);
                }
            }
        }
        logical
    }

    /// A line continues when its last character but blanks is a single escape character. A doubled one is an escaped
    /// escape; a tripled one does not continue either, as in BuildKit.
    fn strip_continuation<'l>(&self, line: &'l [u8]) -> (&'l [u8], bool) {
        let end = line.iter().rposition(|b| !matches!(b, b' ' | b'\t')).map_or(0, |i| i + 1);
        match line[..end].split_last() {
            Some((last, before)) if *last == self.escape && before.last() != Some(&self.escape) => {
                (before, true)
            }
            _ => (line, false),
        }
    }

    /// Reads up to the terminator. `None` when there is none: then the rest of the source has been read.
    pub(crate) fn heredoc_body(&mut self, terminator: &str, strip_tabs: bool) -> Option<BodyLines> {
        let start = self.position;
        while let Some(line) = self.take_line() {
            let mut content = line.content;
            while strip_tabs && content.first() == Some(&b'\t') {
                content = &content[1..];
            }
            if content == terminator.as_bytes() {
                let body = Span::new(start, line.start);
                return Some(BodyLines { body, end: line.start + line.content.len() });
            }
        }
        None
    }
}

impl Reader<'_> {
    /// The number (from 1) of the first line from here on that would be the terminator but for white space around it.
    pub(crate) fn near_terminator(mut self, terminator: &str) -> Option<usize> {
        while let Some(line) = self.take_line() {
            if line.content.trim_ascii() == terminator.as_bytes() {
                return Some(self.source[..line.start].iter().filter(|b| **b == b'\n').count() + 1);
            }
        }
        None
    }
}

/// Number of bytes of leading white space (Unicode), as far as they are UTF-8.
pub(crate) fn leading_blanks(line: &[u8]) -> usize {
    // Nearly all lines start with one of ASCII's, or are not blank from the start.
    let ascii = line.iter().position(|b| !matches!(b, b' ' | b'\t'..=b'\r')).unwrap_or(line.len());
    if line.get(ascii).is_none_or(u8::is_ascii) {
        return ascii;
    }
    let valid = match std::str::from_utf8(line) {
        Ok(text) => text,
        Err(error) => std::str::from_utf8(&line[..error.valid_up_to()]).unwrap_or_default(),
    };
    valid.len() - valid.trim_start().len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn all(source: &str) -> Vec<(String, Vec<String>)> {
        let mut reader = Reader::new(source.as_bytes(), 0, '\\');
        std::iter::from_fn(|| reader.next_instruction())
            .map(|l| (l.joined.text().to_owned(), l.comments))
            .collect()
    }

    #[test]
    fn continuation_rules() {
        assert_eq!(all("RUN a \\  \n  b\n")[0].0, "RUN a   b");
        assert_eq!(all("RUN a \\\\\nUSER b")[0].0, "RUN a \\\\");
        assert_eq!(all("RUN a \\\\\\\nUSER b")[0].0, "RUN a \\\\\\");
        assert_eq!(all("RUN a \\\r\n# no\r\n \t\r\nb\r\n")[0].0, "RUN a b");
        assert_eq!(all("\\\nRUN a")[0].0, "RUN a");
        assert_eq!(all("RUN a \\")[0].0, "RUN a ");
        assert_eq!(all("\\\n\\\n").len(), 0);
    }

    #[test]
    fn comment_blocks() {
        let lines = all("# one\n#\n# two\n\n  # three\nRUN a\nRUN b\n");
        assert_eq!(lines[0].1, ["two", "three"]);
        assert!(lines[1].1.is_empty());
    }

    #[test]
    fn spans_through_continuations() {
        let source = b"RUN ab\\\ncd \\\n  ef\n";
        let line = Reader::new(source, 0, '\\').next_instruction().expect("one line");
        assert_eq!(line.joined.text(), "RUN abcd   ef");
        assert_eq!(line.joined.span(4..8), Span::new(4, 10));
        assert_eq!(line.joined.span(11..13), Span::new(15, 17));
        assert_eq!(line.joined.span(13..13), Span::new(17, 17));
    }
}
