//! A second CMD, ENTRYPOINT or HEALTHCHECK in a stage makes the first one void; the first is the one reported.

use super::{Guide, Report, Rule, Subject};
use crate::ast::InstructionKind;

pub(super) const RULE: Rule = Rule { name: "MultipleInstructionsDisallowed", check, guide: &GUIDE };

const GUIDE: Guide = Guide {
    summary: "One CMD, ENTRYPOINT and HEALTHCHECK for a stage",
    why: "Of several only the last one counts; the others look as if they did something.",
    bad: "FROM scratch\nCMD [\"a\"]\nCMD [\"b\"]\n",
    good: "FROM scratch\nCMD [\"b\"]\n",
};

fn check(subject: &Subject<'_>, report: &mut Report<'_>) {
    for stage in subject.stages() {
        let mut last = [None; 3];
        for instruction in &stage.instructions {
            let (slot, name) = match instruction.kind {
                InstructionKind::Cmd(_) => (0, "CMD"),
                InstructionKind::Entrypoint(_) => (1, "ENTRYPOINT"),
                InstructionKind::Healthcheck(_) => (2, "HEALTHCHECK"),
                _ => continue,
            };
            if let Some(void) = last[slot].replace(instruction) {
                let message =
                    format!("this {name} has no effect: a later {name} of the same stage replaces it");
                report.add(&instruction.comments, void.span, message, "remove it");
            }
        }
    }
}
