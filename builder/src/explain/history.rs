//! What the last build of a Dockerfile did.

use super::Reason;
use crate::content::ContentId;
use serde::{Deserialize, Serialize};

/// One build.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BuildHistory {
    /// Seconds since 1970 when it ended.
    pub when: u64,
    /// The Dockerfile, as the user named it.
    pub dockerfile: String,
    /// The context, as the user named it.
    pub context: String,
    /// Its steps, in order. Those that were not reached have what the build before says of them.
    pub steps: Vec<HistoricStep>,
}

/// One step of a build.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoricStep {
    /// The name of its stage.
    pub stage: String,
    /// What is shown of it: `[build 2/4] RUN make`.
    pub name: String,
    /// The platform.
    pub platform: String,
    /// The key of what it read.
    pub key: Option<ContentId>,
    /// `name@digest` of the image that its stage starts from, when it is the first step on that.
    pub base: Option<String>,
    /// How it ended.
    pub outcome: Outcome,
    /// Why it ran.
    pub reasons: Vec<Reason>,
    /// It ran, and what it added is what it had added before.
    pub same_result: bool,
}

/// How a step ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// Its result was known.
    Cached,
    /// It ran.
    Ran,
    /// It failed.
    Failed,
    /// An earlier one failed.
    NotReached,
}

impl HistoricStep {
    /// The instruction, without stage and number.
    pub fn text(&self) -> &str {
        self.name.split_once("] ").map_or(self.name.as_str(), |(_, text)| text)
    }

    fn keyword(&self) -> &str {
        self.text().split(' ').next().unwrap_or_default()
    }
}

impl BuildHistory {
    /// The step that `step`, the `position`th of its stage and platform, was: one of the same text in the same stage,
    /// the nearest when there are several; else the one in its place when that is the same instruction; else one of the
    /// same text in another stage.
    pub fn earlier(&self, step: &HistoricStep, position: usize) -> Option<&HistoricStep> {
        let of_stage: Vec<&HistoricStep> = self
            .steps
            .iter()
            .filter(|old| old.key.is_some() && old.stage == step.stage && old.platform == step.platform)
            .collect();
        let same_text = of_stage.iter().enumerate().filter(|(_, old)| old.text() == step.text());
        if let Some((_, found)) = same_text.min_by_key(|(at, _)| at.abs_diff(position)) {
            return Some(found);
        }
        if let Some(found) = of_stage.get(position).filter(|old| old.keyword() == step.keyword()) {
            return Some(found);
        }
        self.steps
            .iter()
            .find(|old| old.key.is_some() && old.platform == step.platform && old.text() == step.text())
    }

    /// Takes over what `before` says of steps that this build did not reach.
    pub fn complete(&mut self, before: &Self) {
        let mut positions: std::collections::HashMap<(String, String), usize> = Default::default();
        for step in &mut self.steps {
            let position = positions.entry((step.stage.clone(), step.platform.clone())).or_default();
            if step.outcome == Outcome::NotReached
                && let Some(old) = before.earlier(step, *position)
            {
                (step.key, step.base) = (old.key, old.base.clone());
            }
            *position += 1;
        }
    }
}
