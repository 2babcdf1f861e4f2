//! Descriptors (image-spec descriptor.md).

use crate::{digest::Digest, json::or_default, media_type::MediaType, platform::Platform};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Points at content by digest. What is not known here is kept, so that who changes an index changes nothing else.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "Written", into = "Written")]
pub struct Descriptor {
    /// What the content is.
    pub media_type: MediaType,
    /// Digest of the content's bytes.
    pub digest: Digest,
    /// Length in bytes.
    pub size: u64,
    /// Where else the content can be had (foreign layers).
    pub urls: Vec<String>,
    /// Annotations.
    pub annotations: BTreeMap<String, String>,
    /// The platform, in an index; `None` also if what is written there names no operating system or no architecture.
    pub platform: Option<Platform>,
    /// The artifact type, in a referrers index.
    pub artifact_type: Option<String>,
    /// The content itself, in base64.
    pub data: Option<String>,
    /// Fields of the platform that are not known here; all of them, if they make no platform.
    pub platform_extra: Map<String, Value>,
    /// Fields not known here.
    pub extra: Map<String, Value>,
}

impl Descriptor {
    /// A descriptor with nothing but the required fields.
    pub fn new(media_type: MediaType, digest: Digest, size: u64) -> Self {
        Self {
            media_type,
            digest,
            size,
            urls: Vec::new(),
            annotations: BTreeMap::new(),
            platform: None,
            artifact_type: None,
            data: None,
            platform_extra: Map::new(),
            extra: Map::new(),
        }
    }

    /// Describes `bytes`.
    pub fn of(media_type: MediaType, bytes: &[u8]) -> Self {
        Self::new(media_type, Digest::of(bytes), bytes.len() as u64)
    }
}

/// A descriptor as it is written.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Written {
    media_type: MediaType,
    digest: Digest,
    size: u64,
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "or_default")]
    urls: Vec<String>,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty", deserialize_with = "or_default")]
    annotations: BTreeMap<String, String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    platform: Option<Map<String, Value>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    artifact_type: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<String>,
    #[serde(flatten)]
    extra: Map<String, Value>,
}

impl From<Written> for Descriptor {
    fn from(written: Written) -> Self {
        let (platform, platform_extra) = read_platform(written.platform.unwrap_or_default());
        Self {
            media_type: written.media_type,
            digest: written.digest,
            size: written.size,
            urls: written.urls,
            annotations: written.annotations,
            platform,
            artifact_type: written.artifact_type,
            data: written.data,
            platform_extra,
            extra: written.extra,
        }
    }
}

impl From<Descriptor> for Written {
    fn from(descriptor: Descriptor) -> Self {
        let mut platform = descriptor.platform.as_ref().map(fields).unwrap_or_default();
        for (name, value) in descriptor.platform_extra {
            platform.entry(name).or_insert(value);
        }
        Self {
            media_type: descriptor.media_type,
            digest: descriptor.digest,
            size: descriptor.size,
            urls: descriptor.urls,
            annotations: descriptor.annotations,
            platform: (!platform.is_empty()).then_some(platform),
            artifact_type: descriptor.artifact_type,
            data: descriptor.data,
            extra: descriptor.extra,
        }
    }
}

/// The platform, and the fields it has beside what is known; some index has an empty one, which means none.
fn read_platform(written: Map<String, Value>) -> (Option<Platform>, Map<String, Value>) {
    if written.is_empty() {
        return (None, written);
    }
    match Platform::deserialize(&Value::Object(written.clone())) {
        Ok(platform) if !platform.os.is_empty() && !platform.architecture.is_empty() => {
            let known = ["architecture", "os", "os.version", "os.features", "variant"];
            let extra = written.into_iter().filter(|(name, _)| !known.contains(&name.as_str()));
            (Some(platform), extra.collect())
        }
        _ => (None, written),
    }
}

fn fields(platform: &Platform) -> Map<String, Value> {
    match serde_json::to_value(platform) {
        Ok(Value::Object(fields)) => fields,
        _ => Map::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

    fn with(fields: Value) -> Value {
        let mut descriptor = json!({ "mediaType": "x/y", "digest": DIGEST, "size": 0 });
        descriptor.as_object_mut().unwrap().extend(fields.as_object().unwrap().clone());
        descriptor
    }

    #[test]
    fn what_is_not_known_stays() {
        for (fields, platform) in [
            (json!({}), None),
            (json!({ "future": { "a": [1] }, "annotations": { "b": "c" } }), None),
            (json!({ "platform": { "os": "linux" } }), None),
            (json!({ "platform": { "os": "", "architecture": "" } }), None),
            (
                json!({ "platform": { "architecture": "arm", "os": "linux", "features": ["sse4"] }, "z": null }),
                Some("linux/arm"),
            ),
            (
                json!({ "platform": { "architecture": "amd64", "os": "windows", "os.version": "10.0.1" } }),
                Some("windows/amd64"),
            ),
        ] {
            let text = with(fields);
            let descriptor = Descriptor::deserialize(&text).unwrap();
            assert_eq!(descriptor.platform.as_ref().map(Platform::to_string).as_deref(), platform, "{text}");
            assert_eq!(serde_json::to_value(&descriptor).unwrap(), text);
        }
    }

    #[test]
    fn null_is_nothing() {
        let nulls = json!({ "urls": null, "annotations": null, "platform": null, "artifactType": null, "data": null });
        let bare = Descriptor::deserialize(with(json!({}))).unwrap();
        assert_eq!(Descriptor::deserialize(with(nulls)).unwrap(), bare);
        assert_eq!(Descriptor::deserialize(with(json!({ "platform": {} }))).unwrap(), bare);
        let platform = json!({ "platform": { "os": "linux", "architecture": "arm", "os.features": null } });
        let read = Descriptor::deserialize(with(platform)).unwrap();
        assert_eq!(read.platform.unwrap().os_features, Vec::<String>::new());
    }

    #[test]
    fn a_platform_that_is_named_later_is_written_once() {
        let partial = json!({ "platform": { "os": "linux", "os.features": [], "x": 1 } });
        let mut descriptor = Descriptor::deserialize(with(partial)).unwrap();
        descriptor.platform = Some("windows/amd64".parse().unwrap());
        let written = serde_json::to_string(&descriptor).unwrap();
        assert_eq!(written.matches("\"os\"").count(), 1, "{written}");
        assert!(written.contains("\"os\":\"windows\"") && written.contains("\"x\":1"), "{written}");
    }
}
