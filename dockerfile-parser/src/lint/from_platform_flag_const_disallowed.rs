//! `FROM --platform` with a constant: the stage cannot be built for any other platform.
//!
//! Not reported if the name of the stage says which platform it is for.

use super::{Report, Rule, Subject};

pub(super) const RULE: Rule = Rule { name: "FromPlatformFlagConstDisallowed", check };

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
