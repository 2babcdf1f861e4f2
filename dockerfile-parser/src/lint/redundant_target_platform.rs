//! `FROM --platform=$TARGETPLATFORM` says what holds without it.

use super::{Report, Rule, Subject};

pub(super) const RULE: Rule = Rule { name: "RedundantTargetPlatform", check };

fn check(subject: &Subject<'_>, report: &mut Report<'_>) {
    for stage in subject.stages() {
        let Some(platform) = &stage.from.platform else { continue };
        if matches!(platform.text.as_str(), "$TARGETPLATFORM" | "${TARGETPLATFORM}") {
            let message = format!("--platform={} is the default", platform.text);
            report.add(&stage.comments, platform.span, message, "remove it");
        }
    }
}
