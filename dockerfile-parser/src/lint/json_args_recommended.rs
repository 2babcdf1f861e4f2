//! CMD and ENTRYPOINT in shell form: the shell stands between the runtime and the program, and keeps signals to itself.
//!
//! Not reported once the stage, or one it is built from, has chosen its own SHELL.

use super::{Report, Rule, Subject};
use crate::ast::{CommandLine, InstructionKind};

pub(super) const RULE: Rule = Rule { name: "JSONArgsRecommended", check };

fn check(subject: &Subject<'_>, report: &mut Report<'_>) {
    let parents = subject.parents();
    let mut has_shell: Vec<bool> = Vec::with_capacity(parents.len());
    for (stage, parent) in subject.stages().zip(parents) {
        let mut shell = parent.is_some_and(|parent| has_shell[parent]);
        for instruction in &stage.instructions {
            match &instruction.kind {
                InstructionKind::Shell(_) => shell = true,
                InstructionKind::Cmd(CommandLine::Shell(word))
                | InstructionKind::Entrypoint(CommandLine::Shell(word))
                    if !shell =>
                {
                    let name = instruction.keyword.text.to_uppercase();
                    let message = format!("{name} in shell form does not pass signals on to the program");
                    let help = format!("use the JSON form: {name} [\"program\", \"argument\"]");
                    report.add(&instruction.comments, word.span, message, help);
                }
                _ => {}
            }
        }
        has_shell.push(shell);
    }
}
