//! A layer directory becomes a tar stream.
//!
//! The stream depends only on what the directory holds: entries are sorted, owners are numbers, access and change times are
//! left out, a whiteout has no owner, mode or time. What is exported is what containerd's and BuildKit's differ export (the
//! layer's own root is not an entry, sockets are skipped, every link repeats the xattrs), with these differences:
//! `user.*` xattrs are kept, times keep their fraction of a second unless asked otherwise, and a directory that hides
//! lower layers is written as an opaque whiteout, because the lower layers are not looked at.

use super::archive::{BLOCK, END, Header, Timestamp, encode_header};
use super::walk::{Found, FoundKind, WalkError, to_path, walk};
use super::whiteout;
use super::xattr::Xattr;
use crate::rootfs::XattrFlavor;
use rustix::fs::{self, SeekFrom};
use rustix::io::Errno;
use std::collections::HashMap;
use std::collections::hash_map;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

/// How a layer is written.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PackOptions {
    /// Times after this one become this one (`SOURCE_DATE_EPOCH`).
    pub clamp_mtime: Option<SystemTime>,
    /// How exact times are.
    pub mtime: MtimePrecision,
}

/// How exact the times in a layer are.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum MtimePrecision {
    /// As exact as the file system has them. A file with a fraction of a second costs a pax header: one KiB.
    #[default]
    Nanoseconds,
    /// Fractions are cut, as BuildKit does.
    Seconds,
}

/// What went into a layer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct PackStats {
    /// Entries, marks included.
    pub entries: u64,
    /// Whiteouts among them, opaque ones not counted.
    pub whiteouts: u64,
    /// Opaque whiteouts among them.
    pub opaques: u64,
    /// Hard links among them.
    pub hard_links: u64,
    /// Sockets, which layers do not have.
    pub sockets_skipped: u64,
    /// Bytes of all files.
    pub file_bytes: u64,
    /// Bytes of the stream.
    pub bytes: u64,
}

impl PackStats {
    /// Whether the layer changes nothing.
    pub fn is_empty(&self) -> bool {
        self.entries == 0
    }
}

/// Why a layer cannot be written. What was written until then is worthless.
#[derive(Debug, thiserror::Error)]
pub enum PackError {
    /// The directory cannot be read.
    #[error(transparent)]
    Walk(#[from] WalkError),
    /// The stream takes no more.
    #[error("cannot write the layer")]
    Write(#[source] io::Error),
    /// A file is named like a whiteout, and would remove another one when the layer is unpacked.
    #[error("{}: a name that begins with .wh. cannot be in an image: it means that a file was removed", path.display())]
    WhiteoutName {
        /// Its path in the layer.
        path: PathBuf,
    },
    /// A name of an xattr that the format cannot carry.
    #[error("{}: the name of its xattr {xattr:?} holds a '=', which a layer cannot carry", path.display())]
    XattrName {
        /// Its path in the layer.
        path: PathBuf,
        /// The name.
        xattr: String,
    },
}

/// Writes the layer directory `upper` to `out` as an uncompressed tar: the bytes a DiffID covers.
///
/// # Errors
/// When something cannot be read, changes meanwhile, or cannot be in a layer.
pub fn pack(
    upper: &Path,
    flavor: XattrFlavor,
    options: PackOptions,
    out: &mut dyn Write,
) -> Result<PackStats, PackError> {
    let placed = Placed { upper: upper.to_owned(), under: Vec::new() };
    pack_several(std::slice::from_ref(&placed), flavor, options, out)
}

/// A directory of an archive of several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Placed {
    /// The layer directory.
    pub upper: PathBuf,
    /// The directory of the archive that it becomes; empty for the top, whose own entry is left out.
    pub under: Vec<u8>,
}

/// As [`pack`], for several directories in one archive. No link leads from one to another.
///
/// # Errors
/// As for [`pack`].
pub fn pack_several(
    directories: &[Placed],
    flavor: XattrFlavor,
    options: PackOptions,
    out: &mut dyn Write,
) -> Result<PackStats, PackError> {
    let mut packer = Packer {
        out,
        buffer: vec![0; BUFFER].into_boxed_slice(),
        filled: 0,
        header: Vec::with_capacity(4 * BLOCK),
        clamp: options.clamp_mtime.map(Timestamp::from),
        precision: options.mtime,
        links: HashMap::new(),
        stats: PackStats::default(),
    };
    for Placed { upper, under } in directories {
        packer.links.clear();
        if under.is_empty() {
            walk(upper, flavor, &mut |found| packer.add(&found))?;
            continue;
        }
        walk(upper, flavor, &mut |found| {
            let path = match found.path {
                [] => under.clone(),
                inside => [under, &b"/"[..], inside].concat(),
            };
            packer.add(&Found { path: &path, ..found })
        })?;
    }
    packer.write(&END)?;
    packer.flush()?;
    Ok(packer.stats)
}

/// Headers and data are gathered in this before they are written.
const BUFFER: usize = 256 << 10;

/// A file of several names: the first one, and how many are still to come.
struct FirstName {
    name: Vec<u8>,
    others: u64,
}

struct Packer<'a> {
    out: &'a mut dyn Write,
    buffer: Box<[u8]>,
    filled: usize,
    header: Vec<u8>,
    clamp: Option<Timestamp>,
    precision: MtimePrecision,
    links: HashMap<(u64, u64), FirstName>,
    stats: PackStats,
}

