//! Extended attributes: which ones are content, reading and writing them.
//!
//! Content is what a layer carries. What is copied and what is part of a content id is the same, so that no attribute can
//! be carried along unnoticed, or be lost when the layer is written.

use crate::layer::xattr::belongs_to_layer;
use rustix::buffer::spare_capacity;
use rustix::fs::{self, XattrFlags};
use rustix::io::Errno;
use std::collections::BTreeMap;
use std::ffi::{CStr, CString};
use std::os::fd::AsFd;

/// Name and value, sorted by name.
pub(crate) type Xattrs = BTreeMap<CString, Vec<u8>>;

/// The attributes of an open file or directory that are content. File systems without attributes have none.
pub(crate) fn read(fd: impl AsFd) -> Result<Xattrs, Errno> {
    let mut found = Xattrs::new();
    for name in names(fd.as_fd())? {
        if !belongs_to_layer(name.to_bytes()) {
            continue;
        }
        match value(fd.as_fd(), &name) {
            Ok(value) => {
                found.insert(name, value);
            }
            // Removed since it was listed.
            Err(Errno::NODATA) => {}
            Err(errno) => return Err(errno),
        }
    }
    Ok(found)
}

fn names(fd: impl AsFd) -> Result<Vec<CString>, Errno> {
    let mut list = Vec::with_capacity(256);
    loop {
        match fs::flistxattr(fd.as_fd(), spare_capacity(&mut list)) {
            Ok(_) => break,
            Err(Errno::RANGE) => {
                let needed = fs::flistxattr(fd.as_fd(), &mut [0_u8; 0])?;
                list.reserve(needed + 256);
            }
            Err(Errno::OPNOTSUPP) => break,
            Err(errno) => return Err(errno),
        }
    }
    Ok(list
        .split_inclusive(|b| *b == 0)
        .filter_map(|n| CStr::from_bytes_with_nul(n).ok())
        .map(CStr::to_owned)
        .collect())
}

fn value(fd: impl AsFd, name: &CStr) -> Result<Vec<u8>, Errno> {
    let mut value = Vec::with_capacity(128);
    loop {
        match fs::fgetxattr(fd.as_fd(), name, spare_capacity(&mut value)) {
            Ok(_) => return Ok(value),
            Err(Errno::RANGE) => {
                let needed = fs::fgetxattr(fd.as_fd(), name, &mut [0_u8; 0])?;
                value.reserve(needed + 128);
            }
            Err(errno) => return Err(errno),
        }
    }
}

/// Sets `attributes` on an open file or directory. `refused` hears of those that the file system or missing
/// privileges do not allow.
pub(crate) fn write(
    fd: impl AsFd,
    attributes: &Xattrs,
    mut refused: impl FnMut(&CStr, Errno),
) -> Result<(), Errno> {
    for (name, value) in attributes {
        match fs::fsetxattr(fd.as_fd(), name.as_c_str(), value, XattrFlags::empty()) {
            Ok(()) => {}
            Err(errno @ (Errno::OPNOTSUPP | Errno::PERM)) => refused(name, errno),
            Err(errno) => return Err(errno),
        }
    }
    Ok(())
}
