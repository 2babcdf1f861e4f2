//! A tar archive, spooled: its files come in any order, and the documents that say what they are may come last.

use super::{DOCUMENT, Files, ImportError, copy};
use crate::layer::Decoder;
use crate::store::{BlobInfo, FinishedBlob, Store};
use registry_client::descriptor::Descriptor;
use registry_client::digest::Digest;
use std::collections::BTreeMap;
use std::io::{self, Read};
use tar::EntryType;

/// The most files an archive may have. An old Docker archive has four per layer, and an image 127 layers.
const FILES: usize = 20_000;
/// How far links are followed.
const LINKS: usize = 8;

/// The files of an archive, as blobs without a name in `tmp/`.
pub(super) struct Spool {
    store: Store,
    entries: BTreeMap<String, Entry>,
}

enum Entry {
    /// A file, hashed.
    File(FinishedBlob),
    /// A file that the store has: it was there before, or has been put there.
    Stored(BlobInfo),
    /// Another name of a file. Old Docker and podman link layers that several images share.
    Link(String),
}

impl Spool {
    /// Reads all of `archive`.
    pub(super) fn read(store: &Store, archive: impl Read) -> Result<Self, ImportError> {
        let archive = Decoder::detect(archive).map_err(ImportError::Read)?;
        let mut archive = tar::Archive::new(archive);
        let mut spool = Self { store: store.clone(), entries: BTreeMap::new() };
        for entry in archive.entries().map_err(ImportError::Read)? {
            let mut entry = entry.map_err(ImportError::Read)?;
            let Some(name) = clean("", &entry.path_bytes()) else { continue };
            let found = match entry.header().entry_type() {
                EntryType::Regular | EntryType::Continuous => {
                    let size = entry.size();
                    spool.file(&name, size, &mut entry)?
                }
                EntryType::Symlink => {
                    match entry.link_name_bytes().and_then(|to| clean(parent(&name), &to)) {
                        Some(to) => Entry::Link(to),
                        None => continue,
                    }
                }
                EntryType::Link => match entry.link_name_bytes().and_then(|to| clean("", &to)) {
                    Some(to) => Entry::Link(to),
                    None => continue,
                },
                _ => continue,
            };
            spool.entries.insert(name, found);
            if spool.entries.len() > FILES {
                return Err(ImportError::TooMany(FILES));
            }
        }
        // A compressed archive has a checksum behind the end of the tar.
        io::copy(&mut archive.into_inner(), &mut io::sink()).map_err(ImportError::Read)?;
        Ok(spool)
    }

    fn file(&self, name: &str, size: u64, bytes: &mut dyn Read) -> Result<Entry, ImportError> {
        let blobs = self.store.blobs();
        let digest = blob_digest(name);
        if let Some(digest) = digest.filter(|d| blobs.size(d) == Some(size)) {
            return Ok(Entry::Stored(BlobInfo { digest, size }));
        }
        let mut writer = blobs.writer_like(digest.as_ref())?;
        copy(name, bytes, &mut writer)?;
        let blob = writer.finish()?;
        match digest {
            Some(digest) if digest != blob.info().digest => {
                Err(ImportError::Digest { name: name.to_owned(), found: blob.info().digest.into() })
            }
            _ => Ok(Entry::File(blob)),
        }
    }

    /// The name that `name` is a link to, in the end.
    fn follow(&self, name: &str) -> Option<String> {
        let mut name = clean("", name.as_bytes())?;
        for _ in 0..LINKS {
            match self.entries.get(&name)? {
                Entry::Link(to) => name.clone_from(to),
                _ => return Some(name),
            }
        }
        None
    }
}

impl Files for Spool {
    fn document(&mut self, name: &str) -> Result<Option<Vec<u8>>, ImportError> {
        let Some(entry) = self.follow(name).and_then(|name| self.entries.get(&name)) else { return Ok(None) };
        let size = match entry {
            Entry::File(blob) => blob.info().size,
            Entry::Stored(info) => info.size,
            Entry::Link(_) => return Ok(None),
        };
        if size > DOCUMENT {
            return Err(ImportError::TooLarge { name: name.to_owned(), size });
        }
        Ok(Some(match entry {
            Entry::File(blob) => blob.read()?,
            Entry::Stored(info) => self.store.blobs().read(&info.digest, DOCUMENT)?,
            Entry::Link(_) => return Ok(None),
        }))
    }

    fn blob(&mut self, name: &str, expected: Option<&Descriptor>) -> Result<Option<BlobInfo>, ImportError> {
        let Some(name) = self.follow(name) else { return Ok(None) };
        let info = match self.entries.remove(&name) {
            Some(Entry::File(blob)) => blob.commit(expected)?,
            Some(Entry::Stored(info)) => {
                if let Some(expected) = expected
                    && (expected.digest, expected.size) != (info.digest, info.size)
                {
                    return Err(ImportError::Digest { name, found: info.digest.into() });
                }
                info
            }
            Some(Entry::Link(_)) | None => return Ok(None),
        };
        self.entries.insert(name, Entry::Stored(info));
        Ok(Some(info))
    }
}

/// The digest that a name in a layout promises.
fn blob_digest(name: &str) -> Option<Digest> {
    let (algorithm, hex) = name.strip_prefix("blobs/")?.split_once('/')?;
    format!("{algorithm}:{hex}").parse().ok()
}

fn parent(name: &str) -> &str {
    name.rsplit_once('/').map_or("", |(parent, _)| parent)
}

/// `name`, seen from `base`, without `.` and `..`; `None` for what is outside the archive, or no name of ours.
fn clean(base: &str, name: &[u8]) -> Option<String> {
    let name = std::str::from_utf8(name).ok()?;
    let mut parts: Vec<&str> = if name.starts_with('/') { Vec::new() } else { split(base).collect() };
    for part in split(name) {
        if part == ".." {
            parts.pop()?;
        } else {
            parts.push(part);
        }
    }
    (!parts.is_empty()).then(|| parts.join("/"))
}

fn split(path: &str) -> impl Iterator<Item = &str> {
    path.split('/').filter(|part| !matches!(*part, "" | "."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_stay_in_the_archive() {
        for (base, name, want) in [
            ("", "./index.json", Some("index.json")),
            ("", "/etc/passwd", Some("etc/passwd")),
            ("", "../x", None),
            ("a", "../b/layer.tar", Some("b/layer.tar")),
            ("a", "../../b", None),
            ("a/b", "./c//d/", Some("a/b/c/d")),
            ("a", "..", None),
        ] {
            assert_eq!(clean(base, name.as_bytes()).as_deref(), want, "{name} from {base}");
        }
        assert_eq!(clean("", b"\xff"), None);
    }
}
