//! Two stages of one name: only one of them can be meant by it.

use super::{Report, Rule, Subject};
use crate::span::LineIndex;
use std::collections::BTreeMap;

pub(super) const RULE: Rule = Rule { name: "DuplicateStageName", check };

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
