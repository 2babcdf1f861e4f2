//! Contexts that are elsewhere, fetched before anything is planned: the Dockerfile may be in one.

use super::BuildError;
use super::input::InputError;
use super::planning::extra_step;
use crate::agent::Agents;
use crate::context::{StdinContext, read_context};
use crate::environment::Environment;
use crate::fetch::git::{Git, GitAccess};
use crate::fetch::http;
use crate::progress::measure::Wait;
use crate::progress::{Event, Progress};
use crate::remote::{self, GitSource, Remote};
use crate::request::{BuildRequest, ContextSource, DockerfileSource, NamedContext, SecretSource};
use crate::steps::{http_authorization, read_secret};
use crate::store::Store;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use registry_client::client::Client;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Instant, SystemTime};
use url::Url;

/// The build argument by which `.git` of a repository that is the context is kept, as in BuildKit.
const KEEP_GIT_DIR: &str = "BUILDKIT_CONTEXT_KEEP_GIT_DIR";

/// What was fetched.
#[derive(Debug, Default)]
pub(super) struct Elsewhere {
    /// The context.
    pub(super) context: Option<Fetched>,
    /// When the context was made: its commit, or what its server says.
    pub(super) time: Option<SystemTime>,
    /// The Dockerfile.
    pub(super) dockerfile: Option<Vec<u8>>,
    /// Named contexts, by name as given.
    pub(super) named: BTreeMap<String, PathBuf>,
}

/// A context that was elsewhere.
#[derive(Debug)]
pub(super) enum Fetched {
    /// Its files.
    Directory(PathBuf),
    /// It is a Dockerfile, and no context.
    Dockerfile(Vec<u8>),
}

/// Fetches the contexts of `request` that are elsewhere, all at once.
pub(super) async fn contexts(
    request: &BuildRequest,
    environment: &Environment,
    store: &Store,
    client: &Client,
    agents: &Arc<Agents>,
    progress: &Progress,
) -> Result<Elsewhere, BuildError> {
    let access = git_access(request, environment, agents)?;
    let git = Git::new(store.clone(), access);
    let fetcher = Fetcher { git, secrets: &request.secrets, store, client, progress };
    let main = async {
        let ContextSource::Remote(remote) = &request.context else { return Ok((None, None)) };
        let mut remote = remote.clone();
        if let Remote::Git(source) = &mut remote
            && request
                .build_args
                .get(KEEP_GIT_DIR)
                .is_some_and(|value| matches!(value.as_str(), "1" | "true"))
        {
            source.keep_git_dir = Some(true);
        }
        fetcher.context(&remote).await.map(|(fetched, time)| (Some(fetched), time))
    };
    let dockerfile = async {
        let DockerfileSource::Remote(url) = &request.dockerfile else { return Ok(None) };
        match fetcher.archive(url).await?.0 {
            Fetched::Dockerfile(bytes) => Ok(Some(bytes)),
            Fetched::Directory(_) => {
                let source = std::io::Error::other("it is an archive");
                Err(InputError::Read { name: remote::redacted(url.as_str()), source }.into())
            }
        }
    };
    let named = request.build_contexts.iter().filter_map(|(name, context)| match context {
        NamedContext::Remote(remote) => Some((name, remote)),
        _ => None,
    });
    let named = named.map(|(name, remote)| {
        let fetcher = &fetcher;
        async move { Ok::<_, BuildError>((name.clone(), fetcher.named(remote).await?)) }
    });
    let all = futures_util::future::try_join3(main, dockerfile, futures_util::future::try_join_all(named));
    tokio::select! {
        done = all => {
            let ((context, time), dockerfile, named) = done?;
            Ok(Elsewhere { context, time, dockerfile, named: named.into_iter().collect() })
        }
        () = environment.cancellation.cancelled() => Err(BuildError::Cancelled),
    }
}

