//! Manifests as they were received: the bytes that the digest is of, with what they mean.

use super::{Index, Manifest};
use crate::{descriptor::Descriptor, digest::Digest, media_type::MediaType, transport::error::printable};
use bytes::Bytes;
use serde::{Deserialize, Deserializer, de::IgnoredAny};

/// A manifest or index: its bytes, and the descriptor of these bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ManifestBytes {
    /// Media type, digest and size of `bytes`.
    pub descriptor: Descriptor,
    /// What was received, byte for byte.
    pub bytes: Bytes,
}

/// What a manifest's bytes mean.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ParsedManifest {
    /// One image.
    Manifest(Box<Manifest>),
    /// Several, by platform.
    Index(Box<Index>),
}

/// Why bytes are no manifest that can be used.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// No JSON, or not of the shape its media type asks for.
    #[error("the manifest {digest} is malformed: {why}")]
    Malformed {
        /// Of the bytes.
        digest: Digest,
        /// What is wrong.
        why: String,
    },
    /// Docker's first format.
    #[error(
        "the manifest {digest} is of Docker's schema 1, which is refused: it cannot be verified; push the image again with a current tool"
    )]
    Schema1 {
        /// Of the bytes.
        digest: Digest,
    },
    /// Of a type that is neither manifest nor index.
    #[error("{digest} is of media type {media_type:?}, which is neither a manifest nor an index")]
    MediaType {
        /// Of the bytes.
        digest: Digest,
        /// The type.
        media_type: String,
    },
    /// The bytes and the server disagree on the type.
    #[error("the manifest {digest} says its media type is {field:?}, and the registry says {header:?}")]
    Disagreement {
        /// Of the bytes.
        digest: Digest,
        /// `mediaType` in the bytes.
        field: String,
        /// `Content-Type` of the answer.
        header: String,
    },
    /// Layers and manifests at once (CVE-2021-41190): it means different things to different readers.
    #[error("{digest} has both layers and manifests, and could be read in two ways; it is refused")]
    Ambiguous {
        /// Of the bytes.
        digest: Digest,
    },
}

/// What tells manifests apart; the values are not looked into.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Shape {
    schema_version: Option<u32>,
    media_type: Option<String>,
    #[serde(default)]
    manifests: Field,
    #[serde(default)]
    config: Field,
    #[serde(default)]
    layers: Field,
    #[serde(default)]
    fs_layers: Field,
}

/// Whether a field is there.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Field {
    #[default]
    Missing,
    /// An empty list of programs in Go.
    Null,
    Value,
}

impl<'de> Deserialize<'de> for Field {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Ok(match Option::<IgnoredAny>::deserialize(deserializer)? {
            Some(_) => Self::Value,
            None => Self::Null,
        })
    }
}

impl ManifestBytes {
    /// Finds out what `bytes` are, from their own `mediaType`, from what the server says (`content_type`, whose
    /// parameters do not count), or from their shape.
    ///
    /// # Errors
    /// All but `Malformed` fields, which [`Self::parse`] finds.
    pub fn new(content_type: Option<&str>, digest: Digest, bytes: Bytes) -> Result<Self, ManifestError> {
        let shape: Shape = serde_json::from_slice(&bytes)
            .map_err(|error| ManifestError::Malformed { digest, why: error.to_string() })?;
        let header = content_type.and_then(|text| text.split(';').next()).map(str::trim).unwrap_or_default();
        let header = header.to_ascii_lowercase();
        let generic = ["", "application/json", "text/plain", "application/octet-stream"];
        let header = (!generic.contains(&header.as_str())).then_some(header);
        if let (Some(header), Some(field)) = (&header, &shape.media_type)
            && header != field
        {
            let (field, header) = (printable(field), printable(header));
            return Err(ManifestError::Disagreement { digest, field, header });
        }
        let text = shape.media_type.as_deref().or(header.as_deref());
        let media_type = match text.map(MediaType::from) {
            Some(media_type) => media_type,
            None if shape.schema_version == Some(1) => MediaType::DockerSchema1,
            None if shape.manifests == Field::Value => MediaType::OciIndex,
            None if shape.config == Field::Value && shape.layers != Field::Missing => MediaType::OciManifest,
            None if shape.manifests == Field::Null => MediaType::OciIndex,
            None => {
                let why = "it has neither manifests nor a config with layers".to_owned();
                return Err(ManifestError::Malformed { digest, why });
            }
        };
        match &media_type {
            MediaType::DockerSchema1 | MediaType::DockerSchema1Signed => {
                return Err(ManifestError::Schema1 { digest });
            }
            known if known.is_index() || known.is_manifest() => {}
            other => {
                let media_type = printable(other.as_str());
                return Err(ManifestError::MediaType { digest, media_type });
            }
        }
        let of_image = [shape.config, shape.layers, shape.fs_layers].contains(&Field::Value);
        if shape.manifests == Field::Value && of_image {
            return Err(ManifestError::Ambiguous { digest });
        }
        let descriptor = Descriptor::new(media_type, digest, bytes.len() as u64);
        Ok(Self { descriptor, bytes })
    }

