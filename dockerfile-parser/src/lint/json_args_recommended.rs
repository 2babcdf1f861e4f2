//! CMD and ENTRYPOINT in shell form: the shell stands between the runtime and the program, and keeps signals to itself.
//!
//! Not reported once the stage, or one it is built from, has chosen its own SHELL.

use super::{Guide, Report, Rule, Subject};
use crate::ast::{CommandLine, InstructionKind};

pub(super) const RULE: Rule = Rule { name: "JSONArgsRecommended", check, guide: &GUIDE };

const GUIDE: Guide = Guide {
    summary: "CMD and ENTRYPOINT should be in JSON form",
    why: "In shell form a shell stands between the runtime and the program: it gets the signals of `docker stop`, and does not hand them on. In JSON form the program is started itself. Where a shell is wanted, say which by `SHELL`, and write `exec` before the program.",
    bad: "FROM scratch\nCMD serve --port 80\n",
    good: "FROM scratch\nCMD [\"serve\", \"--port\", \"80\"]\n",
};

fn check(subject: &Subject<'_>, report: &mut Report<'_>) {
    let parents = &subject.names().parents;
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
