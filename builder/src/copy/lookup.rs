//! Looking up sources in a tree: one path, or what a pattern matches. What an ignore rule hides is not there.

use super::destination::open_dir;
use super::dirents::read_dir;
use super::error::{CopyError, IgnoredBy};
use super::filter::{Filter, IgnoreRules};
use super::path::{self, show};
use super::resolve::{self, Found, Policy, Walk, WalkError};
use super::unmatched::first_taken;
use crate::rootfs::Root;
use dockerfile_parser::glob::{Glob, GlobError, has_wildcard};
use rustix::fs::{self, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};

/// A tree that sources are looked up in: the context, or a stage's or image's file system.
#[derive(Clone, Copy, Debug)]
pub struct SourceTree<'a> {
    /// The tree.
    pub root: &'a Root,
    /// What messages call it: `the build context`, `stage "build"`.
    pub place: &'a str,
    /// What is not in it although it is there.
    pub ignore: Option<&'a IgnoreRules>,
}

/// Looks up one path without wildcards.
pub(super) fn lookup(tree: &SourceTree<'_>, components: &[&[u8]], written: &str) -> Result<Found, CopyError> {
    let mut policy = Visible { ignore: tree.ignore, by: None };
    let place = || tree.place.to_owned();
    let written = || written.to_owned();
    match resolve::walk(tree.root, components, &mut policy) {
        Ok(Walk::Found(found)) => {
            if let Some(rules) = tree.ignore
                && let Some(rule) = rules.rule(&found.path)
                && !anything_taken(tree, &found)?
            {
                return Err(CopyError::Ignored { written: written(), place: place(), rule: rule.into() });
            }
            Ok(found)
        }
        Ok(Walk::Missing { .. }) => Err(CopyError::NotFound { written: written(), place: place() }),
        Err(WalkError { errno: Errno::NOENT, .. }) => match policy.by {
            Some(rule) => Err(CopyError::Ignored { written: written(), place: place(), rule: rule.into() }),
            None => Err(CopyError::NotFound { written: written(), place: place() }),
        },
        Err(WalkError { errno: Errno::NOTDIR, path }) => {
            Err(CopyError::NotADirectory { written: written(), place: place(), at: path })
        }
        Err(WalkError { errno, path }) => Err(CopyError::Read { path, place: place(), source: errno.into() }),
    }
}

/// Lets a walk see only what no ignore rule hides.
struct Visible<'a> {
    ignore: Option<&'a IgnoreRules>,
    by: Option<IgnoredBy>,
}

impl Policy for Visible<'_> {
    fn met(&mut self, path: &[u8], stat: &Stat) -> Result<(), Errno> {
        let Some(rules) = self.ignore else { return Ok(()) };
        let Some(rule) = rules.rule(path) else { return Ok(()) };
        if resolve::file_type(stat) == FileType::Directory && !rules.hides_all_of(path) {
            return Ok(());
        }
        self.by = Some(rule);
        Err(Errno::NOENT)
    }
}

/// Whether an ignored directory holds anything that a `!` rule brings back. Anything else that is ignored does not.
fn anything_taken(tree: &SourceTree<'_>, found: &Found) -> Result<bool, CopyError> {
    if !found.is_dir() {
        return Ok(false);
    }
    let filter = Filter { ignore: tree.ignore, ..Filter::default() };
    Ok(first_taken(tree, found, &filter)?.is_some())
}

/// Whether `name` is a directory, asking only when the directory listing did not tell.
pub(crate) fn is_directory(parent: impl AsFd, name: &CString, kind: FileType) -> Result<bool, Errno> {
    Ok(match kind {
        FileType::Unknown => {
            let stat = fs::statat(parent, name, fs::AtFlags::SYMLINK_NOFOLLOW)?;
            resolve::file_type(&stat) == FileType::Directory
        }
        kind => kind == FileType::Directory,
    })
}

