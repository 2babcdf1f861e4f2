//! From the name of an image to its config.

use super::{BaseError, Bases, layout};
use crate::graph::{BaseKey, BaseName, ResolvedBase};
use crate::store::Store;
use registry_client::config::ImageConfig;
use registry_client::descriptor::Descriptor;
use registry_client::digest::Digest;
use registry_client::manifest::{Index, Manifest, select};
use registry_client::platform::Platform;
use registry_client::reference::Reference;
use std::path::{Path, PathBuf};

/// The most that is read of a manifest or index, in bytes (distribution-spec, "Pushing Manifests").
const MANIFEST_LIMIT: u64 = 4 << 20;
/// The most that is read of a config, in bytes.
const CONFIG_LIMIT: u64 = 16 << 20;

/// Where the parts of an image can be had when the store has not got them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A repository.
    Registry(Reference),
    /// An OCI image layout.
    Layout(PathBuf),
}

/// An image that was found.
#[derive(Clone, Debug)]
pub struct Resolved {
    /// What planning needs.
    pub base: ResolvedBase,
    /// Its manifest.
    pub manifest: Manifest,
    /// The descriptor of that manifest.
    pub descriptor: Descriptor,
    /// The digest of what the name means: an index, or the manifest itself.
    pub top: Digest,
    /// Where its parts can be had.
    pub source: Source,
}

impl Bases {
    /// Finds an image: in the store, unless `refresh` says to ask its source again; then at its source.
    ///
    /// # Errors
    /// When it is nowhere, not for the platform, or damaged.
    pub async fn resolve(&self, key: &BaseKey, refresh: bool) -> Result<Resolved, BaseError> {
        let resolved = match &key.name {
            BaseName::Reference(name) => {
                let known = if refresh { None } else { self.in_store(name, &key.platform).await? };
                match known {
                    Some(known) => known,
                    None => self.ask_registry(name, &key.platform).await?,
                }
            }
            BaseName::OciLayout { path, reference } => {
                self.ask_layout(key, path, reference.as_deref()).await?
            }
        };
        let (layers, diff_ids) = (&resolved.manifest.layers, &resolved.base.config.rootfs.diff_ids);
        if layers.len() != diff_ids.len() {
            return Err(BaseError::LayerCount {
                name: key.name.to_string(),
                layers: layers.len(),
                diff_ids: diff_ids.len(),
            });
        }
        self.learn(diff_ids, layers, &resolved.source);
        Ok(resolved)
    }

    /// The image of that name in the store, when there is one for the platform.
    pub async fn in_store(&self, name: &str, platform: &Platform) -> Result<Option<Resolved>, BaseError> {
        let Some(top) = find(&self.store, name)? else { return Ok(None) };
        let Ok(reference) = name.parse::<Reference>() else { return Ok(None) };
        let source = Source::Registry(reference);
        match self.descend(name, top, platform, &source, false).await {
            Ok(resolved) => {
                let found = resolved.base.config.platform();
                let same = found.os == platform.os && found.architecture == platform.architecture;
                Ok(Some(resolved).filter(|_| same))
            }
            // What was removed or is damaged is fetched again.
            Err(BaseError::Store(_) | BaseError::Platform { .. } | BaseError::Document { .. }) => Ok(None),
            Err(other) => Err(other),
        }
    }

    /// Asks the registry; the image is remembered under its name.
    async fn ask_registry(&self, name: &str, platform: &Platform) -> Result<Resolved, BaseError> {
        let reference: Reference = name.parse().map_err(|error| BaseError::Document {
            name: name.to_owned(),
            what: "reference",
            digest: Box::new(Digest::of(name.as_bytes())),
            why: format!("{error}"),
        })?;
        let source = Source::Registry(reference.clone());
        let top = self.client.manifest(&reference).await?;
        self.store.blobs().insert(&top.bytes)?;
        let resolved = self.descend(name, top.descriptor.clone(), platform, &source, true).await?;
        let images = self.store.images();
        match reference.digest() {
            None => images.add(&top.descriptor, &[name.to_owned()])?,
            // The digest says which it is; a tag beside it names whatever the registry has there.
            Some(_) if find(&self.store, name)?.is_some() => {}
            Some(digest) => {
                let name = reference.without_identifier().with_digest(digest).to_string();
                images.add(&top.descriptor, &[name])?;
            }
        }
        Ok(resolved)
    }

