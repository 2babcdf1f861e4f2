//! What can be wrong with a mount.

use super::fields::KEYS;
use crate::ast::{MountKind, Word};
use crate::expand::ExpandError;
use crate::span::Span;
use crate::suggest;
use std::fmt;
use std::ops::Range;

/// A mount that cannot be understood or honoured.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the fields say what was written")]
pub enum MountError {
    /// Nothing was written.
    Empty,
    /// Broken quoting.
    Csv,
    /// An unknown key.
    UnknownKey { key: String },
    /// A key that needs a value has none.
    NoValue { key: String },
    /// A key is given twice, by alias or by contradiction (`ro` and `rw`).
    Twice { first: String, second: String },
    /// Not one of the values of `type` or `sharing`.
    UnknownValue { key: String, value: String, known: Vec<&'static str> },
    /// Not true or false.
    NotBoolean { key: String, value: String },
    /// Not a number of 32 bits in this radix.
    NotNumber { key: String, value: String, radix: u32 },
    /// Not a size.
    NotSize { value: String },
    /// The key means nothing for the type.
    NotForType { key: String, kind: MountKind },
    /// `from` with a variable.
    FromVariable,
    /// A secret without id, source and target.
    SecretWithoutId,
    /// A secret with both id and source.
    SecretSourceAndId,
    /// A value that cannot be expanded.
    Expand { key: String, source: ExpandError },
}

impl MountError {
    /// What to do about it.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::UnknownKey { key } => {
                Some(match suggest::nearest(key, KEYS.iter().map(|(name, _)| *name)) {
                    Some(near) => format!("did you mean {near}?"),
                    None => {
                        let names: Vec<&str> = KEYS.iter().map(|(name, _)| *name).collect();
                        format!("the keys are {}", names.join(", "))
                    }
                })
            }
            Self::UnknownValue { value, known, .. } => {
                Some(match suggest::nearest(value, known.iter().copied()) {
                    Some(near) => format!("did you mean {near}?"),
                    None => format!("it is one of {}", known.join(", ")),
                })
            }
            Self::Empty => Some("for example: --mount=type=cache,target=/root/.cache".to_owned()),
            Self::Csv => {
                Some("quote a whole field, as in \"source=a,b\"; double a quote within it".to_owned())
            }
            Self::NoValue { key } => Some(format!("write {key}=value")),
            Self::NotNumber { radix: 8, .. } => Some("a mode is octal, as in 0755".to_owned()),
            Self::NotSize { .. } => Some("write bytes, or a number with k, m or g, as in 64m".to_owned()),
            Self::FromVariable => Some(
                "define a stage for it, FROM image AS name, where ARGs above the first FROM are expanded"
                    .to_owned(),
            ),
            Self::SecretWithoutId => Some("add id=NAME, the name given to --secret".to_owned()),
            Self::SecretSourceAndId => Some("source is another word for id here: remove one".to_owned()),
            Self::NotForType { .. } | Self::Twice { .. } => Some("remove it".to_owned()),
            Self::NotBoolean { .. } | Self::Expand { .. } => None,
            Self::NotNumber { .. } => Some("write a decimal number".to_owned()),
        }
    }
}

impl MountError {
    /// Where it is in the source, if `spec` is what was read: the key or the value that is wrong as long as the
    /// specification stands there without quotes, else all of it.
    pub fn span_in(&self, spec: &Word) -> Span {
        let Span { start, end } = spec.span;
        match self.part_of(&spec.text) {
            Some(part) if end - start == spec.text.len() && !part.is_empty() => {
                Span::new(start + part.start, start + part.end)
            }
            _ => spec.span,
        }
    }

    /// The part of the specification that is wrong.
    fn part_of(&self, spec: &str) -> Option<Range<usize>> {
        let (key, wants_value) = match self {
            Self::UnknownKey { key } | Self::NoValue { key } => (key.as_str(), false),
            Self::Twice { second, .. } => (second.as_str(), false),
            Self::NotForType { key, .. } => (key.split('=').next().unwrap_or(key), false),
            Self::UnknownValue { key, .. }
            | Self::NotBoolean { key, .. }
            | Self::NotNumber { key, .. }
            | Self::Expand { key, .. } => (key.as_str(), true),
            Self::NotSize { .. } => ("size", true),
            Self::FromVariable => ("from", true),
            Self::SecretSourceAndId => ("id", false),
            Self::Empty | Self::Csv | Self::SecretWithoutId => return None,
        };
        if spec.contains('"') {
            return None;
        }
        let mut start = 0;
        let mut found = None;
        for field in spec.split(',') {
            let (written, value) = field.split_once('=').unwrap_or((field, ""));
            if written.eq_ignore_ascii_case(key) {
                let value_start = start + field.len() - value.len();
                found = Some(match self {
                    // What an alias says twice is found by the second one, which comes later.
                    _ if !wants_value => start..start + written.len(),
                    Self::Expand { source, .. } => {
                        value_start + source.offset.min(value.len())..start + field.len()
                    }
                    _ => value_start..start + field.len(),
                });
            }
            start += field.len() + 1;
        }
        found
    }
}

impl fmt::Display for MountError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => write!(f, "a mount needs at least a target"),
            Self::Csv => write!(f, "the quotes in the list are broken"),
            Self::UnknownKey { key } => write!(f, "there is no key \"{key}\""),
            Self::NoValue { key } => write!(f, "\"{key}\" needs a value"),
            Self::Twice { first, second } if first == second => write!(f, "\"{first}\" is given twice"),
            Self::Twice { first, second } => {
                write!(f, "\"{first}\" and \"{second}\" are about the same thing")
            }
            Self::UnknownValue { key, value, .. } => write!(f, "{key} cannot be \"{value}\""),
            Self::NotBoolean { key, value } => write!(f, "{key} is true or false, not \"{value}\""),
            Self::NotNumber { key, value, .. } => write!(f, "{key}: \"{value}\" is not a number it can be"),
            Self::NotSize { value } => write!(f, "\"{value}\" is not a size"),
            Self::NotForType { key, kind } => {
                write!(f, "\"{key}\" has no effect on a mount of type {}", kind_name(*kind))
            }
            Self::FromVariable => write!(f, "names are not expanded in from"),
            Self::SecretWithoutId => write!(f, "a secret needs an id"),
            Self::SecretSourceAndId => write!(f, "a secret has one name, and both id and source are given"),
            // The cause is in `source`, and it is short: a diagnostic shows one line.
            Self::Expand { key, source } => write!(f, "{key}: {source}"),
        }
    }
}

impl std::error::Error for MountError {}

fn kind_name(kind: MountKind) -> &'static str {
    super::fields::TYPES.iter().find(|(_, k)| *k == kind).map_or("", |(name, _)| name)
}
