//! `type=docker`: what `docker load` and `podman load` read, old and new.
//!
//! The archive is an OCI layout of uncompressed layers, beside `manifest.json` (Docker 1.10 and later) and `repositories`
//! (before that): the same as `docker save` of Docker 25 and later writes.

use super::ExportError;
use super::archive::{self, Body};
use super::layout::{LAYOUT, blob_path, blobs, entries, index};
use super::prepare::{Bundle, Source};
use crate::store::Store;
use registry_client::platform::Platform;
use registry_client::reference::Reference;
use serde::Serialize;
use std::collections::BTreeMap;
use std::io::Write;

/// An entry of `manifest.json`.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    config: String,
    repo_tags: Option<Vec<String>>,
    layers: Vec<String>,
}

/// Writes images as one archive. Of an image for several platforms all are in it, for readers of the layout; those of
/// `manifest.json` get the one for this machine, or else the first.
///
/// # Errors
/// When a blob is missing or damaged, or `out` fails.
pub fn docker_archive(store: &Store, bundles: &[Bundle], out: &mut dyn Write) -> Result<(), ExportError> {
    let mut files = archive::Files::new();
    let mut manifest = Vec::new();
    let mut index_entries = Vec::new();
    let mut repositories = BTreeMap::<String, BTreeMap<String, String>>::new();
    for bundle in bundles {
        let mut layers = bundle.packages.iter().flat_map(|package| &package.layers);
        if let Some(layer) = layers.find(|l| l.source == Source::Elsewhere) {
            // Docker's format has no way to say where it is that all its readers follow.
            return Err(crate::store::StoreError::NoBlob(layer.descriptor.digest).into());
        }
        let host = Platform::host();
        let package = bundle.packages.iter().find(|package| package.platform == host);
        let package = package.unwrap_or(&bundle.packages[0]);
        files.extend(blobs(bundle));
        index_entries.extend(entries(bundle)?);
        let mut tags = Vec::new();
        for name in &bundle.names {
            let reference = Reference::parse_strict(name)?;
            // A name by digest is none that an archive can give back.
            let Some(tag) = reference.tag() else { continue };
            tags.push(reference.without_identifier().with_tag(tag)?.familiar());
            if let Some(top) = package.layers.last() {
                let name = reference.without_identifier().familiar();
                repositories.entry(name).or_default().insert(tag.to_owned(), top.descriptor.digest.hex());
            }
        }
        manifest.push(Entry {
            config: blob_path(&package.config.descriptor.digest),
            repo_tags: (!tags.is_empty()).then_some(tags),
            layers: package.layers.iter().map(|l| blob_path(&l.descriptor.digest)).collect(),
        });
    }
    files.insert("oci-layout".to_owned(), Body::Bytes(LAYOUT.to_vec()));
    files.insert("index.json".to_owned(), Body::Bytes(index(index_entries)));
    files.insert("manifest.json".to_owned(), Body::Bytes(crate::image::to_json(&manifest)));
    if !repositories.is_empty() {
        files.insert("repositories".to_owned(), Body::Bytes(crate::image::to_json(&repositories)));
    }
    archive::write(store, &files, out)
}
