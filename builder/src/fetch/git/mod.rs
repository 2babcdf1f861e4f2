//! Git repositories, through the `git` program: it knows every server, protocol and object format there is, and a
//! Dockerfile that needs it is built where people have it.
//!
//! It runs with no configuration but ours, no hooks, no prompts, and only network protocols. Each remote has a bare
//! repository in the store, shared by all builds; commits are fetched alone, without history. Files are written by
//! `checkout-index` from a tree, and submodules by ourselves, since `git submodule` runs what a repository says.

mod checkout;
mod command;
mod error;
mod submodules;

pub use error::GitError;

use crate::agent::Agents;
use crate::remote::GitSource;
use crate::store::{KnownCommit, Store};
use command::Command;
use std::ffi::OsString;
use std::path::PathBuf;
use std::sync::Arc;

/// How deep submodules may nest.
const DEPTH: usize = 10;

/// How git reaches servers.
#[derive(Clone, Debug, Default)]
pub struct GitAccess {
    /// Variables for git: `PATH`, proxies, certificates.
    pub variables: Vec<(OsString, OsString)>,
    /// SSH agents, of which the one called `default` is used.
    pub agents: Option<Arc<Agents>>,
    /// The user's list of ssh hosts.
    pub known_hosts: Option<PathBuf>,
    /// `Authorization` headers: for one host, or for all.
    pub headers: Vec<(Option<String>, String)>,
    /// No server is asked: refs mean what they meant when one was.
    pub offline: bool,
}

/// A state of a repository.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Commit {
    /// Its id, in full.
    pub id: String,
    /// The ref that led to it.
    pub reference: Option<String>,
}

/// Gets what is in repositories.
#[derive(Clone, Debug)]
pub struct Git {
    store: Store,
    access: GitAccess,
}

impl Git {
    /// With the repositories of `store`.
    pub fn new(store: Store, access: GitAccess) -> Self {
        Self { store, access }
    }

    /// Asks the server which commit is meant. One that is named in full is taken as it is.
    ///
    /// # Errors
    /// When the server says no, knows no such ref, or the commit is not the one it must be.
    pub async fn resolve(&self, source: &GitSource) -> Result<Commit, GitError> {
        let commit = self.find(source).await?;
        match &source.checksum {
            Some(wanted) if !commit.ids.iter().any(|id| id.starts_with(wanted.as_str())) => {
                Err(GitError::Checksum {
                    repository: source.to_string(),
                    wanted: wanted.clone(),
                    found: commit.commit.id,
                })
            }
            _ => Ok(commit.commit),
        }
    }

    async fn find(&self, source: &GitSource) -> Result<Found, GitError> {
        if let Some(reference) = source.reference.as_deref().filter(|reference| is_full_id(reference)) {
            let id = reference.to_ascii_lowercase();
            return Ok(Found { ids: vec![id.clone()], commit: Commit { id, reference: None } });
        }
        // With the commit known and no ref to compare it with, nobody has to be asked.
        if let (None, Some(id)) = (&source.reference, source.checksum.as_deref().filter(|id| is_full_id(id)))
        {
            return Ok(Found {
                ids: vec![id.to_owned()],
                commit: Commit { id: id.to_owned(), reference: None },
            });
        }
        let name = source.reference.as_deref().unwrap_or("HEAD");
        if self.access.offline
            && let Some(KnownCommit { ids, id, reference }) = self.store.known_commit(&source.remote, name)
        {
            return Ok(Found { ids, commit: Commit { id, reference } });
        }
        let mut command = Command::new(self, &source.remote);
        command.args(["ls-remote", "--symref", "--", &source.remote, name]);
        command.arg(format!("{name}^{{}}"));
        let answer = command.run().await?;
        if let Some(found) = pick(&String::from_utf8_lossy(&answer), name) {
            let Commit { id, reference } = found.commit.clone();
            let known = KnownCommit { ids: found.ids.clone(), id, reference };
            self.store.note_commit(&source.remote, name, &known)?;
            return Ok(found);
        }
        if name.len() >= 7 && name.bytes().all(|b| b.is_ascii_hexdigit()) {
            let id = self.abbreviated(&source.remote, name).await?;
            return Ok(Found { ids: vec![id.clone()], commit: Commit { id, reference: None } });
        }
        Err(GitError::NoReference { repository: source.to_string(), reference: name.to_owned() })
    }
}

/// A commit, with the ids that stand for it: its own and that of the tag that was asked for.
struct Found {
    commit: Commit,
    ids: Vec<String>,
}

/// Whether it is the id of an object, in full.
fn is_full_id(text: &str) -> bool {
    matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_hexdigit())
}

/// What `name` means among the refs of `ls-remote`: itself, a branch, or a tag, as `git checkout` chooses.
fn pick(answer: &str, name: &str) -> Option<Found> {
    let lines = || answer.lines().filter_map(|line| line.split_once('\t'));
    let id_of = |wanted: &str| {
        lines().find(|(id, reference)| *reference == wanted && is_full_id(id)).map(|(id, _)| id.to_owned())
    };
    let symbolic = lines().find_map(|(target, reference)| {
        (reference == name).then(|| target.strip_prefix("ref: ").map(str::to_owned)).flatten()
    });
    for reference in
        [name.to_owned(), format!("refs/heads/{name}"), format!("refs/tags/{name}"), format!("refs/{name}")]
    {
        let Some(id) = id_of(&reference) else { continue };
        // An annotated tag is an object of its own; what it points to is shown with `^{}`.
        let peeled = id_of(&format!("{reference}^{{}}"));
        let ids = peeled.iter().cloned().chain([id.clone()]).collect();
        let reference = if reference == "HEAD" { symbolic } else { Some(reference) };
        return Some(Found { ids, commit: Commit { id: peeled.unwrap_or(id), reference } });
    }
    None
}

#[cfg(test)]
mod tests;
