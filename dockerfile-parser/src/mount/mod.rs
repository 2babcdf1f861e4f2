//! `RUN --mount=`: from its text to a [`Mount`] (Dockerfile reference, "RUN --mount").
//!
//! | key (aliases) | bind | cache | tmpfs | secret | ssh |
//! | --- | --- | --- | --- | --- | --- |
//! | `type` | x | x | x | x | x |
//! | `target` (`dst`, `destination`) | x | x | x | x | x |
//! | `source` (`src`) | x | x | | the secret's id | |
//! | `from` | x | x | | | |
//! | `readonly` (`ro`) | default | x | x | always | always |
//! | `readwrite` (`rw`) | x | default | default | | |
//! | `id` | | default: `target`, cleaned | | default: last element of `target` | default: `default` |
//! | `sharing` | | default: `shared` | | | |
//! | `required` | | | | x | x |
//! | `mode` (octal), `uid`, `gid` | | x | | mode 0400 | mode 0600 |
//! | `env` | | | | x | |
//! | `size` | | | x | | |
//!
//! A key that a type cannot honour is refused.

mod error;
mod fields;
mod size;
#[cfg(test)]
mod tests;

pub use error::MountError;
pub(crate) use fields::boolean;

use crate::ast::{Mount, MountKind, Sharing, Word};
use crate::expand::{ExpandError, Expander};
use crate::glob::clean;
use crate::span::Span;
use fields::{Fields, Key, Value};
use std::borrow::Cow;

/// Where secrets appear unless `target=` or `env=` says otherwise.
const SECRETS: &str = "/run/secrets";

/// Reads the specification of one mount. `expand` is given each value but that of `from`, which is never expanded.
///
/// Defaults are filled in: the id of a cache, secret or ssh mount, the mode of the latter two, and the target of a secret
/// that has no `env`.
///
/// # Errors
/// Broken quoting, unknown keys and values, keys that the type cannot honour, and errors of `expand`.
pub fn parse(
    spec: &str,
    expand: &mut dyn FnMut(&str) -> Result<String, ExpandError>,
) -> Result<Mount, MountError> {
    let texts = fields::split(spec)?;
    let fields = Fields::read(&texts, &mut |value| expand(value).map(|text| Value::Known(Cow::Owned(text))))?;
    // All values are known here, so the type is.
    let checked = checked(&fields)?.ok_or(MountError::Csv)?;
    complete(&fields, checked)
}

/// Checks what can be known while names have no values yet: everything that no `$` takes part in.
///
/// # Errors
/// Those that [`parse`] would give whatever the values of names are.
pub fn check(spec: &str, escape: char) -> Result<(), MountError> {
    let expander = Expander::new(escape);
    let texts = fields::split(spec)?;
    let fields = Fields::read(&texts, &mut |value| {
        if value.contains('$') {
            return Ok(Value::Unknown);
        }
        if !value.contains(['\'', '"', escape]) {
            return Ok(Value::Known(Cow::Borrowed(value)));
        }
        expander.word(value, &|_| None).map(|expanded| Value::Known(Cow::Owned(expanded.text)))
    })?;
    match checked(&fields)? {
        // The others are right if their fields are.
        Some(checked) if checked.kind == MountKind::Secret => complete(&fields, checked).map(drop),
        _ => Ok(()),
    }
}

/// The `from=` of a mount, which is what it says before names have values too. `None` also for a mount that [`check`]
/// refuses.
pub fn from(spec: &str) -> Option<String> {
    // Keys have their letters in any case.
    let may_be =
        |at: usize| spec.as_bytes()[at..].get(..4).is_some_and(|key| key.eq_ignore_ascii_case(b"from"));
    if !spec.bytes().enumerate().any(|(at, letter)| letter | 0x20 == b'f' && may_be(at)) {
        return None;
    }
    let texts = fields::split(spec).ok()?;
    Fields::read(&texts, &mut |_| Ok(Value::Unknown)).ok()?.text(Key::From)
}

/// Where the value of `from=` stands: [`from`] of the same word, as long as no quotes are in the way, else all of it.
pub fn from_span(spec: &Word) -> Span {
    MountError::FromVariable.span_in(spec)
}

