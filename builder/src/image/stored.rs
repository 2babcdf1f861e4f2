//! Images in the store: kept, and read back.

use super::ImageError;
use super::manifest::{Dialect, manifest, to_json};
use crate::store::{Store, StoreError};
use registry_client::config::ImageConfig;
use registry_client::descriptor::Descriptor;
use registry_client::digest::{DiffId, Digest};
use registry_client::manifest::Manifest;
use registry_client::media_type::MediaType;
use registry_client::platform::Platform;
use std::collections::BTreeMap;

/// The most that is read of a config, in bytes.
const CONFIG_LIMIT: u64 = 8 << 20;
/// Indexes inside indexes are followed this far.
const DEPTH: usize = 4;

/// A layer of an image: what it is, and the bytes that carry it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageLayer {
    /// Digest of the uncompressed tar.
    pub diff_id: DiffId,
    /// The blob.
    pub descriptor: Descriptor,
}

/// An image of one platform in the store.
#[derive(Clone, Debug)]
pub struct StoredImage {
    /// Points to its manifest.
    pub manifest: Descriptor,
    /// Points to its config.
    pub config_descriptor: Descriptor,
    /// The config, byte for byte.
    pub config_bytes: Vec<u8>,
    /// The config.
    pub config: ImageConfig,
    /// Its layers, base first.
    pub layers: Vec<ImageLayer>,
    /// Annotations of its manifest.
    pub annotations: BTreeMap<String, String>,
}

impl StoredImage {
    /// The image id.
    pub fn id(&self) -> Digest {
        self.config_descriptor.digest
    }

    /// Bytes of config, manifest and layers, as stored.
    pub fn size(&self) -> u64 {
        let layers: u64 = self.layers.iter().map(|l| l.descriptor.size).sum();
        self.manifest.size + self.config_descriptor.size + layers
    }
}

/// Puts config and manifest of an image into the store, whose blobs hold its layers already; names are given to it by
/// [`Images::add`](crate::store::Images::add).
///
/// # Errors
/// When layers and config disagree, a layer's blob is missing, or the dialect has no word for a layer.
pub fn keep(
    store: &Store,
    config: &ImageConfig,
    layers: &[ImageLayer],
    dialect: Dialect,
    annotations: &BTreeMap<String, String>,
) -> Result<StoredImage, ImageError> {
    keep_bytes(store, &to_json(config), config, layers, dialect, annotations)
}

/// As [`keep`], for a config that came as bytes: they, and so the image id, stay as they are.
///
/// # Errors
/// As for [`keep`].
pub(crate) fn keep_bytes(
    store: &Store,
    config_bytes: &[u8],
    config: &ImageConfig,
    layers: &[ImageLayer],
    dialect: Dialect,
    annotations: &BTreeMap<String, String>,
) -> Result<StoredImage, ImageError> {
    agree(config, layers.iter().map(|l| l.diff_id))?;
    let blobs = store.blobs();
    // A layer that may be fetched from elsewhere (`urls`) is not ours to hold.
    let held = |d: &Descriptor| !d.urls.is_empty() || blobs.size(&d.digest) == Some(d.size);
    if let Some(missing) = layers.iter().find(|l| !held(&l.descriptor)) {
        return Err(StoreError::NoBlob(missing.descriptor.digest).into());
    }
    let config_descriptor = Descriptor::of(dialect.config_type(), config_bytes);
    let mut layers = layers.to_vec();
    for layer in &mut layers {
        layer.descriptor.media_type = dialect.layer_type(&layer.descriptor.media_type)?;
    }
    let descriptors: Vec<Descriptor> = layers.iter().map(|l| l.descriptor.clone()).collect();
    let manifest = manifest(&config_descriptor, &descriptors, dialect, annotations)?;
    blobs.insert(config_bytes)?;
    blobs.insert(&manifest.bytes)?;
    Ok(StoredImage {
        manifest: manifest.descriptor,
        config_descriptor,
        config_bytes: config_bytes.to_vec(),
        config: config.clone(),
        layers,
        annotations: annotations.clone(),
    })
}

/// Reads the image that `descriptor` points to; of an index, the one for `platform`.
///
/// # Errors
/// When a document is absent, damaged or malformed, no image, or for no such platform.
pub fn read(store: &Store, descriptor: &Descriptor, platform: &Platform) -> Result<StoredImage, ImageError> {
    let descriptor = select(store, descriptor, platform)?;
    let manifest: Manifest = store.images().manifest(&descriptor.digest)?;
    let media_type = &manifest.config.media_type;
    if !matches!(media_type, MediaType::OciConfig | MediaType::DockerConfig) {
        return Err(ImageError::NoImage { digest: descriptor.digest.into(), media_type: media_type.clone() });
    }
    let config_bytes = store.blobs().read(&manifest.config.digest, CONFIG_LIMIT)?;
    let config: ImageConfig = serde_json::from_slice(&config_bytes).map_err(|e| ImageError::Malformed {
        what: "config",
        digest: manifest.config.digest.into(),
        why: e.to_string(),
    })?;
    if config.rootfs.diff_ids.len() != manifest.layers.len() {
        let (config, layers) = (config.rootfs.diff_ids.len(), manifest.layers.len());
        return Err(ImageError::LayerCount { config, layers });
    }
    let layers = config.rootfs.diff_ids.iter().zip(manifest.layers);
    let layers = layers.map(|(diff_id, descriptor)| ImageLayer { diff_id: *diff_id, descriptor }).collect();
    Ok(StoredImage {
        manifest: descriptor,
        config_descriptor: manifest.config,
        config_bytes,
        config,
        layers,
        annotations: manifest.annotations,
    })
}

/// Follows indexes to the manifest for `platform`.
fn select(store: &Store, descriptor: &Descriptor, platform: &Platform) -> Result<Descriptor, ImageError> {
    let mut descriptor = descriptor.clone();
    for _ in 0..DEPTH {
        if !descriptor.media_type.is_index() {
            return Ok(descriptor);
        }
        let index = store.images().index(&descriptor.digest)?;
        descriptor = registry_client::manifest::select(&index, platform)?.clone();
    }
    Err(ImageError::Malformed {
        what: "index",
        digest: descriptor.digest.into(),
        why: format!("indexes are nested more than {DEPTH} deep"),
    })
}

/// Refuses layers that are not those of the config.
fn agree(config: &ImageConfig, layers: impl ExactSizeIterator<Item = DiffId>) -> Result<(), ImageError> {
    let wanted = &config.rootfs.diff_ids;
    if wanted.len() != layers.len() {
        return Err(ImageError::LayerCount { config: wanted.len(), layers: layers.len() });
    }
    for (at, (wanted, found)) in wanted.iter().zip(layers).enumerate() {
        if *wanted != found {
            return Err(ImageError::Layer { at: at + 1, found: found.into(), wanted: (*wanted).into() });
        }
    }
    Ok(())
}
