//! Truth values, and `NAME=value`.

use super::SpecError;

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
