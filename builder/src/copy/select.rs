//! From the sources of an instruction to the files and directories they name.

use super::destination::c_name;
use super::error::{CopyError, CopyWarning, IgnoredBy};
use super::lookup::{Lookups, SourceTree, expand, lookup, malformed};
use super::parents::Parents;
use super::path;
use super::resolve::Found;
use super::spec::{CopySource, CopySpec, Unpack};
use dockerfile_parser::glob::has_wildcard;
use dockerfile_parser::ignore::{IgnoreError, Patterns};
use rustix::fs::{self, Mode, OFlags, Stat};
use rustix::io::Errno;
use std::ffi::CString;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::Arc;

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
        parents: Option<Arc<Parents>>,
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

/// The directories that the walks of a source with `--parents` begin in (what is before `/./`), and what they take.
pub(super) fn bases(written: &str, tree: &SourceTree<'_>) -> Result<(Lookups, Parents), CopyError> {
    let (base, pattern) = written.split_once("/./").unwrap_or(("", written));
    let parents = Parents::new(pattern).map_err(|error| malformed(written, &error))?;
    let components = path::components(base.as_bytes());
    let bases = if has_wildcard(base) {
        expand(tree, &components, written)?
    } else {
        Lookups { found: vec![(Vec::new(), lookup(tree, &components, written)?)], ignored: None }
    };
    Ok((bases, parents))
}

/// A source with `--parents`.
fn with_parents(written: &str, tree: &SourceTree<'_>, selection: &mut Selection) -> Result<(), CopyError> {
    let (bases, parents) = bases(written, tree)?;
    if bases.found.is_empty() {
        selection.warnings.push(no_match(written, tree, bases.ignored));
    }
    let parents = Arc::new(parents);
    for (_, found) in bases.found {
        if !found.is_dir() {
            return Err(CopyError::NotADirectory {
                written: written.to_owned(),
                place: tree.place.into(),
                at: found.path,
            });
        }
        push(tree, found, b"", written, Unpack::Never, Some(Arc::clone(&parents)), selection)?;
    }
    Ok(())
}

pub(super) fn no_match(written: &str, tree: &SourceTree<'_>, ignored: Option<IgnoredBy>) -> CopyWarning {
    CopyWarning::NoMatch { pattern: written.to_owned(), place: tree.place.to_owned(), ignored }
}

/// Adds what was found, unless `--exclude` names it.
fn push(
    tree: &SourceTree<'_>,
    found: Found,
    name: &[u8],
    written: &str,
    unpack: Unpack,
    parents: Option<Arc<Parents>>,
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
        ItemKind::Tree { fd, stat: found.stat, path: found.path, parents }
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
