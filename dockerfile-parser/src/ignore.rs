//! Ignore files (`.dockerignore`): patterns that take paths out of the build context.
//!
//! Each line is a pattern, anchored at the root of the context. A pattern matches a path if it matches the path itself
//! or one of its parent directories. The last pattern that matches decides; one that starts with `!` takes the path back
//! in. So below an ignored directory files may come back, and it can be skipped only if no `!` pattern reaches into it.

#[cfg(test)]
mod tests;

use crate::glob::{self, Glob, GlobError};
use std::fmt;

/// One pattern of an ignore file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Its line, from 1; for patterns that come from elsewhere, its number.
    pub line: usize,
    /// The line as written, blanks around it removed.
    pub text: String,
    /// It starts with `!`.
    pub reinclude: bool,
    glob: Glob,
}

/// A pattern that is not one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum IgnoreError {
    /// `!` alone.
    NothingReincluded {
        /// Its line, from 1.
        line: usize,
    },
    /// A malformed pattern.
    Pattern {
        /// Its line, from 1.
        line: usize,
        /// What is wrong with it.
        source: GlobError,
    },
}

impl IgnoreError {
    /// The line of the pattern, from 1.
    pub fn line(&self) -> usize {
        match self {
            Self::NothingReincluded { line } | Self::Pattern { line, .. } => *line,
        }
    }
}

impl fmt::Display for IgnoreError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NothingReincluded { line } => write!(f, "line {line}: ! must be followed by a pattern"),
            Self::Pattern { line, .. } => write!(f, "line {line}: not a pattern"),
        }
    }
}

impl std::error::Error for IgnoreError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NothingReincluded { .. } => None,
            Self::Pattern { source, .. } => Some(source),
        }
    }
}

/// What the patterns say about a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Match<'p> {
    /// The path is not part of the context.
    pub ignored: bool,
    /// The rule that decided; none if no rule matches.
    pub rule: Option<&'p Rule>,
}

/// What is known of a directory, for its children. The default is that of the root.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct MatchState {
    /// Index of the last rule that matches the directory or a parent of it. Only later rules can change anything below.
    decided_by: Option<usize>,
}

/// The patterns of one ignore file, in order.
///
/// ```
/// use dockerfile_parser::ignore::Patterns;
/// let patterns = Patterns::parse(b"target\n**/*.log\n!important.log\n").unwrap();
/// assert!(patterns.matches("target/debug/x").ignored);
/// assert_eq!(patterns.matches("a/b.log").rule.unwrap().line, 2);
/// assert!(!patterns.matches("important.log").ignored);
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Patterns {
    rules: Vec<Rule>,
}

impl Patterns {
    /// Reads an ignore file. A `#` in the first column makes a comment; blanks around a pattern, and after its `!`, are
    /// removed; the pattern is cleaned as a path, and a slash at its start means nothing.
    ///
    /// # Errors
    /// The first malformed pattern.
    pub fn parse(bytes: &[u8]) -> Result<Self, IgnoreError> {
        let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
        let text = String::from_utf8_lossy(bytes);
        let lines = text.split('\n').enumerate().filter(|(_, line)| !line.starts_with('#'));
        Self::from_lines(lines.map(|(i, line)| (i + 1, line)))
    }

    /// Patterns that come one by one (`--exclude`); their numbers count from 1.
    ///
    /// # Errors
    /// The first malformed pattern.
    pub fn from_patterns<'t>(patterns: impl IntoIterator<Item = &'t str>) -> Result<Self, IgnoreError> {
        Self::from_lines(patterns.into_iter().enumerate().map(|(i, pattern)| (i + 1, pattern)))
    }

    fn from_lines<'t>(lines: impl Iterator<Item = (usize, &'t str)>) -> Result<Self, IgnoreError> {
        let mut rules = Vec::new();
        for (line, text) in lines {
            let text = text.trim();
            let (reinclude, pattern) = match text.strip_prefix('!') {
                Some(pattern) => (true, pattern.trim()),
                None => (false, text),
            };
            if pattern.is_empty() {
                if reinclude {
                    return Err(IgnoreError::NothingReincluded { line });
                }
                continue;
            }
            let cleaned = glob::clean(pattern);
            let anchored = cleaned.strip_prefix('/').filter(|rest| !rest.is_empty()).unwrap_or(&cleaned);
            let glob = glob::refuse_backwards_ranges(anchored)
                .and_then(|()| Glob::with_double_star(anchored))
                .map_err(|source| IgnoreError::Pattern { line, source })?;
            rules.push(Rule { line, text: text.to_owned(), reinclude, glob });
        }
        Ok(Self { rules })
    }

    /// Whether there are no rules.
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The rules, in order.
    pub fn rules(&self) -> &[Rule] {
        &self.rules
    }

    /// What the patterns say about `path`: relative to the context, clean, separated by `/`.
    pub fn matches(&self, path: impl AsRef<[u8]>) -> Match<'_> {
        self.verdict(self.state_of(path.as_ref()))
    }

    /// One step of a walk: from what is known of a directory to what is known of its child `path` (relative to the
    /// context, not to the directory). Gives the same as [`Patterns::matches`] at the cost of one path.
    pub fn enter(&self, parent: MatchState, path: impl AsRef<[u8]>) -> MatchState {
        let path = path.as_ref();
        let first = parent.decided_by.map_or(0, |decided| decided + 1);
        let later = self.rules[first..].iter().rposition(|rule| rule.glob.matches(path));
        MatchState { decided_by: later.map(|i| first + i).or(parent.decided_by) }
    }

    /// What a state means.
    pub fn verdict(&self, state: MatchState) -> Match<'_> {
        let rule = state.decided_by.and_then(|i| self.rules.get(i));
        Match { ignored: rule.is_some_and(|rule| !rule.reinclude), rule }
    }

    /// Whether something below `dir`, which is ignored, may be part of the context all the same. If not, the directory
    /// need not be read.
    pub fn may_reinclude_below(&self, dir: impl AsRef<[u8]>) -> bool {
        self.may_reinclude_below_from(self.state_of(dir.as_ref()), dir)
    }

    /// [`Patterns::may_reinclude_below`] during a walk, when the directory's state is known.
    pub fn may_reinclude_below_from(&self, state: MatchState, dir: impl AsRef<[u8]>) -> bool {
        let dir = dir.as_ref();
        let first = state.decided_by.map_or(0, |decided| decided + 1);
        self.rules[first..].iter().any(|rule| rule.reinclude && rule.glob.may_match_below(dir))
    }

    fn state_of(&self, path: &[u8]) -> MatchState {
        let ends = path.iter().enumerate().filter(|(_, b)| **b == b'/').map(|(i, _)| i);
        ends.chain([path.len()]).fold(MatchState::default(), |state, end| self.enter(state, &path[..end]))
    }
}
