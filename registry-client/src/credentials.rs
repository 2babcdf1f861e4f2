//! Credentials that are kept: docker's `config.json`, containers' `auth.json`, and credential helpers.
//!
//! Both files are JSON objects with `auths` (registry -> base64 of `user:password`), `credHelpers` (registry -> helper)
//! and, docker's alone, `credsStore` (the helper of all others). A helper `x` is a program `docker-credential-x`.

mod file;
mod helper;
mod key;
mod lock;

pub use helper::HelperError;

use crate::auth::Credentials;
use file::AuthFile;
use lock::Lock;
use std::{
    collections::BTreeMap,
    fmt, fs, io,
    path::{Path, PathBuf},
    time::Duration,
};

/// Why credentials could not be read or kept.
#[derive(Debug, thiserror::Error)]
pub enum CredentialsError {
    /// A file cannot be read.
    #[error("cannot read credentials from {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause, which is part of this error's text.
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("{} is no credentials file: {why}; mend it or move it away", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it; nothing of the secret part is shown.
        why: String,
    },
    /// A file cannot be written.
    #[error("cannot write credentials to {}: {source}", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// The cause, which is part of this error's text.
        source: io::Error,
    },
    /// Another program keeps the file from being changed.
    #[error("{} is being changed by another program; try again when it has ended", path.display())]
    Busy {
        /// The file.
        path: PathBuf,
    },
    /// A credential helper failed.
    #[error(transparent)]
    Helper(#[from] HelperError),
    /// A token where only a password is taken.
    #[error(
        "{registry} wants a user name and a password, and what is kept for it is a token; log in with a password"
    )]
    NoPassword {
        /// The registry.
        registry: String,
    },
    /// There is no file to write to.
    #[error("there is no credentials file to write to; set HOME, DOCKER_CONFIG or REGISTRY_AUTH_FILE")]
    NoFile,
    /// A token of a registry cannot be kept in these files.
    #[error(
        "a registry token is used once and not kept; log in with a user name and a password or an identity token"
    )]
    NotKept,
}

/// Where credentials were put, or taken away from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kept {
    /// In this file, readable by its owner only, but not encrypted.
    File(PathBuf),
    /// With this helper.
    Helper(String),
}

/// Who may have credentials.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Keeper {
    /// The files of a [`Store`], and the helpers that they name.
    Files,
    /// `docker-credential-` and this name, for all registries.
    Helper(String),
}

/// The text of a credentials file that is in no file, but in an environment variable of CI, say. `Debug` does not show it.
#[derive(Clone, PartialEq, Eq)]
pub struct AuthText {
    /// What messages call it.
    pub name: String,
    /// As in a file.
    pub text: Vec<u8>,
}

impl fmt::Debug for AuthText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AuthText({}, <redacted>)", self.name)
    }
}

/// Credentials of registries, read at each question, so that a login in between counts.
#[derive(Clone, Debug)]
pub struct Store {
    /// Files that are read, the first that knows the registry decides; those that are missing are passed over.
    pub read: Vec<PathBuf>,
    /// The file that a login is written to.
    pub write: Option<PathBuf>,
    /// Directories that helpers are looked for in before the search path.
    pub helper_directories: Vec<PathBuf>,
    /// How long a helper may take.
    pub helper_timeout: Duration,
    /// How long a login waits while another changes the file.
    pub lock_timeout: Duration,
    /// Credentials that are in no file; they go before the files.
    pub fixed: BTreeMap<String, Credentials>,
    /// What is read before the files; nothing is written there.
    pub text: Option<AuthText>,
    /// Who is asked, the first that knows the registry decides; and who keeps a login, the first that can.
    pub keepers: Vec<Keeper>,
}

impl Default for Store {
    /// Knows no credentials.
    fn default() -> Self {
        Self {
            read: Vec::new(),
            write: None,
            helper_directories: Vec::new(),
            helper_timeout: Duration::from_secs(60),
            lock_timeout: Duration::from_secs(20),
            fixed: BTreeMap::new(),
            text: None,
            keepers: vec![Keeper::Files],
        }
    }
}

