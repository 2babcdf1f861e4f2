//! The flags of an instruction: which are known, what they take, how often they may be given.

use crate::ast::Word;
use crate::diagnostic::{Diagnostic, MAX_ERRORS};
use crate::statement::RawFlag;
use crate::suggest;

/// What a flag takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Takes {
    /// `--flag`, `--flag=true`, `--flag=false`; once.
    Switch,
    /// `--flag=value`; once.
    Value,
    /// `--flag=value`; any number of times.
    Values,
}

/// A flag's name and what it takes.
pub(crate) type Known = (&'static str, Takes);

/// Checked flags.
#[derive(Debug, Default)]
pub(crate) struct Flags {
    given: Vec<(&'static str, Given)>,
}

#[derive(Debug)]
enum Given {
    Switch(bool),
    Value(Word),
}

impl Flags {
    /// Checks what was `written` for `instruction` against what is known.
    pub(crate) fn check(
        instruction: &str,
        written: &[RawFlag],
        known: &[Known],
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Self {
        let mut flags = Self::default();
        for flag in written {
            match flags.check_one(instruction, flag, known) {
                Ok(given) => flags.given.push(given),
                Err(diagnostic) => diagnostics.push(diagnostic),
            }
            if diagnostics.len() >= MAX_ERRORS {
                break;
            }
        }
        flags
    }

    fn check_one(
        &self,
        instruction: &str,
        flag: &RawFlag,
        known: &[Known],
    ) -> Result<(&'static str, Given), Diagnostic> {
        let name = &flag.name;
        let error = |code, message: String| Diagnostic::error(code, flag.name_span, message);
        let Some((known_name, takes)) = known.iter().find(|(n, _)| n == name).copied() else {
            let error = error("unknown-flag", format!("{instruction} has no flag --{name}"));
            return Err(match suggest::nearest(name, known.iter().map(|(n, _)| *n)) {
                Some(near) => error.help(format!("did you mean --{near}?")),
                None if matches!(instruction, "CMD" | "ENTRYPOINT") => error.help(format!(
                    "{instruction} takes no flags; if it is an argument, write {instruction} -- --{name}"
                )),
                None if known.is_empty() => error.help(format!("{instruction} takes no flags")),
                None => {
                    let names: Vec<String> = known.iter().map(|(n, _)| format!("--{n}")).collect();
                    error.help(format!("it has {}", names.join(", ")))
                }
            });
        };
        if takes != Takes::Values && self.given.iter().any(|(n, _)| *n == known_name) {
            return Err(
                error("duplicate-flag", format!("--{name} is given twice")).help("remove one of them")
            );
        }
        let given = match (takes, &flag.value) {
            (Takes::Switch, None) => Given::Switch(true),
            (Takes::Switch, Some(value)) => match value.text.to_ascii_lowercase().as_str() {
                "true" => Given::Switch(true),
                "false" => Given::Switch(false),
                _ => {
                    let span = if value.text.is_empty() { flag.name_span } else { value.span };
                    let message = format!("--{name} is true or false, not \"{}\"", value.text);
                    return Err(Diagnostic::error("flag-value", span, message)
                        .help(format!("--{name} alone means --{name}=true")));
                }
            },
            (_, Some(value)) => Given::Value(value.clone()),
            (_, None) => {
                return Err(error("flag-value", format!("--{name} needs a value"))
                    .help(format!("write --{name}=value")));
            }
        };
        Ok((known_name, given))
    }

    /// The value of a [`Takes::Value`] flag; an empty one counts as not given.
    pub(crate) fn value(&self, name: &str) -> Option<Word> {
        self.given_value(name).filter(|word| !word.text.is_empty())
    }

    /// The value of a [`Takes::Value`] flag, even an empty one.
    pub(crate) fn given_value(&self, name: &str) -> Option<Word> {
        self.values(name).into_iter().next()
    }

    /// The values of a [`Takes::Values`] flag, in order.
    pub(crate) fn values(&self, name: &str) -> Vec<Word> {
        let values = self.given.iter().filter(|(n, _)| *n == name);
        values
            .filter_map(|(_, g)| if let Given::Value(word) = g { Some(word.clone()) } else { None })
            .collect()
    }

    /// A [`Takes::Switch`] flag, if given.
    pub(crate) fn switch(&self, name: &str) -> Option<bool> {
        self.given.iter().find_map(|(n, g)| match g {
            Given::Switch(on) if *n == name => Some(*on),
            _ => None,
        })
    }
}
