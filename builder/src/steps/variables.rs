//! The environment of a program.

use std::ffi::{OsStr, OsString};

/// Environment variables, in the order in which they were first set. Each name is there once, with its last value: of
/// two, some programs would see the first and others the last.
#[derive(Debug, Default)]
pub(super) struct Variables(Vec<(String, OsString)>);

impl Variables {
    /// Gives `name` this value instead of any earlier one.
    pub(super) fn set(&mut self, name: &str, value: impl AsRef<OsStr>) {
        let value = value.as_ref().to_owned();
        match self.0.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => *old = value,
            None => self.0.push((name.to_owned(), value)),
        }
    }

    /// Whether `name` has a value, if only an empty one.
    pub(super) fn has(&self, name: &str) -> bool {
        self.0.iter().any(|(known, _)| known == name)
    }

    /// As `execve(2)` takes them: `NAME=value`.
    pub(super) fn into_environment(self) -> Vec<OsString> {
        let join = |(name, value): (String, OsString)| {
            let mut joined = OsString::from(name);
            joined.push("=");
            joined.push(value);
            joined
        };
        self.0.into_iter().map(join).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::ffi::OsStrExt;

    #[test]
    fn the_last_value_at_the_first_place() {
        let mut variables = Variables::default();
        for (name, value) in [("TOKEN", "placeholder"), ("HOME", "/a"), ("TOKEN", "real"), ("token", "")] {
            variables.set(name, value);
        }
        assert!(variables.has("token") && !variables.has("Home"));
        assert_eq!(variables.into_environment(), ["TOKEN=real", "HOME=/a", "token="]);
    }

    #[test]
    fn any_bytes() {
        let mut variables = Variables::default();
        variables.set("BYTES", OsStr::from_bytes(b"\xff=\n"));
        assert_eq!(variables.into_environment()[0].as_bytes(), b"BYTES=\xff=\n");
    }
}
