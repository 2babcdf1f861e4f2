//! One run of git, with nothing from outside that could change what it does.

use super::{Git, GitError};
use crate::blocking::blocking;
use crate::progress::sanitize;
use crate::remote::redacted;
use std::ffi::{OsStr, OsString};
use std::path::Path;
use std::process::Stdio;
use std::sync::Arc;

/// What git may speak.
const PROTOCOLS: &str = "http:https:ssh:git";

/// Settings that hold for every run.
const SETTINGS: &[(&str, &str)] = &[
    ("advice.detachedHead", "false"),
    ("core.attributesFile", "/dev/null"),
    ("core.autocrlf", "false"),
    ("core.fsmonitor", "false"),
    ("core.hooksPath", "/dev/null"),
    ("credential.helper", ""),
    ("fetch.recurseSubmodules", "false"),
    ("gc.auto", "0"),
    ("init.defaultBranch", "main"),
    ("maintenance.auto", "false"),
    ("safe.directory", "*"),
    ("submodule.recurse", "false"),
];

/// Lines that git ends with, whatever is wrong with a remote.
const ADVICE: [&str; 2] =
    ["Please make sure you have the correct access rights", "and the repository exists."];

/// Whether a remote is reached by HTTP, where no SSH agent is of use.
fn is_http(remote: &str) -> bool {
    remote.starts_with("http://") || remote.starts_with("https://")
}

/// A run of git.
pub(super) struct Command<'a> {
    git: &'a Git,
    /// For messages.
    remote: &'a str,
    action: String,
    arguments: Vec<OsString>,
    variables: Vec<(&'static str, OsString)>,
    directory: Option<&'a Path>,
    local: bool,
}

impl<'a> Command<'a> {
    /// One that has to do with `remote`.
    pub(super) fn new(git: &'a Git, remote: &'a str) -> Self {
        let (arguments, variables) = (Vec::new(), Vec::new());
        Self { git, remote, action: String::new(), arguments, variables, directory: None, local: false }
    }

    pub(super) fn arg(&mut self, argument: impl AsRef<OsStr>) -> &mut Self {
        if self.action.is_empty() {
            self.action = argument.as_ref().to_string_lossy().into_owned();
        }
        self.arguments.push(argument.as_ref().to_owned());
        self
    }

    pub(super) fn args<S: AsRef<OsStr>>(&mut self, arguments: impl IntoIterator<Item = S>) -> &mut Self {
        for argument in arguments {
            self.arg(argument);
        }
        self
    }

    pub(super) fn env(&mut self, name: &'static str, value: impl AsRef<OsStr>) -> &mut Self {
        self.variables.push((name, value.as_ref().to_owned()));
        self
    }

    /// Where it runs.
    pub(super) fn directory(&mut self, directory: &'a Path) -> &mut Self {
        self.directory = Some(directory);
        self
    }

    /// It may fetch from a repository of the store, and from nowhere else.
    pub(super) fn local(&mut self) -> &mut Self {
        self.local = true;
        self
    }

    /// Runs it; what it writes on standard output.
    pub(super) async fn run(&mut self) -> Result<Vec<u8>, GitError> {
        let asks = matches!(self.action.as_str(), "ls-remote" | "fetch") && !self.local;
        if asks && self.git.access.offline {
            return Err(GitError::Offline(redacted(self.remote)));
        }
        let scratch = self.git.store.scratch_dir()?;
        let mut command = tokio::process::Command::new("git");
        command.args(&self.arguments).env_clear().kill_on_drop(true);
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        for (name, value) in &self.git.access.variables {
            command.env(name, value);
        }
        command
            .env("HOME", &scratch)
            .env("LC_ALL", "C")
            .env("GIT_CONFIG_NOSYSTEM", "1")
            .env("GIT_CONFIG_GLOBAL", "/dev/null")
            .env("GIT_ATTR_NOSYSTEM", "1")
            .env("GIT_TERMINAL_PROMPT", "0")
            .env("GIT_ALLOW_PROTOCOL", if self.local { "file" } else { PROTOCOLS });
        self.ssh(&mut command, &scratch).await?;
        self.settings(&mut command);
        for (name, value) in &self.variables {
            command.env(name, value);
        }
        if let Some(directory) = self.directory {
            command.current_dir(directory);
        }
        let output = command.output().await.map_err(|error| match error.kind() {
            std::io::ErrorKind::NotFound => GitError::NoGit(redacted(self.remote)),
            _ => GitError::Run(error),
        })?;
        if output.status.success() {
            return Ok(output.stdout);
        }
        Err(GitError::Failed {
            action: self.action.clone(),
            remote: redacted(self.remote),
            said: self.said(&output.stderr, output.status),
        })
    }

