//! Extended headers: what did not fit into the header block of the entry behind them.

use super::super::xattr::Xattr;
use super::sparse::SparseHints;
use super::{Timestamp, pax};

/// What extended headers say about the entry behind them.
#[derive(Default)]
pub(super) struct Extended {
    pub(super) name: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) gnu_name: Option<Vec<u8>>,
    pub(super) gnu_link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    pub(super) mtime: Option<Timestamp>,
    pub(super) xattrs: Vec<Xattr>,
    pub(super) sparse: SparseHints,
}

impl Extended {
    /// Takes the records of a pax extended header.
    pub(super) fn read_pax(&mut self, bytes: &[u8]) -> Result<(), &'static str> {
        let records = pax::records(bytes).ok_or("its pax records are malformed")?;
        for (key, value) in records {
            if value.is_empty() && !key.starts_with(b"SCHILY.xattr.") {
                continue; // The ustar field stands.
            }
            let decimal = || pax::decimal(value).ok_or("a number in its pax records is none");
            match key {
                b"path" => self.name = Some(value.to_vec()),
                b"linkpath" => self.link = Some(value.to_vec()),
                b"size" => self.size = Some(decimal()?),
                b"uid" => self.uid = Some(decimal()?),
                b"gid" => self.gid = Some(decimal()?),
                b"mtime" => {
                    let time = pax::parse_time(value).ok_or("the time in its pax records is none")?;
                    self.mtime = Some(time);
                }
                _ => {
                    if let Some(name) = key.strip_prefix(b"SCHILY.xattr.") {
                        self.xattrs.push((name.to_vec(), value.to_vec()));
                    } else if let Some(key) = key.strip_prefix(b"GNU.sparse.") {
                        self.sparse.record(key, value)?;
                    }
                }
            }
        }
        Ok(())
    }
}
