//! Protocols of EXPOSE should be lower case, as they are stored.

use super::{Report, Rule, Subject, exposed};

pub(super) const RULE: Rule = Rule { name: "ExposeProtoCasing", check };

fn check(subject: &Subject<'_>, report: &mut Report<'_>) {
    for (instruction, word, port) in exposed(subject) {
        let lower = port.to_lowercase();
        if port.contains('/') && port != lower {
            let message = format!("the protocol of \"{port}\" should be lower case");
            report.add(&instruction.comments, word.span, message, format!("write {lower}"));
        }
    }
}