    /// Keys come from the agent alone. Hosts that are new are accepted, as BuildKit does; one whose key is not the one
    /// the user knows is not.
    async fn ssh(&self, command: &mut tokio::process::Command, scratch: &Path) -> Result<(), GitError> {
        let access = &self.git.access;
        let mut known = format!("{}", scratch.join("known_hosts").display());
        if let Some(path) = &access.known_hosts {
            known = format!("{known} {}", path.display());
        }
        command.env(
            "GIT_SSH_COMMAND",
            format!(
                "ssh -F /dev/null -o BatchMode=yes -o IdentityFile=/dev/null -o StrictHostKeyChecking=accept-new \
                 -o 'UserKnownHostsFile={known}'"
            ),
        );
        if is_http(self.remote) {
            return Ok(());
        }
        if let Some(agents) = &access.agents {
            let (agents, store) = (Arc::clone(agents), self.git.store.clone());
            let scratch = move || store.scratch_dir().map_err(std::io::Error::other);
            if let Some(socket) = blocking(move || agents.socket("default", &scratch)).await? {
                command.env("SSH_AUTH_SOCK", socket);
            }
        }
        Ok(())
    }

    /// Settings go by the environment: headers with passwords would be seen among the arguments.
    fn settings(&self, command: &mut tokio::process::Command) {
        let mut settings: Vec<(String, String)> =
            SETTINGS.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        if !self.local {
            let host = url::Url::parse(self.remote).ok().and_then(|url| url.host_str().map(str::to_owned));
            let header = |wanted: Option<&str>| {
                self.git
                    .access
                    .headers
                    .iter()
                    .find(|(of, _)| of.as_deref() == wanted)
                    .map(|(_, header)| header)
            };
            if let (Some(host), true) = (&host, is_http(self.remote))
                && let Some(header) = header(Some(host)).or_else(|| header(None))
            {
                let origin = url::Url::parse(self.remote).map(|url| url.origin().ascii_serialization());
                let scope = origin.unwrap_or_default();
                settings.push((format!("http.{scope}/.extraheader"), format!("Authorization: {header}")));
            }
        }
        command.env("GIT_CONFIG_COUNT", settings.len().to_string());
        for (index, (key, value)) in settings.iter().enumerate() {
            command.env(format!("GIT_CONFIG_KEY_{index}"), key);
            command.env(format!("GIT_CONFIG_VALUE_{index}"), value);
        }
    }

    /// What git said, fit for one line, without the password of the URL.
    fn said(&self, stderr: &[u8], status: std::process::ExitStatus) -> String {
        let text = String::from_utf8_lossy(stderr).replace(self.remote, &redacted(self.remote));
        // What follows when a remote cannot be read is the same for all reasons, and they stand above it.
        let is_advice = |line: &str| ADVICE.contains(&line);
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !is_advice(line));
        let lines: Vec<String> = lines.map(|line| sanitize::line(line.as_bytes()).to_string()).collect();
        match &lines[lines.len().saturating_sub(3)..] {
            [] => status.to_string(),
            last => last.join("; "),
        }
    }
}
