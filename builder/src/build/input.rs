//! Finds and reads the Dockerfile, and finds the context.

use super::elsewhere::Fetched;
use super::error::{BuildError, DockerfileText};
use crate::blocking::blocking;
use crate::cancel::Cancellation;
use crate::context::{ContextError, StdinContext, read_stdin};
use crate::copy::CopyWarning;
use crate::fetch::git::GitError;
use crate::fetch::http::HttpError;
use crate::request::{BuildRequest, ContextSource, DockerfileSource};
use crate::rootfs::Root;
use crate::store::Store;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The most that is read of a Dockerfile, in bytes.
const LIMIT: u64 = 16 << 20;

/// What cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum InputError {
    /// The context is not there, or is no directory.
    #[error("the build context {} cannot be used: {why}", path.display())]
    Context {
        /// The directory.
        path: PathBuf,
        /// Why.
        why: String,
    },
    /// No Dockerfile.
    #[error("there is no Dockerfile at {}; name one with -f", path.display())]
    NoDockerfile {
        /// Where it should be.
        path: PathBuf,
    },
    /// No Dockerfile in a context that was fetched.
    #[error("there is no {} in {place}; name the Dockerfile with -f", name.display())]
    NotInContext {
        /// Its name there.
        name: PathBuf,
        /// The context.
        place: String,
    },
    /// A file cannot be read.
    #[error("cannot read {name}")]
    Read {
        /// Which.
        name: String,
        /// Why.
        source: io::Error,
    },
    /// A file is too large to be what it should be.
    #[error("{name} is larger than {} MiB", LIMIT >> 20)]
    TooLarge {
        /// Which.
        name: String,
    },
    /// A context or its ignore file.
    #[error(transparent)]
    Contents(#[from] ContextError),
    /// A context by HTTP.
    #[error(transparent)]
    Http(#[from] HttpError),
    /// A context in a repository.
    #[error(transparent)]
    Git(#[from] GitError),
    /// The store.
    #[error(transparent)]
    Store(#[from] crate::store::StoreError),
}

/// The Dockerfile and what is beside it.
#[derive(Debug)]
pub(super) struct Input {
    /// Its text.
    pub(super) dockerfile: Arc<DockerfileText>,
    /// The directory of the context; `None` for an empty one.
    pub(super) context: Option<PathBuf>,
    /// Where the Dockerfile is, when it is a file: its own ignore file stands beside it.
    pub(super) path: Option<PathBuf>,
    /// What could not be taken from an archive as it is.
    pub(super) warnings: Vec<CopyWarning>,
}

/// Reads what `request` names; `fetched` and `dockerfile` are what of it is elsewhere. Unless it is `required`, a
/// Dockerfile that nobody named may be missing. A pipe or a terminal may keep it waiting for ever, so it can be cancelled.
pub(super) async fn read(
    request: &BuildRequest,
    fetched: Option<Fetched>,
    dockerfile: Option<Vec<u8>>,
    required: bool,
    store: &Store,
    cancellation: &Cancellation,
) -> Result<Input, BuildError> {
    let (request, store) = (request.clone(), store.clone());
    let reading = blocking(move || read_now(&request, fetched, dockerfile, required, &store));
    tokio::select! {
        input = reading => input,
        () = cancellation.cancelled() => Err(BuildError::Cancelled),
    }
}

fn read_now(
    request: &BuildRequest,
    fetched: Option<Fetched>,
    dockerfile: Option<Vec<u8>>,
    required: bool,
    store: &Store,
) -> Result<Input, BuildError> {
    let mut warnings = Vec::new();
    let alone = |source| {
        let dockerfile = Arc::new(DockerfileText { name: "Dockerfile".to_owned(), source });
        Input { dockerfile, context: None, path: None, warnings: Vec::new() }
    };
    let context = match &request.context {
        ContextSource::Directory(path) => Some(directory(path)?),
        ContextSource::Remote(_) => match fetched {
            Some(Fetched::Directory(path)) => Some(path),
            Some(Fetched::Dockerfile(source)) => return Ok(alone(source)),
            None => None,
        },
        ContextSource::Stdin => {
            let into = store.scratch_dir()?;
            match read_stdin(io::stdin().lock(), &into).map_err(InputError::from)? {
                StdinContext::Dockerfile(source) => return Ok(alone(source)),
                StdinContext::Archive { warnings: found } => warnings = found,
            }
            Some(into)
        }
    };
    let root = context.as_deref().unwrap_or(Path::new("."));
    let inside = |name: &Path| match request.context.from_elsewhere() {
        Some(place) => in_context(root, name, place),
        None => named(&root.join(name), Some(name.display().to_string())),
    };
    let (dockerfile, path) = match &request.dockerfile {
        DockerfileSource::Stdin => {
            let name = "Dockerfile".to_owned();
            let source = limited(io::stdin().lock(), &name)?;
            (DockerfileText { name, source }, None)
        }
        DockerfileSource::Remote(url) => {
            let name = crate::remote::redacted(url.as_str());
            (DockerfileText { name, source: dockerfile.unwrap_or_default() }, None)
        }
        DockerfileSource::Default => {
            let name = Path::new(default_dockerfile(root));
            let dockerfile = match inside(name) {
                Err(InputError::NoDockerfile { .. } | InputError::NotInContext { .. }) if !required => {
                    DockerfileText { name: name.display().to_string(), source: Vec::new() }
                }
                dockerfile => dockerfile?,
            };
            (dockerfile, Some(root.join(name)))
        }
        DockerfileSource::Path(path) if !matches!(request.context, ContextSource::Directory(_)) => {
            (inside(path)?, Some(root.join(path)))
        }
        DockerfileSource::Path(path) => (named(path, Some(path.display().to_string()))?, Some(path.clone())),
    };
    Ok(Input { dockerfile: Arc::new(dockerfile), context, path, warnings })
}

/// A context that is there, and is a directory.
fn directory(path: &Path) -> Result<PathBuf, InputError> {
    let bad = |why: String| InputError::Context { path: path.to_owned(), why };
    match std::fs::metadata(path) {
        Ok(found) if found.is_dir() => Ok(path.to_owned()),
        Ok(_) => Err(bad("it is no directory".to_owned())),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Err(bad("it does not exist".to_owned())),
        Err(error) => Err(bad(error.to_string())),
    }
}

/// `Dockerfile`, or `dockerfile` when that is all there is.
fn default_dockerfile(root: &Path) -> &'static str {
    let is_there = |name: &&str| root.join(name).symlink_metadata().is_ok();
    ["Dockerfile", "dockerfile"].into_iter().find(is_there).unwrap_or("Dockerfile")
}

/// A Dockerfile of a context that somebody else has sent: its links do not lead out of it.
fn in_context(root: &Path, path: &Path, place: String) -> Result<DockerfileText, InputError> {
    let name = path.display().to_string();
    let source = Root::open(root).and_then(|root| root.read(path, LIMIT)).map_err(|source| {
        match (source.kind(), source.raw_os_error()) {
            (io::ErrorKind::NotFound, _) => InputError::NotInContext { name: path.to_owned(), place },
            (_, Some(libc::EFBIG)) => InputError::TooLarge { name: format!("{name} of {place}") },
            _ => InputError::Read { name: format!("{name} of {place}"), source },
        }
    })?;
    Ok(DockerfileText { name, source })
}

fn named(path: &Path, name: Option<String>) -> Result<DockerfileText, InputError> {
    let name = name.unwrap_or_else(|| path.display().to_string());
    let file = match std::fs::File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Err(InputError::NoDockerfile { path: path.to_owned() });
        }
        Err(source) => return Err(InputError::Read { name, source }),
    };
    let source = limited(file, &name)?;
    Ok(DockerfileText { name, source })
}

fn limited(reader: impl Read, name: &str) -> Result<Vec<u8>, InputError> {
    let mut bytes = Vec::new();
    reader
        .take(LIMIT + 1)
        .read_to_end(&mut bytes)
        .map_err(|source| InputError::Read { name: name.to_owned(), source })?;
    if bytes.len() as u64 > LIMIT {
        return Err(InputError::TooLarge { name: name.to_owned() });
    }
    Ok(bytes)
}
