//! `ENV name value` and `LABEL name value`: the form without an equals sign takes one name, and all of the line as value.

use super::{Guide, Report, Rule, Subject};
use crate::ast::InstructionKind;

pub(super) const RULE: Rule = Rule { name: "LegacyKeyValueFormat", check, guide: &GUIDE };

const GUIDE: Guide = Guide {
    summary: "ENV and LABEL should be written with =",
    why: "Without an equals sign the first word is the name, and all the rest of the line is its value: a second pair on the line becomes part of the first value.",
    bad: "FROM scratch\nENV DIR /app\n",
    good: "FROM scratch\nENV DIR=/app\n",
};

fn check(subject: &Subject<'_>, report: &mut Report<'_>) {
    for instruction in subject.instructions() {
        let (name, values) = match &instruction.kind {
            InstructionKind::Env(values) => ("ENV", values),
            InstructionKind::Label(values) => ("LABEL", values),
            _ => continue,
        };
        if let (true, Some((key, value))) = (values.legacy, values.pairs.first()) {
            let message = format!("{name} without an equals sign is an old form");
            let help = format!("write {name} {}=...; a value with blanks goes in double quotes", key.text);
            report.add(&instruction.comments, key.span.to(value.span), message, help);
        }
    }
}
