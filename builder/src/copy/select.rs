//! From the sources of an instruction to the files and directories they name.

use super::destination::{c_name, open_dir};
use super::dirents::read_dir;
use super::error::{CopyError, CopyWarning, IgnoredBy};
use super::filter::{Filter, IgnoreRules, Verdict};
use super::parents::Parents;
use super::path::{self, show};
use super::resolve::{self, Found, Policy, Walk, WalkError};
use super::spec::{CopySource, CopySpec, Unpack};
use crate::rootfs::Root;
use dockerfile_parser::glob::{Glob, GlobError, has_wildcard};
use dockerfile_parser::ignore::{IgnoreError, Patterns};
use rustix::fs::{self, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use std::ffi::CString;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

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

/// What the sources of one instruction name, in order.
#[derive(Debug)]
pub(crate) struct Selection {
    pub items: Vec<Item>,
    pub excludes: Option<Patterns>,
    pub warnings: Vec<CopyWarning>,
}

/// One thing to copy.
#[derive(Debug)]
pub(crate) struct Item {
    /// The source as the instruction has it.
    pub written: String,
    pub kind: ItemKind,
}

#[derive(Debug)]
pub(crate) enum ItemKind {
    /// The content of a directory.
    Tree {
        /// Open for reading.
        fd: OwnedFd,
        stat: Stat,
        /// Relative to the source tree, without links.
        path: Vec<u8>,
        /// With `--parents`: what of it.
        parents: Option<Parents>,
        /// That the pattern has no wildcards, so something must match.
        required: bool,
    },
    /// Anything else.
    File {
        /// The directory it is in, opened with `O_PATH`.
        parent: OwnedFd,
        /// Its name there.
        at: CString,
        stat: Stat,
        /// Relative to the source tree, without links.
        path: Vec<u8>,
        /// Its name inside a directory destination.
        name: Vec<u8>,
        unpack: Unpack,
    },
    /// Bytes of the Dockerfile.
    Inline { name: Vec<u8>, bytes: Vec<u8> },
    /// A file of this machine.
    Fetched { fd: OwnedFd, stat: Stat, name: Vec<u8>, unpack: Unpack },
}

/// Looks up all sources of `spec`.
pub(crate) fn select(spec: &CopySpec, tree: &SourceTree<'_>) -> Result<Selection, CopyError> {
    let mut selection =
        Selection { items: Vec::new(), excludes: excludes(&spec.excludes)?, warnings: Vec::new() };
    for source in &spec.sources {
        match source {
            CopySource::Path { pattern } if spec.parents => with_parents(pattern, tree, &mut selection)?,
            CopySource::Path { pattern } => plain(pattern, spec.unpack, tree, &mut selection)?,
            CopySource::Inline { name, bytes } => selection.items.push(Item {
                written: format!("<<{name}"),
                kind: ItemKind::Inline { name: name.clone().into_bytes(), bytes: bytes.clone() },
            }),
            CopySource::File { path, name, mode, modified, unpack } => {
                let (fd, mut stat) = fetched(path)?;
                stat.st_mode = (stat.st_mode & !0o7777) | (mode & 0o7777);
                if let Some(modified) = modified {
                    let time = super::meta::timespec(*modified);
                    stat.st_mtime = time.tv_sec as _;
                    stat.st_mtime_nsec = time.tv_nsec as _;
                }
                selection.items.push(Item {
                    written: name.clone(),
                    kind: ItemKind::Fetched { fd, stat, name: name.clone().into_bytes(), unpack: *unpack },
                });
            }
        }
    }
    Ok(selection)
}

/// Compiles `--exclude`.
fn excludes(written: &[String]) -> Result<Option<Patterns>, CopyError> {
    if written.is_empty() {
        return Ok(None);
    }
    Patterns::from_patterns(written.iter().map(String::as_str)).map(Some).map_err(|error| {
        CopyError::Exclude {
            written: written.get(error.line() - 1).cloned().unwrap_or_default(),
            // The line number of an ignore file means nothing here.
            reason: match &error {
                IgnoreError::NothingReincluded { .. } => "! must be followed by a pattern".to_owned(),
                IgnoreError::Pattern { source, .. } => source.to_string(),
            },
        }
    })
}

fn fetched(path: &Path) -> Result<(OwnedFd, Stat), CopyError> {
    let open = || {
        let fd = fs::open(path, OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
        let stat = fs::fstat(&fd)?;
        Ok((fd, stat))
    };
    open().map_err(|errno: Errno| CopyError::Read {
        path: path.as_os_str().as_encoded_bytes().to_vec(),
        place: "this machine".to_owned(),
        source: errno.into(),
    })
}

/// A source without `--parents`.
fn plain(
    written: &str,
    unpack: Unpack,
    tree: &SourceTree<'_>,
    selection: &mut Selection,
) -> Result<(), CopyError> {
    let components = path::components(written.as_bytes());
    if !has_wildcard(written) {
        let found = lookup(tree, &components, written)?;
        let name = components.last().copied().unwrap_or_default();
        return push(tree, found, name, written, unpack, None, selection);
    }
    let lookups = expand(tree, &components, written)?;
    if lookups.found.is_empty() {
        selection.warnings.push(no_match(written, tree, lookups.ignored));
    }
    for (name, found) in lookups.found {
        push(tree, found, &name, written, unpack, None, selection)?;
    }
    Ok(())
}

/// A source with `--parents`: what is before `/./` is where the walk begins, the rest is what it takes.
fn with_parents(written: &str, tree: &SourceTree<'_>, selection: &mut Selection) -> Result<(), CopyError> {
    let (base, pattern) = written.split_once("/./").unwrap_or(("", written));
    let required = !has_wildcard(pattern);
    let parents = || Parents::new(pattern).map_err(|error| malformed(written, &error));
    let components = path::components(base.as_bytes());
    let bases = if has_wildcard(base) {
        let lookups = expand(tree, &components, written)?;
        if lookups.found.is_empty() {
            selection.warnings.push(no_match(written, tree, lookups.ignored));
        }
        lookups.found.into_iter().map(|(_, found)| found).collect()
    } else {
        vec![lookup(tree, &components, written)?]
    };
    for found in bases {
        if !found.is_dir() {
            return Err(CopyError::NotADirectory {
                written: written.to_owned(),
                place: tree.place.into(),
                at: found.path,
            });
        }
        // A wildcard in the base makes the whole source one: what one match lacks another may have.
        let required = required && !has_wildcard(base);
        push(tree, found, b"", written, Unpack::Never, Some((parents()?, required)), selection)?;
    }
    Ok(())
}

fn malformed(written: &str, error: &GlobError) -> CopyError {
    CopyError::Pattern { written: written.to_owned(), reason: error.to_string() }
}

fn no_match(written: &str, tree: &SourceTree<'_>, ignored: Option<IgnoredBy>) -> CopyWarning {
    CopyWarning::NoMatch { pattern: written.to_owned(), place: tree.place.to_owned(), ignored }
}

/// Adds what was found, unless `--exclude` names it.
fn push(
    tree: &SourceTree<'_>,
    found: Found,
    name: &[u8],
    written: &str,
    unpack: Unpack,
    parents: Option<(Parents, bool)>,
    selection: &mut Selection,
) -> Result<(), CopyError> {
    let written = written.to_owned();
    let read = |errno: Errno| CopyError::Read {
        path: found.path.clone(),
        place: tree.place.to_owned(),
        source: errno.into(),
    };
    let kind = if found.is_dir() {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = fs::openat(&found.fd, ".", flags, Mode::empty()).map_err(read)?;
        let (parents, required) = parents.map_or((None, false), |(p, required)| (Some(p), required));
        ItemKind::Tree { fd, stat: found.stat, path: found.path, parents, required }
    } else {
        // BuildKit only matches what is inside a copied directory, though its documentation has files named by a
        // pattern as the example of --exclude. The documented behaviour it is: by the name inside the destination.
        if selection.excludes.as_ref().is_some_and(|patterns| patterns.matches(name).ignored) {
            if !has_wildcard(&written) {
                selection.warnings.push(CopyWarning::Excluded { written });
            }
            return Ok(());
        }
        let Some(parent) = found.parent else { return Err(read(Errno::NOTDIR)) };
        let at = c_name(found.path.rsplit(|b| *b == b'/').next().unwrap_or_default());
        ItemKind::File { parent, at, stat: found.stat, path: found.path, name: name.to_vec(), unpack }
    };
    selection.items.push(Item { written, kind });
    Ok(())
}

/// Looks up one path without wildcards.
fn lookup(tree: &SourceTree<'_>, components: &[&[u8]], written: &str) -> Result<Found, CopyError> {
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
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let search = || {
        let mut open = vec![(fs::openat(&found.fd, ".", flags, Mode::empty())?, filter.start(&found.path))];
        while let Some((fd, cursor)) = open.pop() {
            for entry in read_dir(&fd)? {
                let directory = is_directory(fd.as_fd(), &entry.name, entry.kind)?;
                let path = cursor.join(entry.bytes());
                match filter.judge(&cursor, &path, directory) {
                    (Verdict::Take, _) => return Ok(true),
                    (Verdict::Pass, decided) => {
                        open.push((open_dir(fd.as_fd(), &entry.name)?, cursor.enter(path, decided)));
                    }
                    (Verdict::Skip, _) => {}
                }
            }
        }
        Ok(false)
    };
    search().map_err(|errno: Errno| CopyError::Read {
        path: found.path.clone(),
        place: tree.place.to_owned(),
        source: errno.into(),
    })
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
struct Lookups {
    /// The name it matched by, and what is there, links followed.
    found: Vec<(Vec<u8>, Found)>,
    /// The first match that is ignored.
    ignored: Option<IgnoredBy>,
}

/// Expands a pattern. Links in the part before the first wildcard are followed, and a match that is a link is; between
/// them a link is no directory.
fn expand(tree: &SourceTree<'_>, components: &[&[u8]], written: &str) -> Result<Lookups, CopyError> {
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
