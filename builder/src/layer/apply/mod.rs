//! A tar stream becomes a layer directory.
//!
//! The archive is not trusted. Everything happens through directory descriptors below the target; a symbolic link in the
//! middle of a name is followed by the kernel with the target as root, as containerd and Docker follow it, and the last
//! component is never followed. Each layer is unpacked on its own, without looking at the layers below it.
//!
//! | in the archive | in the directory |
//! | --- | --- |
//! | `.wh.name` | character device 0:0, unless the layer has `name` itself; a directory of that name becomes opaque |
//! | `.wh..wh..opq` | the opaque xattr on the directory it stands in |
//! | other names that begin with `.wh..wh.` | nothing: aufs' book-keeping |
//! | a directory nobody mentions but things are in it | 0755, owned by root, from 1970 |
//! | the same name twice | the last one; a directory twice is one directory |
//! | absolute names | relative to the target |
//! | `..` in a name, a character device 0:0 | refused |

mod attributes;
mod directories;
mod error;
mod make;
mod place;
#[cfg(test)]
mod tests;

pub use error::ApplyError;

use super::archive::{Entry, EntryKind, Reader};
use super::walk::to_path;
use super::whiteout::{Mark, mark};
use crate::rootfs::XattrFlavor;
use directories::Directories;
use place::{Name, Target};
use rustix::fs::{self, Mode};
use rustix::io::Errno;
use std::io::{ErrorKind, Read};
use std::path::{Path, PathBuf};

/// What an archive may cost.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ApplyLimits {
    /// Entries, marks and directories nobody mentions included.
    pub entries: u64,
    /// Bytes of the uncompressed stream, and bytes of all files, holes included: each of both.
    pub bytes: u64,
}

impl Default for ApplyLimits {
    /// Ten million entries and one TiB: more than any image has, less than fills a disk with one small blob of nothing.
    fn default() -> Self {
        Self { entries: 10_000_000, bytes: 1 << 40 }
    }
}

/// How a layer is unpacked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ApplyOptions {
    /// What the archive may cost.
    pub limits: ApplyLimits,
    /// Leave the owner as it is where the kernel does not let us set it (a user namespace with one id).
    pub ignore_chown: bool,
    /// Leave out devices where the kernel does not let us make them (any user namespace), as containerd does.
    pub skip_denied_devices: bool,
}

/// What was unpacked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ApplyStats {
    /// Entries of the archive.
    pub entries: u64,
    /// Bytes of all files, holes included.
    pub file_bytes: u64,
    /// Bytes of the stream, all of it.
    pub bytes: u64,
    /// Whiteouts made.
    pub whiteouts: u64,
    /// Directories marked opaque by `.wh..wh..opq`.
    pub opaques: u64,
    /// The top of the layer is opaque: it hides every layer below. overlayfs does not look at that mark on the root of a
    /// layer, so whoever mounts must leave the lower layers out.
    pub opaque_root: bool,
    /// Files whose owner could not be set.
    pub chown_ignored: u64,
    /// Devices left out.
    pub devices_skipped: u64,
    /// Xattrs left out: not part of a layer, or not possible on this file system.
    pub xattrs_skipped: u64,
    /// Entries of aufs' book-keeping.
    pub marks_ignored: u64,
    /// Directories that no entry mentions. In an image they take the place of a lower layer's directory, and with it of
    /// its mode and owner; whoever stacks the layers may want to copy those up.
    pub implied_directories: Vec<PathBuf>,
    /// No entry mentions the layer's own directory.
    pub implied_root: bool,
}

