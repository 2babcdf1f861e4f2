//! `FROM --platform` with a constant: the stage cannot be built for any other platform.
//!
//! Not reported if the name of the stage says which platform it is for.

use super::{Guide, Report, Rule, Subject};

pub(super) const RULE: Rule = Rule { name: "FromPlatformFlagConstDisallowed", check, guide: &GUIDE };

const GUIDE: Guide = Guide {
    summary: "--platform of FROM should not be a constant",
    why: "A stage with a constant platform cannot be built for any other, so the same Dockerfile gives wrong images for `--platform`. When it is meant, for a stage that only belongs to one platform, say so in the stage's name.",
    bad: "FROM --platform=linux/amd64 debian AS app\n",
    good: "FROM --platform=$BUILDPLATFORM debian AS build\nFROM --platform=linux/amd64 debian AS app-amd64\n",
};

fn check(subject: &Subject<'_>, report: &mut Report<'_>) {
    for stage in subject.stages() {
        let Some(word) = &stage.from.platform else { continue };
        let Some(platform) = subject.constant(word) else { continue };
        let name = stage.from.name.as_ref().map(|name| name.text.to_lowercase()).unwrap_or_default();
        let mut parts = platform.split('/').take(2).filter(|part| !part.is_empty());
        if !parts.any(|part| name.contains(part)) {
            let message = format!("--platform={platform} ties this stage to one platform");
            let help = "use $BUILDPLATFORM or $TARGETPLATFORM, or name the stage after the platform";
            report.add(&stage.comments, word.span, message, help);
        }
    }
}
