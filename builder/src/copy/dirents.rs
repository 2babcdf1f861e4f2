//! Reading a directory: all names at once, sorted, so that the same tree is always taken in the same order.

use rustix::fs::{FileType, RawDir};
use rustix::io::Errno;
use std::ffi::{CStr, CString};
use std::os::fd::AsFd;

/// Enough for some 500 names per system call; most directories need one.
const BUFFER: usize = 32 * 1024;

/// One name of a directory.
#[derive(Debug)]
pub(crate) struct Dirent {
    pub name: CString,
    /// What the directory says it is; `Unknown` on file systems that do not tell.
    pub kind: FileType,
}

impl Dirent {
    pub(crate) fn bytes(&self) -> &[u8] {
        self.name.to_bytes()
    }
}

/// The names of the directory `fd` (opened for reading), without `.` and `..`, sorted by byte.
pub(crate) fn read_dir(fd: impl AsFd) -> Result<Vec<Dirent>, Errno> {
    let mut buffer = Vec::with_capacity(BUFFER);
    let mut entries = Vec::new();
    let mut raw = RawDir::new(fd.as_fd(), buffer.spare_capacity_mut());
    while let Some(entry) = raw.next() {
        let entry = entry?;
        let name: &CStr = entry.file_name();
        if !matches!(name.to_bytes(), b"." | b"..") {
            entries.push(Dirent { name: name.to_owned(), kind: entry.file_type() });
        }
    }
    entries.sort_unstable_by(|a, b| a.name.cmp(&b.name));
    Ok(entries)
}
