//! What an OCI image layout of a bundle consists of (image-layout.md).

use super::ExportError;
use super::archive::{Body, Files};
use super::prepare::{Bundle, Source};
use crate::store::{CONTAINERD_NAME, REF_NAME};
use registry_client::descriptor::Descriptor;
use registry_client::digest::Digest;
use registry_client::manifest::Index;
use registry_client::reference::Reference;

/// The content of the file `oci-layout`.
pub(super) const LAYOUT: &[u8] = br#"{"imageLayoutVersion":"1.0.0"}"#;

/// `blobs/sha256/...`
pub(super) fn blob_path(digest: &Digest) -> String {
    format!("blobs/{}/{}", digest.algorithm(), digest.hex())
}

/// Every blob of the bundle.
pub(super) fn blobs(bundle: &Bundle) -> Files {
    let mut files = Files::new();
    for document in bundle.index.iter().chain(bundle.packages.iter().flat_map(|p| [&p.manifest, &p.config])) {
        files.insert(blob_path(&document.descriptor.digest), Body::Bytes(document.bytes.clone()));
    }
    for layer in bundle.packages.iter().flat_map(|p| &p.layers) {
        let body = match &layer.source {
            Source::Blob => Body::Blob(layer.descriptor.clone()),
            Source::Inflate(from) => {
                Body::Inflate { diff_id: layer.diff_id, size: layer.descriptor.size, from: (**from).clone() }
            }
            // Its descriptor says where it can be had.
            Source::Elsewhere => continue,
        };
        files.insert(blob_path(&layer.descriptor.digest), body);
    }
    files
}

/// The entries of `index.json`: what the names point to, once per name.
///
/// The annotation for the name is the tag alone, as BuildKit and skopeo write it; the full name is in containerd's.
pub(super) fn entries(bundle: &Bundle) -> Result<Vec<Descriptor>, ExportError> {
    let descriptors = bundle.descriptors();
    if bundle.names.is_empty() {
        return Ok(descriptors);
    }
    let mut entries = Vec::new();
    for name in &bundle.names {
        let reference = Reference::parse_strict(name)?;
        for descriptor in &descriptors {
            let mut descriptor = descriptor.clone();
            descriptor.annotations.insert(CONTAINERD_NAME.to_owned(), name.clone());
            if let Some(tag) = reference.tag() {
                descriptor.annotations.insert(REF_NAME.to_owned(), tag.to_owned());
            }
            entries.push(descriptor);
        }
    }
    Ok(entries)
}

/// `index.json` of these entries.
pub(super) fn index(entries: Vec<Descriptor>) -> Vec<u8> {
    crate::image::to_json(&Index { manifests: entries, ..Index::empty() })
}
