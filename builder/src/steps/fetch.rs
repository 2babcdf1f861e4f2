//! Sources elsewhere: what they are now, and bringing them.

use super::StepWorker;
use super::error::Cause;
use super::key;
use super::mounts::http_authorization;
use crate::blocking::blocking;
use crate::content::Ingredients;
use crate::fetch::git::{Commit, Git};
use crate::fetch::http::{self, RemoteFile};
use crate::graph::{HttpOp, Op, VertexId};
use crate::progress::measure::Wait;
use crate::progress::{Event, StepId};
use crate::remote::GitSource;
use crate::solve::TRANSFER;
use crate::store::ActiveSnapshot;
use std::collections::HashMap;
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// What a server said in this build, by vertex.
#[derive(Debug, Default)]
pub(super) struct Fetched {
    files: Mutex<HashMap<VertexId, RemoteFile>>,
    commits: Mutex<HashMap<VertexId, Commit>>,
    /// When a vertex was begun, so that progress tells it once.
    begun: Mutex<HashMap<VertexId, Instant>>,
}

impl Fetched {
    /// When the vertex was begun; the second is whether that is now.
    pub(super) fn begin(&self, vertex: VertexId) -> (Instant, bool) {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        let first = !begun.contains_key(&vertex);
        (*begun.entry(vertex).or_insert_with(Instant::now), first)
    }
}

impl StepWorker {
    /// What the key of a source elsewhere is made of, by what it is now. Only a question goes out when it has not changed.
    pub(super) async fn source_key(&self, vertex: VertexId) -> Result<Option<Ingredients>, Cause> {
        if matches!(&self.vertex(vertex).op, Op::Http(http) if http.checksum.is_some()) {
            return Ok(None);
        }
        let asked = Instant::now();
        // Its own place in the budget: it has no other yet.
        let place = self.around.budget.take(TRANSFER, self.urgency(vertex)).await;
        let (started, first) = self.fetched.begin(vertex);
        let step = Self::step(vertex);
        self.around.progress.waited(step, Wait::Place, asked);
        if first {
            self.around.progress.send(Event::Started { step });
        }
        let result = match &self.vertex(vertex).op {
            Op::Http(http) => self.file_key(vertex, http, step).await.map(Some),
            Op::Git(source) => self.repository_key(vertex, source).await.map(Some),
            _ => Ok(None),
        };
        drop(place);
        if let Err(error) = &result {
            let (elapsed, error) = (started.elapsed(), error.to_string());
            self.around.progress.send(Event::Failed { step, elapsed, error });
        }
        result
    }

    async fn file_key(&self, vertex: VertexId, http: &HttpOp, step: StepId) -> Result<Ingredients, Cause> {
        let store = &self.around.store;
        if !self.around.privileged && store.known_file(http.url.as_str()).is_none() {
            // It would be downloaded again by the process that can keep it.
            return Err(Cause::NeedsUserNamespace);
        }
        let known = !self.vertex(vertex).ignore_cache;
        let file = self.download(http, known, step).await?;
        let key = key::file(http, &file.digest);
        self.fetched.files.lock().unwrap_or_else(PoisonError::into_inner).insert(vertex, file);
        Ok(key)
    }

    async fn download(&self, http: &HttpOp, known: bool, step: StepId) -> Result<RemoteFile, Cause> {
        let (progress, item) = (&self.around.progress, &http.name);
        let told = |current, total| {
            progress.send(Event::Transfer { step, item: item.clone(), current, total });
        };
        let authorization = http_authorization(&self.around.secrets, &http.url)
            .map_err(Cause::io(format!("read the secret for {}", http.name)))?;
        let fetching = http::fetch(
            &self.around.client,
            &self.around.store,
            &http.url,
            http.checksum.as_ref(),
            known,
            authorization.as_deref(),
            &told,
        );
        let asked = Instant::now();
        let file = tokio::select! {
            file = fetching => file,
            () = self.stop.cancelled() => return Err(Cause::Cancelled),
        };
        progress.waited(step, Wait::Network, asked);
        Ok(file?)
    }

    async fn repository_key(&self, vertex: VertexId, source: &GitSource) -> Result<Ingredients, Cause> {
        let asked = Instant::now();
        let commit = tokio::select! {
            commit = async { self.git().resolve(source).await } => commit?,
            () = self.stop.cancelled() => return Err(Cause::Cancelled),
        };
        self.around.progress.waited(Self::step(vertex), Wait::Network, asked);
        let key = key::repository(source, &commit);
        self.fetched.commits.lock().unwrap_or_else(PoisonError::into_inner).insert(vertex, commit);
        Ok(key)
    }

    fn git(&self) -> Git {
        Git::new(self.around.store.clone(), self.around.git.clone())
    }

    /// Brings a file: it becomes the only one of a root file system, 0600, with the time its server gives it.
    pub(super) async fn bring_file(&self, vertex: VertexId, http: &HttpOp) -> Result<ActiveSnapshot, Cause> {
        let asked = self.fetched.files.lock().unwrap_or_else(PoisonError::into_inner).remove(&vertex);
        let file = match asked.filter(|file| file.path.is_some()) {
            Some(file) => file,
            // It is the one that is known, but what was made of it is gone.
            None => self.download(http, false, Self::step(vertex)).await?,
        };
        let RemoteFile { modified, path: Some(path), .. } = file else {
            let source = std::io::Error::other("nothing came");
            return Err(Cause::Io { doing: format!("download {}", http.name), source });
        };
        let active = self.begin(&[])?;
        let to = active.upper().join(&http.name);
        blocking(move || {
            use std::os::unix::fs::PermissionsExt;
            std::fs::set_permissions(&path, PermissionsExt::from_mode(0o600))?;
            if let Some(time) = modified {
                std::fs::File::options().write(true).open(&path)?.set_modified(time)?;
            }
            std::fs::rename(&path, &to)
        })
        .await
        .map_err(Cause::io("keep a downloaded file"))?;
        Ok(active)
    }

    /// Brings the files of a repository.
    pub(super) async fn bring_repository(
        &self,
        vertex: VertexId,
        source: &GitSource,
    ) -> Result<ActiveSnapshot, Cause> {
        let git = self.git();
        let known = self.fetched.commits.lock().unwrap_or_else(PoisonError::into_inner).get(&vertex).cloned();
        let commit = match known {
            Some(commit) => commit,
            None => git.resolve(source).await?,
        };
        let active = self.begin(&[])?;
        let into: PathBuf = active.upper();
        let asked = Instant::now();
        tokio::select! {
            done = git.checkout(source, &commit, &into) => done?,
            () = self.stop.cancelled() => return Err(Cause::Cancelled),
        }
        self.around.progress.waited(Self::step(vertex), Wait::Network, asked);
        Ok(active)
    }
}
