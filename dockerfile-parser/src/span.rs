//! Byte ranges of the source text, and the line and column of a byte.

use std::fmt;

/// A half-open byte range `start..end` of the Dockerfile as it was read (BOM and CRLF included).
#[derive(Clone, Copy, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Span {
    /// First byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl Span {
    /// The range `start..end`.
    pub const fn new(start: usize, end: usize) -> Self {
        Self { start, end }
    }

    /// The smallest span that covers both.
    pub fn to(self, other: Span) -> Self {
        Self { start: self.start.min(other.start), end: self.end.max(other.end) }
    }
}

/// `3..7`: in one line, so that a dump of many nodes can be read.
impl fmt::Debug for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}..{}", self.start, self.end)
    }
}

/// Where a byte stands: both count from 1; the column counts characters, as editors do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct LineColumn {
    /// Line, from 1.
    pub line: usize,
    /// Column in characters, from 1.
    pub column: usize,
}

/// Finds lines and columns of byte offsets in one source text.
#[derive(Clone, Debug)]
pub struct LineIndex<'s> {
    source: &'s [u8],
    starts: Vec<usize>,
}

impl<'s> LineIndex<'s> {
    /// Indexes the line starts of `source`.
    pub fn new(source: &'s [u8]) -> Self {
        let mut starts = vec![0];
        starts.extend(source.iter().enumerate().filter(|(_, b)| **b == b'\n').map(|(i, _)| i + 1));
        Self { source, starts }
    }

    /// Line and column of `offset`; an offset past the end is taken as the end.
    pub fn locate(&self, offset: usize) -> LineColumn {
        let offset = offset.min(self.source.len());
        let line = self.starts.partition_point(|s| *s <= offset);
        let before = &self.source[self.starts[line - 1]..offset];
        LineColumn { line, column: String::from_utf8_lossy(before).chars().count() + 1 }
    }

    /// The text of a line (from 1), without its line ending.
    pub fn line(&self, line: usize) -> String {
        let Some(&start) = line.checked_sub(1).and_then(|i| self.starts.get(i)) else { return String::new() };
        let end = self.starts.get(line).copied().unwrap_or(self.source.len());
        String::from_utf8_lossy(&self.source[start..end]).trim_end_matches(['\r', '\n']).to_owned()
    }

    /// How many lines there are.
    pub fn lines(&self) -> usize {
        self.starts.len()
    }
}
