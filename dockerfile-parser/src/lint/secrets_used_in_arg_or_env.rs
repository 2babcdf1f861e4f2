//! ARG and ENV end up in the image's history and config: no place for what the name says is secret.

use super::{Report, Rule, Subject};
use crate::ast::{InstructionKind, Word};

pub(super) const RULE: Rule = Rule { name: "SecretsUsedInArgOrEnv", check };

/// Parts of a name, between underscores, that make it a secret.
const SECRET: [&str; 10] =
    ["apikey", "auth", "credential", "credentials", "key", "password", "pword", "passwd", "secret", "token"];

/// Parts that say it is not the secret itself.
const HARMLESS: [&str; 3] = ["public", "file", "version"];

fn check(subject: &Subject<'_>, report: &mut Report<'_>) {
    for instruction in subject.instructions() {
        let (keyword, names): (_, Vec<&Word>) = match &instruction.kind {
            InstructionKind::Arg(declarations) => ("ARG", declarations.iter().map(|d| &d.name).collect()),
            InstructionKind::Env(values) => ("ENV", values.pairs.iter().map(|(key, _)| key).collect()),
            _ => continue,
        };
        for name in names.into_iter().filter(|name| is_secret(&name.text)) {
            let message =
                format!("{keyword} \"{}\" looks like a secret, and would stay in the image", name.text);
            report.add(&instruction.comments, name.span, message, "use RUN --mount=type=secret");
        }
    }
}

fn is_secret(name: &str) -> bool {
    let lower = name.to_lowercase();
    let has = |parts: &[&str]| lower.split('_').any(|part| parts.contains(&part));
    has(&SECRET) && !has(&HARMLESS)
}
