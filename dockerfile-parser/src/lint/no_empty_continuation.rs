//! An empty line within a continued instruction: it is skipped today, and looks like the end of the instruction.

use super::{Report, Rule, Subject};

pub(super) const RULE: Rule = Rule { name: "NoEmptyContinuation", check };

fn check(subject: &Subject<'_>, report: &mut Report<'_>) {
    for (span, comments) in subject.empty_continuations {
        report.add(
            comments,
            *span,
            "empty line within a continued instruction",
            "remove it, or make it a comment (#)",
        );
    }
}
