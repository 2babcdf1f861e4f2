//! Long files reach the disk while they are written, so that little is left to wait for when they are synced.

use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsRawFd;

/// Bytes after which the kernel is asked to begin writing them to the disk. Files below this cost no call.
const STEP: u64 = 8 << 20;

/// A file that is written from its start to its end.
#[derive(Debug)]
pub(crate) struct WriteBehind {
    file: File,
    written: u64,
    begun: u64,
}

impl WriteBehind {
    /// Wraps a file that is empty.
    pub(crate) fn new(file: File) -> Self {
        Self { file, written: 0, begun: 0 }
    }

    /// The file itself.
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    /// Asks for what was written since the last time. It is no promise, and need not work: a later sync is.
    fn begin(&mut self) {
        let (Ok(from), Ok(length)) = (self.begun.try_into(), (self.written - self.begun).try_into()) else {
            return;
        };
        self.begun = self.written;
        // SAFETY: it takes numbers only, of a descriptor that is open.
        unsafe { libc::sync_file_range(self.file.as_raw_fd(), from, length, libc::SYNC_FILE_RANGE_WRITE) };
    }
}

impl Write for WriteBehind {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.written += written as u64;
        if self.written - self.begun >= STEP {
            self.begin();
        }
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_there() {
        let file = tempfile::NamedTempFile::new().unwrap();
        let mut behind = WriteBehind::new(file.reopen().unwrap());
        let piece: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
        for _ in 0..7 {
            behind.write_all(&piece).unwrap();
        }
        behind.flush().unwrap();
        assert_eq!((behind.written, behind.begun), (21_000_000, 18_000_000));
        behind.file().sync_data().unwrap();
        assert!(std::fs::read(file.path()).unwrap() == piece.repeat(7));
    }
}
