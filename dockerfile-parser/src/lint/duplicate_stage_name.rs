//! Two stages of one name: only one of them can be meant by it.

use super::{Guide, Report, Rule, Subject};
use crate::span::LineIndex;

pub(super) const RULE: Rule = Rule { name: "DuplicateStageName", check, guide: &GUIDE };

const GUIDE: Guide = Guide {
    summary: "A name should belong to one stage",
    why: "Stages are found by name without regard to case, and a later one hides an earlier one of the same name: `COPY --from` may take files from another stage than the one that was meant.",
    bad: "FROM scratch AS base\nFROM scratch AS base\n",
    good: "FROM scratch AS base\nFROM scratch AS app\n",
};

fn check(subject: &Subject<'_>, report: &mut Report<'_>) {
    let stages = &subject.dockerfile.stages;
    let mut index = None;
    for &(first, second) in &subject.names().again {
        let stage = &stages[second];
        let (Some(first), Some(name)) = (&stages[first].from.name, &stage.from.name) else { continue };
        let index = index.get_or_insert_with(|| LineIndex::new(subject.source));
        let line = index.locate(first.span.start).line;
        let message = format!("a second stage is named \"{}\"", name.text);
        report.add(
            &stage.comments,
            name.span,
            message,
            format!("line {line} defines the other one; rename one of them"),
        );
    }
}
