//! Configs: what the image is run with, and how it was made.

use crate::timestamp::rfc3339;
use registry_client::config::{History, ImageConfig, RootFs, RuntimeConfig};
use registry_client::digest::DiffId;
use std::time::SystemTime;

/// One instruction of this build, in the history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Step {
    /// When; a step without a time takes that of the layer before it, or else after it.
    pub created: Option<SystemTime>,
    /// The instruction, as BuildKit writes it.
    pub created_by: String,
    /// A remark.
    pub comment: Option<String>,
    /// By whom.
    pub author: Option<String>,
    /// The layer it made; none for metadata.
    pub layer: Option<DiffId>,
}

/// What a build changed of its base image.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// How the image is run: all of it, with what was taken over from the base.
    pub runtime: RuntimeConfig,
    /// `MAINTAINER`; the base's when absent.
    pub author: Option<String>,
    /// The instructions, in order.
    pub steps: Vec<Step>,
    /// When the image was made; the time of the last step that has one when absent.
    pub created: Option<SystemTime>,
    /// `SOURCE_DATE_EPOCH`: what this build made is not newer. The base is left alone.
    pub epoch: Option<SystemTime>,
}

/// Fields of a base that are wrong for an image made from it: of the container it was committed from, and of its cache.
const STALE: [&str; 8] = [
    "container",
    "container_config",
    "docker_version",
    "id",
    "parent",
    "parent_id",
    "moby.buildkit.cache.v0",
    "moby.buildkit.buildinfo.v1",
];

/// The config of an image made from `base` (for `FROM scratch`: [`ImageConfig::empty`]).
///
/// The number of entries in the result's history that made a layer is the number of its layers, also when the base was
/// careless about that (image-spec config.md, "history").
pub fn assemble(base: &ImageConfig, changes: &Changes) -> ImageConfig {
    let mut config = base.clone();
    config.extra.retain(|key, _| !STALE.contains(&key.as_str()));
    config.config = changes.runtime.clone();
    config.rootfs = RootFs::default();
    config.rootfs.diff_ids.extend(&base.rootfs.diff_ids);
    config.rootfs.diff_ids.extend(changes.steps.iter().filter_map(|s| s.layer));
    if changes.author.is_some() {
        config.author.clone_from(&changes.author);
    }
    balance(&mut config.history, base.rootfs.diff_ids.len());
    let last_of_base = config.history.iter().rev().find_map(|h| h.created.clone());
    let clamp = |time: SystemTime| rfc3339(changes.epoch.map_or(time, |epoch| time.min(epoch)));
    config.history.extend(new_history(changes, last_of_base.or_else(|| base.created.clone()), clamp));
    config.created = match (changes.created, changes.steps.is_empty()) {
        (Some(time), _) => Some(clamp(time)),
        // Nothing was made: it is as old as its base.
        (None, true) => base.created.clone(),
        (None, false) => config.history.iter().rev().find_map(|h| h.created.clone()),
    };
    config
}

/// Makes `history` have exactly `layers` entries that made one: surplus ones are said to be empty, and what has no
/// entry gets one.
fn balance(history: &mut Vec<History>, layers: usize) {
    let mut seen = 0;
    for entry in history.iter_mut().filter(|h| !h.empty_layer) {
        entry.empty_layer = seen >= layers;
        seen += 1;
    }
    let created = history.iter().rev().find_map(|h| h.created.clone());
    for _ in seen..layers {
        let comment = Some("layer of the base image without history".to_owned());
        history.push(History { created: created.clone(), comment, ..History::default() });
    }
}

/// The entries of this build, each with a time if there is any to be had.
fn new_history<'a>(
    changes: &'a Changes,
    of_base: Option<String>,
    clamp: impl Fn(SystemTime) -> String + 'a,
) -> impl Iterator<Item = History> + 'a {
    let first = changes.steps.iter().find_map(|s| s.created).or(changes.created).map(&clamp);
    let mut latest = first.or(of_base).or_else(|| changes.epoch.map(&clamp));
    changes.steps.iter().map(move |step| {
        if let Some(time) = step.created {
            latest = Some(clamp(time));
        }
        History {
            created: latest.clone(),
            created_by: Some(step.created_by.clone()),
            author: step.author.clone(),
            comment: step.comment.clone(),
            empty_layer: step.layer.is_none(),
        }
    })
}
