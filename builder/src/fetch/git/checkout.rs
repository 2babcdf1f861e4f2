//! From a commit to files.

use super::command::Command;
use super::{Commit, DEPTH, Git, GitError};
use crate::blocking::blocking;
use crate::remote::{GitSource, redacted};
use crate::store::KeyLock;
use crate::waiting;
use rustix::fs::{AtFlags, CWD, Timespec, Timestamps, utimensat};
use std::io;
use std::path::{Path, PathBuf};

impl Git {
    /// Writes the files of `commit` into the empty directory `into`. They belong to this process, are 0644 or 0755, and
    /// have the time of the commit.
    ///
    /// # Errors
    /// When the commit, the directory in it or a submodule cannot be had.
    pub async fn checkout(&self, source: &GitSource, commit: &Commit, into: &Path) -> Result<(), GitError> {
        self.files(&source.remote, commit, &source.subdir, source, into).await?;
        if !source.skip_submodules {
            Box::pin(self.submodules(&source.remote, &commit.id, &source.subdir, into, DEPTH)).await?;
        }
        if source.keep_git_dir == Some(true) {
            self.keep_repository(source, commit, into).await?;
        }
        let time =
            if source.checkout_times { None } else { Some(self.time(&source.remote, &commit.id).await?) };
        let into = into.to_owned();
        blocking(move || settle(&into, time)).await.map_err(io_error("set modes and times of a checkout"))
    }

    async fn files(
        &self,
        remote: &str,
        commit: &Commit,
        subdir: &str,
        source: &GitSource,
        into: &Path,
    ) -> Result<(), GitError> {
        self.fetch(remote, commit).await?;
        self.write_tree(remote, &commit.id, subdir, into).await.map_err(|error| match error {
            GitError::Failed { action, .. } if action == "read-tree" && !subdir.is_empty() => {
                GitError::NoSubdir { repository: source.to_string(), subdir: subdir.to_owned() }
            }
            other => other,
        })
    }

    /// Writes a tree of a commit that is in the store.
    pub(super) async fn write_tree(
        &self,
        remote: &str,
        commit: &str,
        subdir: &str,
        into: &Path,
    ) -> Result<(), GitError> {
        let repository = self.repository(remote)?;
        let index = self.store.scratch_dir()?.join("index");
        let tree = if subdir.is_empty() { commit.to_owned() } else { format!("{commit}:{subdir}") };
        let mut read = Command::new(self, remote);
        read.args(["read-tree", &tree]).env("GIT_DIR", &repository).env("GIT_INDEX_FILE", &index);
        read.run().await?;
        let mut write = Command::new(self, remote);
        write
            .args(["checkout-index", "--all", "--force", "--quiet"])
            .env("GIT_DIR", &repository)
            .env("GIT_WORK_TREE", into)
            .env("GIT_INDEX_FILE", &index)
            .directory(into);
        write.run().await.map(drop)
    }

    /// The bare repository of a remote in the store.
    fn repository(&self, remote: &str) -> Result<PathBuf, GitError> {
        Ok(self.store.repository(remote)?)
    }

    /// Keeps others from fetching the same remote meanwhile.
    async fn lock(&self, remote: &str) -> Result<KeyLock, GitError> {
        Ok(waiting::lock(&self.store, "git", remote, || {}).await?)
    }

