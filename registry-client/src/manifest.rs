//! Manifests (image-spec manifest.md) and indexes (image-index.md), of OCI and of Docker.

mod compose;
mod convert;
mod received;
mod select;

pub use compose::{ComposeError, Contribution, EntryName};
pub use convert::{ConvertError, Converted, Manifests};
pub use received::{ManifestBytes, ManifestError, ParsedManifest};
pub use select::{SelectError, select};

use crate::{descriptor::Descriptor, json::or_default, media_type::MediaType};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// A manifest of one image.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Manifest {
    /// Always 2.
    pub schema_version: u32,
    /// OCI manifests may leave it out; ours never do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub media_type: Option<MediaType>,
    /// The type of an artifact that is no image.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub artifact_type: Option<String>,
    /// The image config.
    pub config: Descriptor,
    /// The layers, base first.
    #[serde(deserialize_with = "or_default")]
    pub layers: Vec<Descriptor>,
    /// The manifest this one refers to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<Descriptor>,
    /// Annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "or_default")]
    pub annotations: BTreeMap<String, String>,
}

/// An index, or a Docker manifest list. What is not known here is kept, so that who changes an index changes nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "WrittenIndex", into = "WrittenIndex")]
pub struct Index {
    /// Always 2.
    pub schema_version: u32,
    /// OCI indexes may leave it out; ours never do.
    pub media_type: Option<MediaType>,
    /// The type of an artifact.
    pub artifact_type: Option<String>,
    /// Manifests, or further indexes.
    pub manifests: Vec<Descriptor>,
    /// Entries that are no descriptors as this crate knows them: with a digest of another algorithm, say. They are no
    /// reason not to use the others. They are written after them.
    pub unreadable: Vec<Value>,
    /// The manifest this one refers to.
    pub subject: Option<Descriptor>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// Fields not known here.
    pub extra: Map<String, Value>,
}

/// An index as it is written.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct WrittenIndex {
    schema_version: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    media_type: Option<MediaType>,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifact_type: Option<String>,
    #[serde(deserialize_with = "or_default")]
    manifests: Vec<Entry>,
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<Descriptor>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "or_default")]
    annotations: BTreeMap<String, String>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

/// An entry of an index.
#[derive(Serialize)]
#[serde(untagged)]
enum Entry {
    Readable(Box<Descriptor>),
    Unreadable(Value),
}

impl<'de> Deserialize<'de> for Entry {
    /// Of two fields of one name the later counts, as in Go's programs: what is unreadable here must not become readable
    /// by being written again.
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = Value::deserialize(deserializer)?;
        Ok(match Descriptor::deserialize(&value) {
            Ok(descriptor) => Self::Readable(descriptor.into()),
            Err(_) => Self::Unreadable(value),
        })
    }
}

impl From<WrittenIndex> for Index {
    fn from(written: WrittenIndex) -> Self {
        let (mut manifests, mut unreadable) = (Vec::new(), Vec::new());
        for entry in written.manifests {
            match entry {
                Entry::Readable(descriptor) => manifests.push(*descriptor),
                Entry::Unreadable(value) => unreadable.push(value),
            }
        }
        let WrittenIndex { schema_version, media_type, artifact_type, subject, annotations, extra, .. } =
            written;
        Self { schema_version, media_type, artifact_type, manifests, unreadable, subject, annotations, extra }
    }
}

impl From<Index> for WrittenIndex {
    fn from(index: Index) -> Self {
        let readable = index.manifests.into_iter().map(|entry| Entry::Readable(entry.into()));
        let manifests = readable.chain(index.unreadable.into_iter().map(Entry::Unreadable)).collect();
        let Index { schema_version, media_type, artifact_type, subject, annotations, extra, .. } = index;
        Self { schema_version, media_type, artifact_type, manifests, subject, annotations, extra }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    #[test]
    fn null_is_nothing() {
        let config = json!({ "mediaType": "x/y", "digest": DIGEST, "size": 0 });
        let manifest = json!({ "schemaVersion": 2, "config": config, "layers": null, "annotations": null });
        let manifest = Manifest::deserialize(&manifest).unwrap();
        assert!(manifest.layers.is_empty() && manifest.annotations.is_empty());
        let index = Index::deserialize(json!({ "schemaVersion": 2, "manifests": null, "annotations": null }));
        assert_eq!(index.unwrap(), Index { media_type: None, ..Index::empty() });
        assert!(Index::deserialize(json!({ "schemaVersion": 2 })).is_err(), "left out is no null");
    }

    #[test]
    fn entries_that_cannot_be_read_are_no_reason_not_to_read_the_others() {
        let entry = |digest: &str| json!({ "mediaType": "x/y", "digest": digest, "size": 0 });
        let text = json!({
            "schemaVersion": 2,
            "manifests": [entry(DIGEST), entry("blake3:00"), { "platform": {} }, 7],
            "annotations": { "a": "b" },
            "future": [1],
        });
        let index = Index::deserialize(&text).unwrap();
        assert_eq!((index.manifests.len(), index.unreadable.len()), (1, 3));
        assert_eq!(serde_json::to_value(&index).unwrap(), text, "nothing is lost");
    }

    #[test]
    fn of_two_fields_of_one_name_the_later_counts() {
        let entry = format!(r#"{{"digest":"sha256:0","mediaType":"x/y","size":0,"digest":"{DIGEST}"}}"#);
        let text = format!(r#"{{"schemaVersion":2,"manifests":[{entry}]}}"#);
        let index: Index = serde_json::from_str(&text).unwrap();
        assert_eq!(index.manifests[0].digest.to_string(), DIGEST);
        let again = serde_json::to_string(&index).unwrap();
        assert_eq!(serde_json::from_str::<Index>(&again).unwrap(), index);
    }
}
