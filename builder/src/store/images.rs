//! `index.json`: images, by name and id.

use super::document::{self, Durability, sync_parent};
use super::error::{At, StoreError};
use super::{KeyLock, Store};
use registry_client::descriptor::Descriptor;
use registry_client::digest::Digest;
use registry_client::manifest::{Index, Manifest};
use registry_client::media_type::MediaType;
use std::collections::BTreeMap;

/// The name of an image in a layout (image-spec annotations.md).
pub const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The same for containerd, which takes `ref.name` for a tag alone.
pub const CONTAINERD_NAME: &str = "io.containerd.image.name";
/// The most that is read of a manifest or index, in bytes (distribution-spec: 4 MiB).
pub(super) const LIMIT: u64 = 4 << 20;

/// An entry of `index.json`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Image {
    /// The full canonical reference; none when it was built without `-t`.
    pub name: Option<String>,
    /// Its manifest or index.
    pub descriptor: Descriptor,
}

/// The images of a store.
#[derive(Clone, Debug)]
pub struct Images {
    store: Store,
}

impl Images {
    pub(super) fn new(store: Store) -> Self {
        Self { store }
    }

    fn read(&self) -> Result<Index, StoreError> {
        let path = self.store.path("index.json");
        let text = std::fs::read(&path).at("read", &path)?;
        serde_json::from_slice(&text).map_err(|e| StoreError::Malformed { path, why: e.to_string() })
    }

    pub(super) fn lock(&self) -> Result<KeyLock, StoreError> {
        self.store.lock("images", "index.json")
    }

    /// Writes the index, when it changed, after everything it refers to is on the disk.
    fn write(&self, before: &Index, mut index: Index) -> Result<(), StoreError> {
        index.manifests.sort_by(|a, b| (name_of(a), a.digest).cmp(&(name_of(b), b.digest)));
        if index == *before {
            return Ok(());
        }
        let path = self.store.path("index.json");
        let bytes = to_json(&index, &path)?;
        // The blobs are synced; their names are entries of this directory.
        sync_parent(&self.store.path("blobs/sha256/x"))?;
        document::replace(&self.store.scratch("index")?, &path, &bytes, Durability::Promised)
    }

    /// Keeps the image, whose blobs are in the store, under each of `names`: full canonical references, taken from
    /// whatever image had them. Without names it is kept by its id alone. Durable when this returns.
    ///
    /// An image that loses its last name is no longer listed; garbage collection may take it.
    ///
    /// # Errors
    /// `NoBlob` when the manifest is not in the store; when the index cannot be written.
    pub fn add(&self, descriptor: &Descriptor, names: &[String]) -> Result<(), StoreError> {
        if !self.store.blobs().contains(&descriptor.digest) {
            return Err(StoreError::NoBlob(descriptor.digest));
        }
        let _lock = self.lock()?;
        let before = self.read()?;
        let mut index = before.clone();
        let had_name = |d: &Descriptor| name_of(d).is_some_and(|n| names.iter().any(|name| name == n));
        let same_unnamed = |d: &Descriptor| name_of(d).is_none() && d.digest == descriptor.digest;
        let known = index.manifests.iter().any(|d| d.digest == descriptor.digest);
        if names.is_empty() && known {
            return Ok(());
        }
        index.manifests.retain(|d| !had_name(d) && !same_unnamed(d));
        let plain = image(descriptor.clone()).descriptor;
        if names.is_empty() {
            index.manifests.push(plain.clone());
        }
        for name in names {
            let mut named = plain.clone();
            named.annotations.insert(REF_NAME.to_owned(), name.clone());
            named.annotations.insert(CONTAINERD_NAME.to_owned(), name.clone());
            index.manifests.push(named);
        }
        self.write(&before, index)
    }

    /// As [`add`](Self::add), with one name.
    ///
    /// # Errors
    /// As for [`add`](Self::add).
    pub fn tag(&self, name: &str, descriptor: &Descriptor) -> Result<(), StoreError> {
        self.add(descriptor, &[name.to_owned()])
    }

    /// Takes the name away; says what it named, `None` when nothing.
    ///
    /// # Errors
    /// When the index cannot be read or written.
    pub fn untag(&self, name: &str) -> Result<Option<Descriptor>, StoreError> {
        Ok(self.remove_if(|d| name_of(d) == Some(name))?.pop().map(|d| image(d).descriptor))
    }

    /// Takes the image away with all its names; says how many entries it had.
    ///
    /// # Errors
    /// When the index cannot be read or written.
    pub fn remove(&self, manifest: &Digest) -> Result<usize, StoreError> {
        self.remove_if(|d| d.digest == *manifest).map(|removed| removed.len())
    }

    /// The same, for who has the [lock](Self::lock).
    pub(super) fn remove_locked(&self, manifest: &Digest) -> Result<(), StoreError> {
        self.remove_if_locked(|d| d.digest == *manifest).map(drop)
    }

    fn remove_if(&self, unwanted: impl Fn(&Descriptor) -> bool) -> Result<Vec<Descriptor>, StoreError> {
        let _lock = self.lock()?;
        self.remove_if_locked(unwanted)
    }

    fn remove_if_locked(
        &self,
        unwanted: impl Fn(&Descriptor) -> bool,
    ) -> Result<Vec<Descriptor>, StoreError> {
        let before = self.read()?;
        let mut index = before.clone();
        let removed = index.manifests.extract_if(.., |d| unwanted(d)).collect();
        self.write(&before, index)?;
        Ok(removed)
    }