    /// Reads an OCI layout; what is read goes into the store, the layers when they are needed.
    async fn ask_layout(
        &self,
        key: &BaseKey,
        path: &Path,
        wanted: Option<&str>,
    ) -> Result<Resolved, BaseError> {
        let bad = |why: String| BaseError::Layout { path: path.to_owned(), why };
        let index_path = path.join("index.json");
        let text = std::fs::read(&index_path)
            .map_err(|e| bad(format!("it is no OCI image layout: index.json: {e}")))?;
        let index: Index = serde_json::from_slice(&text).map_err(|e| bad(format!("index.json: {e}")))?;
        let top = layout::entry(path, &index, wanted).map_err(bad)?;
        let source = Source::Layout(path.to_owned());
        self.descend(&key.name.to_string(), top, &key.platform, &source, true).await
    }

    /// From an index or a manifest to the manifest of the platform, and its config. What the store has not got is
    /// fetched when `fetch` allows it, or when the image came from a registry.
    async fn descend(
        &self,
        name: &str,
        mut at: Descriptor,
        platform: &Platform,
        source: &Source,
        fetch: bool,
    ) -> Result<Resolved, BaseError> {
        let top = at.digest;
        // An index may hold indexes; more than a few of them are no image.
        for _ in 0..4 {
            let bytes = self.document(&at, source, MANIFEST_LIMIT, fetch).await?;
            let cannot = |what, why: String| BaseError::Document {
                name: name.to_owned(),
                what,
                digest: Box::new(at.digest),
                why,
            };
            if at.media_type.is_index() {
                let index: Index =
                    serde_json::from_slice(&bytes).map_err(|e| cannot("index", e.to_string()))?;
                let chosen = select(&index, platform)
                    .map_err(|error| BaseError::Platform { name: name.to_owned(), why: error.to_string() })?;
                at = chosen.clone();
                continue;
            }
            if !at.media_type.is_manifest() {
                return Err(cannot("manifest", format!("{} is no image", at.media_type)));
            }
            let manifest: Manifest =
                serde_json::from_slice(&bytes).map_err(|e| cannot("manifest", e.to_string()))?;
            let config_bytes = self.document(&manifest.config, source, CONFIG_LIMIT, fetch).await?;
            let config: ImageConfig =
                serde_json::from_slice(&config_bytes).map_err(|e| BaseError::Document {
                    name: name.to_owned(),
                    what: "config",
                    digest: Box::new(manifest.config.digest),
                    why: e.to_string(),
                })?;
            let base = ResolvedBase { digest: at.digest, config, guessed: false };
            return Ok(Resolved { base, manifest, descriptor: at, top, source: source.clone() });
        }
        Err(BaseError::Document {
            name: name.to_owned(),
            what: "index",
            digest: Box::new(at.digest),
            why: "its indexes are nested too deeply".to_owned(),
        })
    }

    /// The verified bytes of a small document; what is fetched is kept in the store.
    async fn document(
        &self,
        descriptor: &Descriptor,
        source: &Source,
        limit: u64,
        fetch: bool,
    ) -> Result<Vec<u8>, BaseError> {
        let blobs = self.store.blobs();
        match blobs.read(&descriptor.digest, limit) {
            Ok(bytes) => return Ok(bytes),
            Err(error) if !fetch => return Err(error.into()),
            Err(_) => {}
        }
        let bytes = match source {
            Source::Registry(reference)
                if descriptor.media_type.is_index() || descriptor.media_type.is_manifest() =>
            {
                self.client.manifest(&reference.with_digest(descriptor.digest)).await?.bytes.to_vec()
            }
            Source::Registry(reference) => {
                let limit = usize::try_from(limit).unwrap_or(usize::MAX);
                self.client.blob_bytes(reference, descriptor, limit).await?.to_vec()
            }
            Source::Layout(path) => {
                let bad = |why: String| BaseError::Layout { path: path.clone(), why };
                let file = layout::blob_path(path, &descriptor.digest);
                let bytes =
                    std::fs::read(&file).map_err(|e| bad(format!("blob {}: {e}", descriptor.digest)))?;
                if descriptor.digest.same_algorithm_of(&bytes) != descriptor.digest {
                    return Err(bad(format!("blob {} is damaged", descriptor.digest)));
                }
                bytes
            }
        };
        blobs.insert(&bytes)?;
        Ok(bytes)
    }
}

/// The descriptor that the store has under a canonical name: by tag, or by the digest in it, whatever its names are.
fn find(store: &Store, name: &str) -> Result<Option<Descriptor>, BaseError> {
    let digest = name.parse::<Reference>().ok().and_then(|reference| reference.digest());
    let Some(digest) = digest else { return Ok(store.images().by_name(name)?) };
    let images = store.images().list()?;
    Ok(images.into_iter().map(|image| image.descriptor).find(|descriptor| descriptor.digest == digest))
}