/// Unpacks the uncompressed archive `tar` into the empty directory `into`, in overlayfs form.
///
/// The stream is read to its last byte, padding included: hash what passes, and it is the DiffID.
///
/// # Errors
/// When the archive is damaged, hostile or over the limits, or when the kernel refuses. `into` is then half-written:
/// discard it.
pub fn apply(
    tar: &mut dyn Read,
    into: &Path,
    flavor: XattrFlavor,
    options: &ApplyOptions,
) -> Result<ApplyStats, ApplyError> {
    let mut applier = Applier {
        target: Target::open(into)?,
        flavor,
        options,
        stats: ApplyStats::default(),
        directories: Directories::new(),
        made: 0,
    };
    let mut reader = Reader::new(tar, options.limits.bytes);
    while let Some(entry) = reader.next()? {
        applier.stats.entries += 1;
        applier.count_made()?;
        applier.add(entry, &mut reader)?;
    }
    applier.stats.bytes = reader.offset();
    applier.finish()
}

struct Applier<'a> {
    target: Target,
    flavor: XattrFlavor,
    options: &'a ApplyOptions,
    stats: ApplyStats,
    directories: Directories,
    /// Entries, and directories nobody mentions.
    made: u64,
}

impl Applier<'_> {
    fn add(&mut self, entry: Entry, reader: &mut Reader<'_>) -> Result<(), ApplyError> {
        let name = Name::parse(&entry.name)?;
        let refused = |reason| Err(ApplyError::Name { name: to_path(&entry.name), reason });
        let Some(last) = name.last() else {
            if entry.kind != EntryKind::Directory {
                return refused("the root is a directory");
            }
            return self.directory(&name, &entry);
        };
        for component in name.parents() {
            match mark(component) {
                Mark::None => {}
                Mark::Ignored => {
                    self.stats.marks_ignored += 1;
                    return Ok(());
                }
                Mark::Whiteout(_) | Mark::Opaque | Mark::Invalid => {
                    return refused("a whiteout is not a directory");
                }
            }
        }
        match mark(last) {
            Mark::None => {}
            Mark::Ignored => {
                self.stats.marks_ignored += 1;
                return Ok(());
            }
            Mark::Invalid => return refused("it is a whiteout of nothing"),
            Mark::Opaque => return self.opaque(&name.parent()),
            Mark::Whiteout(removed) => return self.whiteout(&name.parent().join(removed)),
        }
        match entry.kind {
            EntryKind::Directory => self.directory(&name, &entry),
            EntryKind::File => self.file(&name, last, &entry, reader),
            EntryKind::HardLink => self.hard_link(&name, last, &entry),
            EntryKind::Symlink => self.symlink(&name, last, &entry),
            EntryKind::CharDevice | EntryKind::BlockDevice => self.device(&name, last, &entry),
            EntryKind::Fifo => self.fifo(&name, last, &entry),
        }
    }

    /// Counts something made, against the limit.
    fn count_made(&mut self) -> Result<(), ApplyError> {
        self.made += 1;
        if self.made > self.options.limits.entries {
            return Err(ApplyError::TooManyEntries { limit: self.options.limits.entries });
        }
        Ok(())
    }

    /// Gives directories their modes and times, the deepest first: a mode may forbid going into it.
    fn finish(mut self) -> Result<ApplyStats, ApplyError> {
        let (implied, implied_root) = (&mut self.stats.implied_directories, &mut self.stats.implied_root);
        let target = &mut self.target;
        self.directories.deepest_first(|name, attributes| {
            let failed = |error: Errno| ApplyError::make(name, error);
            let fd = match target.existing(name) {
                // A symbolic link on the way leads somewhere else by now.
                Err(ApplyError::NotADirectory { .. }) => return Ok(()),
                Err(ApplyError::Make { source, .. }) if source.kind() == ErrorKind::NotFound => {
                    return Ok(());
                }
                other => other?,
            };
            if attributes.implied || attributes.mode & 0o700 != 0o700 {
                fs::fchmod(&fd, Mode::from_raw_mode(attributes.mode)).map_err(failed)?;
            }
            fs::futimens(&fd, &attributes::times(attributes.mtime)).map_err(failed)?;
            match (attributes.implied, name.last()) {
                (true, Some(_)) => implied.push(name.to_path()),
                (true, None) => *implied_root = true,
                (false, _) => {}
            }
            Ok(())
        })?;
        implied.reverse();
        Ok(self.stats)
    }
}