    /// All images, sorted by name; those without one first.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn list(&self) -> Result<Vec<Image>, StoreError> {
        Ok(self.read()?.manifests.into_iter().map(image).collect())
    }

    /// The image of exactly this name.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn by_name(&self, name: &str) -> Result<Option<Descriptor>, StoreError> {
        Ok(self.list()?.into_iter().find(|i| i.name.as_deref() == Some(name)).map(|i| i.descriptor))
    }

    /// The image whose id or manifest digest is, or starts with, `text`: hexadecimal digits, `sha256:` in front or not.
    /// Of several manifests of one id, which are one image, one that has a name if any has.
    ///
    /// # Errors
    /// `Ambiguous`; when the index cannot be read.
    pub fn by_id(&self, text: &str) -> Result<Option<Descriptor>, StoreError> {
        let prefix = text.strip_prefix("sha256:").unwrap_or(text);
        if prefix.is_empty() || prefix.len() > 64 || !prefix.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Ok(None);
        }
        let prefix = prefix.to_ascii_lowercase();
        // By what `text` is the beginning of.
        let mut found: BTreeMap<Digest, Descriptor> = BTreeMap::new();
        // Those with names come last.
        for Image { descriptor, .. } in self.list()? {
            let fits = |digest: &Digest| digest.algorithm() == "sha256" && digest.hex().starts_with(&prefix);
            // What cannot be read any more can still be named by the digest of its manifest, to remove it.
            let id = self.id(&descriptor).ok();
            if let Some(digest) = id.filter(fits).or_else(|| Some(descriptor.digest).filter(fits)) {
                found.insert(digest, descriptor);
            }
        }
        match found.len() {
            0 | 1 => Ok(found.into_values().next()),
            _ => Err(StoreError::Ambiguous {
                prefix,
                candidates: found.keys().take(4).map(|d| d.hex()[..20].to_owned()).collect(),
            }),
        }
    }

    /// All manifests of an image id: one, unless the same config is in several, with different annotations or
    /// compression.
    ///
    /// # Errors
    /// When the index cannot be read.
    pub fn of_id(&self, id: &Digest) -> Result<Vec<Descriptor>, StoreError> {
        let listed = self.list()?.into_iter().map(|image| (image.descriptor.digest, image.descriptor));
        let distinct: BTreeMap<Digest, Descriptor> = listed.collect();
        let is_of_id = |descriptor: &Descriptor| self.id(descriptor).is_ok_and(|known| known == *id);
        Ok(distinct.into_values().filter(is_of_id).collect())
    }

    /// The image that `text` means: a full canonical reference, or (the beginning of) an id.
    ///
    /// # Errors
    /// As for [`by_id`](Self::by_id).
    pub fn resolve(&self, text: &str) -> Result<Option<Descriptor>, StoreError> {
        match self.by_name(text)? {
            Some(descriptor) => Ok(Some(descriptor)),
            None => self.by_id(text),
        }
    }

    /// The image id: the digest of the config; of several platforms, the digest of the index.
    ///
    /// # Errors
    /// When the manifest cannot be read.
    pub fn id(&self, descriptor: &Descriptor) -> Result<Digest, StoreError> {
        if descriptor.media_type.is_index() {
            return Ok(descriptor.digest);
        }
        Ok(self.manifest(&descriptor.digest)?.config.digest)
    }

    /// Reads a manifest.
    ///
    /// # Errors
    /// When it is absent, damaged, or something else.
    pub fn manifest(&self, digest: &Digest) -> Result<Manifest, StoreError> {
        self.document(digest)
    }

    /// Reads an index of several platforms.
    ///
    /// # Errors
    /// When it is absent, damaged, or something else.
    pub fn index(&self, digest: &Digest) -> Result<Index, StoreError> {
        self.document(digest)
    }

    fn document<T: serde::de::DeserializeOwned>(&self, digest: &Digest) -> Result<T, StoreError> {
        let blobs = self.store.blobs();
        let text = blobs.read(digest, LIMIT)?;
        serde_json::from_slice(&text)
            .map_err(|e| StoreError::Malformed { path: blobs.path(digest), why: e.to_string() })
    }
}

fn name_of(descriptor: &Descriptor) -> Option<&str> {
    let name = descriptor.annotations.get(CONTAINERD_NAME).or_else(|| descriptor.annotations.get(REF_NAME));
    name.map(String::as_str)
}

fn image(mut descriptor: Descriptor) -> Image {
    let name = name_of(&descriptor).map(str::to_owned);
    descriptor.annotations.retain(|key, _| key != REF_NAME && key != CONTAINERD_NAME);
    Image { name, descriptor }
}

fn to_json(index: &Index, path: &std::path::Path) -> Result<Vec<u8>, StoreError> {
    serde_json::to_vec(index).map_err(|e| StoreError::Io {
        action: "encode",
        path: path.to_owned(),
        source: e.into(),
    })
}

/// The index of a store without images.
pub(super) fn empty_index() -> Vec<u8> {
    let text = serde_json::json!({
        "schemaVersion": 2,
        "mediaType": MediaType::OciIndex.as_str(),
        "manifests": [],
    });
    text.to_string().into_bytes()
}
