//! Manifests and indexes.

use super::ImageError;
use registry_client::descriptor::Descriptor;
use registry_client::manifest::{Index, Manifest};
use registry_client::media_type::{Family, MediaType};
use registry_client::platform::Platform;
use serde::Serialize;
use std::collections::BTreeMap;

/// Whose media types an image has.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Dialect {
    /// Those of the image-spec.
    #[default]
    Oci,
    /// Those of Docker's schema 2, for old registries and engines.
    Docker,
}

impl Dialect {
    fn family(self) -> Family {
        match self {
            Self::Oci => Family::Oci,
            Self::Docker => Family::Docker,
        }
    }

    /// The type of a config.
    pub fn config_type(self) -> MediaType {
        self.family().config()
    }

    /// The type of a manifest.
    pub fn manifest_type(self) -> MediaType {
        self.family().manifest()
    }

    /// The type of an index.
    pub fn index_type(self) -> MediaType {
        self.family().index()
    }

    /// The type that a layer of type `layer` has here.
    ///
    /// # Errors
    /// `NoDockerType` for what Docker has no word for.
    pub fn layer_type(self, layer: &MediaType) -> Result<MediaType, ImageError> {
        layer.in_family(self.family()).ok_or_else(|| ImageError::NoDockerType(layer.clone()))
    }
}

/// A JSON document, and what points to it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Document {
    /// The bytes: the digest is theirs.
    pub bytes: Vec<u8>,
    /// Points to them.
    pub descriptor: Descriptor,
}

impl Document {
    pub(super) fn write(media_type: MediaType, value: &impl Serialize) -> Self {
        let bytes = to_json(value);
        let descriptor = Descriptor::of(media_type, &bytes);
        Self { bytes, descriptor }
    }
}

/// One of our documents as bytes: fields in the order of the type, maps in the order of their keys, no white space.
pub(crate) fn to_json(value: &impl Serialize) -> Vec<u8> {
    // They hold strings, numbers, lists and maps with string keys: those always have a JSON form.
    serde_json::to_vec(value).unwrap_or_else(|e| unreachable!("no JSON form: {e}"))
}

/// The manifest of an image with this config and these layers, base first.
///
/// # Errors
/// `NoDockerType` for layers that the dialect has no word for.
pub fn manifest(
    config: &Descriptor,
    layers: &[Descriptor],
    dialect: Dialect,
    annotations: &BTreeMap<String, String>,
) -> Result<Document, ImageError> {
    let layers = layers.iter().map(|layer| {
        let mut layer = layer.clone();
        layer.media_type = dialect.layer_type(&layer.media_type)?;
        Ok(layer)
    });
    let mut config = config.clone();
    config.media_type = dialect.config_type();
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(dialect.manifest_type()),
        artifact_type: None,
        config,
        layers: layers.collect::<Result<_, ImageError>>()?,
        subject: None,
        annotations: annotations.clone(),
    };
    Ok(Document::write(dialect.manifest_type(), &manifest))
}

/// The index of one image for several platforms, in the order given.
pub fn index(
    manifests: &[(Descriptor, Platform)],
    dialect: Dialect,
    annotations: &BTreeMap<String, String>,
) -> Document {
    let manifests = manifests.iter().map(|(descriptor, platform)| {
        let mut descriptor = descriptor.clone();
        descriptor.platform = Some(platform.clone().normalized());
        descriptor
    });
    let index = Index {
        media_type: Some(dialect.index_type()),
        manifests: manifests.collect(),
        annotations: annotations.clone(),
        ..Index::empty()
    };
    Document::write(dialect.index_type(), &index)
}