/// What a pattern matches.
pub(super) struct Lookups {
    /// The name it matched by, and what is there, links followed.
    pub found: Vec<(Vec<u8>, Found)>,
    /// The first match that is ignored.
    pub ignored: Option<IgnoredBy>,
}

/// Expands a pattern. Links in the part before the first wildcard are followed, and a match that is a link is; between
/// them a link is no directory.
pub(super) fn expand(
    tree: &SourceTree<'_>,
    components: &[&[u8]],
    written: &str,
) -> Result<Lookups, CopyError> {
    let wild = |c: &&[u8]| has_wildcard(&String::from_utf8_lossy(c));
    let first = components.iter().position(wild).unwrap_or(components.len());
    let (base, globs) = components.split_at(first);
    let globs: Vec<Glob> = globs
        .iter()
        .map(|component| Glob::new(&String::from_utf8_lossy(component)))
        .collect::<Result<_, _>>()
        .map_err(|error| malformed(written, &error))?;
    let base = lookup(tree, base, written)?;
    let mut lookups = Lookups { found: Vec::new(), ignored: None };
    if !base.is_dir() {
        return Ok(lookups);
    }
    let mut paths = Vec::new();
    let fd = fs::openat(&base.fd, ".", OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty());
    fd.and_then(|fd| matches_below(tree, fd, &base.path, &globs, &mut paths)).map_err(|errno| {
        CopyError::Read { path: base.path.clone(), place: tree.place.to_owned(), source: errno.into() }
    })?;
    for at in paths {
        match lookup(tree, &path::components(&at), &show(&at)) {
            Ok(found) => {
                let name = at.rsplit(|b| *b == b'/').next().unwrap_or_default().to_vec();
                lookups.found.push((name, found));
            }
            // What is ignored is not there, so the pattern does not match it.
            Err(CopyError::Ignored { rule, .. }) => {
                lookups.ignored.get_or_insert(*rule);
            }
            Err(CopyError::NotFound { place, .. }) => {
                return Err(CopyError::NotFound { written: show(&at), place });
            }
            Err(error) => return Err(error),
        }
    }
    Ok(lookups)
}

/// Collects the paths below the directory `fd` (at `path`) that match `globs`, in order.
fn matches_below(
    tree: &SourceTree<'_>,
    fd: OwnedFd,
    path: &[u8],
    globs: &[Glob],
    out: &mut Vec<Vec<u8>>,
) -> Result<(), Errno> {
    let [component, rest @ ..] = globs else { return Ok(()) };
    for entry in read_dir(&fd)? {
        if !component.matches(entry.bytes()) {
            continue;
        }
        let at = path::join(path, entry.bytes());
        if rest.is_empty() {
            out.push(at);
        } else if is_directory(&fd, &entry.name, entry.kind)?
            && !tree.ignore.is_some_and(|rules| rules.hides_all_of(&at))
        {
            matches_below(tree, open_dir(fd.as_fd(), &entry.name)?, &at, rest, out)?;
        }
    }
    Ok(())
}

/// Why a `--parents` source without wildcards took nothing.
pub(crate) fn why_missing(tree: &SourceTree<'_>, written: &str) -> CopyError {
    let components = path::components(written.as_bytes());
    let place = || tree.place.to_owned();
    let mut at = Vec::new();
    for name in &components {
        at = path::join(&at, name);
        let below = path::components(&at);
        match lookup(tree, &below, written) {
            // The walk does not go through links, so this one ended it.
            Ok(found) if found.path != at => {
                return CopyError::NotADirectory { written: written.to_owned(), place: place(), at };
            }
            Ok(_) => {}
            Err(error) => return error,
        }
    }
    CopyError::NotFound { written: written.to_owned(), place: place() }
}

/// A pattern that is none.
pub(super) fn malformed(written: &str, error: &GlobError) -> CopyError {
    CopyError::Pattern { written: written.to_owned(), reason: error.to_string() }
}
