//! `run`: tries an image: one program in the foreground, on a file system that is thrown away.

use crate::cli::build::args::Network;
use crate::cli::spec::flag;
use std::ffi::OsString;
use std::path::PathBuf;

/// Flags of `build run`.
#[derive(clap::Args, Debug)]
#[command(override_usage = "build run [OPTIONS] IMAGE [COMMAND...]")]
pub struct Args {
    /// Set a variable; without =VALUE it is taken from the environment
    #[arg(short, long, value_name = "NAME[=VALUE]", value_parser = flag::assignment)]
    pub env: Vec<(String, Option<String>)>,

    /// Show a directory or file of this machine in the container
    #[arg(short, long, value_name = "PATH:PATH[:ro]", value_parser = volume)]
    pub volume: Vec<Volume>,

    /// Start in this directory
    #[arg(short, long, value_name = "PATH")]
    pub workdir: Option<PathBuf>,

    /// Run as this user
    #[arg(short, long, value_name = "USER[:GROUP]")]
    pub user: Option<String>,

    /// Hand standard input to the program
    #[arg(short, long)]
    pub interactive: bool,

    /// Give the program a terminal
    #[arg(short, long)]
    pub tty: bool,

    /// Run this program instead of the image's ENTRYPOINT
    #[arg(long, value_name = "PROGRAM")]
    pub entrypoint: Option<String>,

    /// Network of the program
    #[arg(long, value_name = "MODE", value_enum, default_value = "default")]
    pub network: Network,

    /// Let the program write to no file of the image
    #[arg(long)]
    pub read_only: bool,

    /// The image, and what to run instead of its CMD
    // One list, so that whatever follows the image belongs to the program, dashes or not.
    #[arg(value_name = "IMAGE", required = true, trailing_var_arg = true)]
    pub words: Vec<OsString>,
}

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

fn volume(value: &str) -> Result<Volume, VolumeError> {
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
