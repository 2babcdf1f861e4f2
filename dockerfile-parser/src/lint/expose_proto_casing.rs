//! Protocols of EXPOSE should be lower case, as they are stored.

use super::{Guide, Report, Rule, Subject, exposed};

pub(super) const RULE: Rule = Rule { name: "ExposeProtoCasing", check, guide: &GUIDE };

const GUIDE: Guide = Guide {
    summary: "Protocols of EXPOSE should be lower case",
    why: "The image keeps `tcp`, `udp` or `sctp` in lower case; tools that compare what the Dockerfile says with what the image has would not find the other spelling.",
    bad: "FROM scratch\nEXPOSE 80/TCP\n",
    good: "FROM scratch\nEXPOSE 80/tcp\n",
};

fn check(subject: &Subject<'_>, report: &mut Report<'_>) {
    for (instruction, word, port) in exposed(subject) {
        let lower = port.to_lowercase();
        if port.contains('/') && port != lower {
            let message = format!("the protocol of \"{port}\" should be lower case");
            report.add(&instruction.comments, word.span, message, format!("write {lower}"));
        }
    }
}
