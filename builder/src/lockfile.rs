//! `Dockerfile.lock`: what the names in a Dockerfile meant when somebody looked. Pure.
//!
//! ```json
//! {
//!   "version": 1,
//!   "images": { "docker.io/library/debian:12": "sha256:..." },
//!   "files": { "https://example.org/tool.tar.gz": "sha256:..." },
//!   "repositories": { "https://example.org/app.git#main": "0123..." }
//! }
//! ```

use crate::remote::{GitSource, redacted};
use registry_client::digest::Digest;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The version of the format.
const VERSION: u32 = 1;

/// A lock file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, expecting = "an object with the version of a lock file")]
pub struct LockFile {
    version: u32,
    /// The digest of each image: of its index where it has one, so that it is good for all platforms. Names are whole,
    /// with their tag.
    #[serde(default)]
    pub images: BTreeMap<String, Digest>,
    /// The SHA-256 of each file that ADD downloads, by URL without its password.
    #[serde(default)]
    pub files: BTreeMap<String, Digest>,
    /// The commit of each `repository#reference`.
    #[serde(default)]
    pub repositories: BTreeMap<String, String>,
}

/// Why a text is no lock file.
#[derive(Debug, thiserror::Error)]
pub enum LockFileError {
    /// Not the JSON it should be.
    #[error("it is no lock file")]
    Json(#[from] serde_json::Error),
    /// Of another program.
    #[error("its version is {0}, and {VERSION} is the one known here")]
    Version(u32),
}

impl Default for LockFile {
    fn default() -> Self {
        Self {
            version: VERSION,
            images: BTreeMap::new(),
            files: BTreeMap::new(),
            repositories: BTreeMap::new(),
        }
    }
}

impl LockFile {
    /// Reads one.
    ///
    /// # Errors
    /// [`LockFileError`].
    pub fn parse(text: &[u8]) -> Result<Self, LockFileError> {
        let file: Self = serde_json::from_slice(text)?;
        if file.version == VERSION { Ok(file) } else { Err(LockFileError::Version(file.version)) }
    }

    /// The text of it, names sorted.
    pub fn to_text(&self) -> String {
        format!("{:#}\n", serde_json::json!(self))
    }

    /// What a repository is called in it.
    pub fn repository(source: &GitSource) -> String {
        format!("{}#{}", redacted(&source.remote), source.reference.as_deref().unwrap_or("HEAD"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn there_and_back() {
        let mut file = LockFile::default();
        file.images.insert("docker.io/library/b:1".to_owned(), Digest::of(b"b"));
        file.images.insert("docker.io/library/a:1".to_owned(), Digest::of(b"a"));
        let source =
            GitSource { remote: "https://me:secret@example.org/x.git".to_owned(), ..GitSource::default() };
        file.repositories.insert(LockFile::repository(&source), "0".repeat(40));
        let text = file.to_text();
        assert!(!text.contains("secret") && text.contains("example.org/x.git#HEAD"), "{text}");
        assert!(text.find("library/a:1") < text.find("library/b:1"), "{text}");
        assert_eq!(LockFile::parse(text.as_bytes()).expect("it is ours"), file);
        assert!(matches!(LockFile::parse(b"{\"version\": 2}"), Err(LockFileError::Version(2))));
        for wrong in
            ["", "{}", "[]", "{\"version\":1,\"imgs\":{}}", "{\"version\":1,\"images\":{\"a\":\"x\"}}"]
        {
            let Err(LockFileError::Json(why)) = LockFile::parse(wrong.as_bytes()) else {
                panic!("{wrong} is taken");
            };
            // Where it is wrong is said, and nothing about our types.
            let why = why.to_string();
            assert!(why.contains("line ") && !why.contains("LockFile"), "{wrong}: {why}");
        }
    }
}
