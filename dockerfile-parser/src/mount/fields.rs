//! The keys of a mount and their values, each checked by itself.

use super::error::MountError;
use super::size;
use crate::ast::{MountKind, Sharing};
use crate::csv;
use crate::expand::ExpandError;
use std::borrow::Cow;

/// The values of `type=`.
pub(super) const TYPES: [(&str, MountKind); 5] = [
    ("bind", MountKind::Bind),
    ("cache", MountKind::Cache),
    ("tmpfs", MountKind::Tmpfs),
    ("secret", MountKind::Secret),
    ("ssh", MountKind::Ssh),
];

/// The values of `sharing=`.
pub(super) const SHARING: [(&str, Sharing); 3] =
    [("shared", Sharing::Shared), ("private", Sharing::Private), ("locked", Sharing::Locked)];

/// The keys; aliases are the same key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Key {
    Type,
    From,
    Source,
    Target,
    ReadOnly,
    ReadWrite,
    Required,
    Size,
    Id,
    Sharing,
    Mode,
    Uid,
    Gid,
    Env,
}

/// How the keys are written.
pub(super) const KEYS: [(&str, Key); 19] = [
    ("type", Key::Type),
    ("from", Key::From),
    ("source", Key::Source),
    ("src", Key::Source),
    ("target", Key::Target),
    ("dst", Key::Target),
    ("destination", Key::Target),
    ("readonly", Key::ReadOnly),
    ("ro", Key::ReadOnly),
    ("readwrite", Key::ReadWrite),
    ("rw", Key::ReadWrite),
    ("required", Key::Required),
    ("size", Key::Size),
    ("id", Key::Id),
    ("sharing", Key::Sharing),
    ("mode", Key::Mode),
    ("uid", Key::Uid),
    ("gid", Key::Gid),
    ("env", Key::Env),
];

/// A value, or that it depends on names without a value yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Value<T> {
    Known(T),
    Unknown,
}

impl<T> Value<T> {
    pub(super) fn known(self) -> Option<T> {
        match self {
            Self::Known(value) => Some(value),
            Self::Unknown => None,
        }
    }
}

/// A field: its key, the key as written, its value if it has one.
struct Field<'f> {
    key: Key,
    /// The key or alias that was written, in lower case.
    written: &'static str,
    value: Option<Value<Cow<'f, str>>>,
}

pub(super) struct Fields<'f>(Vec<Field<'f>>);

/// The text of each field of a specification, its key included.
pub(super) fn split(spec: &str) -> Result<Vec<Cow<'_, str>>, MountError> {
    if spec.is_empty() {
        return Err(MountError::Empty);
    }
    csv::fields(spec).ok_or(MountError::Csv)
}

impl<'f> Fields<'f> {
    /// Tells keys and values of `fields` apart; `expand` is given each value but that of `from`.
    pub(super) fn read(
        texts: &'f [Cow<'f, str>],
        expand: &mut dyn FnMut(&'f str) -> Result<Value<Cow<'f, str>>, ExpandError>,
    ) -> Result<Self, MountError> {
        let mut fields: Vec<Field<'f>> = Vec::with_capacity(texts.len().min(KEYS.len()));
        for text in texts {
            let (written, value) = match text.split_once('=') {
                Some((key, value)) => (key, Some(value)),
                None => (&**text, None),
            };
            let known = KEYS.iter().find(|(name, _)| name.eq_ignore_ascii_case(written));
            let Some((written, key)) = known.copied() else {
                return Err(MountError::UnknownKey { key: written.to_owned() });
            };
            if value.is_none() && !matches!(key, Key::ReadOnly | Key::ReadWrite | Key::Required) {
                return Err(MountError::NoValue { key: written.to_owned() });
            }
            let contradicts = |other: Key| {
                matches!((key, other), (Key::ReadOnly, Key::ReadWrite) | (Key::ReadWrite, Key::ReadOnly))
            };
            if let Some(earlier) =
                fields.iter().find(|earlier| earlier.key == key || contradicts(earlier.key))
            {
                return Err(MountError::Twice {
                    first: earlier.written.to_owned(),
                    second: written.to_owned(),
                });
            }
            let value = match value {
                Some(value) if key == Key::From => {
                    if value.trim_end_matches('$').contains('$') {
                        return Err(MountError::FromVariable);
                    }
                    Some(Value::Known(Cow::Borrowed(value)))
                }
                Some(value) => Some(
                    expand(value).map_err(|source| MountError::Expand { key: written.to_owned(), source })?,
                ),
                None => None,
            };
            fields.push(Field { key, written, value });
        }
        Ok(Self(fields))
    }

