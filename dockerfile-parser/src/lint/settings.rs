//! Which checks are on, and whether they fail the build.

use super::{EXPERIMENTAL, rule_names};
use crate::diagnostic::{Diagnostic, Severity};
use crate::directive::directive;
use crate::span::Span;
use crate::suggest;
use std::collections::BTreeSet;
use std::fmt;

/// The settings of `# check=`. The default: all checks but experimental ones are on, and warn.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Checks {
    /// Findings are errors.
    pub error: bool,
    skip: Selection,
    experimental: Selection,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Selection {
    all: bool,
    rules: BTreeSet<String>,
}

impl Selection {
    fn parse(value: &str) -> Self {
        match value.trim() {
            "all" => Self { all: true, rules: BTreeSet::new() },
            list => {
                let rules = list.split(',').map(str::trim).filter(|rule| !rule.is_empty());
                Self { all: false, rules: rules.map(str::to_owned).collect() }
            }
        }
    }

    fn contains(&self, rule: &str) -> bool {
        self.all || self.rules.contains(rule)
    }
}

/// Settings that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChecksError {
    /// Not `skip=`, `error=` or `experimental=`.
    UnknownOption(String),
    /// `error=` is neither true nor false.
    NotBoolean(String),
}

impl fmt::Display for ChecksError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::UnknownOption(option) => {
                write!(f, "check settings are skip=, error= and experimental=, not \"{option}\"")
            }
            Self::NotBoolean(value) => write!(f, "error= is true or false, not \"{value}\""),
        }
    }
}

impl std::error::Error for ChecksError {}

impl Checks {
    /// Reads `skip=RULE,..;error=BOOL;experimental=RULE,..`; `all` stands for every rule. Blanks around
    /// `;`, `,` and `=` mean nothing.
    ///
    /// # Errors
    /// Unknown options, and `error=` with something else than true or false.
    pub fn parse(text: &str) -> Result<Self, ChecksError> {
        let mut checks = Self::default();
        for option in text.split(';').map(str::trim).filter(|option| !option.is_empty()) {
            match option.split_once('=').map(|(name, value)| (name.trim(), value.trim())) {
                Some(("skip", value)) => checks.skip = Selection::parse(value),
                Some(("experimental", value)) => checks.experimental = Selection::parse(value),
                Some(("error", value)) => {
                    checks.error = crate::mount::boolean(value)
                        .ok_or_else(|| ChecksError::NotBoolean(value.to_owned()))?;
                }
                _ => return Err(ChecksError::UnknownOption(option.to_owned())),
            }
        }
        Ok(checks)
    }

    /// Whether a rule is on for an instruction with these comments above it. In such a comment, unlike at the top of the
    /// file, what follows a blank is a remark.
    pub fn is_on(&self, rule: &str, comments: &[String]) -> bool {
        let local = comments.iter().find_map(|comment| {
            let (name, value) = directive(comment, "")?;
            name.eq_ignore_ascii_case("check").then(|| value.split_whitespace().next().unwrap_or_default())
        });
        let local = local.and_then(|value| Self::parse(value).ok()).unwrap_or_default();
        if EXPERIMENTAL.contains(&rule) {
            return self.experimental.contains(rule) || local.experimental.contains(rule);
        }
        !self.skip.contains(rule) && !local.skip.contains(rule)
    }

    /// A finding of `rule`, unless it is off there: a warning, or an error if these settings say so.
    pub fn finding(
        &self,
        rule: &'static str,
        comments: &[String],
        span: Span,
        message: impl Into<String>,
    ) -> Option<Diagnostic> {
        let diagnostic =
            Diagnostic { severity: self.severity(), code: rule, message: message.into(), span, help: None };
        self.is_on(rule, comments).then_some(diagnostic)
    }

    pub(super) fn severity(&self) -> Severity {
        if self.error { Severity::Error } else { Severity::Warning }
    }

    /// Warnings about rules that do not exist: to skip them skips nothing.
    pub(super) fn unknown_rules(&self, span: Span) -> Vec<Diagnostic> {
        let names = rule_names();
        let unknown =
            self.skip.rules.union(&self.experimental.rules).filter(|rule| !names.contains(&rule.as_str()));
        unknown
            .map(|rule| {
                let warning =
                    Diagnostic::warning("UnknownCheck", span, format!("there is no check \"{rule}\""));
                match suggest::nearest(rule, names.iter().copied()) {
                    Some(near) => warning.help(format!("did you mean {near}?")),
                    None => warning.help("see the list of checks in the documentation"),
                }
            })
            .collect()
    }
}
