//! Which entries of a walk are taken: ignore rules of the context, `--exclude`, and the pattern of `--parents`.

use super::error::IgnoredBy;
use super::parents::{Parents, Progress};
use super::path;
use dockerfile_parser::ignore::{MatchState, Patterns};
use std::ffi::CString;

/// The ignore rules of a context.
#[derive(Debug)]
pub struct IgnoreRules {
    /// The rules.
    pub patterns: Patterns,
    /// The file they stand in, as messages show it: `.dockerignore`.
    pub file: String,
}

impl IgnoreRules {
    /// The rule that keeps `path` (relative to the context) out of it, if one does.
    pub(crate) fn rule(&self, path: &[u8]) -> Option<IgnoredBy> {
        let matched = self.patterns.matches(path);
        if !matched.ignored {
            return None;
        }
        let (rule, line) = matched.rule.map_or_else(Default::default, |rule| (rule.text.clone(), rule.line));
        Some(IgnoredBy { path: path::show(path), rule, file: self.file.clone(), line })
    }

    /// Whether nothing of the directory `path` is in the context, because it is ignored and no `!` rule can bring
    /// back anything in it.
    pub(crate) fn hides_all_of(&self, path: &[u8]) -> bool {
        self.patterns.matches(path).ignored && !self.patterns.may_reinclude_below(path)
    }
}

/// What becomes of an entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is taken.
    Take,
    /// A directory that is only taken when something in it is.
    Pass,
    /// It is left out, and all below it.
    Skip,
}

/// All that decides about the entries of one walk.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Filter<'a> {
    pub ignore: Option<&'a IgnoreRules>,
    pub excludes: Option<&'a Patterns>,
    pub parents: Option<&'a Parents>,
}

/// What the path of a directory already decided for what is in it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Decided {
    ignore: MatchState,
    excludes: MatchState,
    parents: Progress,
}

/// A directory of a walk.
#[derive(Clone, Debug)]
pub(crate) struct Cursor {
    /// Relative to the source tree, without links.
    pub path: Vec<u8>,
    /// Where in `path` the part below the directory that is copied begins.
    pub base: usize,
    decided: Decided,
}

impl Cursor {
    /// The path of `name` in this directory.
    pub(crate) fn join(&self, name: &[u8]) -> Vec<u8> {
        path::join(&self.path, name)
    }

    /// The directory at `path`, which [`Filter::judge`] decided about.
    pub(crate) fn enter(&self, path: Vec<u8>, decided: Decided) -> Self {
        Self { path, base: self.base, decided }
    }
}

impl Filter<'_> {
    /// Begins at the directory `path` of the source tree.
    pub(crate) fn start(&self, path: &[u8]) -> Cursor {
        let mut ignore = MatchState::default();
        if let Some(rules) = self.ignore {
            let mut at = Vec::new();
            for name in path::components(path) {
                at = path::join(&at, name);
                ignore = rules.patterns.enter(ignore, &at);
            }
        }
        Cursor {
            path: path.to_vec(),
            base: if path.is_empty() { 0 } else { path.len() + 1 },
            decided: Decided {
                ignore,
                excludes: MatchState::default(),
                parents: self.parents.map_or(Progress::Matched, Parents::start),
            },
        }
    }

    /// Decides about something in the directory `cursor`. `path` is its whole path; what is decided besides the
    /// verdict is of use when it is a directory.
    pub(crate) fn judge(&self, cursor: &Cursor, path: &[u8], directory: bool) -> (Verdict, Decided) {
        let below = &path[cursor.base..];
        let mut next = cursor.decided;
        let (mut take, mut pass) = (true, directory);
        let mut exclude = |patterns: &Patterns, above, path: &[u8]| {
            let state = patterns.enter(above, path);
            if patterns.verdict(state).ignored {
                take = false;
                pass &= directory && patterns.may_reinclude_below_from(state, path);
            }
            state
        };
        if let Some(rules) = self.ignore {
            next.ignore = exclude(&rules.patterns, next.ignore, path);
        }
        if let Some(excludes) = self.excludes {
            next.excludes = exclude(excludes, next.excludes, below);
        }
        if let Some(parents) = self.parents {
            next.parents = parents.step(next.parents, below);
            take &= next.parents == Progress::Matched;
            pass &= next.parents != Progress::Closed;
        }
        let verdict = match (take, pass) {
            (true, _) => Verdict::Take,
            (false, true) => Verdict::Pass,
            (false, false) => Verdict::Skip,
        };
        (verdict, next)
    }

    /// The only name in the directory that can be taken; `None` when there may be more.
    pub(crate) fn name(&self, cursor: &Cursor) -> Option<&CString> {
        self.parents.and_then(|parents| parents.name(cursor.decided.parents))
    }
}
