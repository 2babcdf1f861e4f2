//! The same image with the media types of the other family: OCI's for Docker's, Docker's for OCI's.
//!
//! Configs and layers stay as they are, byte for byte; manifests and indexes are written anew, and so have other digests.

use super::{Index, Manifest, ManifestBytes, ManifestError, ParsedManifest};
use crate::{
    descriptor::Descriptor,
    digest::Digest,
    media_type::{Family, MediaType},
};
use bytes::Bytes;
use serde::Serialize;
use std::collections::BTreeMap;

/// The manifests of an image.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Manifests {
    /// Those that others list, each before what lists it.
    pub children: Vec<(MediaType, Bytes)>,
    /// What a reference will name.
    pub top: (MediaType, Bytes),
}

/// Manifests in another family.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Converted {
    /// They.
    pub manifests: Manifests,
    /// Whether annotations were left out, which Docker's formats have no place for.
    pub without_annotations: bool,
}

/// Why an image cannot have the media types of a family.
#[derive(Debug, thiserror::Error)]
pub enum ConvertError {
    /// A manifest cannot be read.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// It is in that family.
    #[error("{digest} has them already")]
    Same {
        /// The manifest.
        digest: Digest,
    },
    /// Compressed by zstd, say, or no file system at all.
    #[error("they have no type for {digest}, which is of type {media_type}{}", advice(media_type))]
    Blob {
        /// The layer or config.
        digest: Digest,
        /// Its type.
        media_type: MediaType,
    },
    /// A signature, an SBOM: what refers to something else by its digest, or is of a type of its own.
    #[error("they have no type for {digest}, which is no image")]
    Artifact {
        /// The manifest.
        digest: Digest,
    },
    /// An index lists what is not converted with it.
    #[error("{digest}, which the index lists, would have to be written anew, too, and is not at hand")]
    Absent {
        /// The manifest.
        digest: Digest,
    },
}

fn advice(media_type: &MediaType) -> &'static str {
    match media_type {
        MediaType::OciLayerZstd => "; compress with gzip",
        MediaType::Other(text) if text.starts_with("application/vnd.in-toto") => "; leave attestations out",
        _ => "",
    }
}

impl Manifests {
    /// The family of what a reference will name.
    pub fn family(&self) -> Family {
        self.top.0.family().unwrap_or(Family::Oci)
    }

    /// The same image with the media types of `family`.
    ///
    /// # Errors
    /// [`ConvertError::Same`] if there is nothing to change; else what `family` has no type for.
    pub fn converted(&self, family: Family) -> Result<Converted, ConvertError> {
        let mut converter = Converter { family, done: BTreeMap::new(), without_annotations: false };
        let mut children = Vec::with_capacity(self.children.len());
        for (media_type, bytes) in &self.children {
            children.push(converter.document(media_type, bytes)?);
        }
        let top = converter.document(&self.top.0, &self.top.1)?;
        if top == self.top {
            return Err(ConvertError::Same { digest: Digest::of(&top.1) });
        }
        let manifests = Manifests { children, top };
        Ok(Converted { manifests, without_annotations: converter.without_annotations })
    }
}

struct Converter {
    family: Family,
    /// What became of each manifest so far.
    done: BTreeMap<Digest, Descriptor>,
    without_annotations: bool,
}

impl Converter {
    /// A manifest or index; what is of the family already stays as it is, byte for byte.
    fn document(
        &mut self,
        media_type: &MediaType,
        bytes: &Bytes,
    ) -> Result<(MediaType, Bytes), ConvertError> {
        let digest = Digest::of(bytes);
        let right = media_type.family() == Some(self.family);
        let received = ManifestBytes::new(Some(media_type.as_str()), digest, bytes.clone())?;
        let written = match received.parse()? {
            ParsedManifest::Manifest(_) if right => None,
            ParsedManifest::Manifest(manifest) => Some(self.manifest(digest, *manifest)?),
            ParsedManifest::Index(index) => {
                let new = self.index(digest, (*index).clone())?;
                (!right || new.manifests != index.manifests).then(|| json(digest, &new)).transpose()?
            }
        };
        let document = match (written, &received.descriptor.media_type) {
            (None, _) => (media_type.clone(), bytes.clone()),
            (Some(written), old) if old.is_index() => (self.family.index(), written),
            (Some(written), _) => (self.family.manifest(), written),
        };
        self.done.insert(digest, Descriptor::of(document.0.clone(), &document.1));
        Ok(document)
    }

    fn manifest(&mut self, digest: Digest, mut manifest: Manifest) -> Result<Bytes, ConvertError> {
        manifest.media_type = Some(self.family.manifest());
        for blob in manifest.layers.iter_mut().chain([&mut manifest.config]) {
            self.blob(blob)?;
        }
        if manifest.config.media_type != self.family.config() {
            return Err(ConvertError::Artifact { digest });
        }
        if self.family == Family::Docker {
            if manifest.subject.is_some() || manifest.artifact_type.is_some() {
                return Err(ConvertError::Artifact { digest });
            }
            self.drop_annotations(&mut manifest.annotations);
        }
        json(digest, &manifest)
    }

    fn index(&mut self, digest: Digest, mut index: Index) -> Result<Index, ConvertError> {
        index.media_type = Some(self.family.index());
        for entry in &mut index.manifests {
            match self.done.get(&entry.digest) {
                Some(Descriptor { media_type, digest, size, .. }) => {
                    if entry.digest != *digest {
                        entry.data = None;
                    }
                    (entry.media_type, entry.digest, entry.size) = (media_type.clone(), *digest, *size);
                }
                None if entry.media_type.family() == Some(self.family) => {}
                None => return Err(ConvertError::Absent { digest: entry.digest }),
            }
            if self.family == Family::Docker {
                self.drop_annotations(&mut entry.annotations);
                entry.artifact_type = None;
            }
        }
        if self.family == Family::Docker {
            if index.subject.is_some() || index.artifact_type.is_some() {
                return Err(ConvertError::Artifact { digest });
            }
            self.drop_annotations(&mut index.annotations);
        }
        Ok(index)
    }

    fn blob(&mut self, blob: &mut Descriptor) -> Result<(), ConvertError> {
        let Some(media_type) = blob.media_type.in_family(self.family) else {
            return Err(ConvertError::Blob { digest: blob.digest, media_type: blob.media_type.clone() });
        };
        blob.media_type = media_type;
        if self.family == Family::Docker {
            self.drop_annotations(&mut blob.annotations);
            blob.data = None;
        }
        Ok(())
    }

    fn drop_annotations(&mut self, annotations: &mut BTreeMap<String, String>) {
        self.without_annotations |= !annotations.is_empty();
        annotations.clear();
    }
}

fn json(digest: Digest, document: &impl Serialize) -> Result<Bytes, ConvertError> {
    let written = serde_json::to_vec(document);
    let written = written.map_err(|error| ManifestError::Malformed { digest, why: error.to_string() })?;
    Ok(written.into())
}

#[cfg(test)]
mod tests;
