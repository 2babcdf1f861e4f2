//! Stage names should be lower case: they are compared without case, and written in lower case everywhere else.

use super::{Report, Rule, Subject};

pub(super) const RULE: Rule = Rule { name: "StageNameCasing", check };

fn check(subject: &Subject<'_>, report: &mut Report<'_>) {
    for stage in subject.stages() {
        let Some(name) = &stage.from.name else { continue };
        let lower = name.text.to_lowercase();
        if name.text != lower {
            let message = format!("stage name \"{}\" should be lower case", name.text);
            report.add(&stage.comments, name.span, message, format!("write {lower}"));
        }
    }
}
