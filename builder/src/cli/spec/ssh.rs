//! `--ssh default|ID[=SOCKET|KEY[,KEY...]]`.

use super::SpecError;
use crate::cli::environment::Lookup;
use crate::request::SshSource;
use std::os::unix::fs::FileTypeExt;
use std::path::PathBuf;

/// An agent as the flag says it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ssh {
    /// What RUN asks for it by.
    pub id: String,
    paths: Vec<String>,
}

/// Reads the flag's value.
///
/// # Errors
/// [`SpecError`] for an empty id or path.
pub fn parse(value: &str) -> Result<Ssh, SpecError> {
    const SHAPE: SpecError = SpecError::Shape("write default, ID=SOCKET or ID=KEY[,KEY...]");
    let (id, paths) = value.split_once('=').map_or((value, None), |(id, paths)| (id, Some(paths)));
    let paths: Vec<String> = paths.map_or_else(Vec::new, |p| p.split(',').map(str::to_owned).collect());
    if id.is_empty() || id.contains(',') || paths.iter().any(String::is_empty) {
        return Err(SHAPE);
    }
    if let Some(raw) = paths.iter().find(|path| path.starts_with("raw=")) {
        return Err(SpecError::Refused {
            what: raw.clone(),
            why: "a step talks to an agent; other sockets of this machine are not shown to it",
        });
    }
    Ok(Ssh { id: id.to_owned(), paths })
}

impl Ssh {
    /// Where the agent is, or the keys for one; without a path it is the one of the surroundings.
    ///
    /// # Errors
    /// [`SpecError`] when there is none, and for a path that is neither a socket nor a key.
    pub fn resolve(&self, variable: Lookup<'_>) -> Result<SshSource, SpecError> {
        let mut paths: Vec<PathBuf> = self.paths.iter().map(PathBuf::from).collect();
        if paths.is_empty() {
            let socket = variable("SSH_AUTH_SOCK").filter(|socket| !socket.is_empty());
            let why = "SSH_AUTH_SOCK is not set: start an agent, or give a key";
            paths.push(socket.ok_or(SpecError::Missing { key: "default", why })?.into());
        }
        let mut keys = Vec::new();
        for path in &paths {
            let kind = std::fs::metadata(path)
                .map_err(|error| SpecError::Unreadable(format!("{}: {error}", path.display())))?;
            if !kind.file_type().is_socket() {
                keys.push(path.clone());
            }
        }
        match (keys.len(), paths.as_slice()) {
            (0, [socket]) => {
                Ok(SshSource::Agent(std::path::absolute(socket).unwrap_or_else(|_| socket.clone())))
            }
            (number, _) if number == paths.len() => Ok(SshSource::Keys(keys)),
            _ => Err(SpecError::Shape("an agent is one socket, or one or more keys")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::ffi::OsString;
    use std::os::unix::net::UnixListener;

    #[test]
    fn agents_and_keys() {
        let dir = tempfile::tempdir().unwrap();
        let path = |name: &str| dir.path().join(name).display().to_string();
        let _socket = UnixListener::bind(path("socket")).unwrap();
        std::fs::write(path("key"), "").unwrap();
        let (socket, key) = (path("socket"), path("key"));
        let with = |name: &str| (name == "SSH_AUTH_SOCK").then(|| OsString::from(&socket));
        let resolve = |text: &str| parse(text).unwrap().resolve(&with);
        assert_eq!(resolve("default"), Ok(SshSource::Agent(socket.clone().into())));
        assert_eq!(resolve(&format!("id={socket}")), Ok(SshSource::Agent(socket.clone().into())));
        assert_eq!(resolve(&format!("id={key},{key}")), Ok(SshSource::Keys(vec![key.clone().into(); 2])));
        assert!(resolve(&format!("id={key},{socket}")).is_err());
        assert!(resolve(&format!("id={}", path("absent"))).unwrap_err().to_string().contains("absent"));
        let error = parse("default").unwrap().resolve(&|_| None).unwrap_err().to_string();
        assert!(error.contains("SSH_AUTH_SOCK is not set"), "{error}");
        for text in ["", "=x", "id=", "id=a,,b", "a,b", "id=raw=true"] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
