//! The pattern of `COPY --parents`: which paths below a directory it takes. A path that matches takes all below it.

use super::path;
use dockerfile_parser::glob::{Glob, GlobError};
use std::ffi::CString;

/// A checked pattern.
#[derive(Debug)]
pub(crate) struct Parents {
    /// `None` takes everything (`COPY --parents . /x/`).
    glob: Option<Glob>,
    /// The components before the first one with a wildcard: in these directories one name is of interest.
    names: Vec<CString>,
}

/// What a directory's path says about what is below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    /// The path, or one above it, matches: all is taken.
    Matched,
    /// Not yet; so many names were walked.
    Open(usize),
    /// Nothing below can match.
    Closed,
}

impl Parents {
    /// `pattern` relative to the directory that is walked.
    pub(crate) fn new(pattern: &str) -> Result<Self, GlobError> {
        let components = path::components(pattern.as_bytes());
        if components.is_empty() {
            return Ok(Self { glob: None, names: Vec::new() });
        }
        let clean = String::from_utf8_lossy(&components.join(&b'/')).into_owned();
        let names = components
            .iter()
            .take_while(|c| !c.iter().any(|b| br"*?[\".contains(b)))
            .map_while(|c| CString::new(*c).ok())
            .collect();
        Ok(Self { glob: Some(Glob::with_double_star(&clean)?), names })
    }

    /// Where a walk begins.
    pub(crate) fn start(&self) -> Progress {
        if self.glob.is_some() { Progress::Open(0) } else { Progress::Matched }
    }

    /// At `path` (relative to where the walk began), from the directory above it.
    pub(crate) fn step(&self, above: Progress, path: &[u8]) -> Progress {
        match (above, &self.glob) {
            (Progress::Open(depth), Some(glob)) if !glob.matches(path) => {
                if glob.may_match_below(path) {
                    Progress::Open(depth + 1)
                } else {
                    Progress::Closed
                }
            }
            (Progress::Closed, _) => Progress::Closed,
            _ => Progress::Matched,
        }
    }

    /// The only name that can match in a directory; `None` when several may.
    pub(crate) fn name(&self, progress: Progress) -> Option<&CString> {
        match progress {
            Progress::Open(depth) => self.names.get(depth),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn takes(pattern: &str, path: &str) -> bool {
        let parents = Parents::new(pattern).unwrap();
        let mut progress = parents.start();
        let mut at = Vec::new();
        for name in path::components(path.as_bytes()) {
            at = path::join(&at, name);
            progress = parents.step(progress, &at);
        }
        progress == Progress::Matched
    }

    #[test]
    fn patterns() {
        for (pattern, yes, no) in [
            ("a/b", "a/b a/b/c", "a a/c b"),
            ("./a/../a/b/", "a/b a/b/c", "a a/c b"),
            (".", "a a/b", ""),
            ("*/c", "x/c x/c/d", "c x/y/c x"),
            ("src/**/*.txt", "src/a.txt src/x/b.txt src/x/y/c.txt", "a.txt src src/x/c.c"),
            ("c/**/e", "c/e c/d/e c/d/d/e/f", "c c/d e"),
            ("a/**", "a/b a/b/c", "a b"),
            ("**", "a a/b", ""),
            ("**/x", "x a/x a/b/x/y", "a"),
            (".*", ".git", "git"),
        ] {
            for path in yes.split_whitespace() {
                assert!(takes(pattern, path), "{pattern} takes {path:?}");
            }
            for path in no.split_whitespace() {
                assert!(!takes(pattern, path), "{pattern} does not take {path:?}");
            }
        }
    }

    #[test]
    fn only_names_that_matter() {
        let parents = Parents::new("a/b*/c").unwrap();
        let start = parents.start();
        assert_eq!(parents.name(start), Some(&c"a".to_owned()));
        let a = parents.step(start, b"a");
        assert_eq!(parents.name(a), None);
        assert_eq!(parents.step(start, b"z"), Progress::Closed);
        assert!(Parents::new("a/[").is_err());
    }
}
