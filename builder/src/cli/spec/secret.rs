//! `--secret id=ID[,type=file|env][,src=PATH][,env=NAME]`.

use super::{SpecError, fields, pair};
use crate::cli::environment::Lookup;
use crate::request::SecretSource;
use std::os::unix::ffi::OsStringExt;

const KEYS: &str = "id type src source env";

/// A secret as the flag says it; where it comes from may still depend on the environment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Secret {
    /// `id=`.
    pub id: String,
    from: From,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum From {
    File(String),
    Variable(String),
    /// Neither was said: the variable named like the id if it is set, else the file named like it.
    Id,
}

/// Reads the flag's value.
///
/// # Errors
/// [`SpecError`] for unknown or contradicting keys, and when `id=` is missing.
pub fn parse(value: &str) -> Result<Secret, SpecError> {
    let (mut id, mut kind, mut file, mut variable) = (None, None, None, None);
    for field in fields(value)? {
        let (key, value) = pair(&field)?;
        let slot = match key.as_str() {
            "id" => &mut id,
            "src" | "source" => &mut file,
            "env" => &mut variable,
            "type" if matches!(value, "file" | "env") => &mut kind,
            "type" => {
                return Err(SpecError::BadValue { key, value: value.to_owned(), want: "write file or env" });
            }
            _ => return Err(SpecError::UnknownKey { key, known: KEYS }),
        };
        *slot = Some(value.to_owned());
    }
    let id = id
        .filter(|id| !id.is_empty())
        .ok_or(SpecError::Missing { key: "id", why: "RUN --mount=type=secret,id=... asks for it by name" })?;
    // `type=env,src=NAME` names a variable: older documentation of docker writes it so.
    if kind.as_deref() == Some("env") && variable.is_none() {
        variable = file.take();
    }
    let from = match (file, variable) {
        (Some(_), Some(variable)) => {
            return Err(SpecError::Conflict {
                key: "src".to_owned(),
                with: format!("env={variable}"),
                why: "a secret comes from one place",
            });
        }
        (None, Some(variable)) if kind.as_deref() == Some("file") => {
            return Err(SpecError::Conflict {
                key: "env".to_owned(),
                with: format!("type=file of {variable}"),
                why: "write src= for a file",
            });
        }
        (Some(file), None) => From::File(file),
        (None, Some(variable)) => From::Variable(variable),
        (None, None) => match kind.as_deref() {
            Some("env") => From::Variable(id.clone()),
            Some(_) => From::File(id.clone()),
            None => From::Id,
        },
    };
    Ok(Secret { id, from })
}

impl Secret {
    /// Looks into the environment where the secret comes from there.
    ///
    /// # Errors
    /// [`SpecError::BadValue`] when the variable is not set.
    pub fn resolve(&self, variable: Lookup<'_>) -> Result<SecretSource, SpecError> {
        match &self.from {
            From::File(path) => Ok(SecretSource::File(path.into())),
            From::Variable(name) => match variable(name) {
                Some(value) => Ok(SecretSource::Value(value.into_vec())),
                None => Err(SpecError::BadValue {
                    key: "env".to_owned(),
                    value: name.clone(),
                    want: "no such variable is set in the environment",
                }),
            },
            From::Id => Ok(match variable(&self.id) {
                Some(value) => SecretSource::Value(value.into_vec()),
                None => SecretSource::File((&self.id).into()),
            }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources() {
        let lookup = |name: &str| (name == "TOKEN").then(|| "s3".into());
        let file = |path: &str| SecretSource::File(path.into());
        let value = || SecretSource::Value(b"s3".to_vec());
        for (text, id, want) in [
            ("id=a,src=/run/a", "a", file("/run/a")),
            ("id=a,source=a b", "a", file("a b")),
            ("type=file,id=a,src=x", "a", file("x")),
            ("id=a,env=TOKEN", "a", value()),
            ("id=a,type=env,env=TOKEN", "a", value()),
            ("id=a,type=env,src=TOKEN", "a", value()),
            ("id=TOKEN,type=env", "TOKEN", value()),
            ("id=TOKEN", "TOKEN", value()),
            ("id=TOKEN,type=file", "TOKEN", file("TOKEN")),
            ("id=other", "other", file("other")),
            (r#"id=a,"src=x,y""#, "a", file("x,y")),
        ] {
            let secret = parse(text).unwrap();
            assert_eq!(secret.id, id, "{text}");
            assert_eq!(secret.resolve(&lookup), Ok(want), "{text}");
        }
    }

    #[test]
    fn refusals() {
        for (text, want) in [
            ("", r#""" is no key=value"#),
            ("token", r#""token" is no key=value"#),
            ("src=x", "id= is missing: RUN --mount=type=secret,id=... asks for it by name"),
            ("id=a,mode=0400", r#"unknown key "mode"; known here: id type src source env"#),
            ("id=a,type=vault", r#"type="vault" is not understood: write file or env"#),
            ("id=a,src=x,env=Y", "src= does not go with env=Y: a secret comes from one place"),
            ("id=a,type=file,env=Y", "env= does not go with type=file of Y: write src= for a file"),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), want, "{text}");
        }
        let unset = parse("id=a,env=NOPE").unwrap().resolve(&|_| None).unwrap_err();
        assert_eq!(
            unset.to_string(),
            r#"env="NOPE" is not understood: no such variable is set in the environment"#
        );
    }
}