impl Packer<'_> {
    fn add(&mut self, found: &Found<'_>) -> Result<(), PackError> {
        let path = found.path;
        let (parent, name) = match path.iter().rposition(|b| *b == b'/') {
            Some(slash) => path.split_at(slash + 1),
            None => (&[][..], path),
        };
        if name.starts_with(whiteout::PREFIX) {
            return Err(PackError::WhiteoutName { path: to_path(path) });
        }
        if let Some((xattr, _)) = found.xattrs.iter().find(|(name, _)| name.contains(&b'=')) {
            let xattr = String::from_utf8_lossy(xattr).into_owned();
            return Err(PackError::XattrName { path: to_path(path), xattr });
        }
        match &found.kind {
            FoundKind::Socket => {
                self.stats.sockets_skipped += 1;
                return Ok(());
            }
            FoundKind::Whiteout => {
                self.stats.whiteouts += 1;
                return self.mark(&[parent, whiteout::PREFIX, name].concat());
            }
            _ => {}
        }
        if let Some(first) = self.first_name(found) {
            self.stats.hard_links += 1;
            // Unpacking a link sets owner and mode once more, which drops capabilities: so it carries them too.
            return self.entry(b'1', path, found, 0, &first);
        }
        match &found.kind {
            FoundKind::Directory { opaque } => {
                if !path.is_empty() {
                    self.entry(b'5', &[path, b"/"].concat(), found, 0, &[])?;
                }
                if *opaque {
                    self.stats.opaques += 1;
                    let parent = if path.is_empty() { Vec::new() } else { [path, b"/"].concat() };
                    self.mark(&[&parent, whiteout::OPAQUE].concat())?;
                }
                Ok(())
            }
            FoundKind::File(fd) => {
                let size = found.stat.st_size.cast_unsigned();
                self.entry(b'0', path, found, size, &[])?;
                self.contents(fd.as_fd(), found, size)
            }
            FoundKind::Symlink(target) => self.entry(b'2', path, found, 0, target),
            FoundKind::CharDevice => self.entry(b'3', path, found, 0, &[]),
            FoundKind::BlockDevice => self.entry(b'4', path, found, 0, &[]),
            FoundKind::Fifo => self.entry(b'6', path, found, 0, &[]),
            FoundKind::Socket | FoundKind::Whiteout => Ok(()),
        }
    }

    /// The name a file already has in this layer, when it has one.
    fn first_name(&mut self, found: &Found<'_>) -> Option<Vec<u8>> {
        match self.links.entry(found.link_id()?) {
            hash_map::Entry::Vacant(entry) => {
                let others = names_of(&found.stat).saturating_sub(1);
                entry.insert(FirstName { name: found.path.to_vec(), others });
                None
            }
            hash_map::Entry::Occupied(mut entry) => {
                entry.get_mut().others = entry.get().others.saturating_sub(1);
                Some(match entry.get().others {
                    0 => entry.remove().name,
                    _ => entry.get().name.clone(),
                })
            }
        }
    }

    /// A whiteout, with nothing in it that depends on when or by whom it was made; so containerd writes it since 2.0.
    fn mark(&mut self, name: &[u8]) -> Result<(), PackError> {
        self.header(&Header {
            name,
            flag: b'0',
            mode: 0,
            uid: 0,
            gid: 0,
            size: 0,
            mtime: Timestamp::default(),
            link: &[],
            device: (0, 0),
            xattrs: &[],
        })
    }

    fn entry(
        &mut self,
        flag: u8,
        name: &[u8],
        found: &Found<'_>,
        size: u64,
        link: &[u8],
    ) -> Result<(), PackError> {
        let stat = &found.stat;
        let device = match found.kind {
            FoundKind::CharDevice | FoundKind::BlockDevice => {
                (fs::major(stat.st_rdev), fs::minor(stat.st_rdev))
            }
            _ => (0, 0),
        };
        let xattrs: &[Xattr] = &found.xattrs;
        let mtime = self.mtime(stat);
        let (mode, uid, gid) = (stat.st_mode, stat.st_uid, stat.st_gid);
        self.header(&Header { name, flag, mode, uid, gid, size, mtime, link, device, xattrs })
    }

    fn mtime(&self, stat: &fs::Stat) -> Timestamp {
        let mut time = mtime_of(stat);
        if let Some(clamp) = self.clamp {
            time = time.min(clamp);
        }
        if self.precision == MtimePrecision::Seconds {
            time.nanoseconds = 0;
        }
        time
    }

    fn header(&mut self, header: &Header<'_>) -> Result<(), PackError> {
        let mut bytes = std::mem::take(&mut self.header);
        bytes.clear();
        encode_header(&mut bytes, header);
        let written = self.write(&bytes);
        self.header = bytes;
        self.stats.entries += 1;
        written
    }

    /// The bytes of a file, and the zeros behind it.
    fn contents(&mut self, fd: BorrowedFd<'_>, found: &Found<'_>, size: u64) -> Result<(), PackError> {
        let failed = |error: Errno| WalkError::read(found.path, error);
        let changed = || WalkError::Changed { path: to_path(found.path) };
        // Fewer blocks than bytes: there are holes, which need not be read.
        let sparse = u64::try_from(found.stat.st_blocks).unwrap_or(0).saturating_mul(512) < size;
        let mut at = 0;
        while at < size {
            let mut end = size;
            if sparse {
                let start = match fs::seek(fd, SeekFrom::Data(at)) {
                    Ok(start) => start.min(size),
                    Err(Errno::NXIO) => size,
                    Err(Errno::INVAL) => at, // The file system cannot tell.
                    Err(error) => return Err(failed(error).into()),
                };
                self.zeros(start - at)?;
                at = start;
                if at == size {
                    break;
                }
                end = match fs::seek(fd, SeekFrom::Hole(at)) {
                    Ok(end) => end.clamp(at, size),
                    Err(Errno::INVAL) => size,
                    Err(Errno::NXIO) => return Err(changed().into()), // It shrank.
                    Err(error) => return Err(failed(error).into()),
                };
            }
            while at < end {
                if self.filled == self.buffer.len() {
                    self.flush()?;
                }
                let room = &mut self.buffer[self.filled..];
                let length = room.len().min(usize::try_from(end - at).unwrap_or(usize::MAX));
                match rustix::io::pread(fd, &mut room[..length], at) {
                    Ok(0) => return Err(changed().into()),
                    Ok(length) => {
                        self.filled += length;
                        at += length as u64;
                    }
                    Err(Errno::INTR) => {}
                    Err(error) => return Err(failed(error).into()),
                }
            }
        }
        let stat = fs::fstat(fd).map_err(failed)?;
        if !unchanged(&found.stat, &stat) {
            return Err(changed().into());
        }
        self.stats.file_bytes += size;
        self.zeros(size.next_multiple_of(BLOCK as u64) - size)
    }

    fn zeros(&mut self, mut length: u64) -> Result<(), PackError> {
        while length > 0 {
            if self.filled == self.buffer.len() {
                self.flush()?;
            }
            let room = &mut self.buffer[self.filled..];
            let step = room.len().min(usize::try_from(length).unwrap_or(usize::MAX));
            room[..step].fill(0);
            self.filled += step;
            length -= step as u64;
        }
        Ok(())
    }

    fn write(&mut self, bytes: &[u8]) -> Result<(), PackError> {
        if bytes.len() > self.buffer.len() - self.filled {
            self.flush()?;
        }
        if bytes.len() > self.buffer.len() {
            self.stats.bytes += bytes.len() as u64;
            return self.out.write_all(bytes).map_err(PackError::Write);
        }
        self.buffer[self.filled..self.filled + bytes.len()].copy_from_slice(bytes);
        self.filled += bytes.len();
        Ok(())
    }

    fn flush(&mut self) -> Result<(), PackError> {
        self.stats.bytes += self.filled as u64;
        let filled = std::mem::take(&mut self.filled);
        self.out.write_all(&self.buffer[..filled]).map_err(PackError::Write)
    }
}

/// Whether a file is what it was: nobody wrote to it between the two. A new hard link to it, which another step may make
/// to share the file, moves its change time too, and is no reason to complain.
pub(super) fn unchanged(before: &fs::Stat, after: &fs::Stat) -> bool {
    let written = |s: &fs::Stat| (s.st_size, s.st_mtime, s.st_mtime_nsec);
    let changed = |s: &fs::Stat| (s.st_ctime, s.st_ctime_nsec);
    written(before) == written(after)
        && (changed(before) == changed(after) || before.st_nlink != after.st_nlink)
}

/// How many names a file has.
#[allow(clippy::useless_conversion)] // 32 bits on some architectures.
fn names_of(stat: &fs::Stat) -> u64 {
    u64::from(stat.st_nlink)
}

/// When a file was written.
#[allow(clippy::unnecessary_cast, clippy::cast_lossless)] // The widths of these fields differ between architectures.
fn mtime_of(stat: &fs::Stat) -> Timestamp {
    Timestamp { seconds: stat.st_mtime as i64, nanoseconds: stat.st_mtime_nsec as u32 }
}
