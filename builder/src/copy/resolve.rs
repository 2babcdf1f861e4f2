//! Walks a path inside a [`Root`], component by component, and says where it really leads.
//!
//! The kernel could do it in one `openat2(RESOLVE_IN_ROOT)`, but not tell the path without links (which ignore rules
//! are about), nor make what is missing behind a dangling link. Each step opens one name below a directory that is
//! held open and follows nothing, so nobody who changes the tree meanwhile can lead the walk out of it: links are
//! read and walked by us, with the root as `/`, and `..` goes back to the descriptor the walk came through.

use crate::rootfs::Root;
use rustix::fs::{self, AtFlags, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// As many links as the kernel follows.
const MAX_LINKS: usize = 40;

/// Something found.
#[derive(Debug)]
pub(crate) struct Found {
    /// Opened with `O_PATH`.
    pub fd: OwnedFd,
    /// What it is.
    pub stat: Stat,
    /// Where it is: relative to the root, without links. Empty for the root itself.
    pub path: Vec<u8>,
    /// The directory it is in, opened with `O_PATH`; the root has none.
    pub parent: Option<OwnedFd>,
}

impl Found {
    pub(crate) fn is_dir(&self) -> bool {
        file_type(&self.stat) == FileType::Directory
    }
}

/// What the kind of a thing is.
pub(crate) fn file_type(stat: &Stat) -> FileType {
    FileType::from_raw_mode(stat.st_mode)
}

/// Where a walk ended.
pub(crate) enum Walk {
    /// It stands there.
    Found(Found),
    /// The last component is missing. Only then the directory it would be in is known.
    Missing {
        /// That directory.
        parent: Found,
        /// The missing name.
        name: Vec<u8>,
    },
}

/// Why a walk failed, and at which path (relative to the root, without links).
#[derive(Debug)]
pub(crate) struct WalkError {
    pub path: Vec<u8>,
    pub errno: Errno,
}

/// How a walk deals with what it meets.
pub(crate) trait Policy {
    /// Something was met at `path`: a directory, a link before it is followed, or the end. An error ends the walk.
    fn met(&mut self, path: &[u8], stat: &Stat) -> Result<(), Errno> {
        let _ = (path, stat);
        Ok(())
    }

    /// `name` is missing in `parent` and more follows. `true` when the policy made a directory of that name.
    fn missing(&mut self, parent: BorrowedFd<'_>, path: &[u8], name: &[u8]) -> Result<bool, Errno> {
        let _ = (parent, path, name);
        Ok(false)
    }

    /// `name` is something else than a directory, and a directory is needed. `true` when the policy put
    /// a directory there.
    fn obstacle(&mut self, parent: BorrowedFd<'_>, name: &[u8]) -> Result<bool, Errno> {
        let _ = (parent, name);
        Ok(false)
    }

    /// Whether links are followed; the last component's included.
    fn follows_links(&self) -> bool {
        true
    }
}

/// Follows links and minds nothing else.
pub(crate) struct Plain;

impl Policy for Plain {}

/// Follows no links.
pub(crate) struct NoLinks;

impl Policy for NoLinks {
    fn follows_links(&self) -> bool {
        false
    }
}

/// Walks `components` below `root`. Links of all components are followed, the last one's included, if the policy
/// follows any.
pub(crate) fn walk<P: Policy>(root: &Root, components: &[&[u8]], policy: &mut P) -> Result<Walk, WalkError> {
    let mut pending: Vec<Vec<u8>> = components.iter().rev().map(|c| c.to_vec()).collect();
    // The directories from the root (not in here) to where the walk is.
    let mut stack: Vec<(OwnedFd, Stat, Vec<u8>)> = Vec::new();
    let mut links = 0;
    while let Some(name) = pending.pop() {
        match name.as_slice() {
            b"" | b"." => continue,
            b".." => {
                stack.pop();
                continue;
            }
            _ => {}
        }
        let here = stack.last().map_or(&b""[..], |(_, _, path)| path.as_slice());
        let path = super::path::join(here, &name);
        let fail = |errno| WalkError { path: path.clone(), errno };
        let parent = stack.last().map_or(root.as_fd(), |(fd, _, _)| fd.as_fd());
        let last = pending.iter().all(|c| matches!(c.as_slice(), b"" | b"."));
        let (mut fd, mut stat) = match open(parent, &name) {
            Ok(found) => found,
            Err(Errno::NOENT) if last => {
                return Ok(Walk::Missing { parent: top(root, stack).map_err(fail)?, name });
            }
            Err(Errno::NOENT) if policy.missing(parent, &path, &name).map_err(fail)? => {
                open(parent, &name).map_err(fail)?
            }
            Err(errno) => return Err(fail(errno)),
        };
        if file_type(&stat) == FileType::Symlink && policy.follows_links() {
            policy.met(&path, &stat).map_err(fail)?;
            links += 1;
            if links > MAX_LINKS {
                return Err(fail(Errno::LOOP));
            }
            let target = fs::readlinkat(&fd, "", Vec::new()).map_err(fail)?;
            let target = target.into_bytes();
            if target.starts_with(b"/") {
                stack.clear();
            }
            pending.extend(target.split(|b| *b == b'/').rev().map(<[u8]>::to_vec));
            continue;
        }
        if file_type(&stat) != FileType::Directory && !last {
            if !policy.obstacle(parent, &name).map_err(fail)? {
                return Err(fail(Errno::NOTDIR));
            }
            (fd, stat) = open(parent, &name).map_err(fail)?;
        }
        policy.met(&path, &stat).map_err(fail)?;
        stack.push((fd, stat, path));
    }
    top(root, stack).map(Walk::Found).map_err(|errno| WalkError { path: Vec::new(), errno })
}

/// Opens `name` itself, whatever it is, without following it.
fn open(parent: BorrowedFd<'_>, name: &[u8]) -> Result<(OwnedFd, Stat), Errno> {
    let fd = fs::openat(parent, name, OFlags::PATH | OFlags::NOFOLLOW | OFlags::CLOEXEC, Mode::empty())?;
    let stat = fs::statat(&fd, "", AtFlags::EMPTY_PATH)?;
    Ok((fd, stat))
}

/// The end of the walk: the top of the stack, or the root.
fn top(root: &Root, mut stack: Vec<(OwnedFd, Stat, Vec<u8>)>) -> Result<Found, Errno> {
    let reopen = || fs::openat(root, ".", OFlags::PATH | OFlags::CLOEXEC, Mode::empty());
    match stack.pop() {
        Some((fd, stat, path)) => {
            let parent = match stack.pop() {
                Some((parent, ..)) => parent,
                None => reopen()?,
            };
            Ok(Found { fd, stat, path, parent: Some(parent) })
        }
        None => {
            let fd = reopen()?;
            let stat = fs::statat(&fd, "", AtFlags::EMPTY_PATH)?;
            Ok(Found { fd, stat, path: Vec::new(), parent: None })
        }
    }
}
