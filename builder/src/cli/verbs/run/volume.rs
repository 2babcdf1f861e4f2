//! `-v PATH:PATH[:ro]`.

use std::path::PathBuf;

/// `-v`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Volume {
    /// On this machine.
    pub source: PathBuf,
    /// In the container; absolute.
    pub target: PathBuf,
    /// `:ro`.
    pub read_only: bool,
}

/// Why a `-v` is refused.
#[derive(Clone, Debug, thiserror::Error, PartialEq, Eq)]
pub enum VolumeError {
    /// No `source:target`.
    #[error("write PATH:PATH or PATH:PATH:ro")]
    Shape,
    /// An option other than `ro` and `rw`.
    #[error("the option {0:?} is not supported; ro and rw are")]
    Option(String),
    /// A target that is not absolute.
    #[error("{0:?} is no absolute path of the container")]
    Relative(String),
    /// A name where a path belongs.
    #[error("{0:?} would be a named volume, and there are none; for a directory write ./{0}")]
    Named(String),
}

/// Reads the flag's value.
///
/// # Errors
/// [`VolumeError`].
pub fn volume(value: &str) -> Result<Volume, VolumeError> {
    let mut parts = value.split(':');
    let (Some(source), Some(target), option, None) = (parts.next(), parts.next(), parts.next(), parts.next())
    else {
        return Err(VolumeError::Shape);
    };
    let read_only = match option {
        None | Some("rw") => false,
        Some("ro") => true,
        Some(other) => return Err(VolumeError::Option(other.to_owned())),
    };
    if source.is_empty() || target.is_empty() {
        return Err(VolumeError::Shape);
    }
    if !target.starts_with('/') {
        return Err(VolumeError::Relative(target.to_owned()));
    }
    if !source.contains('/') && !matches!(source, "." | "..") {
        return Err(VolumeError::Named(source.to_owned()));
    }
    Ok(Volume { source: source.into(), target: target.into(), read_only })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn volumes() {
        let volume_of = |source: &str, target: &str, read_only| {
            Ok(Volume { source: source.into(), target: target.into(), read_only })
        };
        for (text, want) in [
            ("/a:/b", volume_of("/a", "/b", false)),
            ("./a:/b:rw", volume_of("./a", "/b", false)),
            (".:/b:ro", volume_of(".", "/b", true)),
            ("/a", Err(VolumeError::Shape)),
            (":/b", Err(VolumeError::Shape)),
            ("/a:", Err(VolumeError::Shape)),
            ("/a:/b:ro:z", Err(VolumeError::Shape)),
            ("/a:/b:z", Err(VolumeError::Option("z".to_owned()))),
            ("/a:b", Err(VolumeError::Relative("b".to_owned()))),
            ("data:/b", Err(VolumeError::Named("data".to_owned()))),
        ] {
            assert_eq!(volume(text), want, "{text}");
        }
    }
}
