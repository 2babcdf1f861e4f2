//! One credentials file.

use super::{CredentialsError, key};
use crate::auth::Credentials;
use base64::{Engine, alphabet, engine::general_purpose};
use serde_json::{Map, Value, json};
use std::{
    fs, io,
    io::Write,
    path::{Path, PathBuf},
};

/// Padding is as the writer liked it.
const BASE64: general_purpose::GeneralPurpose = general_purpose::GeneralPurpose::new(
    &alphabet::STANDARD,
    general_purpose::GeneralPurposeConfig::new()
        .with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent),
);

/// The JSON object of a credentials file; keys that are not known here are kept, in their order.
pub(super) struct AuthFile {
    path: PathBuf,
    json: Map<String, Value>,
}

impl AuthFile {
    pub(super) fn empty(path: &Path) -> Self {
        Self { path: path.to_owned(), json: Map::new() }
    }

    /// `None` if there is no such file.
    pub(super) fn read(path: &Path) -> Result<Option<Self>, CredentialsError> {
        let bytes = match fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                return Ok(None);
            }
            // A directory that keeps us out (/run/containers of another user) has no file for us.
            Err(_) if path.try_exists().is_err() => return Ok(None),
            Err(source) => return Err(CredentialsError::Read { path: path.to_owned(), source }),
        };
        Self::parse(path, &bytes).map(Some)
    }

    /// Reads the text of a file; `path` is for messages, and to write it again.
    pub(super) fn parse(path: &Path, bytes: &[u8]) -> Result<Self, CredentialsError> {
        if bytes.trim_ascii().is_empty() {
            return Ok(Self::empty(path));
        }
        let malformed = |why: String| CredentialsError::Malformed { path: path.to_owned(), why };
        let json: Value = serde_json::from_slice(bytes).map_err(|error| {
            malformed(format!("it is no JSON (line {}, column {})", error.line(), error.column()))
        })?;
        let Value::Object(json) = json else { return Err(malformed("it is no JSON object".to_owned())) };
        for name in ["auths", "credHelpers"] {
            if !matches!(json.get(name), None | Some(Value::Null | Value::Object(_))) {
                return Err(malformed(format!("{name:?} in it is no object")));
            }
        }
        Ok(Self { path: path.to_owned(), json })
    }

    /// The helper that keeps the credentials of a registry.
    pub(super) fn helper_for(&self, registry: &str, repository: Option<&str>) -> Option<String> {
        let own = self.best("credHelpers", registry, repository).and_then(|(_, helper)| helper.as_str());
        let helper = own.or_else(|| self.json.get("credsStore").and_then(Value::as_str))?;
        (!helper.is_empty()).then(|| helper.to_owned())
    }

    /// The credentials that are in the file itself.
    pub(super) fn credentials(
        &self,
        registry: &str,
        repository: Option<&str>,
    ) -> Result<Option<Credentials>, CredentialsError> {
        let Some((key, entry)) = self.best("auths", registry, repository) else { return Ok(None) };
        let field = |name: &str| entry.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        if let Some(token) = field("registrytoken") {
            return Ok(Some(Credentials::RegistryToken(token.to_owned())));
        }
        if let Some(token) = field("identitytoken") {
            return Ok(Some(Credentials::IdentityToken(token.to_owned())));
        }
        if let Some(auth) = field("auth") {
            let malformed = |why: &str| CredentialsError::Malformed {
                path: self.path.clone(),
                why: format!("the \"auth\" of {key:?} {why}"),
            };
            let decoded = BASE64.decode(auth.trim()).map_err(|_| malformed("is no base64"))?;
            let decoded = String::from_utf8(decoded).map_err(|_| malformed("is no text in base64"))?;
            let (username, password) =
                decoded.split_once(':').ok_or_else(|| malformed("is no user:password in base64"))?;
            // Some writers fill the block up with zero bytes.
            return Ok(Some(Credentials::password(username, password.trim_end_matches('\0'))));
        }
        Ok(match (field("username"), field("password")) {
            (Some(username), Some(password)) => Some(Credentials::password(username, password)),
            _ => None,
        })
    }

    /// The entry of the object `name` that fits best.
    fn best(&self, name: &str, registry: &str, repository: Option<&str>) -> Option<(&str, &Value)> {
        let entries = self.json.get(name)?.as_object()?.iter();
        let fitting = entries.filter_map(|(key, value)| {
            key::fit(key, registry, repository).map(|fit| (fit, key.as_str(), value))
        });
        fitting.max_by_key(|(fit, ..)| *fit).map(|(_, key, value)| (key, value))
    }

    /// Sets the entry of a registry; an empty one if a helper keeps the secret.
    pub(super) fn set(&mut self, key: &str, credentials: Option<&Credentials>) {
        let entry = match credentials {
            Some(Credentials::Password { username, password }) => {
                json!({ "auth": general_purpose::STANDARD.encode(format!("{username}:{password}")) })
            }
            // Docker writes a user name beside it, which no server looks at.
            Some(Credentials::IdentityToken(token)) => {
                json!({ "auth": general_purpose::STANDARD.encode("<token>:"), "identitytoken": token })
            }
            Some(Credentials::RegistryToken(_)) | None => json!({}),
        };
        let auths = self.json.entry("auths").or_insert_with(|| json!({}));
        match auths {
            Value::Object(auths) => drop(auths.insert(key.to_owned(), entry)),
            other => *other = json!({ key: entry }),
        }
    }

    /// Removes the entries of a registry, in all spellings; tells whether there was one.
    pub(super) fn remove(&mut self, registry: &str) -> bool {
        let Some(Value::Object(auths)) = self.json.get_mut("auths") else { return false };
        let before = auths.len();
        auths.retain(|key, _| key::fit(key, registry, None).is_none());
        auths.len() < before
    }

    /// Writes the file in one step, readable by its owner only. Its directory is there; it is no symbolic link.
    pub(super) fn write(&self) -> Result<(), CredentialsError> {
        self.replace().map_err(|source| CredentialsError::Write { path: self.path.clone(), source })
    }

    fn replace(&self) -> io::Result<()> {
        let directory = match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        // Mode 0600 from the start.
        let mut file = tempfile::NamedTempFile::new_in(directory)?;
        serde_json::to_writer_pretty(&mut file, &self.json)?;
        file.write_all(b"\n")?;
        file.as_file().sync_all()?;
        file.persist(&self.path)?;
        Ok(())
    }
}
