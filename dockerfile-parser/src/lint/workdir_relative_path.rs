//! A relative WORKDIR that is relative to whatever the base image has: only the first WORKDIR of a chain of stages counts.

use super::{Guide, Report, Rule, Subject};
use crate::ast::InstructionKind;

pub(super) const RULE: Rule = Rule { name: "WorkdirRelativePath", check, guide: &GUIDE };

const GUIDE: Guide = Guide {
    summary: "The first WORKDIR should be absolute",
    why: "A relative `WORKDIR` begins where the base image ended, and that may change with the base image.",
    bad: "FROM debian\nWORKDIR app\n",
    good: "FROM debian\nWORKDIR /app\n",
};

fn check(subject: &Subject<'_>, report: &mut Report<'_>) {
    let parents = &subject.names().parents;
    let mut has_workdir: Vec<bool> = Vec::with_capacity(parents.len());
    for (stage, parent) in subject.stages().zip(parents) {
        let mut set = parent.is_some_and(|parent| has_workdir[parent]);
        for instruction in &stage.instructions {
            let InstructionKind::Workdir(word) = &instruction.kind else { continue };
            if !set && subject.constant(word).is_some_and(|path| !is_absolute(&path)) {
                let message = format!("WORKDIR {} depends on the base image's working directory", word.text);
                report.add(&instruction.comments, word.span, message, "start with an absolute WORKDIR");
            }
            set = true;
        }
        has_workdir.push(set);
    }
}

/// `/x`, and on Windows `C:\x` as well.
fn is_absolute(path: &str) -> bool {
    let drive = matches!(path.as_bytes(), [letter, b':', b'/' | b'\\', ..] if letter.is_ascii_alphabetic());
    path.starts_with('/') || drive
}
