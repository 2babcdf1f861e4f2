//! `FROM --platform=$TARGETPLATFORM` says what holds without it.

use super::{Guide, Report, Rule, Subject};

pub(super) const RULE: Rule = Rule { name: "RedundantTargetPlatform", check, guide: &GUIDE };

const GUIDE: Guide = Guide {
    summary: "--platform=$TARGETPLATFORM is the default",
    why: "A stage is built for the target platform unless something else is said.",
    bad: "FROM --platform=$TARGETPLATFORM debian\n",
    good: "FROM debian\n",
};

fn check(subject: &Subject<'_>, report: &mut Report<'_>) {
    for stage in subject.stages() {
        let Some(platform) = &stage.from.platform else { continue };
        if matches!(platform.text.as_str(), "$TARGETPLATFORM" | "${TARGETPLATFORM}") {
            let message = format!("--platform={} is the default", platform.text);
            report.add(&stage.comments, platform.span, message, "remove it");
        }
    }
}
