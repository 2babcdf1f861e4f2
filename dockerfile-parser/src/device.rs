//! `RUN --device=`: a device of the Container Device Interface.

use crate::csv;
use crate::suggest;
use std::fmt;

/// A device that a RUN asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Device {
    /// The CDI name (`vendor.com/class=name`) or class (`vendor.com/class`).
    pub name: String,
    /// Whether the step fails without it.
    pub required: bool,
}

/// A specification that cannot be understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DeviceError {
    /// Broken quoting.
    Csv,
    /// No name.
    NoName,
    /// Two names.
    TwoNames(String),
    /// Not true or false.
    NotBoolean(String),
    /// An unknown key.
    UnknownKey(String),
}

impl DeviceError {
    /// What to do about it.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::UnknownKey(key) => Some(match suggest::nearest(key, ["name", "required"]) {
                Some(near) => format!("did you mean {near}?"),
                None => "it takes a name, name= and required".to_owned(),
            }),
            Self::NoName => Some("for example: --device=vendor.com/device=gpu0,required".to_owned()),
            _ => None,
        }
    }
}

impl fmt::Display for DeviceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Csv => write!(f, "the quotes in the list are broken"),
            Self::NoName => write!(f, "the device has no name"),
            Self::TwoNames(name) => write!(f, "\"{name}\" would be a second name"),
            Self::NotBoolean(value) => write!(f, "required is true or false, not \"{value}\""),
            Self::UnknownKey(key) => write!(f, "there is no key \"{key}\""),
        }
    }
}

impl std::error::Error for DeviceError {}

/// Reads `NAME[,required]` or `name=NAME[,required=BOOL]`.
///
/// # Errors
/// Whatever is neither.
pub fn parse(spec: &str) -> Result<Device, DeviceError> {
    let mut name: Option<String> = None;
    let mut required = false;
    for field in csv::fields(spec).ok_or(DeviceError::Csv)? {
        let (key, value) = match field.split_once('=') {
            Some((key, value)) => (key.to_lowercase(), Some(value)),
            None => (field.to_lowercase(), None),
        };
        match (key.as_str(), value) {
            ("required", None) => required = true,
            ("required", Some(value)) => {
                required =
                    crate::mount::boolean(value).ok_or_else(|| DeviceError::NotBoolean(value.to_owned()))?;
            }
            ("name", Some(value)) => set(&mut name, value)?,
            // A CDI name has an equals sign of its own.
            _ if name.is_none() => set(&mut name, &field)?,
            (_, None) => return Err(DeviceError::TwoNames(field.into_owned())),
            (_, Some(_)) => return Err(DeviceError::UnknownKey(key)),
        }
    }
    let name = name.filter(|name| !name.is_empty()).ok_or(DeviceError::NoName)?;
    Ok(Device { name, required })
}

fn set(name: &mut Option<String>, value: &str) -> Result<(), DeviceError> {
    match name {
        Some(_) => Err(DeviceError::TwoNames(value.to_owned())),
        None => {
            *name = Some(value.to_owned());
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn notations() {
        let device = |name: &str, required| Ok(Device { name: name.to_owned(), required });
        assert_eq!(parse("vendor.com/gpu=0"), device("vendor.com/gpu=0", false));
        assert_eq!(parse("name=vendor.com/gpu=0,required"), device("vendor.com/gpu=0", true));
        assert_eq!(parse("required=false,vendor.com/gpu"), device("vendor.com/gpu", false));
        assert_eq!(parse("a,b"), Err(DeviceError::TwoNames("b".to_owned())));
        assert_eq!(parse("a,requird=1"), Err(DeviceError::UnknownKey("requird".to_owned())));
        assert_eq!(parse("required"), Err(DeviceError::NoName));
        assert_eq!(parse("a,required=x"), Err(DeviceError::NotBoolean("x".to_owned())));
        assert_eq!(parse("\"a"), Err(DeviceError::Csv));
    }
}
