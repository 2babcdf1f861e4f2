//! A script in a here-document whose lines end with CR LF: the carriage returns are part of it.

use super::{Guide, Report, Rule, Subject};
use crate::ast::{Add, Copy, Heredoc, InstructionKind, Source};

pub(super) const RULE: Rule = Rule { name: "HeredocCarriageReturn", check, guide: &GUIDE };

const GUIDE: Guide = Guide {
    summary: "Scripts in here-documents should have no carriage returns",
    why: "A Dockerfile may have lines that end with CR LF, but the body of a here-document is taken as it is. A shell has the carriage return for a part of the last word of each line: `set -e` fails, and `touch x` makes a file with an invisible letter in its name. Save the file with LF alone (`git config core.autocrlf input`, or `Dockerfile text eol=lf` in `.gitattributes`). This is not one of BuildKit's checks.",
    bad: "FROM scratch\nRUN <<EOF\r\nset -e\r\nEOF\r\n",
    good: "FROM scratch\nRUN <<EOF\nset -e\nEOF\n",
};

fn check(subject: &Subject<'_>, report: &mut Report<'_>) {
    for instruction in subject.instructions() {
        let look = |heredoc: &Heredoc| {
            if heredoc.body.contains("\r\n") {
                report.add(
                    &instruction.comments,
                    heredoc.span,
                    "the lines of this script end with CR LF, and the carriage returns are part of its words",
                    "save the Dockerfile with line feeds alone",
                );
            }
        };
        match &instruction.kind {
            InstructionKind::Run(run) => run.heredocs.iter().for_each(look),
            InstructionKind::Copy(Copy { sources, .. }) | InstructionKind::Add(Add { sources, .. }) => {
                let heredocs = sources.iter().filter_map(|source| match source {
                    Source::Heredoc(heredoc) => Some(heredoc),
                    Source::Path(_) => None,
                });
                // Other files may have such lines, and some must.
                heredocs.filter(|heredoc| heredoc.body.starts_with("#!")).for_each(look);
            }
            _ => {}
        }
    }
}