    /// What the bytes mean. An index whose entries cannot all be read is one of those that can; [`Self::parse_whole`] is
    /// for who needs all of them.
    ///
    /// # Errors
    /// [`ManifestError::Malformed`].
    pub fn parse(&self) -> Result<ParsedManifest, ManifestError> {
        let malformed = |why| ManifestError::Malformed { digest: self.descriptor.digest, why };
        let json = |error: serde_json::Error| malformed(error.to_string());
        let (parsed, version) = if self.descriptor.media_type.is_index() {
            let index: Box<Index> = serde_json::from_slice(&self.bytes).map_err(json)?;
            let version = index.schema_version;
            (ParsedManifest::Index(index), version)
        } else {
            let manifest: Box<Manifest> = serde_json::from_slice(&self.bytes).map_err(json)?;
            let version = manifest.schema_version;
            (ParsedManifest::Manifest(manifest), version)
        };
        if version != 2 {
            return Err(malformed(format!("its schemaVersion is {version}; 2 is the one known")));
        }
        Ok(parsed)
    }

    /// [`Self::parse`] for what must not leave an entry behind: a copy, say.
    ///
    /// # Errors
    /// [`ManifestError::Malformed`], also if an entry of an index cannot be read.
    pub fn parse_whole(&self) -> Result<ParsedManifest, ManifestError> {
        let parsed = self.parse()?;
        if let ParsedManifest::Index(index) = &parsed
            && let Some(entry) = index.unreadable.first()
        {
            let entry = printable(&entry.to_string());
            let why = format!("one of the entries of the index cannot be read: {entry}");
            return Err(ManifestError::Malformed { digest: self.descriptor.digest, why });
        }
        Ok(parsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
    const INDEX: &str = "application/vnd.oci.image.index.v1+json";

    fn read(content_type: Option<&str>, json: &str) -> Result<MediaType, ManifestError> {
        let bytes = Bytes::copy_from_slice(json.as_bytes());
        let digest = Digest::of(&bytes);
        ManifestBytes::new(content_type, digest, bytes).map(|manifest| manifest.descriptor.media_type)
    }

    #[test]
    fn media_types() {
        let bare = r#"{"schemaVersion":2,"config":{},"layers":[]}"#;
        let typed = format!(r#"{{"schemaVersion":2,"mediaType":"{OCI}","config":{{}},"layers":[]}}"#);
        let index = r#"{"schemaVersion":2,"manifests":[]}"#;
        let parameters = format!("{OCI}; charset=utf-8");
        assert_eq!(read(Some(&parameters), bare).unwrap(), MediaType::OciManifest);
        assert_eq!(read(None, bare).unwrap(), MediaType::OciManifest);
        assert_eq!(read(Some("application/json"), &typed).unwrap(), MediaType::OciManifest);
        assert_eq!(read(Some("text/plain; charset=utf-8"), index).unwrap(), MediaType::OciIndex);
        let null = r#"{"schemaVersion":2,"config":{},"layers":null,"manifests":null}"#;
        assert_eq!(read(None, null).unwrap(), MediaType::OciManifest);
        assert_eq!(read(None, r#"{"schemaVersion":2,"manifests":null}"#).unwrap(), MediaType::OciIndex);
        assert!(matches!(read(Some(INDEX), &typed), Err(ManifestError::Disagreement { .. })));
        assert!(matches!(read(Some("image/png"), bare), Err(ManifestError::MediaType { .. })));
        assert!(matches!(read(None, "{}"), Err(ManifestError::Malformed { .. })));
        assert!(matches!(read(None, "<html>"), Err(ManifestError::Malformed { .. })));
    }

    #[test]
    fn schema_1_is_refused_by_name() {
        let signed = "application/vnd.docker.distribution.manifest.v1+prettyjws";
        let json = r#"{"schemaVersion":1,"fsLayers":[]}"#;
        for content_type in [Some(signed), None, Some("application/json")] {
            let error = read(content_type, json).unwrap_err();
            assert!(matches!(error, ManifestError::Schema1 { .. }), "{error}");
            assert!(error.to_string().contains("schema 1"), "{error}");
        }
    }

    #[test]
    fn two_meanings_are_refused() {
        let json = r#"{"schemaVersion":2,"manifests":[],"config":{},"layers":[]}"#;
        for content_type in [Some(OCI), Some(INDEX), None] {
            assert!(matches!(read(content_type, json), Err(ManifestError::Ambiguous { .. })));
        }
    }

    #[test]
    fn the_schema_version_counts() {
        let json = Bytes::from(r#"{"schemaVersion":3,"manifests":[]}"#);
        let manifest = ManifestBytes::new(None, Digest::of(&json), json).unwrap();
        assert!(manifest.parse().unwrap_err().to_string().contains("schemaVersion is 3"));
    }
}
