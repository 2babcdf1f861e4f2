//! Image configs (image-spec config.md), with the fields Docker adds.

use crate::{digest::DiffId, json::or_default, platform::Platform};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The config blob of an image. Fields that are not known here are kept in `extra`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ImageConfig {
    /// `amd64`...
    pub architecture: String,
    /// Variant of the architecture.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    /// `linux`...
    pub os: String,
    /// Version of the operating system.
    #[serde(rename = "os.version", default, skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// Features of the operating system.
    #[serde(
        rename = "os.features",
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "or_default"
    )]
    pub os_features: Vec<String>,
    /// When it was made, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// Who made it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// How to run it.
    #[serde(default, deserialize_with = "or_default")]
    pub config: RuntimeConfig,
    /// Its layers.
    pub rootfs: RootFs,
    /// How it was made.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "or_default")]
    pub history: Vec<History>,
    /// Fields not known here.
    #[serde(flatten)]
    pub extra: serde_json::Map<String, serde_json::Value>,
}

impl ImageConfig {
    /// A config of nothing, for `FROM scratch`.
    pub fn empty(platform: &Platform) -> Self {
        Self {
            architecture: platform.architecture.clone(),
            variant: platform.variant.clone(),
            os: platform.os.clone(),
            os_version: platform.os_version.clone(),
            os_features: platform.os_features.clone(),
            created: None,
            author: None,
            config: RuntimeConfig::default(),
            rootfs: RootFs::default(),
            history: Vec::new(),
            extra: serde_json::Map::new(),
        }
    }

    /// The platform it is for.
    pub fn platform(&self) -> Platform {
        Platform {
            architecture: self.architecture.clone(),
            os: self.os.clone(),
            os_version: self.os_version.clone(),
            os_features: self.os_features.clone(),
            variant: self.variant.clone(),
        }
        .normalized()
    }
}

/// A JSON object whose keys are a set: `{"80/tcp": {}}`.
pub type StringSet = BTreeMap<String, Empty>;

/// The empty object.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Empty {}

/// Execution parameters (`config`).
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct RuntimeConfig {
    /// `user[:group]`.
    #[serde(default, skip_serializing_if = "String::is_empty", deserialize_with = "or_default")]
    pub user: String,
    /// `80/tcp`...
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "set_or_null")]
    pub exposed_ports: Option<StringSet>,
    /// `NAME=value`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub env: Option<Vec<String>>,
    /// The program and its fixed arguments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entrypoint: Option<Vec<String>>,
    /// Default arguments.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cmd: Option<Vec<String>>,
    /// Docker: how to see whether it is well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub healthcheck: Option<HealthConfig>,
    /// Docker (Windows): the command line is escaped already.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub args_escaped: Option<bool>,
    /// Directories that hold data of their own.
    #[serde(default, skip_serializing_if = "Option::is_none", deserialize_with = "set_or_null")]
    pub volumes: Option<StringSet>,
    /// Current directory.
    #[serde(default, skip_serializing_if = "String::is_empty", deserialize_with = "or_default")]
    pub working_dir: String,
    /// Docker: triggers for images built from this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub on_build: Option<Vec<String>>,
    /// Labels.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub labels: Option<BTreeMap<String, String>>,
    /// The signal that stops it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub stop_signal: Option<String>,
    /// Docker: the shell of the shell form.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub shell: Option<Vec<String>>,
    /// Fields not known here.
    #[serde(flatten)]
    pub extra: serde_json::Map<String, serde_json::Value>,
}

fn set_or_null<'de, D: serde::Deserializer<'de>>(deserializer: D) -> Result<Option<StringSet>, D::Error> {
    let set = Option::<BTreeMap<String, Option<Empty>>>::deserialize(deserializer)?;
    Ok(set.map(|set| set.into_keys().map(|key| (key, Empty {})).collect()))
}

/// A health check (Docker image spec); times are in nanoseconds, zero means inherit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub struct HealthConfig {
    /// `["NONE"]`, `["CMD", args...]` or `["CMD-SHELL", command]`.
    #[serde(default, skip_serializing_if = "Vec::is_empty", deserialize_with = "or_default")]
    pub test: Vec<String>,
    /// Time between checks.
    #[serde(default, skip_serializing_if = "is_zero", deserialize_with = "or_default")]
    pub interval: u64,
    /// Time a check may take.
    #[serde(default, skip_serializing_if = "is_zero", deserialize_with = "or_default")]
    pub timeout: u64,
    /// Time in which failures do not count.
    #[serde(default, skip_serializing_if = "is_zero", deserialize_with = "or_default")]
    pub start_period: u64,
    /// Time between checks during the start period.
    #[serde(default, skip_serializing_if = "is_zero", deserialize_with = "or_default")]
    pub start_interval: u64,
    /// Failures in a row that make it unhealthy.
    #[serde(default, skip_serializing_if = "is_zero", deserialize_with = "or_default")]
    pub retries: u64,
}

fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// The layers of an image, by DiffID.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RootFs {
    /// Always `layers`.
    #[serde(rename = "type")]
    pub kind: String,
    /// Base first.
    #[serde(default, deserialize_with = "or_default")]
    pub diff_ids: Vec<DiffId>,
}

impl Default for RootFs {
    fn default() -> Self {
        Self { kind: "layers".to_owned(), diff_ids: Vec::new() }
    }
}

/// One entry of the history; entries without `empty_layer` and layers correspond one to one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    /// When, RFC 3339.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created: Option<String>,
    /// By which instruction.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub created_by: Option<String>,
    /// By whom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub author: Option<String>,
    /// A remark.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Whether it made no layer.
    #[serde(default, skip_serializing_if = "std::ops::Not::not", deserialize_with = "or_default")]
    pub empty_layer: bool,
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// Of what Go's programs write, all that may be null is.
    #[test]
    fn null_is_nothing() {
        let config = json!({
            "architecture": "amd64", "os": "linux", "os.features": null, "variant": null, "history": null,
            "rootfs": { "type": "layers", "diff_ids": null },
            "config": {
                "User": null, "Env": null, "Cmd": null, "Entrypoint": null, "Volumes": null, "ExposedPorts": null,
                "WorkingDir": null, "Labels": null, "OnBuild": null, "Shell": null, "StopSignal": null,
                "Healthcheck": { "Test": null, "Interval": null, "Retries": null },
            },
        });
        let mut read = ImageConfig::deserialize(&config).unwrap();
        assert_eq!(read.config.healthcheck.take(), Some(HealthConfig::default()));
        assert_eq!(read, ImageConfig::empty(&Platform::new("linux", "amd64")));
        let config = json!({
            "architecture": "amd64", "os": "linux", "config": null, "rootfs": { "type": "layers" },
            "history": [{ "created_by": null, "empty_layer": null }],
        });
        let read = ImageConfig::deserialize(&config).unwrap();
        assert_eq!((read.config, read.history), (RuntimeConfig::default(), vec![History::default()]));
    }
}
