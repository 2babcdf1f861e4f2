//! `--ulimit name=soft[:hard]`.

use super::SpecError;
use crate::request::Ulimit;

const NAMES: [&str; 15] = [
    "core",
    "cpu",
    "data",
    "fsize",
    "locks",
    "memlock",
    "msgqueue",
    "nice",
    "nofile",
    "nproc",
    "rss",
    "rtprio",
    "rttime",
    "sigpending",
    "stack",
];

/// The limit; `-1` and `unlimited` are no limit, and a soft limit alone is the hard one too.
///
/// # Errors
/// [`SpecError`] for another shape, a name that `setrlimit(2)` does not know, or a soft limit above the hard one.
pub fn parse(value: &str) -> Result<Ulimit, SpecError> {
    let (name, limits) =
        value.split_once('=').ok_or(SpecError::Shape("write name=soft[:hard], as in nofile=1024:4096"))?;
    if !NAMES.contains(&name) {
        return Err(SpecError::UnknownKey {
            key: name.to_owned(),
            known: "core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio rttime sigpending stack",
        });
    }
    let number = |text: &str| match text {
        "-1" | "unlimited" => Ok(None),
        text => text.parse().map(Some).map_err(|_| SpecError::BadValue {
            key: name.to_owned(),
            value: text.to_owned(),
            want: "write a number, or -1 for no limit",
        }),
    };
    let (soft, hard) = match limits.split_once(':') {
        Some((soft, hard)) => (number(soft)?, number(hard)?),
        None => (number(limits)?, number(limits)?),
    };
    // No limit is more than any limit.
    if hard.is_some_and(|hard| soft.is_none_or(|soft| soft > hard)) {
        return Err(SpecError::BadValue {
            key: name.to_owned(),
            value: limits.to_owned(),
            want: "the soft limit must not be above the hard one",
        });
    }
    Ok(Ulimit { name: name.to_owned(), soft, hard })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits() {
        for (text, name, soft, hard) in [
            ("nofile=1024", "nofile", Some(1024), Some(1024)),
            ("nofile=1024:4096", "nofile", Some(1024), Some(4096)),
            ("core=0:-1", "core", Some(0), None),
            ("memlock=-1", "memlock", None, None),
            ("stack=unlimited:unlimited", "stack", None, None),
        ] {
            assert_eq!(parse(text), Ok(Ulimit { name: name.to_owned(), soft, hard }), "{text}");
        }
        for (text, want) in [
            ("nofile", "write name=soft[:hard], as in nofile=1024:4096"),
            ("nofile=", r#"nofile="" is not understood: write a number, or -1 for no limit"#),
            ("nofile=1k", r#"nofile="1k" is not understood: write a number, or -1 for no limit"#),
            (
                "nofile=2:1",
                r#"nofile="2:1" is not understood: the soft limit must not be above the hard one"#,
            ),
            (
                "nofile=-1:1",
                r#"nofile="-1:1" is not understood: the soft limit must not be above the hard one"#,
            ),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), want, "{text}");
        }
        assert!(matches!(parse("files=1"), Err(SpecError::UnknownKey { key, .. }) if key == "files"));
    }
}
