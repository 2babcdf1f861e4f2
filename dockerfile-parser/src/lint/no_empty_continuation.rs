//! An empty line within a continued instruction: it is skipped today, and looks like the end of the instruction.

use super::{Guide, Report, Rule, Subject};

pub(super) const RULE: Rule = Rule { name: "NoEmptyContinuation", check, guide: &GUIDE };

const GUIDE: Guide = Guide {
    summary: "A continued line should not be followed by an empty one",
    why: "The empty line is skipped, and the instruction goes on behind it, where a reader sees the next one begin. Later versions of the syntax make it an error.",
    bad: "FROM scratch\nENV A=b \\\n\n  C=d\n",
    good: "FROM scratch\nENV A=b \\\n  C=d\n",
};

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
