//! The file tree of an image that lies in a directory, put together in memory: no privilege, no program.

use super::listing::{Entry, Listing, hex, sha256};
use serde_json::Value;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, BufReader, Read};
use std::path::{Component, Path, PathBuf};
use tar::{Archive, EntryType};

/// The configuration and the merged layers of an image of one platform.
pub(crate) struct Flat {
    /// The configuration document.
    pub config: Value,
    /// What a container would see.
    pub tree: Listing,
}

impl Flat {
    /// Reads skopeo's `dir:` form, or an OCI layout with one image. Layers may be compressed with gzip.
    pub(crate) fn read(directory: &Path) -> Flat {
        let layout = directory.join("index.json").exists();
        let blob = |descriptor: &Value| -> PathBuf {
            let digest = descriptor["digest"].as_str().expect("a descriptor has a digest");
            let hex = digest.strip_prefix("sha256:").expect("digests are of SHA-256");
            if layout { directory.join("blobs/sha256").join(hex) } else { directory.join(hex) }
        };
        let manifest = if layout {
            json(&blob(&json(&directory.join("index.json"))["manifests"][0]))
        } else {
            json(&directory.join("manifest.json"))
        };
        let config = json(&blob(&manifest["config"]));
        let mut merged = Merged::default();
        for layer in manifest["layers"].as_array().expect("a manifest has layers") {
            let path = blob(layer);
            merged.apply(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        }
        Flat { config, tree: merged.listing() }
    }
}

fn json(path: &Path) -> Value {
    let text = fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_slice(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// Layers on top of each other.
#[derive(Default)]
struct Merged {
    /// Each path with what is there, and a number that hard links have in common.
    entries: BTreeMap<String, (Entry, u64)>,
    files: u64,
}

impl Merged {
    /// Applies one layer: whiteouts to what is below, then its entries (image-spec layer.md).
    fn apply(&mut self, layer: &Path) -> io::Result<()> {
        for entry in Archive::new(uncompressed(layer)?).entries()? {
            let path = name(&entry?.path()?);
            let (parent, last) = path.rsplit_once('/').expect("paths start with a slash");
            match last.strip_prefix(".wh.") {
                Some(".wh..opq") => self.remove_below(parent),
                Some(hidden) => self.remove(&format!("{parent}/{hidden}")),
                None => {}
            }
        }
        let mut archive = Archive::new(uncompressed(layer)?);
        for entry in archive.entries()? {
            let mut entry = entry?;
            let path = name(&entry.path()?);
            if path.rsplit_once('/').is_some_and(|(_, last)| last.starts_with(".wh.")) {
                continue;
            }
            if entry.header().entry_type() == EntryType::Link {
                let target = entry.link_name()?.map(|target| name(&target)).unwrap_or_default();
                let linked = self.entries.get(&target).cloned();
                let linked =
                    linked.ok_or_else(|| io::Error::other(format!("{path}: no {target} to link")))?;
                self.remove(&path);
                self.entries.insert(path, linked);
                continue;
            }
            let read = read(&mut entry)?;
            if read.kind == "directory" {
                if self.entries.get(&path).is_some_and(|(there, _)| there.kind != "directory") {
                    self.remove(&path);
                }
            } else {
                self.remove(&path);
            }
            self.files += 1;
            self.entries.insert(path, (read, self.files));
        }
        Ok(())
    }

    fn remove(&mut self, path: &str) {
        self.entries.remove(path);
        self.remove_below(path);
    }

    fn remove_below(&mut self, path: &str) {
        let below = format!("{}/", path.trim_end_matches('/'));
        self.entries.retain(|name, _| !name.starts_with(&below) || name == "/");
    }

    fn listing(mut self) -> Listing {
        // Without an entry of its own the root is what every tool makes of it.
        self.entries.entry("/".to_owned()).or_insert_with(|| (Entry::directory(0o755), 0));
        let mut first: BTreeMap<u64, String> = BTreeMap::new();
        let entries = self.entries.into_iter().map(|(path, (mut entry, number))| {
            if entry.kind != "directory" {
                let name = first.entry(number).or_insert_with(|| path.clone());
                entry.same_as = (*name != path).then(|| name.clone());
            }
            (path, entry)
        });
        Listing(entries.collect())
    }
}

fn uncompressed(layer: &Path) -> io::Result<Box<dyn Read>> {
    let mut start = [0; 2];
    let is_gzip = File::open(layer)?.read_exact(&mut start).is_ok() && start == [0x1f, 0x8b];
    let file = BufReader::new(File::open(layer)?);
    Ok(if is_gzip { Box::new(flate2::read::GzDecoder::new(file)) } else { Box::new(file) })
}

/// `/a/b` of `./a/b/`.
fn name(path: &Path) -> String {
    let parts = path.components().filter_map(|part| match part {
        Component::Normal(part) => Some(part.to_string_lossy()),
        _ => None,
    });
    format!("/{}", parts.collect::<Vec<_>>().join("/"))
}

fn read(from: &mut tar::Entry<'_, impl Read>) -> io::Result<Entry> {
    let header = from.header();
    let mut entry = Entry::directory(header.mode()? & 0o7777);
    (entry.uid, entry.gid) = (number(header.uid()?)?, number(header.gid()?)?);
    let device = || -> io::Result<String> {
        let (major, minor) = (header.device_major()?.unwrap_or(0), header.device_minor()?.unwrap_or(0));
        Ok(format!("{major}:{minor}"))
    };
    match header.entry_type() {
        EntryType::Directory => {}
        EntryType::Symlink => {
            (entry.kind, entry.mode) = ("link", 0);
            entry.content =
                from.link_name()?.map(|target| target.to_string_lossy().into_owned()).unwrap_or_default();
        }
        EntryType::Fifo => entry.kind = "fifo",
        EntryType::Char => (entry.kind, entry.content) = ("char", device()?),
        EntryType::Block => (entry.kind, entry.content) = ("block", device()?),
        _ => (entry.kind, entry.size) = ("file", header.size()?),
    }
    if let Some(extensions) = from.pax_extensions()? {
        for extension in extensions {
            let extension = extension?;
            let key = extension.key().map_err(io::Error::other)?;
            if let Some(attribute) = key.strip_prefix("SCHILY.xattr.") {
                entry.xattrs.insert(attribute.to_owned(), hex(extension.value_bytes()));
            }
        }
    }
    if entry.kind == "file" {
        entry.content = sha256(from)?;
    }
    Ok(entry)
}

fn number(id: u64) -> io::Result<u32> {
    u32::try_from(id).map_err(io::Error::other)
}
