//! The ignore file of a build: `<Dockerfile>.dockerignore` beside the Dockerfile, else `.dockerignore` at the top of the
//! context. The first replaces the second.

use super::ContextError;
use crate::copy::IgnoreRules;
use crate::rootfs::Root;
use dockerfile_parser::ignore::{IgnoreError, Patterns};
use rustix::fs::FileType;
use rustix::io::Errno;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

const IN_CONTEXT: &str = ".dockerignore";

/// Far above any list that was written by hand.
const MAX_SIZE: u64 = 16 << 20;

/// Finds and reads the ignore rules of the context `dir`. `dockerfile` is the Dockerfile of the build when it is a file;
/// `None` for one from standard input, and for named contexts. The Dockerfile and the ignore file may be ignored
/// themselves: that only hides them from `COPY`. `place` is what messages call the context when `dir` is just where it
/// was put.
///
/// # Errors
/// When there is an ignore file and it cannot be read, or has a malformed pattern.
pub fn ignore_rules(
    dir: &Path,
    dockerfile: Option<&Path>,
    place: Option<&str>,
) -> Result<Option<IgnoreRules>, ContextError> {
    let shown = |path: &Path| match (place, path.strip_prefix(dir)) {
        (Some(place), Ok(inside)) => format!("{} of {place}", inside.display()),
        _ => path.display().to_string(),
    };
    let unreadable = |path: &Path, source| ContextError::ReadIgnore { file: shown(path), source };
    if let Some(path) = dockerfile.map(beside) {
        // What somebody else has sent leads to no file of this machine.
        let bytes = match path.strip_prefix(dir) {
            Ok(inside) if place.is_some() => read_inside(dir, inside),
            _ => read_beside(&path),
        };
        if let Some(bytes) = bytes.map_err(|source| unreadable(&path, source))? {
            return parse(&shown(&path), &bytes).map(Some);
        }
    }
    match read_inside(dir, Path::new(IN_CONTEXT))
        .map_err(|source| unreadable(&dir.join(IN_CONTEXT), source))?
    {
        Some(bytes) => parse(IN_CONTEXT, &bytes).map(Some),
        None => Ok(None),
    }
}

/// A directory is opened as a file is, and cannot be read; what the kernel says of it helps nobody.
fn directory() -> io::Error {
    io::Error::new(io::ErrorKind::IsADirectory, "it is a directory, and should be a file with patterns")
}

/// `path/Dockerfile.dockerignore` for `path/Dockerfile`.
fn beside(dockerfile: &Path) -> PathBuf {
    let mut name = dockerfile.file_name().unwrap_or_default().to_owned();
    name.push(IN_CONTEXT);
    dockerfile.with_file_name(name)
}

fn read_inside(dir: &Path, path: &Path) -> io::Result<Option<Vec<u8>>> {
    let root = Root::open(dir)?;
    let is_directory =
        || root.stat(path).is_ok_and(|found| FileType::from_raw_mode(found.st_mode) == FileType::Directory);
    match root.read(path, MAX_SIZE) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(_) if is_directory() => Err(directory()),
        Err(error) => absent(error),
    }
}

fn read_beside(path: &Path) -> io::Result<Option<Vec<u8>>> {
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) => return absent(error),
    };
    if file.metadata()?.is_dir() {
        return Err(directory());
    }
    let mut bytes = Vec::new();
    file.take(MAX_SIZE + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_SIZE { Err(Errno::FBIG.into()) } else { Ok(Some(bytes)) }
}

fn absent(error: io::Error) -> io::Result<Option<Vec<u8>>> {
    match error.kind() {
        io::ErrorKind::NotFound | io::ErrorKind::NotADirectory => Ok(None),
        _ => Err(error),
    }
}

fn parse(file: &str, bytes: &[u8]) -> Result<IgnoreRules, ContextError> {
    let patterns = Patterns::parse(bytes).map_err(|error| ContextError::Ignore {
        file: file.to_owned(),
        line: error.line(),
        reason: match &error {
            IgnoreError::NothingReincluded { .. } => "! must be followed by a pattern".to_owned(),
            IgnoreError::Pattern { source, .. } => source.to_string(),
        },
    })?;
    Ok(IgnoreRules { patterns, file: file.to_owned() })
}
