//! The comment above a named FROM, or an ARG, is its description, and should start with the name. Off unless asked for.

use super::{Guide, Report, Rule, Subject};
use crate::ast::InstructionKind;
use crate::span::Span;

pub(super) const RULE: Rule = Rule { name: "InvalidDefinitionDescription", check, guide: &GUIDE };

const GUIDE: Guide = Guide {
    summary: "A comment above FROM or ARG should describe it",
    why: "The last comment line directly above a named `FROM` or an `ARG` is shown as its description by `build --call=outline` and `--call=targets`. It should begin with the name; any other comment is kept apart by an empty line or an empty comment. This check is off unless it is asked for: `# check=experimental=InvalidDefinitionDescription`.",
    bad: "# check=experimental=all\n\n# the version\nARG VERSION=1\nFROM scratch\n",
    good: "# check=experimental=all\n\n# VERSION is what is built\nARG VERSION=1\nFROM scratch\n",
};

fn check(subject: &Subject<'_>, report: &mut Report<'_>) {
    for stage in subject.stages() {
        if let Some(name) = &stage.from.name {
            one(report, "FROM", &[name.text.to_lowercase()], &stage.comments, stage.span);
        }
    }
    for instruction in subject.instructions() {
        let InstructionKind::Arg(declarations) = &instruction.kind else { continue };
        let names: Vec<String> = declarations.iter().map(|d| d.name.text.clone()).collect();
        one(report, "ARG", &names, &instruction.comments, instruction.span);
    }
}

fn one(report: &mut Report<'_>, keyword: &str, names: &[String], comments: &[String], span: Span) {
    let Some(described) = comments.last().and_then(|line| line.split(' ').next()) else { return };
    if !names.iter().any(|name| name == described) {
        let message = format!("the comment above {keyword} does not describe it");
        let help = match names {
            [name] => format!("write \"# {name} description\", or put an empty comment (#) between"),
            _ => "write \"# NAME description\", or put an empty comment (#) between".to_owned(),
        };
        report.add(comments, span, message, help);
    }
}