/// How git reaches servers in this build: with the secrets that BuildKit knows, for one host (`GIT_AUTH_TOKEN.host`) or
/// for all.
pub(super) fn git_access(
    request: &BuildRequest,
    environment: &Environment,
    agents: &Arc<Agents>,
) -> Result<GitAccess, InputError> {
    let mut headers = Vec::new();
    for (id, source) in &request.secrets {
        let (name, host) = match id.split_once('.') {
            Some((name, host)) => (name, Some(host.to_owned())),
            None => (id.as_str(), None),
        };
        let is_token = match name {
            "GIT_AUTH_TOKEN" => true,
            "GIT_AUTH_HEADER" => false,
            _ => continue,
        };
        let bytes = read_secret(source)
            .map_err(|source| InputError::Read { name: format!("the secret {id:?}"), source })?;
        let text = String::from_utf8_lossy(&bytes).trim().to_owned();
        let header = if is_token {
            format!("basic {}", STANDARD.encode(format!("x-access-token:{text}")))
        } else {
            text
        };
        headers.push((host, header));
    }
    Ok(GitAccess {
        variables: environment.git_variables.clone(),
        agents: Some(Arc::clone(agents)),
        known_hosts: environment.known_hosts.clone(),
        headers,
        offline: environment.offline,
    })
}

struct Fetcher<'a> {
    git: Git,
    secrets: &'a BTreeMap<String, SecretSource>,
    store: &'a Store,
    client: &'a Client,
    progress: &'a Progress,
}

impl Fetcher<'_> {
    async fn context(&self, remote: &Remote) -> Result<(Fetched, Option<SystemTime>), BuildError> {
        match remote {
            Remote::Git(source) => {
                let directory = self.repository(source).await?;
                // The checkout gave it the time of the commit.
                let time = std::fs::metadata(&directory).and_then(|metadata| metadata.modified()).ok();
                Ok((Fetched::Directory(directory), time))
            }
            Remote::Http(url) => self.archive(url).await,
        }
    }

    /// A named context: a repository, an archive, or a file that is alone in it under its own name.
    async fn named(&self, remote: &Remote) -> Result<PathBuf, BuildError> {
        let url = match remote {
            Remote::Git(source) => return self.repository(source).await,
            Remote::Http(url) => url,
        };
        match self.archive(url).await?.0 {
            Fetched::Directory(directory) => Ok(directory),
            Fetched::Dockerfile(bytes) => {
                let name = remote::file_name(url);
                let directory = self.store.scratch_dir()?;
                std::fs::write(directory.join(&name), bytes)
                    .map_err(|source| InputError::Read { name: url.to_string(), source })?;
                Ok(directory)
            }
        }
    }

    async fn repository(&self, source: &GitSource) -> Result<PathBuf, BuildError> {
        let into = self.store.scratch_dir()?;
        self.told(&format!("load git source {source}"), async {
            let commit = self.git.resolve(source).await?;
            self.git.checkout(source, &commit, &into).await?;
            Ok(())
        })
        .await?;
        Ok(into)
    }

    async fn archive(&self, url: &Url) -> Result<(Fetched, Option<SystemTime>), BuildError> {
        let shown = remote::redacted(url.as_str());
        let file = self
            .told(&format!("load {shown}"), async {
                let authorization = http_authorization(self.secrets, url)
                    .map_err(|source| InputError::Read { name: format!("the secret for {shown}"), source })?;
                let authorization = authorization.as_deref();
                Ok(http::fetch(self.client, self.store, url, None, false, authorization, &|_, _| {}).await?)
            })
            .await?;
        let failed = |source| InputError::Read { name: shown.clone(), source };
        let path = file.path.ok_or_else(|| failed(std::io::Error::other("nothing came")))?;
        let opened = std::fs::File::open(path).map_err(failed)?;
        let into = self.store.scratch_dir()?;
        let (progress, shown) = (self.progress.clone(), shown.clone());
        let fetched = crate::blocking::blocking(move || {
            Ok::<_, BuildError>(match read_context(opened, &shown, &into).map_err(InputError::from)? {
                StdinContext::Dockerfile(bytes) => Fetched::Dockerfile(bytes),
                StdinContext::Archive { warnings } => {
                    for warning in warnings {
                        progress.warn(warning.to_string());
                    }
                    Fetched::Directory(into)
                }
            })
        });
        Ok((fetched.await?, file.modified))
    }

    /// Shows work as a step of its own.
    async fn told<T>(
        &self,
        name: &str,
        work: impl Future<Output = Result<T, InputError>>,
    ) -> Result<T, BuildError> {
        let step = extra_step();
        let started = Instant::now();
        self.progress.send(Event::Announced { step, name: format!("[internal] {name}") });
        self.progress.send(Event::Started { step });
        let result = work.await;
        let elapsed = started.elapsed();
        self.progress.waited(step, Wait::Network, started);
        self.progress.send(match &result {
            Ok(_) => Event::Finished { step, elapsed },
            Err(error) => Event::Failed { step, elapsed, error: error.to_string() },
        });
        Ok(result?)
    }
}
