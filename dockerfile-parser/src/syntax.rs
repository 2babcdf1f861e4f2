//! The frontend that a file asks for (`# syntax=`), compared with what this crate implements.
//!
//! BuildKit fetches the image named there and lets it read the file. Nothing is fetched here: a file that asks for
//! Docker's own frontend, in a version that is implemented, gets what it asks for; anything else is said.

use crate::ast::Word;
use crate::diagnostic::Diagnostic;
use crate::directive::{self, Notation};
use std::fmt;

/// The version of `docker/dockerfile` whose instructions and flags are implemented, those of its `-labs` variant
/// included: major and minor.
pub const VERSION: (u32, u32) = (1, 20);

/// The code of diagnostics about the frontend.
pub const CODE: &str = "unsupported-syntax";

/// Why a frontend is not what reads the file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unsupported {
    /// A later version than [`VERSION`].
    Newer {
        /// The frontend as asked for.
        image: String,
    },
    /// Docker's frontend, but no release that could be compared: a digest alone, or a development branch.
    Unversioned {
        /// The frontend as asked for.
        image: String,
    },
    /// Any other frontend.
    Custom {
        /// The frontend as asked for.
        image: String,
    },
}

impl Unsupported {
    /// What to do about it.
    pub fn help(&self) -> String {
        match self {
            Self::Newer { .. } => {
                format!("what came after {} is reported as an error where it is used", Version)
            }
            Self::Unversioned { .. } => {
                format!("write docker/dockerfile:{} to say which version is meant", VERSION.0)
            }
            Self::Custom { .. } => "if it is an ordinary Dockerfile all the same, remove the line".to_owned(),
        }
    }
}

impl fmt::Display for Unsupported {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let image = match self {
            Self::Newer { image } | Self::Unversioned { image } | Self::Custom { image } => image,
        };
        let why = match self {
            Self::Newer { .. } => "which is older",
            Self::Unversioned { .. } => "which may differ",
            Self::Custom { .. } => "which may mean something else",
        };
        write!(
            f,
            "the frontend {image} is not fetched: the file is read as docker/dockerfile:{Version}, {why}"
        )
    }
}

impl std::error::Error for Unsupported {}

/// [`VERSION`] as it is written.
struct Version;

impl fmt::Display for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", VERSION.0, VERSION.1)
    }
}

/// Compares the frontend that is asked for with what is implemented. `syntax` is the value of `# syntax=`, or of the
/// build argument `BUILDKIT_SYNTAX`: a reference, perhaps with arguments behind a blank.
///
/// ```
/// use dockerfile_parser::syntax;
///
/// assert!(syntax::check("docker/dockerfile:1").is_ok());
/// assert!(syntax::check("docker.io/docker/dockerfile:1.7-labs@sha256:0123").is_ok());
/// assert!(syntax::check("docker/dockerfile:1.9999").is_err());
/// assert!(syntax::check("example.org/my/frontend").is_err());
/// ```
///
/// # Errors
/// [`Unsupported`]; it is no reason to stop, but the user should know.
pub fn check(syntax: &str) -> Result<(), Unsupported> {
    let image = syntax.split_whitespace().next().unwrap_or_default();
    // The frontend that is built into BuildKit.
    if image == "dockerfile.v0" {
        return Ok(());
    }
    let (name, digest) = match image.split_once('@') {
        Some((name, _)) => (name, true),
        None => (image, false),
    };
    let path =
        ["docker.io/", "index.docker.io/"].iter().find_map(|host| name.strip_prefix(host)).unwrap_or(name);
    let (repository, tag) = match path.split_once(':') {
        Some((repository, tag)) => (repository, Some(tag)),
        None => (path, None),
    };
    let image = || image.to_owned();
    if !matches!(repository, "docker/dockerfile" | "docker/dockerfile-upstream") {
        return Err(Unsupported::Custom { image: image() });
    }
    match tag {
        None if digest => Err(Unsupported::Unversioned { image: image() }),
        None => Ok(()),
        Some(tag) => match version(tag) {
            Some(version) if version > VERSION => Err(Unsupported::Newer { image: image() }),
            Some(_) => Ok(()),
            None => Err(Unsupported::Unversioned { image: image() }),
        },
    }
}

