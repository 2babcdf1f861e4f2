//! Moving the bytes of one regular file: sharing extents where the file systems can, copying in the kernel where they
//! can do that, reading and writing otherwise. Holes stay holes.

use crate::cancel::Cancellation;
use rustix::fs::{self, SeekFrom, Stat};
use rustix::io::{self, Errno};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Up to this size a read and a write cost less than asking for anything better.
const SMALL: u64 = 64 * 1024;

/// How much the kernel copies in one call: what it takes to notice a cancellation.
const PIECE: usize = 64 << 20;

/// Size of the buffer that [`copy`] wants.
pub(crate) const BUFFER: usize = 256 * 1024;

/// Which ways are still worth trying between the two file systems of one copy; what failed once is not tried again.
#[derive(Debug)]
pub(crate) struct Ways {
    clone: AtomicBool,
    copy_file_range: AtomicBool,
    /// Asked between two pieces; `ECANCELED` then.
    pub cancellation: Cancellation,
}

impl Ways {
    pub(crate) fn new(cancellation: Cancellation) -> Self {
        Self { clone: AtomicBool::new(true), copy_file_range: AtomicBool::new(true), cancellation }
    }
}

/// Writes the content of `source`, which was `stat` when it was opened, to the empty file `target`. What is appended
/// to or cut from the source meanwhile is taken as it comes. Returns the number of bytes.
pub(crate) fn copy(
    ways: &Ways,
    source: impl AsFd,
    stat: &Stat,
    target: impl AsFd,
    buffer: &mut [u8],
) -> Result<u64, Errno> {
    let (source, target) = (source.as_fd(), target.as_fd());
    let size = stat.st_size as u64;
    if size > SMALL {
        if ways.clone.load(Relaxed) {
            match fs::ioctl_ficlone(target, source) {
                Ok(()) => return Ok(size),
                Err(_) => ways.clone.store(false, Relaxed),
            }
        }
        // Counted in units of 512 bytes; compressing file systems also have fewer blocks, which costs one seek.
        if (stat.st_blocks as u64) < size / 512 {
            return sparse(ways, source, target, size, buffer);
        }
    }
    let copied = range(ways, source, target, u64::MAX, size > SMALL, buffer)?;
    Ok(copied)
}

/// Copies the data segments and leaves the rest out.
fn sparse(
    ways: &Ways,
    source: BorrowedFd<'_>,
    target: BorrowedFd<'_>,
    size: u64,
    buffer: &mut [u8],
) -> Result<u64, Errno> {
    let mut at = 0;
    while at < size {
        let data = match fs::seek(source, SeekFrom::Data(at)) {
            Ok(data) => data,
            // Only a hole is left.
            Err(Errno::NXIO) => break,
            Err(errno) => return Err(errno),
        };
        let hole = fs::seek(source, SeekFrom::Hole(data))?;
        fs::seek(source, SeekFrom::Start(data))?;
        fs::seek(target, SeekFrom::Start(data))?;
        let copied = range(ways, source, target, hole - data, true, buffer)?;
        at = data + copied;
        if copied == 0 {
            break;
        }
    }
    fs::ftruncate(target, size)?;
    Ok(size)
}

/// Copies up to `limit` bytes from where both files stand.
fn range(
    ways: &Ways,
    source: BorrowedFd<'_>,
    target: BorrowedFd<'_>,
    limit: u64,
    in_kernel: bool,
    buffer: &mut [u8],
) -> Result<u64, Errno> {
    let mut copied = 0;
    if in_kernel && ways.copy_file_range.load(Relaxed) {
        while copied < limit {
            if ways.cancellation.is_cancelled() {
                return Err(Errno::CANCELED);
            }
            let want = usize::try_from(limit - copied).unwrap_or(usize::MAX).min(PIECE);
            match fs::copy_file_range(source, None, target, None, want) {
                Ok(0) => return Ok(copied),
                Ok(n) => copied += n as u64,
                Err(Errno::INTR) => {}
                // Other file systems, or one that cannot: continue by reading.
                Err(
                    Errno::XDEV | Errno::NOSYS | Errno::OPNOTSUPP | Errno::INVAL | Errno::PERM | Errno::IO,
                ) => {
                    ways.copy_file_range.store(false, Relaxed);
                    break;
                }
                Err(errno) => return Err(errno),
            }
        }
    }
    while copied < limit {
        if ways.cancellation.is_cancelled() {
            return Err(Errno::CANCELED);
        }
        let want = usize::try_from(limit - copied).unwrap_or(usize::MAX).min(buffer.len());
        let n = match io::read(source, &mut buffer[..want]) {
            Ok(0) => break,
            Ok(n) => n,
            Err(Errno::INTR) => continue,
            Err(errno) => return Err(errno),
        };
        write_all(target, &buffer[..n])?;
        copied += n as u64;
    }
    Ok(copied)
}

/// Writes all of `bytes`.
pub(crate) fn write_all(target: impl AsFd, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match io::write(target.as_fd(), bytes) {
            Ok(0) => return Err(Errno::IO),
            Ok(n) => bytes = &bytes[n..],
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::{Seek, Write};
    use std::os::unix::fs::MetadataExt;

    fn ways(clone: bool, copy_file_range: bool) -> Ways {
        Ways {
            clone: clone.into(),
            copy_file_range: copy_file_range.into(),
            cancellation: Cancellation::never(),
        }
    }

    fn copied(path: &std::path::Path, ways: &Ways) -> (Vec<u8>, u64) {
        let source = File::open(path).unwrap();
        let stat = fs::fstat(&source).unwrap();
        let target_path = path.with_extension("copy");
        let target = File::create(&target_path).unwrap();
        let mut buffer = vec![0; BUFFER];
        let n = copy(ways, &source, &stat, &target, &mut buffer).unwrap();
        assert_eq!(n, stat.st_size as u64);
        (std::fs::read(&target_path).unwrap(), target.metadata().unwrap().blocks())
    }

    #[test]
    fn sizes_and_ways() {
        let dir = tempfile::tempdir().unwrap();
        let ways = [ways(true, true), ways(false, true), ways(false, false)];
        for size in [0, 1, SMALL as usize, SMALL as usize + 1, 3 * BUFFER + 7] {
            let bytes: Vec<u8> = (0..size).map(|i| ((i * 31) >> 3) as u8).collect();
            let path = dir.path().join(size.to_string());
            std::fs::write(&path, &bytes).unwrap();
            for ways in &ways {
                assert!(copied(&path, ways).0 == bytes, "{size} bytes, {ways:?}");
            }
        }
    }

    #[test]
    fn holes_stay_holes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("sparse");
        let mut file = File::create(&path).unwrap();
        file.write_all(b"head").unwrap();
        file.seek(std::io::SeekFrom::Start(8 << 20)).unwrap();
        file.write_all(b"middle").unwrap();
        file.set_len(16 << 20).unwrap();
        drop(file);
        for reading in [true, false] {
            let ways = ways(false, !reading);
            let (bytes, blocks) = copied(&path, &ways);
            assert!(bytes == std::fs::read(&path).unwrap(), "reading: {reading}");
            assert!(blocks * 512 < 1 << 20, "{blocks} blocks, reading: {reading}");
        }
    }
}
