//! Parts of an instruction put on lines: broken where the author broke them, or all of them.

use crate::lines::{Joined, leading_blanks, physical_line};
use std::ops::Range;

/// How far lines that go on are indented.
pub(super) const INDENT: usize = 4;

/// How wide an instruction with several names may be on one line, in characters.
const WIDTH: usize = 100;

/// A piece of the instruction behind its keyword.
#[derive(Debug)]
pub(super) struct Part {
    /// Where it stands in the joined text.
    pub(super) range: Range<usize>,
    /// What is printed; `None` for what stands there, broken where it is.
    pub(super) text: Option<String>,
    /// Printed behind it.
    pub(super) suffix: &'static str,
    /// Nothing stands between it and the part before, unless that ends a line.
    pub(super) tight: bool,
    /// How far its line is indented if it starts one.
    pub(super) indent: Indent,
}

/// Blanks at the start of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Indent {
    /// That many.
    Blanks(usize),
    /// As the author has it, if the part takes several lines: the others cannot be moved along.
    Author,
}

impl Part {
    /// What stands at `range`.
    pub(super) fn raw(range: Range<usize>) -> Self {
        Self { range, text: None, suffix: "", tight: false, indent: Indent::Blanks(INDENT) }
    }

    /// `text`, for what stands at `range`.
    pub(super) fn text(range: Range<usize>, text: impl Into<String>) -> Self {
        Self { text: Some(text.into()), ..Self::raw(range) }
    }
}

/// The comment lines between the pieces of an instruction.
pub(super) struct Comments<'s> {
    /// Offset in the joined text behind which they stand, ascending.
    found: Vec<(usize, &'s [u8])>,
}

impl<'s> Comments<'s> {
    /// Those of an instruction whose lines end at `end`.
    pub(super) fn find(source: &'s [u8], joined: &Joined<'_>, end: usize) -> Self {
        let mut found = Vec::new();
        let mut start = joined.start();
        for (offset, stop) in joined.breaks().iter().copied().chain([(joined.text().len(), end)]) {
            let mut position = physical_line(source, start).map_or(stop, |line| line.next);
            start = stop;
            while position < stop
                && let Some(line) = physical_line(source, position)
            {
                let content = &line.content[leading_blanks(line.content)..];
                if content.starts_with(b"#") {
                    found.push((offset, content));
                }
                position = line.next;
            }
        }
        Self { found }
    }

    /// All of them.
    pub(super) fn all(&self) -> impl Iterator<Item = &'s [u8]> {
        self.found.iter().map(|(_, comment)| *comment)
    }

    /// Those before the instruction's first character.
    pub(super) fn before(&self, joined: &Joined<'_>) -> impl Iterator<Item = &'s [u8]> {
        let start = joined.text().len() - joined.text().trim_start().len();
        self.at(0, start)
    }

    /// Those behind the instruction's last character.
    pub(super) fn behind(&self, joined: &Joined<'_>) -> impl Iterator<Item = &'s [u8]> {
        self.at(joined.text().trim_end().len(), joined.text().len())
    }

    fn at(&self, from: usize, to: usize) -> impl Iterator<Item = &'s [u8]> {
        let first = self.found.partition_point(|(offset, _)| *offset < from);
        self.found[first..].iter().take_while(move |(offset, _)| *offset <= to).map(|(_, comment)| *comment)
    }
}

/// A comment in canonical form. `content` starts with its `#`.
pub(super) fn comment(content: &[u8]) -> Vec<u8> {
    let text = content.strip_prefix(b"#").unwrap_or(content).trim_ascii_end();
    let space: &[u8] = if text.first().is_some_and(u8::is_ascii_alphanumeric) { b" " } else { b"" };
    [b"#", space, text].concat()
}

/// An instruction on its way to lines.
pub(super) struct Layout<'a> {
    pub(super) joined: &'a Joined<'a>,
    pub(super) comments: &'a Comments<'a>,
    pub(super) escape: char,
    /// What ends a line.
    pub(super) newline: &'a [u8],
    pub(super) keyword: &'static str,
    /// Where the keyword ends in the joined text.
    pub(super) keyword_end: usize,
    /// The parts are names with values: all on one line, or each on its own.
    pub(super) named: bool,
}

