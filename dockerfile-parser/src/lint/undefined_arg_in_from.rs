//! FROM with a name that no ARG before the first FROM declares: it is empty there.

use super::{GLOBAL_ARGS, Guide, Report, Rule, Subject};
use crate::expand::Expander;
use crate::suggest;

pub(super) const RULE: Rule = Rule { name: "UndefinedArgInFrom", check, guide: &GUIDE };

const GUIDE: Guide = Guide {
    summary: "FROM should use declared ARGs",
    why: "A `FROM` sees the ARGs before the first `FROM`, and those that every build has (`TARGETPLATFORM` and its kin). Another name is empty.",
    bad: "FROM debian:${VERSON}\n",
    good: "ARG VERSION=stable\nFROM debian:${VERSION}\n",
};

fn check(subject: &Subject<'_>, report: &mut Report<'_>) {
    let declared = subject.global_arguments();
    let names = || declared.iter().map(|(name, _)| *name).chain(GLOBAL_ARGS);
    let expander = Expander::new(subject.dockerfile.directives.escape);
    for stage in subject.stages() {
        for word in [Some(&stage.from.image), stage.from.platform.as_ref()].into_iter().flatten() {
            if !word.text.contains('$') {
                continue;
            }
            let lookup = |name: &str| names().any(|known| known == name).then(String::new);
            // What cannot be expanded is an error of whoever does it.
            let Ok(expanded) = expander.word(&word.text, &lookup) else { continue };
            for name in expanded.undefined {
                let message = format!("FROM uses {name}, which no ARG before the first FROM declares");
                let help = match suggest::nearest(&name, names()) {
                    Some(near) => format!("did you mean {near}?"),
                    None => format!("write ARG {name}=VALUE before the first FROM"),
                };
                report.add(&stage.comments, word.span, message, help);
            }
        }
    }
}
