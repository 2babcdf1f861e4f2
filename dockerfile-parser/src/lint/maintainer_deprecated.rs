//! MAINTAINER has been replaced by a label.

use super::{Report, Rule, Subject};
use crate::ast::InstructionKind;

pub(super) const RULE: Rule = Rule { name: "MaintainerDeprecated", check };

fn check(subject: &Subject<'_>, report: &mut Report<'_>) {
    for instruction in subject.instructions() {
        if let InstructionKind::Maintainer(_) = instruction.kind {
            let help = "use LABEL org.opencontainers.image.authors=\"...\"";
            report.add(&instruction.comments, instruction.span, "MAINTAINER is deprecated", help);
        }
    }
}