    async fn has(&self, remote: &str, id: &str) -> Result<bool, GitError> {
        let repository = self.repository(remote)?;
        if !repository.join("HEAD").exists() {
            return Ok(false);
        }
        let mut command = Command::new(self, remote);
        command.args(["cat-file", "-e", &format!("{id}^{{commit}}")]).env("GIT_DIR", &repository);
        match command.run().await {
            Ok(_) => Ok(true),
            Err(GitError::Failed { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Makes sure that the store has a commit: by its ref, which every server gives; by its id; or with all there is.
    pub(super) async fn fetch(&self, remote: &str, commit: &Commit) -> Result<(), GitError> {
        if self.has(remote, &commit.id).await? {
            return Ok(());
        }
        let fetched = self.fetch_alone(remote, commit).await;
        let (store, remote) = (self.store.clone(), remote.to_owned());
        blocking(move || store.measure_repository(&remote)).await?;
        fetched
    }

    async fn fetch_alone(&self, remote: &str, commit: &Commit) -> Result<(), GitError> {
        let _alone = self.lock(remote).await?;
        if self.has(remote, &commit.id).await? {
            return Ok(());
        }
        self.init(remote).await?;
        let keep = format!("refs/slipway/{}", commit.id);
        let mut last = None;
        let by_reference = commit.reference.iter().map(|name| format!("+{name}:refs/slipway/last"));
        for refspec in by_reference.chain([format!("+{}:{keep}", commit.id)]) {
            let mut command = Command::new(self, remote);
            command.args(["fetch", "--quiet", "--depth=1", "--no-tags", "--force", "--", remote, &refspec]);
            command.env("GIT_DIR", self.repository(remote)?);
            last = command.run().await.err();
            if last.is_none() && self.has(remote, &commit.id).await? {
                return self.pin(remote, &commit.id, &keep).await;
            }
        }
        // A server that gives no single commit gives its branches and tags.
        self.fetch_all(remote).await?;
        if self.has(remote, &commit.id).await? {
            return self.pin(remote, &commit.id, &keep).await;
        }
        Err(last.unwrap_or_else(|| GitError::NoReference {
            repository: redacted(remote),
            reference: commit.id.clone(),
        }))
    }

    async fn init(&self, remote: &str) -> Result<(), GitError> {
        let repository = self.repository(remote)?;
        if repository.join("HEAD").exists() {
            return Ok(());
        }
        let mut command = Command::new(self, remote);
        command.args(["init", "--quiet", "--bare", "--template="]).arg(&repository);
        command.run().await.map(drop)
    }

    /// Keeps a commit from being collected as garbage.
    async fn pin(&self, remote: &str, id: &str, name: &str) -> Result<(), GitError> {
        let mut command = Command::new(self, remote);
        command.args(["update-ref", name, id]).env("GIT_DIR", self.repository(remote)?);
        command.run().await.map(drop)
    }

    async fn fetch_all(&self, remote: &str) -> Result<(), GitError> {
        let repository = self.repository(remote)?;
        let mut command = Command::new(self, remote);
        command.args(["fetch", "--quiet", "--force", "--no-tags"]);
        if repository.join("shallow").exists() {
            command.arg("--unshallow");
        }
        command.args(["--", remote, "+refs/heads/*:refs/all/heads/*", "+refs/tags/*:refs/all/tags/*"]);
        command.env("GIT_DIR", &repository);
        command.run().await.map(drop)
    }

    /// The full id of a commit of which only the beginning is known.
    pub(super) async fn abbreviated(&self, remote: &str, id: &str) -> Result<String, GitError> {
        let _alone = self.lock(remote).await?;
        self.init(remote).await?;
        self.fetch_all(remote).await?;
        let mut command = Command::new(self, remote);
        command.args(["rev-parse", "--verify", "--quiet", "--end-of-options", &format!("{id}^{{commit}}")]);
        command.env("GIT_DIR", self.repository(remote)?);
        match command.run().await {
            Ok(full) => Ok(String::from_utf8_lossy(&full).trim().to_owned()),
            Err(GitError::Failed { .. }) => {
                Err(GitError::NoReference { repository: redacted(remote), reference: id.to_owned() })
            }
            Err(error) => Err(error),
        }
    }

    /// When a commit was made, in seconds since 1970.
    pub(super) async fn time(&self, remote: &str, commit: &str) -> Result<i64, GitError> {
        let mut command = Command::new(self, remote);
        command.args(["show", "--no-patch", "--no-show-signature", "--format=%ct", commit]);
        command.env("GIT_DIR", self.repository(remote)?);
        let text = command.run().await?;
        Ok(String::from_utf8_lossy(&text).trim().parse().unwrap_or_default())
    }

    /// When the commit was made that is checked out at `directory`, or above it: seconds since 1970, as git writes them.
    ///
    /// # Errors
    /// When there is no repository, or no commit in it.
    pub async fn time_of_checkout(&self, directory: &Path) -> Result<String, GitError> {
        let shown = directory.display().to_string();
        let mut command = Command::new(self, &shown);
        command.args(["show", "--no-patch", "--no-show-signature", "--format=%ct", "HEAD"]);
        // A commit that is missing is not fetched: the repository would say with which program.
        command.directory(directory).env("GIT_ALLOW_PROTOCOL", "");
        Ok(String::from_utf8_lossy(&command.run().await?).trim().to_owned())
    }

    /// Makes `into/.git`: a repository of that one commit, whose branch or tag it knows.
    async fn keep_repository(
        &self,
        source: &GitSource,
        commit: &Commit,
        into: &Path,
    ) -> Result<(), GitError> {
        let remote = source.remote.as_str();
        let shared = format!("file://{}", self.repository(remote)?.display());
        let at = |arguments: &[&str]| {
            let mut command = Command::new(self, remote);
            command
                .args(arguments)
                .env("GIT_DIR", into.join(".git"))
                .env("GIT_WORK_TREE", into)
                .directory(into);
            command
        };
        at(&["init", "--quiet", "--template="]).run().await?;
        at(&["remote", "add", "origin", &redacted(remote)]).run().await?;
        let id = commit.id.as_str();
        at(&["fetch", "--quiet", "--depth=1", "--no-tags", "--", &shared, id]).local().run().await?;
        let name = commit.reference.as_deref();
        match name.and_then(|name| name.strip_prefix("refs/heads/")) {
            Some(branch) => {
                at(&["update-ref", &format!("refs/heads/{branch}"), id]).run().await?;
                at(&["symbolic-ref", "HEAD", &format!("refs/heads/{branch}")]).run().await?;
            }
            None => {
                at(&["update-ref", "--no-deref", "HEAD", id]).run().await?;
                if let Some(tag) = name.filter(|name| name.starts_with("refs/tags/")) {
                    at(&["update-ref", tag, id]).run().await?;
                }
            }
        }
        at(&["read-tree", id]).run().await?;
        for passing in ["FETCH_HEAD", "ORIG_HEAD", "logs"] {
            let path = into.join(".git").join(passing);
            let removed =
                if path.is_dir() { std::fs::remove_dir_all(&path) } else { std::fs::remove_file(&path) };
            match removed {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(io_error("remove what a fetch leaves")(error));
                }
                _ => {}
            }
        }
        Ok(())
    }
}

pub(super) fn io_error(doing: impl Into<String>) -> impl FnOnce(io::Error) -> GitError {
    let doing = doing.into();
    move |source| GitError::Io { doing, source }
}

/// Gives what is below `root`, and itself, modes that do not depend on a umask, and one time.
fn settle(root: &Path, time: Option<i64>) -> io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    for entry in walkdir::WalkDir::new(root).contents_first(true) {
        let entry = entry?;
        let kind = entry.file_type();
        if !kind.is_symlink() {
            let executable = kind.is_dir() || entry.metadata()?.permissions().mode() & 0o100 != 0;
            let mode = if executable { 0o755 } else { 0o644 };
            std::fs::set_permissions(entry.path(), PermissionsExt::from_mode(mode))?;
        }
        if let Some(seconds) = time {
            let time = Timespec { tv_sec: seconds, tv_nsec: 0 };
            let times = Timestamps { last_access: time, last_modification: time };
            utimensat(CWD, entry.path(), &times, AtFlags::SYMLINK_NOFOLLOW)?;
        }
    }
    Ok(())
}
