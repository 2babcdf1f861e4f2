//! EXPOSE names ports of the container: an address or a port of the host has no effect there.

use super::{Report, Rule, Subject, exposed};

pub(super) const RULE: Rule = Rule { name: "ExposeInvalidFormat", check };

fn check(subject: &Subject<'_>, report: &mut Report<'_>) {
    for (instruction, word, port) in exposed(subject) {
        if let Some((_, container)) = port.rsplit_once(':') {
            let message = format!("the address or host port in \"{port}\" has no effect");
            report.add(&instruction.comments, word.span, message, format!("write {container}"));
        }
    }
}