/// Major and minor of a release's tag: `1`, `1.4`, `1.4.2`, each perhaps with `-labs`, `-experimental` or `-rc1`. What
/// moves with the releases (`1`, `latest`, `labs`) is the version that is implemented.
fn version(tag: &str) -> Option<(u32, u32)> {
    let (numbers, variant) = match tag.split_once('-') {
        Some((numbers, variant)) => (numbers, Some(variant)),
        None => (tag, None),
    };
    if variant.is_none() && matches!(tag, "latest" | "labs" | "experimental") {
        return Some(VERSION);
    }
    let known = |part: &str| {
        matches!(part, "labs" | "experimental") || part.strip_prefix("rc").is_some_and(is_number)
    };
    if !variant.is_none_or(|variant| variant.split('-').all(known)) {
        return None;
    }
    let parts: Vec<&str> = numbers.split('.').collect();
    if parts.len() > 3 || !parts.iter().all(|part| is_number(part)) {
        return None;
    }
    // A number that does not fit is beyond any version.
    let number = |part: &str| part.parse().unwrap_or(u32::MAX);
    let major = number(parts[0]);
    Some(match parts.get(1) {
        Some(minor) => (major, number(minor)),
        None if major == VERSION.0 => VERSION,
        None => (major, 0),
    })
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

/// What there is to say about the frontend that `source` asks for; `directive` is its `# syntax=` if that stands among
/// the directives.
///
/// # Errors
/// The file says, in a notation that is a mistake in a Dockerfile, that it is written for a frontend.
pub(crate) fn finding(
    source: &[u8],
    directive: Option<&Word>,
) -> Result<Option<Diagnostic>, Box<Diagnostic>> {
    let found = match directive {
        Some(word) => Some((word.clone(), Notation::Comment)),
        None => directive::find_syntax(source),
    };
    let Some((word, notation)) = found else { return Ok(None) };
    if notation != Notation::Comment {
        let message =
            format!("the file is written for the frontend {}, and frontends are not run", word.text);
        let help = format!("in a Dockerfile write: # syntax=docker/dockerfile:{}", VERSION.0);
        return Err(Box::new(Diagnostic::error(CODE, word.span, message).help(help)));
    }
    let warn = |unsupported: Unsupported| {
        Diagnostic::warning(CODE, word.span, unsupported.to_string()).help(unsupported.help())
    };
    Ok(check(&word.text).err().map(warn))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_up_to_ours_are_ours() {
        for ours in [
            "docker/dockerfile",
            "docker/dockerfile:1",
            "docker/dockerfile:1-labs",
            "docker/dockerfile:1.0-experimental",
            "docker/dockerfile:1.20",
            "docker/dockerfile:1.7.1-labs",
            "docker/dockerfile:1.3.0-rc1",
            "docker/dockerfile:1.3-rc2-labs",
            "docker/dockerfile:latest",
            "docker/dockerfile:labs",
            "docker/dockerfile:1.7@sha256:00",
            "docker.io/docker/dockerfile:1",
            "index.docker.io/docker/dockerfile-upstream:1.4",
            "docker/dockerfile:1 with arguments",
            "dockerfile.v0",
        ] {
            assert_eq!(check(ours), Ok(()), "{ours}");
        }
    }

    #[test]
    fn anything_else_is_said() {
        for newer in ["docker/dockerfile:1.21", "docker/dockerfile:2", "docker/dockerfile:1.99999999999-labs"]
        {
            assert!(matches!(check(newer), Err(Unsupported::Newer { .. })), "{newer}");
        }
        for unversioned in [
            "docker/dockerfile@sha256:00",
            "docker/dockerfile-upstream:master",
            "docker/dockerfile-upstream:master-labs",
            "docker/dockerfile:1.2.3.4",
            "docker/dockerfile:1-rc",
            "docker/dockerfile:",
        ] {
            assert!(matches!(check(unversioned), Err(Unsupported::Unversioned { .. })), "{unversioned}");
        }
        for custom in ["", "example.org/docker/dockerfile:1", "dockerfile:1", "localhost:5000/x"] {
            assert!(matches!(check(custom), Err(Unsupported::Custom { .. })), "{custom}");
        }
        assert_eq!(
            check("docker/dockerfile:9").unwrap_err().to_string(),
            "the frontend docker/dockerfile:9 is not fetched: the file is read as docker/dockerfile:1.20, which is older"
        );
    }

    #[test]
    fn notations_in_a_file() {
        let codes = |source: &[u8]| match crate::parse(source) {
            Ok(parsed) => {
                (true, parsed.warnings.into_iter().map(|d| (d.code, d.span.start)).collect::<Vec<_>>())
            }
            Err(errors) => (false, errors.into_iter().map(|d| (d.code, d.span.start)).collect()),
        };
        let said = |at| vec![(CODE, at)];
        assert_eq!(codes(b"# syntax=docker/dockerfile:1\nFROM a\n"), (true, vec![]));
        assert_eq!(codes(b"# syntax=a/b\nFROM a\n"), (true, said(9)));
        assert_eq!(codes(b"#!/bin/x\n# escape=`\n# Syntax = a/b x\nFROM a\n"), (true, said(31)));
        assert_eq!(codes(b"// syntax=docker/dockerfile:1\nFROM a\n"), (false, said(10)));
        assert_eq!(codes(b"{\"syntax\": \"a/b\", \"x\": [1]}"), (false, said(0)));
        assert_eq!(codes(b"FROM a\n# syntax=a/b\n"), (true, vec![]));
    }
}
