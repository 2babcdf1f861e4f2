//! Images of the store as they are going out again.

use super::ExportError;
use super::prepare::{Bundle, Package};
use crate::image::{Document, StoredImage, to_json};
use crate::store::Store;
use registry_client::descriptor::Descriptor;

/// The most that is read of an index, in bytes (distribution-spec, "Pushing Manifests").
const LIMIT: u64 = 4 << 20;

/// The bundle, without names, of what `top` points to: `images` is the image, or in the order of the index all that it
/// lists, each in the form that `package` gives it. An index of which nothing changes stays as it is, byte for byte.
///
/// # Errors
/// Those of `package`; when the index cannot be read.
pub fn bundle_of(
    store: &Store,
    top: &Descriptor,
    images: &[StoredImage],
    package: &dyn Fn(&StoredImage) -> Result<Package, ExportError>,
) -> Result<Bundle, ExportError> {
    let packages = images.iter().map(package).collect::<Result<Vec<_>, _>>()?;
    if !top.media_type.is_index() {
        return Ok(Bundle { names: Vec::new(), packages, index: None });
    }
    let before = store.images().index(&top.digest)?;
    let mut index = before.clone();
    for (at, package) in packages.iter().enumerate() {
        let (Some(old), Some(entry)) = (before.manifests.get(at), index.manifests.get_mut(at)) else { break };
        let new = &package.manifest.descriptor;
        (entry.digest, entry.size, entry.media_type) = (new.digest, new.size, new.media_type.clone());
        // Attestations name the image they are of.
        let values = index.manifests.iter_mut().flat_map(|entry| entry.annotations.values_mut());
        values
            .filter(|value| **value == old.digest.to_string())
            .for_each(|value| *value = new.digest.to_string());
    }
    let bytes = if index == before { store.blobs().read(&top.digest, LIMIT)? } else { to_json(&index) };
    let mut descriptor = Descriptor::of(top.media_type.clone(), &bytes);
    descriptor.annotations.clone_from(&top.annotations);
    Ok(Bundle { names: Vec::new(), packages, index: Some(Document { bytes, descriptor }) })
}
