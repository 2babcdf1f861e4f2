//! `scratch` and `context` have a meaning of their own where a stage name is expected.

use super::{Guide, Report, Rule, Subject};

pub(super) const RULE: Rule = Rule { name: "ReservedStageName", check, guide: &GUIDE };

const GUIDE: Guide = Guide {
    summary: "scratch and context are no names for stages",
    why: "Where a stage could be named, `scratch` is the empty image and `context` the build context.",
    bad: "FROM debian AS scratch\n",
    good: "FROM debian AS app\n",
};

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
