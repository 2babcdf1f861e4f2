//! `--lock` and `--locked`: the lock file beside a Dockerfile.

use super::error::{DockerfileError, DockerfileText};
use super::{BuildError, call, elsewhere, planning};
use crate::agent::Agents;
use crate::bases::Bases;
use crate::environment::Environment;
use crate::fetch::git::Git;
use crate::fetch::http;
use crate::graph::{BaseImages, BaseName, BaseRequest, Op, Plan, PlanOptions, plan};
use crate::lockfile::{LockFile, LockFileError};
use crate::progress::Progress;
use crate::registry::Telling;
use crate::remote::redacted;
use crate::request::{BuildRequest, ContextSource, DockerfileSource};
use crate::steps::http_authorization;
use crate::store::Store;
use dockerfile_parser::ast::Dockerfile;
use dockerfile_parser::diagnostic::Diagnostic;
use futures_util::future::join_all;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A lock file cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// The Dockerfile is no file of this machine.
    #[error("a lock file stands beside the Dockerfile, which is no file of this machine here")]
    NoPlace,
    /// There is none.
    #[error("--locked: there is no {}; build --lock writes it", .0.display())]
    Missing(PathBuf),
    /// It cannot be read or written.
    #[error("cannot {doing} {}", path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        source: std::io::Error,
    },
    /// It is none.
    #[error("cannot use {}", path.display())]
    Contents {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        source: LockFileError,
    },
}

/// `Dockerfile.lock` for `Dockerfile`.
fn beside(dockerfile: Option<&Path>) -> Result<PathBuf, LockError> {
    let path = dockerfile.ok_or(LockError::NoPlace)?;
    let mut name = path.file_name().ok_or(LockError::NoPlace)?.to_owned();
    name.push(".lock");
    Ok(path.with_file_name(name))
}

/// The lock file of a Dockerfile.
pub(super) fn read(dockerfile: Option<&Path>) -> Result<LockFile, LockError> {
    let path = beside(dockerfile)?;
    let text = std::fs::read(&path).map_err(|source| match source.kind() {
        std::io::ErrorKind::NotFound => LockError::Missing(path.clone()),
        _ => LockError::Io { doing: "read", path: path.clone(), source },
    })?;
    LockFile::parse(&text).map_err(|source| LockError::Contents { path, source })
}

/// A lock file that was written.
#[derive(Debug)]
pub struct Locked {
    /// Where.
    pub path: PathBuf,
    /// What is in it.
    pub file: LockFile,
}

/// Asks what every name of every stage means now, on all platforms that are asked for, and writes it down. Nothing is
/// built, and no layer is fetched.
///
/// # Errors
/// What is wrong in the Dockerfile; images, files and repositories that cannot be had; a file that cannot be written.
pub async fn lock(
    request: &BuildRequest,
    environment: &Environment,
    store: &Store,
    progress: &Progress,
) -> Result<Locked, BuildError> {
    let here = matches!(request.context, ContextSource::Directory(_))
        && matches!(request.dockerfile, DockerfileSource::Default | DockerfileSource::Path(_));
    if !here {
        return Err(LockError::NoPlace.into());
    }
    let client = Telling::new(crate::registry::client(environment), progress);
    let (input, _) = call::read(request, environment, store, &client, progress, true).await?;
    let path = beside(input.path.as_deref())?;
    let text = Arc::clone(&input.dockerfile);
    let dockerfile = call::parsed(&text)?;
    let agents = Arc::new(Agents::new(request.ssh.clone(), environment.path.clone()));
    let git = Git::new(store.clone(), elsewhere::git_access(request, environment, &agents)?);
    let bases = Bases::new(store.clone(), client.clone(), progress.clone());
    let mut locking = Locking { text, bases, images: BaseImages::new(), file: LockFile::default() };
    for stage in 0..dockerfile.stages.len() {
        let options = PlanOptions { target: Some(stage.to_string()), ..planning::options(request) };
        let graph = locking.graph(&dockerfile, &options).await?;
        for vertex in &graph.vertices {
            let failed = |error: &dyn std::error::Error| {
                locking.refused(vec![Diagnostic::error("not-resolved", vertex.span, planning::chain(error))])
            };
            match &vertex.op {
                Op::Http(op) if op.checksum.is_none() => {
                    let url = redacted(op.url.as_str());
                    if locking.file.files.contains_key(&url) {
                        continue;
                    }
                    let authorization =
                        http_authorization(&request.secrets, &op.url).map_err(|error| failed(&error))?;
                    let authorization = authorization.as_deref();
                    let fetched =
                        http::fetch(&client, store, &op.url, None, true, authorization, &|_, _| {}).await;
                    let digest = fetched.map_err(|error| failed(&error))?.digest;
                    locking.file.files.insert(url, digest);
                }
                Op::Git(source) if !source.is_pinned() => {
                    let name = LockFile::repository(source);
                    if locking.file.repositories.contains_key(&name) {
                        continue;
                    }
                    let commit = git.resolve(source).await.map_err(|error| failed(&error))?;
                    locking.file.repositories.insert(name, commit.id);
                }
                _ => {}
            }
        }
    }
    write(&path, &locking.file)?;
    Ok(Locked { path, file: locking.file })
}

/// Writes the whole file, or leaves the one that is there.
fn write(path: &Path, file: &LockFile) -> Result<(), LockError> {
    let failed = |source| LockError::Io { doing: "write", path: path.to_owned(), source };
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let mut new = tempfile::NamedTempFile::new_in(directory).map_err(failed)?;
    new.write_all(file.to_text().as_bytes()).map_err(failed)?;
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o644);
    new.as_file().set_permissions(mode).map_err(failed)?;
    new.persist(path).map_err(|error| failed(error.error))?;
    Ok(())
}

struct Locking {
    text: Arc<DockerfileText>,
    bases: Bases,
    images: BaseImages,
    file: LockFile,
}

impl Locking {
    fn refused(&self, diagnostics: Vec<Diagnostic>) -> BuildError {
        DockerfileError { file: Arc::clone(&self.text), diagnostics }.into()
    }

    /// Plans until all images are known; each is asked for anew.
    async fn graph(
        &mut self,
        dockerfile: &Dockerfile,
        options: &PlanOptions,
    ) -> Result<crate::graph::Graph, BuildError> {
        loop {
            let wanted =
                match plan(dockerfile, options, &self.images).map_err(|errors| self.refused(errors))? {
                    Plan::Ready(graph) => return Ok(*graph),
                    Plan::Needs(wanted) => wanted,
                };
            let bases = &self.bases;
            let asked = wanted.into_iter().map(|wanted| async move {
                let answer = bases.resolve(&wanted.key, true).await;
                (wanted, answer)
            });
            let mut errors = Vec::new();
            for (BaseRequest { key, span, help }, answer) in join_all(asked).await {
                match answer {
                    Ok(resolved) => {
                        if let BaseName::Reference(name) = &key.name
                            && !name.contains('@')
                        {
                            self.file.images.insert(name.clone(), resolved.top);
                        }
                        self.images.insert(key, resolved.base);
                    }
                    Err(error) => {
                        let mut diagnostic = Diagnostic::error("no-base", span, planning::chain(&error));
                        diagnostic.help = help;
                        errors.push(diagnostic);
                    }
                }
            }
            if !errors.is_empty() {
                errors.sort_by_key(|error| error.span);
                return Err(self.refused(errors));
            }
        }
    }
}