    fn find(&self, key: Key) -> Option<&Field<'f>> {
        self.0.iter().find(|field| field.key == key)
    }

    /// Whether the key is there.
    pub(super) fn given(&self, key: Key) -> bool {
        self.find(key).is_some()
    }

    /// Whether the key's value is not known yet.
    pub(super) fn is_unknown(&self, key: Key) -> bool {
        self.find(key).is_some_and(|field| field.value == Some(Value::Unknown))
    }

    fn known(&self, key: Key) -> Option<(&Field<'f>, &str)> {
        let field = self.find(key)?;
        match &field.value {
            Some(Value::Known(text)) => Some((field, text)),
            _ => None,
        }
    }

    /// A text; an empty one counts as none.
    pub(super) fn text(&self, key: Key) -> Option<String> {
        self.known(key).map(|(_, text)| text.to_owned()).filter(|text| !text.is_empty())
    }

    /// One of some names, in any case.
    pub(super) fn choice<T: Copy>(
        &self,
        key: Key,
        choices: &'static [(&'static str, T)],
    ) -> Result<Value<Option<T>>, MountError> {
        if self.is_unknown(key) {
            return Ok(Value::Unknown);
        }
        let Some((field, text)) = self.known(key) else { return Ok(Value::Known(None)) };
        match choices.iter().find(|(name, _)| name.eq_ignore_ascii_case(text)) {
            Some((_, value)) => Ok(Value::Known(Some(*value))),
            None => Err(MountError::UnknownValue {
                key: field.written.to_owned(),
                value: text.to_owned(),
                known: choices.iter().map(|(name, _)| *name).collect(),
            }),
        }
    }

    /// A switch: alone it means true.
    pub(super) fn boolean(&self, key: Key) -> Result<Option<bool>, MountError> {
        match self.find(key) {
            Some(Field { value: None, .. }) => Ok(Some(true)),
            Some(Field { written, value: Some(Value::Known(text)), .. }) => match boolean(text) {
                Some(on) => Ok(Some(on)),
                None => Err(MountError::NotBoolean {
                    key: (*written).to_owned(),
                    value: text.clone().into_owned(),
                }),
            },
            _ => Ok(None),
        }
    }

    /// A number of 32 bits.
    pub(super) fn number(&self, key: Key, radix: u32) -> Result<Option<u32>, MountError> {
        let Some((field, text)) = self.known(key) else { return Ok(None) };
        let digits = !text.is_empty() && text.chars().all(|c| c.is_digit(radix));
        match u32::from_str_radix(text, radix) {
            Ok(number) if digits => Ok(Some(number)),
            _ => Err(MountError::NotNumber { key: field.written.to_owned(), value: text.to_owned(), radix }),
        }
    }

    pub(super) fn size(&self) -> Result<Option<u64>, MountError> {
        let Some((_, text)) = self.known(Key::Size) else { return Ok(None) };
        size::parse(text).map(Some).ok_or_else(|| MountError::NotSize { value: text.to_owned() })
    }

    /// Refuses keys that mean nothing for `kind`.
    pub(super) fn refuse_foreign(&self, kind: MountKind) -> Result<(), MountError> {
        let allowed: &[Key] = match kind {
            MountKind::Bind => &[Key::From, Key::Source, Key::ReadOnly, Key::ReadWrite],
            MountKind::Cache => &[
                Key::From,
                Key::Source,
                Key::ReadOnly,
                Key::ReadWrite,
                Key::Id,
                Key::Sharing,
                Key::Mode,
                Key::Uid,
                Key::Gid,
            ],
            MountKind::Tmpfs => &[Key::Size, Key::ReadOnly, Key::ReadWrite],
            MountKind::Secret => {
                &[Key::Source, Key::Id, Key::Required, Key::Mode, Key::Uid, Key::Gid, Key::Env, Key::ReadOnly]
            }
            MountKind::Ssh => &[Key::Id, Key::Required, Key::Mode, Key::Uid, Key::Gid, Key::ReadOnly],
        };
        let foreign =
            self.0.iter().find(|f| !matches!(f.key, Key::Type | Key::Target) && !allowed.contains(&f.key));
        match foreign {
            Some(field) => Err(MountError::NotForType { key: field.written.to_owned(), kind }),
            None => Ok(()),
        }
    }
}

/// `true` and `false` in the notations of Go's `strconv.ParseBool`.
pub(crate) fn boolean(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}
