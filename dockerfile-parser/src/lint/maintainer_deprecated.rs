//! MAINTAINER has been replaced by a label.

use super::{Guide, Report, Rule, Subject};
use crate::ast::InstructionKind;

pub(super) const RULE: Rule = Rule { name: "MaintainerDeprecated", check, guide: &GUIDE };

const GUIDE: Guide = Guide {
    summary: "MAINTAINER is deprecated",
    why: "A label says the same, and tools that read labels find it.",
    bad: "FROM scratch\nMAINTAINER someone@example.org\n",
    good: "FROM scratch\nLABEL org.opencontainers.image.authors=\"someone@example.org\"\n",
};

fn check(subject: &Subject<'_>, report: &mut Report<'_>) {
    for instruction in subject.instructions() {
        if let InstructionKind::Maintainer(_) = instruction.kind {
            let help = "use LABEL org.opencontainers.image.authors=\"...\"";
            report.add(&instruction.comments, instruction.span, "MAINTAINER is deprecated", help);
        }
    }
}