impl Layout<'_> {
    /// The lines, without the last line ending. Comments need not be text.
    pub(super) fn print(&self, mut parts: Vec<Part>) -> Vec<u8> {
        let end = parts.last().map_or(self.keyword_end, |part| part.range.end);
        let is_broken = self.breaks(self.keyword_end, end).next().is_some();
        let mut one_per_line = false;
        if self.named && parts.len() > 1 {
            let width: usize = parts.iter().map(|part| self.text(part).chars().count() + 1).sum();
            one_per_line = is_broken || self.keyword.len() + width > WIDTH;
            let first_on_line = parts.first().is_some_and(|p| self.is_break(self.keyword_end, p.range.start));
            let below_first = if first_on_line { INDENT } else { self.keyword.len() + 1 };
            parts.iter_mut().for_each(|part| part.indent = Indent::Blanks(below_first));
        }
        let mut out = self.keyword.as_bytes().to_owned();
        let mut position = self.keyword_end;
        for (i, part) in parts.iter().enumerate() {
            // A word that starts with # would become a comment at the start of a line.
            let forced = one_per_line && i > 0 && !self.text(part).starts_with('#');
            if forced || self.is_break(position, part.range.start) {
                out.push(b' ');
                self.end_line(&mut out);
                let indent = self.indent(part);
                self.print_comments(position, part.range.start, &indent, &mut out);
                out.extend(indent.bytes());
            } else if !part.tight {
                out.push(b' ');
            }
            self.print_part(part, &mut out);
            out.extend(part.suffix.bytes());
            position = part.range.end;
        }
        out
    }

    fn print_part(&self, part: &Part, out: &mut Vec<u8>) {
        if let Some(text) = &part.text {
            return out.extend(text.bytes());
        }
        let text = self.joined.text();
        let mut position = part.range.start;
        for at in self.breaks(part.range.start + 1, part.range.end.saturating_sub(1)) {
            // Several at one place are lines with nothing but a continuation character.
            if at == position {
                continue;
            }
            out.extend(text[position..at].bytes());
            self.end_line(out);
            let next = &text[at..];
            let indent = &next[..next.len() - next.trim_start().len()];
            self.print_comments(at, at, indent, out);
            position = at;
        }
        out.extend(text[position..part.range.end].bytes());
    }

    fn end_line(&self, out: &mut Vec<u8>) {
        out.extend(self.escape.encode_utf8(&mut [0; 4]).bytes());
        out.extend(self.newline);
    }

    fn print_comments(&self, from: usize, to: usize, indent: &str, out: &mut Vec<u8>) {
        for content in self.comments.at(from, to) {
            out.extend(indent.bytes());
            out.extend(comment(content));
            out.extend(self.newline);
        }
    }

    fn indent(&self, part: &Part) -> String {
        match part.indent {
            Indent::Blanks(blanks) => " ".repeat(blanks),
            Indent::Author => {
                let several = self.breaks(part.range.start + 1, part.range.end).next().is_some();
                let line_start = self.breaks(0, part.range.start).last().filter(|_| several);
                match line_start {
                    Some(start) => self.joined.text()[start..part.range.start].to_owned(),
                    None => " ".repeat(INDENT),
                }
            }
        }
    }

    fn text<'t>(&'t self, part: &'t Part) -> &'t str {
        part.text.as_deref().unwrap_or(&self.joined.text()[part.range.clone()])
    }

    fn is_break(&self, from: usize, to: usize) -> bool {
        self.breaks(from, to).next().is_some()
    }

    /// Where lines end between two offsets of the joined text, both included.
    fn breaks(&self, from: usize, to: usize) -> impl Iterator<Item = usize> + '_ {
        let breaks = self.joined.breaks();
        let first = breaks.partition_point(|(at, _)| *at < from);
        breaks[first..].iter().map(|(at, _)| *at).take_while(move |at| *at <= to)
    }
}
