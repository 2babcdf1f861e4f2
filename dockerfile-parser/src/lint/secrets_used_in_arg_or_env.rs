//! ARG and ENV end up in the image's history and config: no place for what the name says is secret.

use super::{Guide, Report, Rule, Subject};
use crate::ast::{InstructionKind, Word};

pub(super) const RULE: Rule = Rule { name: "SecretsUsedInArgOrEnv", check, guide: &GUIDE };

const GUIDE: Guide = Guide {
    summary: "ARG and ENV are no place for secrets",
    why: "Values of `ENV` stand in the config of the image, those of `ARG` in its history: everybody who can pull the image can read them. A secret mount is seen by one `RUN` and leaves nothing behind. The check goes by the name.",
    bad: "FROM scratch\nARG API_TOKEN\n",
    good: "FROM debian\nRUN --mount=type=secret,id=api_token cat /run/secrets/api_token >/dev/null\n",
};

/// Parts of a name, between underscores, that make it a secret.
const SECRET: [&str; 10] =
    ["apikey", "auth", "credential", "credentials", "key", "password", "pword", "passwd", "secret", "token"];

/// Parts that say it is not the secret itself.
const HARMLESS: [&str; 3] = ["public", "file", "version"];

fn check(subject: &Subject<'_>, report: &mut Report<'_>) {
    for instruction in subject.instructions() {
        let mut look_at = |keyword: &str, name: &Word| {
            if is_secret(&name.text) {
                let message =
                    format!("{keyword} \"{}\" looks like a secret, and would stay in the image", name.text);
                report.add(&instruction.comments, name.span, message, "use RUN --mount=type=secret");
            }
        };
        match &instruction.kind {
            InstructionKind::Arg(declarations) => declarations.iter().for_each(|d| look_at("ARG", &d.name)),
            InstructionKind::Env(values) => values.pairs.iter().for_each(|(key, _)| look_at("ENV", key)),
            _ => {}
        }
    }
}

/// Whether the name of a variable says that its value is secret.
pub fn is_secret(name: &str) -> bool {
    let is_one_of = |part: &str, known: &[&str]| known.iter().any(|known| known.eq_ignore_ascii_case(part));
    let has = |known: &[&str]| name.split('_').any(|part| is_one_of(part, known));
    has(&SECRET) && !has(&HARMLESS)
}
