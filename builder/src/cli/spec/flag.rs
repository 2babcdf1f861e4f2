//! Truth values, and `NAME=value`.

use super::SpecError;
use crate::request::Entitlements;

/// `--flag=true`: the spellings of Go's `strconv.ParseBool`.
///
/// # Errors
/// [`SpecError::Shape`] for any other word.
pub fn boolean(value: &str) -> Result<bool, SpecError> {
    match value {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
        _ => Err(SpecError::Shape("write true or false")),
    }
}

/// `NAME=value`, or `NAME` alone.
///
/// # Errors
/// [`SpecError::Shape`] when the name is empty.
pub fn assignment(value: &str) -> Result<(String, Option<String>), SpecError> {
    let (name, value) = match value.split_once('=') {
        Some((name, value)) => (name, Some(value.to_owned())),
        None => (value, None),
    };
    if name.is_empty() {
        return Err(SpecError::Shape("the name in front of = is empty"));
    }
    Ok((name.to_owned(), value))
}

/// How something is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
#[allow(missing_docs, reason = "named after the value")]
pub enum TextFormat {
    Text,
    Json,
}

/// `--allow`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entitlement {
    /// `network.host`.
    NetworkHost,
    /// `security.insecure`.
    SecurityInsecure,
}

/// Reads one value of `--allow`.
///
/// # Errors
/// [`SpecError`] for what is none, and for devices.
pub fn entitlement(value: &str) -> Result<Entitlement, SpecError> {
    match value {
        "network.host" => Ok(Entitlement::NetworkHost),
        "security.insecure" => Ok(Entitlement::SecurityInsecure),
        _ if value == "device" || value.starts_with("device=") => {
            Err(SpecError::Refused { what: value.to_owned(), why: "RUN --device is not there yet" })
        }
        _ => Err(SpecError::Shape("write network.host or security.insecure")),
    }
}

/// All of them together.
pub fn entitlements(all: &[Entitlement]) -> Entitlements {
    Entitlements {
        network_host: all.contains(&Entitlement::NetworkHost),
        security_insecure: all.contains(&Entitlement::SecurityInsecure),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn assignments() {
        let some = |name: &str, value: &str| Ok((name.to_owned(), Some(value.to_owned())));
        assert_eq!(assignment("A=b=c"), some("A", "b=c"));
        assert_eq!(assignment("A="), some("A", ""));
        assert_eq!(assignment("A"), Ok(("A".to_owned(), None)));
        assert_eq!(assignment("=b").unwrap_err().to_string(), "the name in front of = is empty");
    }

    #[test]
    fn booleans() {
        assert_eq!((boolean("1"), boolean("False")), (Ok(true), Ok(false)));
        assert_eq!(boolean("yes").unwrap_err().to_string(), "write true or false");
    }
}
