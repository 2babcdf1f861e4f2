//! `scratch` and `context` have a meaning of their own where a stage name is expected.

use super::{Report, Rule, Subject};

pub(super) const RULE: Rule = Rule { name: "ReservedStageName", check };

fn check(subject: &Subject<'_>, report: &mut Report<'_>) {
    for stage in subject.stages() {
        let Some(name) = &stage.from.name else { continue };
        let lower = name.text.to_lowercase();
        if matches!(lower.as_str(), "scratch" | "context") {
            let message = format!("\"{lower}\" is a reserved name, and no good name for a stage");
            report.add(&stage.comments, name.span, message, "choose another name");
        }
    }
}
