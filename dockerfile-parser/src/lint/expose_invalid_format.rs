//! EXPOSE names ports of the container: an address or a port of the host has no effect there.

use super::{Guide, Report, Rule, Subject, exposed};

pub(super) const RULE: Rule = Rule { name: "ExposeInvalidFormat", check, guide: &GUIDE };

const GUIDE: Guide = Guide {
    summary: "EXPOSE takes ports of the container",
    why: "`EXPOSE` notes which ports the program listens on. An address or a port of the host has no effect there: it is chosen when the container is started (`-p`).",
    bad: "FROM scratch\nEXPOSE 127.0.0.1:80:8080\n",
    good: "FROM scratch\nEXPOSE 8080\n",
};

fn check(subject: &Subject<'_>, report: &mut Report<'_>) {
    for (instruction, word, port) in exposed(subject) {
        if let Some((_, container)) = port.rsplit_once(':') {
            let message = format!("the address or host port in \"{port}\" has no effect");
            report.add(&instruction.comments, word.span, message, format!("write {container}"));
        }
    }
}
