//! `manifest.json`: archives of `docker save` and `podman save`.

use super::{Files, ImportError, Loaded, parse};
use crate::image::{Dialect, ImageLayer, keep_bytes};
use crate::layer::{Compression, Decoder};
use crate::store::{BlobInfo, Store};
use registry_client::config::ImageConfig;
use registry_client::descriptor::Descriptor;
use registry_client::digest::{DiffId, Digester};
use registry_client::reference::Reference;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::io;

/// An entry of `manifest.json`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    config: String,
    #[serde(default)]
    repo_tags: Option<Vec<String>>,
    #[serde(default)]
    layers: Option<Vec<String>>,
}

pub(super) fn load(
    store: &Store,
    files: &mut dyn Files,
    manifest: &[u8],
) -> Result<Vec<Loaded>, ImportError> {
    let entries: Vec<Entry> = parse("manifest.json", manifest)?;
    entries.into_iter().map(|entry| image(store, files, entry)).collect()
}

fn image(store: &Store, files: &mut dyn Files, entry: Entry) -> Result<Loaded, ImportError> {
    let missing =
        |wanted: &str| ImportError::Missing { wanted: wanted.to_owned(), by: "manifest.json".to_owned() };
    let config_bytes = files.document(&entry.config)?.ok_or_else(|| missing(&entry.config))?;
    let config: ImageConfig = parse(&entry.config, &config_bytes)?;
    let names = entry.layers.unwrap_or_default();
    let wanted = &config.rootfs.diff_ids;
    if names.len() != wanted.len() {
        let (config, layers) = (wanted.len(), names.len());
        return Err(crate::image::ImageError::LayerCount { config, layers }.into());
    }
    let mut layers = Vec::with_capacity(names.len());
    for (name, diff_id) in names.iter().zip(wanted) {
        let blob = files.blob(name, None)?.ok_or_else(|| missing(name))?;
        layers.push(layer(store, name, blob, *diff_id)?);
    }
    let image = keep_bytes(store, &config_bytes, &config, &layers, Dialect::Oci, &BTreeMap::new())?;
    let mut names = Vec::new();
    for tag in entry.repo_tags.unwrap_or_default() {
        names.push(tag.parse::<Reference>()?.with_default_tag().to_string());
    }
    Ok(Loaded { names, id: image.id(), descriptor: image.manifest })
}

/// Looks how the blob is compressed and whether it is the layer of the config.
fn layer(store: &Store, name: &str, blob: BlobInfo, wanted: DiffId) -> Result<ImageLayer, ImportError> {
    let file = store.blobs().open(&blob.digest)?;
    let mut decoder = Decoder::detect(file).map_err(ImportError::Read)?;
    let compression = decoder.compression();
    let found = if compression == Compression::None {
        DiffId(blob.digest)
    } else {
        let mut hasher = Digester::new();
        io::copy(&mut decoder, &mut hasher)
            .map_err(|e| ImportError::Malformed { name: name.to_owned(), why: e.to_string() })?;
        DiffId(hasher.finish())
    };
    if found != wanted {
        return Err(ImportError::Layer { name: name.to_owned(), wanted: wanted.into(), found: found.into() });
    }
    let descriptor = Descriptor::new(compression.oci_media_type(), blob.digest, blob.size);
    Ok(ImageLayer { diff_id: wanted, descriptor })
}
