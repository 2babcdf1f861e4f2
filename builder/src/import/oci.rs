//! `index.json`: OCI image layouts.

use super::{DOCUMENT, Files, ImportError, Loaded, parse};
use crate::image::ImageError;
use crate::store::{CONTAINERD_NAME, REF_NAME, Store};
use registry_client::config::ImageConfig;
use registry_client::descriptor::Descriptor;
use registry_client::digest::Digest;
use registry_client::manifest::{Index, Manifest};
use registry_client::media_type::MediaType;
use registry_client::reference::Reference;

/// Indexes inside indexes are followed this far.
const DEPTH: usize = 4;

pub(super) fn load(store: &Store, files: &mut dyn Files, index: &[u8]) -> Result<Vec<Loaded>, ImportError> {
    let index: Index = parse("index.json", index)?;
    let mut images: Vec<Loaded> = Vec::new();
    for entry in &index.manifests {
        let name = name_of(entry)?;
        let mut descriptor = entry.clone();
        descriptor.annotations.clear();
        if let Some(known) = images.iter_mut().find(|i| i.descriptor.digest == descriptor.digest) {
            known.names.extend(name);
            continue;
        }
        if !bring(store, files, &descriptor, DEPTH)? {
            return Err(missing(&descriptor.digest, "index.json"));
        }
        let id = store.images().id(&descriptor)?;
        images.push(Loaded { names: name.into_iter().collect(), descriptor, id });
    }
    Ok(images)
}

/// The full name an entry has: containerd's annotation, or that of the image-spec when it is more than a tag.
fn name_of(entry: &Descriptor) -> Result<Option<String>, ImportError> {
    let full = entry.annotations.get(CONTAINERD_NAME);
    let name = full.or_else(|| entry.annotations.get(REF_NAME).filter(|n| n.contains(['/', ':'])));
    Ok(match name {
        Some(name) => Some(name.parse::<Reference>()?.with_default_tag().to_string()),
        None => None,
    })
}

/// Puts a manifest and what it refers to into the store, what is referred to first. `false` when the document is not
/// there.
fn bring(
    store: &Store,
    files: &mut dyn Files,
    descriptor: &Descriptor,
    depth: usize,
) -> Result<bool, ImportError> {
    let Some(bytes) = document(files, descriptor)? else { return Ok(false) };
    let name = blob_name(&descriptor.digest);
    if descriptor.media_type.is_index() {
        let index: Index = parse(&name, &bytes)?;
        if depth == 0 {
            return Err(ImportError::Malformed { name, why: "indexes are nested too deep".to_owned() });
        }
        // An archive may hold some of the platforms only; without any it holds nothing.
        let mut any = false;
        for child in &index.manifests {
            any |= bring(store, files, child, depth - 1)?;
        }
        if let (false, Some(child)) = (any, index.manifests.first()) {
            return Err(missing(&child.digest, &name));
        }
    } else if descriptor.media_type.is_manifest() {
        bring_manifest(store, files, &name, &bytes)?;
    } else {
        let (digest, media_type) = (descriptor.digest.into(), descriptor.media_type.clone());
        return Err(ImportError::MediaType { digest, media_type });
    }
    files.blob(&name, Some(descriptor))?;
    Ok(true)
}

fn bring_manifest(store: &Store, files: &mut dyn Files, name: &str, bytes: &[u8]) -> Result<(), ImportError> {
    let manifest: Manifest = parse(name, bytes)?;
    for blob in manifest.layers.iter().chain([&manifest.config]) {
        let found = files.blob(&blob_name(&blob.digest), Some(blob))?.is_some();
        // It may be in the store from before, or to be had elsewhere.
        if !found && blob.urls.is_empty() && store.blobs().size(&blob.digest) != Some(blob.size) {
            return Err(missing(&blob.digest, name));
        }
    }
    if matches!(manifest.config.media_type, MediaType::OciConfig | MediaType::DockerConfig) {
        let config = store.blobs().read(&manifest.config.digest, DOCUMENT)?;
        let config: ImageConfig = parse(&blob_name(&manifest.config.digest), &config)?;
        let (config, layers) = (config.rootfs.diff_ids.len(), manifest.layers.len());
        if config != layers {
            return Err(ImageError::LayerCount { config, layers }.into());
        }
    }
    Ok(())
}

/// The document that `descriptor` points to, verified; `None` when it is not there.
fn document(files: &mut dyn Files, descriptor: &Descriptor) -> Result<Option<Vec<u8>>, ImportError> {
    let name = blob_name(&descriptor.digest);
    let Some(bytes) = files.document(&name)? else { return Ok(None) };
    let found = descriptor.digest.same_algorithm_of(&bytes);
    if found != descriptor.digest || bytes.len() as u64 != descriptor.size {
        return Err(ImportError::Digest { name, found: found.into() });
    }
    Ok(Some(bytes))
}

fn blob_name(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm(), digest.hex())
}

fn missing(digest: &Digest, by: &str) -> ImportError {
    ImportError::Missing { wanted: blob_name(digest), by: by.to_owned() }
}
