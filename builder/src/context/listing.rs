//! What a context holds, and what an ignore file leaves out of it and why: for people who wonder.

use super::ContextError;
use crate::copy::IgnoreRules;
use dockerfile_parser::ignore::MatchState;
use std::fs::{self, DirEntry};
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;

/// A context, entry by entry.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Listing {
    /// What it holds, sorted by name, each directory before what is in it.
    pub entries: Vec<Listed>,
    /// What is left out, in the same order. A directory of which nothing is in the context is one entry.
    pub left_out: Vec<LeftOut>,
}

/// Something in a context.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Relative to the context.
    pub path: Vec<u8>,
    /// What it is.
    pub kind: ListedKind,
    /// Bytes of a file; 0 for anything else.
    pub size: u64,
}

/// What something in a context is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "named after the kind of file")]
pub enum ListedKind {
    File,
    Directory,
    Symlink,
    /// A FIFO or a device.
    Special,
    /// It is copied as an empty file.
    Socket,
}

/// Something that is left out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeftOut {
    /// What; the size of a directory is that of all files in it.
    pub entry: Listed,
    /// How many things it stands for that are no directories.
    pub files: u64,
    /// The rule that decided.
    pub rule: DecidedBy,
}

/// A line of an ignore file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecidedBy {
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: usize,
    /// Its text.
    pub text: String,
}

/// Lists the context `dir`. Links are not followed.
///
/// # Errors
/// A directory that is in the context and cannot be read.
pub fn list(dir: &Path, rules: Option<&IgnoreRules>) -> Result<Listing, ContextError> {
    let mut listing = Listing::default();
    Lister { root: dir, rules }.directory(&mut listing, Vec::new(), MatchState::default())?;
    Ok(listing)
}

struct Lister<'a> {
    root: &'a Path,
    rules: Option<&'a IgnoreRules>,
}

impl Lister<'_> {
    fn directory(&self, listing: &mut Listing, at: Vec<u8>, state: MatchState) -> Result<(), ContextError> {
        let path = self.root.join(std::ffi::OsStr::from_bytes(&at));
        let failed = |source| ContextError::Open { path: path.clone(), source };
        let mut entries = fs::read_dir(&path)
            .and_then(|entries| entries.collect::<io::Result<Vec<_>>>())
            .map_err(failed)?;
        entries.sort_by_key(DirEntry::file_name);
        for entry in entries {
            let mut path = at.clone();
            if !path.is_empty() {
                path.push(b'/');
            }
            path.extend(entry.file_name().into_vec());
            let listed = listed(&entry, path).map_err(failed)?;
            let Some(rules) = self.rules else {
                self.taken(listing, listed, MatchState::default())?;
                continue;
            };
            let state = rules.patterns.enter(state, &listed.path);
            let verdict = rules.patterns.verdict(state);
            let Some(rule) = verdict.rule.filter(|_| verdict.ignored) else {
                self.taken(listing, listed, state)?;
                continue;
            };
            let rule = DecidedBy { file: rules.file.clone(), line: rule.line, text: rule.text.clone() };
            if listed.kind == ListedKind::Directory
                && rules.patterns.may_reinclude_below_from(state, &listed.path)
            {
                // It is in the context if anything in it is.
                let (entries, left_out) = (listing.entries.len(), listing.left_out.len());
                listing.entries.push(listed.clone());
                self.directory(listing, listed.path.clone(), state)?;
                if listing.entries.len() > entries + 1 {
                    continue;
                }
                listing.entries.pop();
                listing.left_out.truncate(left_out);
            }
            listing.left_out.push(left_out(&entry.path(), listed, rule));
        }
        Ok(())
    }

    fn taken(&self, listing: &mut Listing, listed: Listed, state: MatchState) -> Result<(), ContextError> {
        let below = (listed.kind == ListedKind::Directory).then(|| listed.path.clone());
        listing.entries.push(listed);
        below.map_or(Ok(()), |path| self.directory(listing, path, state))
    }
}

fn listed(entry: &DirEntry, path: Vec<u8>) -> io::Result<Listed> {
    let metadata = entry.metadata()?;
    let kind = metadata.file_type();
    let (kind, size) = if kind.is_file() {
        (ListedKind::File, metadata.len())
    } else if kind.is_dir() {
        (ListedKind::Directory, 0)
    } else if kind.is_symlink() {
        (ListedKind::Symlink, 0)
    } else if kind.is_socket() {
        (ListedKind::Socket, 0)
    } else {
        (ListedKind::Special, 0)
    };
    Ok(Listed { path, kind, size })
}

/// What cannot be read of something that is left out anyway does not count.
fn left_out(path: &Path, mut entry: Listed, rule: DecidedBy) -> LeftOut {
    if entry.kind != ListedKind::Directory {
        return LeftOut { entry, files: 1, rule };
    }
    let mut files = 0;
    for found in walkdir::WalkDir::new(path).into_iter().flatten() {
        if found.file_type().is_dir() {
            continue;
        }
        files += 1;
        if found.file_type().is_file() {
            entry.size += found.metadata().map_or(0, |metadata| metadata.len());
        }
    }
    LeftOut { entry, files, rule }
}

#[cfg(test)]
mod tests {
    use super::*;
    use dockerfile_parser::ignore::Patterns;

    fn listing(files: &[&str], ignore: &str) -> (String, String) {
        let directory = tempfile::tempdir().expect("a directory");
        for file in files {
            let path = directory.path().join(file);
            if file.ends_with('/') {
                fs::create_dir_all(path).expect("a directory");
                continue;
            }
            fs::create_dir_all(path.parent().expect("a parent")).expect("a directory");
            fs::write(path, "12345").expect("a file");
        }
        let patterns = Patterns::parse(ignore.as_bytes()).expect("patterns");
        let rules = IgnoreRules { patterns, file: ".dockerignore".to_owned() };
        let found = list(directory.path(), Some(&rules)).expect("it can be listed");
        let text = |path: &[u8]| String::from_utf8_lossy(path).into_owned();
        let taken: Vec<_> = found.entries.iter().map(|entry| text(&entry.path)).collect();
        let gone = found.left_out.iter().map(|out| {
            format!("{}:{}:{}x{}", text(&out.entry.path), out.rule.line, out.files, out.entry.size)
        });
        (taken.join(" "), gone.collect::<Vec<_>>().join(" "))
    }

    #[test]
    fn what_is_left_out_and_why() {
        let files = [
            "Dockerfile",
            "a/b/c",
            "a/d",
            "logs/1.log",
            "logs/keep/2.log",
            "target/x",
            "target/y/z",
            "void/",
        ];
        let (taken, gone) = listing(&files, "# rules\ntarget\n**/*.log\n!logs/keep\nvoid\n");
        assert_eq!(taken, "Dockerfile a a/b a/b/c a/d logs logs/keep logs/keep/2.log");
        assert_eq!(gone, "logs/1.log:3:1x5 target:2:2x10 void:5:0x0");
        let (taken, gone) = listing(&files, "*\n!a/d\n!nothing/at/all\n!logs/x\n");
        assert_eq!(taken, "a a/d");
        assert_eq!(gone, "Dockerfile:1:1x5 a/b:1:1x5 logs:1:2x10 target:1:2x10 void:1:0x0");
        let (taken, gone) = listing(&["x"], "");
        assert_eq!((taken.as_str(), gone.as_str()), ("x", ""));
    }
}