/// Where the value of `source=` stands, under the same condition; all of the word without one.
pub fn source_span(spec: &Word) -> Span {
    let value = |key: &str| {
        let value = MountError::NotBoolean { key: key.to_owned(), value: String::new() };
        Some(value.span_in(spec)).filter(|span| *span != spec.span)
    };
    value("source").or_else(|| value("src")).unwrap_or(spec.span)
}

/// The values that are more than text.
struct Checked {
    kind: MountKind,
    read_only: bool,
    sharing: Sharing,
    required: bool,
    mode: Option<u32>,
    uid: Option<u32>,
    gid: Option<u32>,
    size: Option<u64>,
}

/// Checks each value, and that the type can honour its key; `None` if the type is not known yet.
fn checked(fields: &Fields<'_>) -> Result<Option<Checked>, MountError> {
    let kind = match fields.choice(Key::Type, &fields::TYPES)? {
        Value::Known(kind) => Some(kind.unwrap_or(MountKind::Bind)),
        Value::Unknown => None,
    };
    // Values are checked even if the type is not known.
    let mode = fields.number(Key::Mode, 8)?;
    let uid = fields.number(Key::Uid, 10)?;
    let gid = fields.number(Key::Gid, 10)?;
    let size = fields.size()?;
    let sharing = fields.choice(Key::Sharing, &fields::SHARING)?.known().flatten().unwrap_or(Sharing::Shared);
    let required = fields.boolean(Key::Required)?.unwrap_or(false);
    let read_only = fields.boolean(Key::ReadOnly)?;
    let read_write = fields.boolean(Key::ReadWrite)?;
    let Some(kind) = kind else { return Ok(None) };
    fields.refuse_foreign(kind)?;
    if matches!(kind, MountKind::Secret | MountKind::Ssh) && read_only == Some(false) {
        return Err(MountError::NotForType { key: "readonly=false".to_owned(), kind });
    }
    let default = !matches!(kind, MountKind::Cache | MountKind::Tmpfs);
    let read_only = read_only.or(read_write.map(|write| !write)).unwrap_or(default);
    Ok(Some(Checked { kind, read_only, sharing, required, mode, uid, gid, size }))
}

/// The whole mount, with what follows from what is not given.
fn complete(fields: &Fields<'_>, checked: Checked) -> Result<Mount, MountError> {
    let Checked { kind, read_only, sharing, required, mode, uid, gid, size } = checked;
    let mut mount = Mount {
        kind,
        from: fields.text(Key::From),
        source: fields.text(Key::Source),
        target: fields.text(Key::Target),
        read_only,
        id: fields.text(Key::Id),
        sharing,
        required,
        mode,
        uid,
        gid,
        env: None,
        size,
    };
    match kind {
        MountKind::Bind | MountKind::Tmpfs => {}
        MountKind::Cache => {
            let target = mount.target.as_deref().unwrap_or_default();
            mount.id = mount.id.or_else(|| Some(clean(target)));
        }
        MountKind::Secret => complete_secret(&mut mount, fields)?,
        MountKind::Ssh => {
            mount.id = mount.id.or_else(|| Some("default".to_owned()));
            mount.mode = mount.mode.or(Some(0o600));
        }
    }
    Ok(mount)
}

fn complete_secret(mount: &mut Mount, fields: &Fields<'_>) -> Result<(), MountError> {
    if mount.source.is_some() && mount.id.is_some() {
        return Err(MountError::SecretSourceAndId);
    }
    let last_element = |path: &str| clean(path).rsplit('/').next().unwrap_or_default().to_owned();
    let id = mount.source.take().or(mount.id.take()).or_else(|| mount.target.as_deref().map(last_element));
    let Some(id) = id else {
        if [Key::Source, Key::Id, Key::Target].into_iter().any(|key| fields.is_unknown(key)) {
            return Ok(());
        }
        return Err(MountError::SecretWithoutId);
    };
    // `env=` without a value names the variable after the secret.
    mount.env = fields.given(Key::Env).then(|| fields.text(Key::Env).unwrap_or_else(|| id.clone()));
    if mount.env.is_none() && mount.target.is_none() {
        mount.target = Some(format!("{SECRETS}/{}", last_element(&id)));
    }
    mount.id = Some(id);
    mount.mode = mount.mode.or(Some(0o400));
    Ok(())
}
