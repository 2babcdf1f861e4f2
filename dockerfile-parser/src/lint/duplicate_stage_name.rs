//! Two stages of one name: only one of them can be meant by it.

use super::{Guide, Report, Rule, Subject};
use crate::span::LineIndex;
use std::collections::BTreeMap;

pub(super) const RULE: Rule = Rule { name: "DuplicateStageName", check, guide: &GUIDE };

const GUIDE: Guide = Guide {
    summary: "A name should belong to one stage",
    why: "Stages are found by name without regard to case, and a later one hides an earlier one of the same name: `COPY --from` may take files from another stage than the one that was meant.",
    bad: "FROM scratch AS base\nFROM scratch AS base\n",
    good: "FROM scratch AS base\nFROM scratch AS app\n",
};

fn check(subject: &Subject<'_>, report: &mut Report<'_>) {
    let mut seen = BTreeMap::new();
    let mut index = None;
    for stage in subject.stages() {
        let Some(name) = &stage.from.name else { continue };
        let Some(first) = seen.insert(name.text.to_lowercase(), name.span) else { continue };
        let index = index.get_or_insert_with(|| LineIndex::new(subject.source));
        let message = format!("a second stage is named \"{}\"", name.text);
        let help =
            format!("line {} defines the other one; rename one of them", index.locate(first.start).line);
        report.add(&stage.comments, name.span, message, help);
    }
}
