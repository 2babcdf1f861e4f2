//! The flags of an instruction: which are known, what they take, how often they may be given.

use crate::ast::Word;
use crate::diagnostic::{Diagnostic, MAX_ERRORS};
use crate::span::Span;
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

/// Checked flags, until their values are taken.
#[derive(Debug, Default)]
pub(crate) struct Flags {
    /// With the place of the name.
    given: Vec<(&'static str, Span, Given)>,
}

#[derive(Debug)]
enum Given {
    Switch(bool),
    Value(Word),
    Taken,
}

impl Flags {
    /// Checks what was `written` for `instruction` against what is known.
    pub(crate) fn check(
        instruction: &str,
        written: Vec<RawFlag>,
        known: &[Known],
        diagnostics: &mut Vec<Diagnostic>,
    ) -> Self {
        let mut flags = Self::default();
        for flag in written {
            let span = flag.name_span;
            match flags.check_one(instruction, flag, known) {
                Ok((name, given)) => flags.given.push((name, span, given)),
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
        flag: RawFlag,
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
        if takes != Takes::Values && self.given.iter().any(|(n, ..)| *n == known_name) {
            return Err(
                error("duplicate-flag", format!("--{name} is given twice")).help("remove one of them")
            );
        }
        let given = match (takes, flag.value) {
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
            (_, Some(value)) => Given::Value(value),
            (_, None) => {
                return Err(error("flag-value", format!("--{name} needs a value"))
                    .help(format!("write --{name}=value")));
            }
        };
        Ok((known_name, given))
    }

    /// Takes the value of a [`Takes::Value`] flag; an empty one counts as not given.
    pub(crate) fn value(&mut self, name: &str) -> Option<Word> {
        self.given_value(name).filter(|word| !word.text.is_empty())
    }

    /// Takes the value of a [`Takes::Value`] flag, even an empty one.
    pub(crate) fn given_value(&mut self, name: &str) -> Option<Word> {
        self.take(name).next()
    }

    /// Takes the values of a [`Takes::Values`] flag, in order.
    pub(crate) fn values(&mut self, name: &str) -> Vec<Word> {
        self.take(name).collect()
    }

    fn take(&mut self, name: &str) -> impl Iterator<Item = Word> {
        self.given.iter_mut().filter(move |(n, ..)| *n == name).filter_map(|(_, _, given)| {
            match std::mem::replace(given, Given::Taken) {
                Given::Value(word) => Some(word),
                other => {
                    *given = other;
                    None
                }
            }
        })
    }

    /// A [`Takes::Switch`] flag, if given.
    pub(crate) fn switch(&self, name: &str) -> Option<bool> {
        self.given.iter().find_map(|(n, _, given)| match given {
            Given::Switch(on) if *n == name => Some(*on),
            _ => None,
        })
    }

    /// Name and place of the first one given.
    pub(crate) fn first(&self) -> Option<(&'static str, Span)> {
        self.given.first().map(|(name, span, _)| (*name, *span))
    }
}
