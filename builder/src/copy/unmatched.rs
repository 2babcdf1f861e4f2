//! Why a `--parents` source with wildcards took nothing. Asked only when that happened: it walks the tree again.

use super::destination::open_dir;
use super::dirents::read_dir;
use super::error::{CopyError, CopyWarning, IgnoredBy};
use super::filter::{Filter, Verdict};
use super::lookup::{SourceTree, is_directory};
use super::parents::Parents;
use super::resolve::Found;
use super::select;
use rustix::fs::{self, Mode, OFlags};
use rustix::io::Errno;
use std::os::fd::AsFd;

/// The warning about `written`; `None` when something matches, and `--exclude` took it away, or when the warning was
/// given while the part before the pivot was looked up.
pub(super) fn warning(tree: &SourceTree<'_>, written: &str) -> Result<Option<CopyWarning>, CopyError> {
    let (bases, parents) = select::bases(written, tree)?;
    if bases.found.is_empty() {
        return Ok(None);
    }
    let mut ignored = None;
    for (_, base) in &bases.found {
        let visible = Filter { ignore: tree.ignore, parents: Some(&parents), ..Filter::default() };
        if first_taken(tree, base, &visible)?.is_some() {
            return Ok(None);
        }
        if ignored.is_none() {
            ignored = hidden(tree, base, &parents)?;
        }
    }
    Ok(Some(select::no_match(written, tree, ignored)))
}

/// The rule that hides the first thing that would match.
fn hidden(tree: &SourceTree<'_>, base: &Found, parents: &Parents) -> Result<Option<IgnoredBy>, CopyError> {
    let Some(rules) = tree.ignore else { return Ok(None) };
    let all = Filter { parents: Some(parents), ..Filter::default() };
    Ok(first_taken(tree, base, &all)?.and_then(|path| rules.rule(&path)))
}

/// The path of something below `base` that `filter` takes.
pub(super) fn first_taken(
    tree: &SourceTree<'_>,
    base: &Found,
    filter: &Filter<'_>,
) -> Result<Option<Vec<u8>>, CopyError> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let search = || {
        let mut open = vec![(fs::openat(&base.fd, ".", flags, Mode::empty())?, filter.start(&base.path))];
        while let Some((fd, cursor)) = open.pop() {
            for entry in read_dir(&fd)? {
                let directory = is_directory(fd.as_fd(), &entry.name, entry.kind)?;
                let path = cursor.join(entry.bytes());
                match filter.judge(&cursor, &path, directory) {
                    (Verdict::Take, _) => return Ok(Some(path)),
                    (Verdict::Pass, decided) => {
                        open.push((open_dir(fd.as_fd(), &entry.name)?, cursor.enter(path, decided)));
                    }
                    (Verdict::Skip, _) => {}
                }
            }
        }
        Ok(None)
    };
    search().map_err(|errno: Errno| CopyError::Read {
        path: base.path.clone(),
        place: tree.place.to_owned(),
        source: errno.into(),
    })
}