impl Store {
    /// Reads `files` in this order, and writes to the first of them.
    pub fn new(files: Vec<PathBuf>) -> Self {
        Self { write: files.first().cloned(), read: files, ..Self::default() }
    }

    /// Knows the credentials of one registry.
    pub fn of(registry: impl Into<String>, credentials: Credentials) -> Self {
        Self { fixed: BTreeMap::from([(registry.into(), credentials)]), ..Self::default() }
    }

    /// The credentials for a registry (`docker.io`, `host:port`), or for one repository in it.
    ///
    /// # Errors
    /// If a file is malformed or a helper fails. A helper that knows nothing of the registry has not failed.
    pub async fn get(
        &self,
        registry: &str,
        repository: Option<&str>,
    ) -> Result<Option<Credentials>, CredentialsError> {
        if let Some(credentials) = self.fixed.get(registry) {
            return Ok(Some(credentials.clone()));
        }
        if let Some(text) = &self.text {
            let file = AuthFile::parse(Path::new(&text.name), &text.text)?;
            if let Some(credentials) = self.in_file(&file, registry, repository).await? {
                return Ok(Some(credentials));
            }
        }
        let mut failure = None;
        for keeper in &self.keepers {
            let found = match keeper {
                Keeper::Files => self.in_files(registry, repository).await,
                Keeper::Helper(name) => self.with_helper(name, registry).await,
            };
            match found {
                Ok(None) => {}
                Ok(found) => return Ok(found),
                // The next one may know it.
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        failure.map_or(Ok(None), Err)
    }

    async fn in_files(
        &self,
        registry: &str,
        repository: Option<&str>,
    ) -> Result<Option<Credentials>, CredentialsError> {
        for path in &self.read {
            let Some(file) = AuthFile::read(path)? else { continue };
            if let Some(credentials) = self.in_file(&file, registry, repository).await? {
                return Ok(Some(credentials));
            }
        }
        Ok(None)
    }

    async fn in_file(
        &self,
        file: &AuthFile,
        registry: &str,
        repository: Option<&str>,
    ) -> Result<Option<Credentials>, CredentialsError> {
        if let Some(helper) = file.helper_for(registry, repository) {
            let server = key::canonical(registry);
            if let Some(credentials) = self.helper(&helper).get(&server).await? {
                return Ok(Some(credentials));
            }
        }
        file.credentials(registry, repository)
    }

    /// What a helper for all registries has. Docker Hub has two names: Docker's, and that of the containers tools.
    async fn with_helper(&self, name: &str, registry: &str) -> Result<Option<Credentials>, CredentialsError> {
        let helper = self.helper(name);
        let canonical = key::canonical(registry);
        let found = helper.get(&canonical).await?;
        if found.is_some() || canonical == registry {
            return Ok(found);
        }
        Ok(helper.get(registry).await?)
    }

    /// Keeps the credentials of a registry with the first [`Keeper`] that can: in files, with the helper the file names,
    /// else in the file itself, where all else stays as it was.
    ///
    /// # Errors
    /// As [`Self::get`]; if the file cannot be written; for a registry token.
    pub async fn save(&self, registry: &str, credentials: &Credentials) -> Result<Kept, CredentialsError> {
        if matches!(credentials, Credentials::RegistryToken(_)) {
            return Err(CredentialsError::NotKept);
        }
        let mut failure = None;
        for keeper in &self.keepers {
            let kept = match keeper {
                Keeper::Files => self.save_in_file(registry, credentials).await,
                Keeper::Helper(name) => {
                    let stored = self.helper(name).store(&key::canonical(registry), credentials).await;
                    stored.map(|()| Kept::Helper(name.clone())).map_err(CredentialsError::from)
                }
            };
            match kept {
                Ok(kept) => return Ok(kept),
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        Err(failure.unwrap_or(CredentialsError::NoFile))
    }

    async fn save_in_file(
        &self,
        registry: &str,
        credentials: &Credentials,
    ) -> Result<Kept, CredentialsError> {
        let path = self.write_path()?;
        let key = key::canonical(registry);
        // A helper may ask its user for something, so it runs before the file is locked.
        let helper = AuthFile::read(path)?.and_then(|file| file.helper_for(registry, None));
        if let Some(name) = &helper {
            self.helper(name).store(&key, credentials).await?;
        }
        self.change(path, |file| {
            // Docker leaves an empty entry, by which `docker logout` knows the registry; a password beside it would be
            // the stale one of an earlier login.
            file.set(&key, helper.is_none().then_some(credentials));
            Ok(((), true))
        })
        .await?;
        Ok(helper.map_or_else(|| Kept::File(path.to_owned()), Kept::Helper))
    }

    /// Forgets the credentials of a registry; tells where they were. Nothing is told if there were none.
    ///
    /// # Errors
    /// As [`Self::save`].
    pub async fn erase(&self, registry: &str) -> Result<Vec<Kept>, CredentialsError> {
        let mut from = Vec::new();
        for keeper in &self.keepers {
            match keeper {
                Keeper::Files => self.erase_from_file(registry, &mut from).await?,
                Keeper::Helper(name) => self.erase_with_helper(name, registry, &mut from).await?,
            }
        }
        Ok(from)
    }

    async fn erase_with_helper(
        &self,
        name: &str,
        registry: &str,
        from: &mut Vec<Kept>,
    ) -> Result<(), CredentialsError> {
        let (helper, key) = (self.helper(name), key::canonical(registry));
        if helper.get(&key).await?.is_some() {
            helper.erase(&key).await?;
            from.push(Kept::Helper(name.to_owned()));
        }
        Ok(())
    }

    async fn erase_from_file(&self, registry: &str, from: &mut Vec<Kept>) -> Result<(), CredentialsError> {
        let path = self.write_path()?;
        let Some(mut file) = AuthFile::read(path)? else { return Ok(()) };
        if let Some(name) = file.helper_for(registry, None) {
            self.erase_with_helper(&name, registry, from).await?;
        }
        // A file without an entry may be one that is not ours to change.
        if !file.remove(registry) {
            return Ok(());
        }
        let removed = self.change(path, |file| {
            let had_secret = file.credentials(registry, None)?.is_some();
            let removed = file.remove(registry);
            Ok((removed && had_secret, removed))
        });
        if removed.await? {
            from.push(Kept::File(path.to_owned()));
        }
        Ok(())
    }

    /// Changes the file `path` as it is now, while nobody else does. `change` says, beside its result, whether there is
    /// anything to write.
    async fn change<T>(
        &self,
        path: &Path,
        change: impl FnOnce(&mut AuthFile) -> Result<(T, bool), CredentialsError>,
    ) -> Result<T, CredentialsError> {
        // A symbolic link (people keep such files in a repository) stays, and what it points to is replaced.
        let target = fs::canonicalize(path).unwrap_or_else(|_| path.to_owned());
        let _lock = Lock::take(&target, self.lock_timeout).await?;
        let mut file = AuthFile::read(&target)?.unwrap_or_else(|| AuthFile::empty(&target));
        let (result, changed) = change(&mut file)?;
        if changed {
            file.write()?;
        }
        Ok(result)
    }

    fn write_path(&self) -> Result<&Path, CredentialsError> {
        self.write.as_deref().ok_or(CredentialsError::NoFile)
    }

    fn helper(&self, name: &str) -> helper::Helper<'_> {
        helper::Helper {
            name: name.to_owned(),
            directories: &self.helper_directories,
            timeout: self.helper_timeout,
        }
    }
}

#[cfg(test)]
mod tests;
