//! The small languages inside flag values: `type=oci,dest=-`, `id=token,env=TOKEN`, `nofile=1024:2048`, `64m`.
//!
//! Each parser is a plain function from the value to a checked type; the flags name it as clap's value parser, so that
//! an error comes out with the flag and the value in front of it.

pub mod annotation;
pub mod context;
pub mod flag;
pub mod host;
pub mod mirror;
pub mod output;
pub mod resource;
pub mod secret;
pub mod size;
pub mod ssh;
pub mod ulimit;

/// What is wrong with the value of a flag.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum SpecError {
    /// A field of a comma-separated value is no `key=value`.
    #[error("{0:?} is no key=value")]
    NotKeyValue(String),
    /// Quotes do not match.
    #[error("a quote in {0:?} is not closed, or stands inside a field")]
    Quote(String),
    /// A key nobody knows.
    #[error("unknown key {key:?}; known here: {known}")]
    UnknownKey {
        /// The key.
        key: String,
        /// The keys that are known.
        known: &'static str,
    },
    /// A value that does not fit its key.
    #[error("{key}={value:?} is not understood: {want}")]
    BadValue {
        /// The key.
        key: String,
        /// The value.
        value: String,
        /// What would do.
        want: &'static str,
    },
    /// A key that must be there.
    #[error("{key}= is missing: {why}")]
    Missing {
        /// The key.
        key: &'static str,
        /// Why it must be there.
        why: &'static str,
    },
    /// A key that does not go with the rest.
    #[error("{key}= does not go with {with}: {why}")]
    Conflict {
        /// The key.
        key: String,
        /// What it does not go with.
        with: String,
        /// Why not.
        why: &'static str,
    },
    /// Understood, but not there.
    #[error("{what} is not supported: {why}")]
    Refused {
        /// What was asked for.
        what: String,
        /// Why not, or what to do instead.
        why: &'static str,
    },
    /// A URL that cannot be used.
    #[error("{0}")]
    Remote(String),
    /// A file that cannot be read.
    #[error("it cannot be read: {0}")]
    Unreadable(String),
    /// A template that is none.
    #[error("{0}")]
    Template(String),
    /// The whole value has another shape.
    #[error("{0}")]
    Shape(&'static str),
}

/// Splits at commas. A field in double quotes may hold commas; a doubled quote in it is a quote (RFC 4180).
fn fields(value: &str) -> Result<Vec<String>, SpecError> {
    let broken = || SpecError::Quote(value.to_owned());
    let mut fields = Vec::new();
    let mut rest = value;
    loop {
        let (field, after) = if let Some(quoted) = rest.strip_prefix('"') {
            let (mut field, mut tail) = (String::new(), quoted);
            loop {
                let end = tail.find('"').ok_or_else(broken)?;
                field.push_str(&tail[..end]);
                tail = &tail[end + 1..];
                match tail.strip_prefix('"') {
                    Some(more) => {
                        field.push('"');
                        tail = more;
                    }
                    None => break,
                }
            }
            (field, tail)
        } else {
            let end = rest.find(',').unwrap_or(rest.len());
            if rest[..end].contains('"') {
                return Err(broken());
            }
            (rest[..end].to_owned(), &rest[end..])
        };
        fields.push(field);
        match after.strip_prefix(',') {
            Some(more) => rest = more,
            None if after.is_empty() => return Ok(fields),
            None => return Err(broken()),
        }
    }
}

/// `key=value` of a field, the key in lower case.
fn pair(field: &str) -> Result<(String, &str), SpecError> {
    let (key, value) = field.split_once('=').ok_or_else(|| SpecError::NotKeyValue(field.to_owned()))?;
    Ok((key.trim().to_ascii_lowercase(), value))
}

/// The words Go's flag package takes for a truth value, which is what users of `docker` write.
fn truth(key: &str, value: &str) -> Result<bool, SpecError> {
    flag::boolean(value).map_err(|_| SpecError::BadValue {
        key: key.to_owned(),
        value: value.to_owned(),
        want: "write true or false",
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_and_quotes() {
        for (value, want) in [
            ("", &[""][..]),
            ("a", &["a"]),
            ("a=1,b=2", &["a=1", "b=2"]),
            ("a,", &["a", ""]),
            (r#"type=local,"dest=a,b""#, &["type=local", "dest=a,b"]),
            (r#""say ""hi""",x"#, &[r#"say "hi""#, "x"]),
        ] {
            assert_eq!(fields(value).unwrap(), want, "{value}");
        }
        for value in [r#"""#, r#""a"b"#, r#"a"b"#, r#"x,"y"#] {
            assert_eq!(fields(value), Err(SpecError::Quote(value.to_owned())), "{value}");
        }
    }
}
