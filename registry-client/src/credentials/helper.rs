//! Credential helpers: programs `docker-credential-NAME` that take `get`, `store` or `erase`, and talk JSON.

use crate::{auth::Credentials, transport::error::printable};
use serde::{Deserialize, Serialize};
use std::{
    ffi::OsString,
    io,
    path::PathBuf,
    process::{Output, Stdio},
    time::Duration,
};
use tokio::{io::AsyncWriteExt, process::Command};

/// The user name by which helpers mark an identity token.
const TOKEN_USER: &str = "<token>";

/// A credential helper failed.
#[derive(Debug, thiserror::Error)]
pub enum HelperError {
    /// It names a path, or nothing.
    #[error("{0:?} is no name of a credential helper; the configuration says docker-credential-{0}")]
    Name(String),
    /// It cannot be started.
    #[error("cannot run docker-credential-{name}: {source}; install it, or take it out of the configuration")]
    Run {
        /// Its name.
        name: String,
        /// The cause, which is part of this error's text.
        source: io::Error,
    },
    /// It took too long.
    #[error("docker-credential-{name} {action} did not end within {} s", timeout.as_secs_f32())]
    Timeout {
        /// Its name.
        name: String,
        /// What it was to do.
        action: &'static str,
        /// How long it had.
        timeout: Duration,
    },
    /// It says that it failed.
    #[error("docker-credential-{name} {action} failed: {message}")]
    Failed {
        /// Its name.
        name: String,
        /// What it was to do.
        action: &'static str,
        /// What it says.
        message: String,
    },
    /// Its answer is not what the protocol says.
    #[error("docker-credential-{name} get: the answer is no JSON with Username and Secret")]
    Answer {
        /// Its name.
        name: String,
    },
}

/// A helper.
pub(super) struct Helper<'a> {
    pub(super) name: String,
    pub(super) directories: &'a [PathBuf],
    pub(super) timeout: Duration,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Entry {
    username: String,
    secret: String,
}

#[derive(Serialize)]
struct NewEntry<'a> {
    #[serde(rename = "ServerURL")]
    server_url: &'a str,
    #[serde(rename = "Username")]
    username: &'a str,
    #[serde(rename = "Secret")]
    secret: &'a str,
}

impl Helper<'_> {
    /// The credentials of a registry; `None` if the helper has none.
    pub(super) async fn get(&self, server: &str) -> Result<Option<Credentials>, HelperError> {
        let output = self.run("get", server.as_bytes()).await?;
        if !output.status.success() {
            let message = message(&output);
            // The text is part of the protocol; there is no other sign.
            return if message.contains("credentials not found in native keychain") {
                Ok(None)
            } else {
                Err(self.failed("get", message))
            };
        }
        let entry: Entry = serde_json::from_slice(&output.stdout)
            .map_err(|_| HelperError::Answer { name: self.name.clone() })?;
        Ok(match (entry.username.as_str(), entry.secret) {
            (_, secret) if secret.is_empty() => None,
            (TOKEN_USER, secret) => Some(Credentials::IdentityToken(secret)),
            (_, secret) => Some(Credentials::password(entry.username, secret)),
        })
    }

    /// Keeps the credentials of a registry.
    pub(super) async fn store(&self, server: &str, credentials: &Credentials) -> Result<(), HelperError> {
        let (username, secret) = match credentials {
            Credentials::Password { username, password } => (username.as_str(), password),
            Credentials::IdentityToken(token) | Credentials::RegistryToken(token) => (TOKEN_USER, token),
        };
        let entry = NewEntry { server_url: server, username, secret };
        let input = serde_json::to_vec(&entry).map_err(|error| self.failed("store", error.to_string()))?;
        let output = self.run("store", &input).await?;
        if output.status.success() { Ok(()) } else { Err(self.failed("store", message(&output))) }
    }

    /// Forgets the credentials of a registry.
    pub(super) async fn erase(&self, server: &str) -> Result<(), HelperError> {
        let output = self.run("erase", server.as_bytes()).await?;
        if output.status.success() { Ok(()) } else { Err(self.failed("erase", message(&output))) }
    }

    fn failed(&self, action: &'static str, message: String) -> HelperError {
        HelperError::Failed { name: self.name.clone(), action, message }
    }

    async fn run(&self, action: &'static str, input: &[u8]) -> Result<Output, HelperError> {
        if self.name.is_empty() || self.name.contains(['/', '\0']) {
            return Err(HelperError::Name(self.name.clone()));
        }
        let program = format!("docker-credential-{}", self.name);
        let found = self.directories.iter().map(|directory| directory.join(&program)).find(|p| p.is_file());
        let program = found.map_or(OsString::from(program), PathBuf::into_os_string);
        let failed = |source| HelperError::Run { name: self.name.clone(), source };
        let work = async {
            let mut child = Command::new(program)
                .arg(action)
                .stdin(Stdio::piped())
                .stdout(Stdio::piped())
                .stderr(Stdio::piped())
                .kill_on_drop(true)
                .spawn()?;
            if let Some(mut stdin) = child.stdin.take() {
                match stdin.write_all(input).await {
                    // It may know its answer without reading the question; its status tells.
                    Err(error) if error.kind() == io::ErrorKind::BrokenPipe => {}
                    other => other?,
                }
            }
            child.wait_with_output().await
        };
        match tokio::time::timeout(self.timeout, work).await {
            Ok(output) => output.map_err(failed),
            Err(_) => Err(HelperError::Timeout { name: self.name.clone(), action, timeout: self.timeout }),
        }
    }
}

/// What a helper says when it fails: on its standard output by the protocol, on the other by habit.
fn message(output: &Output) -> String {
    let said = [&output.stdout, &output.stderr].map(|bytes| String::from_utf8_lossy(bytes).trim().to_owned());
    match said.into_iter().find(|text| !text.is_empty()) {
        Some(text) => printable(&text),
        None => output.status.to_string(),
    }
}
