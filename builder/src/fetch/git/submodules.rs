//! Submodules, without `git submodule`: their commits are in the tree, their URLs in `.gitmodules`, and both are only
//! text to us.

use super::checkout::io_error;
use super::command::Command;
use super::{Commit, Git, GitError};
use crate::remote::{self, Remote, redacted};
use rustix::fs::{Mode, OFlags, ResolveFlags, openat2};
use std::collections::BTreeMap;
use std::fs::File;
use std::path::Path;

impl Git {
    /// Writes the submodules below `subdir` of a commit to their places below `into`, and theirs.
    pub(super) async fn submodules(
        &self,
        remote: &str,
        commit: &str,
        subdir: &str,
        into: &Path,
        depth: usize,
    ) -> Result<(), GitError> {
        let links = self.links(remote, commit, subdir).await?;
        if links.is_empty() {
            return Ok(());
        }
        let urls = self.urls(remote, commit).await?;
        for (path, id) in links {
            let whole = if subdir.is_empty() { path.clone() } else { format!("{subdir}/{path}") };
            let failed =
                |why: String| GitError::Submodule { path: whole.clone(), remote: redacted(remote), why };
            if depth == 0 {
                return Err(failed("is nested too deep".to_owned()));
            }
            let url = urls.get(&whole).ok_or_else(|| failed("has no URL in .gitmodules".to_owned()))?;
            let url = absolute(remote, url)
                .ok_or_else(|| failed(format!("has the URL {url:?}, which is not fetched")))?;
            let target = into.join(&path);
            check_place(into, &path)?;
            self.fetch(&url, &Commit { id: id.clone(), reference: None }).await?;
            self.write_tree(&url, &id, "", &target).await?;
            Box::pin(self.submodules(&url, &id, "", &target, depth - 1)).await?;
        }
        Ok(())
    }

    /// Paths and commits of the submodules in a tree.
    async fn links(
        &self,
        remote: &str,
        commit: &str,
        subdir: &str,
    ) -> Result<Vec<(String, String)>, GitError> {
        let tree = if subdir.is_empty() { commit.to_owned() } else { format!("{commit}:{subdir}") };
        let mut command = Command::new(self, remote);
        command
            .args(["ls-tree", "-r", "-z", "--full-tree", &tree])
            .env("GIT_DIR", self.store.repository(remote)?);
        let listed = command.run().await?;
        Ok(String::from_utf8_lossy(&listed)
            .split('\0')
            .filter_map(|line| {
                let (head, path) = line.split_once('\t')?;
                let id = head.strip_prefix("160000 commit ")?;
                Some((path.to_owned(), id.to_owned()))
            })
            .collect())
    }

    /// URLs by path, of `.gitmodules`.
    async fn urls(&self, remote: &str, commit: &str) -> Result<BTreeMap<String, String>, GitError> {
        let mut command = Command::new(self, remote);
        command
            .args(["config", "--blob", &format!("{commit}:.gitmodules"), "-z"])
            .args(["--get-regexp", r"^submodule\..*\.(path|url)$"])
            .env("GIT_DIR", self.store.repository(remote)?);
        let listed = match command.run().await {
            Ok(listed) => listed,
            // There is no such file, or nothing in it.
            Err(GitError::Failed { .. }) => return Ok(BTreeMap::new()),
            Err(error) => return Err(error),
        };
        let text = String::from_utf8_lossy(&listed);
        let mut named: BTreeMap<&str, [Option<&str>; 2]> = BTreeMap::new();
        for setting in text.split('\0') {
            let Some((key, value)) = setting.split_once('\n') else { continue };
            let Some((name, what)) = key.rsplit_once('.') else { continue };
            named.entry(name).or_default()[usize::from(what == "url")] = Some(value);
        }
        let pairs = named.values().filter_map(|[path, url]| Some(((*path)?.to_owned(), (*url)?.to_owned())));
        Ok(pairs.collect())
    }
}

/// The URL of a submodule: relative ones begin at the remote of the repository. `None` for what is not fetched.
fn absolute(remote: &str, url: &str) -> Option<String> {
    let url =
        if url.starts_with("./") || url.starts_with("../") { relative(remote, url)? } else { url.to_owned() };
    // A server may leave out the `.git` that ADD needs to tell a repository from a file.
    match remote::of_add(&url).ok()?? {
        Remote::Http(url) => Some(url.to_string()),
        Remote::Git(source) => Some(source.remote),
    }
}

/// gitsubmodules(7): each `..` takes away the last component of the remote.
fn relative(remote: &str, url: &str) -> Option<String> {
    let mut base = remote.trim_end_matches('/');
    let mut rest = url;
    loop {
        if let Some(next) = rest.strip_prefix("../") {
            let (above, _) = base.rsplit_once(['/', ':'])?;
            // Above the host there is nothing.
            if above.ends_with('/') || above.ends_with(':') {
                return None;
            }
            base = &base[..above.len()];
            rest = next;
        } else if let Some(next) = rest.strip_prefix("./") {
            rest = next;
        } else {
            break;
        }
    }
    let separator = if remote.contains("://") || base.contains(':') { "/" } else { ":" };
    Some(format!("{base}{separator}{rest}"))
}

/// Makes the directory of a submodule, which no link may lead elsewhere.
fn check_place(into: &Path, path: &str) -> Result<(), GitError> {
    let failed = || io_error(format!("make the directory of the submodule {path:?}"));
    let root = File::open(into).map_err(failed())?;
    let mut at = root;
    for name in path.split('/') {
        match rustix::fs::mkdirat(&at, name, Mode::from_raw_mode(0o755)) {
            Ok(()) | Err(rustix::io::Errno::EXIST) => {}
            Err(errno) => return Err(failed()(errno.into())),
        }
        let flags = OFlags::DIRECTORY | OFlags::RDONLY | OFlags::CLOEXEC;
        let how = ResolveFlags::BENEATH | ResolveFlags::NO_SYMLINKS;
        at = openat2(&at, name, flags, Mode::empty(), how).map(File::from).map_err(|e| failed()(e.into()))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::absolute;

    #[test]
    fn urls_of_submodules() {
        for (remote, url, want) in [
            ("https://h/team/a.git", "https://other/b.git", Some("https://other/b.git")),
            ("https://h/team/a.git", "https://other/b", Some("https://other/b")),
            ("https://h/team/a.git", "../b.git", Some("https://h/team/b.git")),
            ("https://h/team/a.git", "./sub.git", Some("https://h/team/a.git/sub.git")),
            ("https://h/team/a.git", "../../x/b.git", Some("https://h/x/b.git")),
            ("https://h/a.git", "../../../b.git", None),
            ("git@h:team/a.git", "../b.git", Some("git@h:team/b.git")),
            ("git@h:team/a.git", "../../b.git", Some("git@h:b.git")),
            ("https://h/a.git", "file:///etc", None),
            ("https://h/a.git", "/etc", None),
            ("https://h/a.git", "-u", None),
            ("https://h/a.git", "ext::sh -c id", None),
            ("https://h/a.git", "--upload-pack=x", None),
        ] {
            assert_eq!(absolute(remote, url).as_deref(), want, "{url} of {remote}");
        }
    }
}
