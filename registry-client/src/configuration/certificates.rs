//! `certs.d`: a directory per registry with `*.crt` (CAs that vouch for it) and pairs `*.cert`, `*.key` (who we are).

use super::{Configuration, ConfigurationError};
use std::{
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
};

/// What a name may end with, or leave out.
const HTTPS_PORT: &str = ":443";

/// The certificates for one registry.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct HostCertificates {
    /// PEM files of CAs, trusted beside those of the system.
    pub authorities: Vec<Vec<u8>>,
    /// A client certificate and its key, in one PEM text.
    pub identity: Option<Vec<u8>>,
}

impl std::fmt::Debug for HostCertificates {
    /// Shows nothing of the key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { authorities, identity } = self;
        write!(f, "HostCertificates({} authorities, identity: {})", authorities.len(), identity.is_some())
    }
}

impl Configuration {
    /// What the `certs.d` directories have for `host[:port]`; `None` when they have nothing. A host without a port is the one
    /// with HTTPS's: what either name has counts for both.
    ///
    /// # Errors
    /// If a file cannot be read, or one of a pair is missing.
    pub fn certificates_of(&self, registry: &str) -> Result<Option<HostCertificates>, ConfigurationError> {
        // A registry's name is checked when it is parsed, but what names a path is looked at again.
        if registry.is_empty() || registry.contains('/') || registry.starts_with('.') {
            return Ok(None);
        }
        let mut names = vec![registry.to_owned()];
        match registry.strip_suffix(HTTPS_PORT) {
            Some(host) => names.push(host.to_owned()),
            None if !has_port(registry) => names.push(format!("{registry}{HTTPS_PORT}")),
            None => {}
        }
        let mut found = HostCertificates::default();
        for directory in &self.certificates {
            for name in &names {
                for path in files(&directory.join(name))? {
                    add(&mut found, &path)?;
                }
            }
        }
        Ok((found != HostCertificates::default()).then_some(found))
    }
}

/// Whether a name is `host:port`; the colons of `[::1]` begin no port.
fn has_port(registry: &str) -> bool {
    registry
        .rsplit_once(':')
        .is_some_and(|(_, port)| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit()))
}

fn add(found: &mut HostCertificates, path: &Path) -> Result<(), ConfigurationError> {
    let missing = |why: String| ConfigurationError::Malformed { path: path.to_owned(), why };
    match path.extension().and_then(OsStr::to_str) {
        Some("crt") => found.authorities.push(read(path)?),
        Some("cert") => {
            let key = path.with_extension("key");
            if !key.exists() {
                return Err(missing(format!("its key {} is missing", key.display())));
            }
            // The first pair is used: a server is shown one certificate.
            if found.identity.is_none() {
                let mut pair = read(path)?;
                pair.push(b'\n');
                pair.extend(read(&key)?);
                found.identity = Some(pair);
            }
        }
        Some("key") if !path.with_extension("cert").exists() => {
            return Err(missing(format!(
                "its certificate {} is missing; a file of a CA is named *.crt",
                path.with_extension("cert").display()
            )));
        }
        _ => {}
    }
    Ok(())
}

/// The files of a directory in the order of their names; none if there is no such directory, or it is not ours to read.
fn files(directory: &Path) -> Result<Vec<PathBuf>, ConfigurationError> {
    let failed = |source| ConfigurationError::Read { path: directory.to_owned(), source };
    let entries = match fs::read_dir(directory) {
        Ok(entries) => entries,
        Err(error) => {
            let none =
                [io::ErrorKind::NotFound, io::ErrorKind::NotADirectory, io::ErrorKind::PermissionDenied];
            return if none.contains(&error.kind()) { Ok(Vec::new()) } else { Err(failed(error)) };
        }
    };
    let mut paths =
        entries.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>, io::Error>>().map_err(failed)?;
    paths.sort();
    Ok(paths)
}

fn read(path: &Path) -> Result<Vec<u8>, ConfigurationError> {
    fs::read(path).map_err(|source| ConfigurationError::Read { path: path.to_owned(), source })
}
