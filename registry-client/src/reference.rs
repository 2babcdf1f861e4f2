//! References: `registry/repository:tag@digest`.
//!
//! The grammar of repositories and tags is that of the distribution-spec ("Pulling manifests"); that of the registry is a
//! host name, IPv4 or bracketed IPv6 address with an optional port. [`FromStr`] fills in what people leave out as Docker
//! does (`debian` is `docker.io/library/debian`); [`Reference::parse_strict`] fills in nothing.

mod error;
mod parse;

pub use error::ReferenceError;

use crate::digest::Digest;
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{fmt, str::FromStr};

/// The registry that a reference without one means.
pub const DEFAULT_REGISTRY: &str = "docker.io";
/// The tag that a reference without one means, where a tag is needed.
pub const DEFAULT_TAG: &str = "latest";
/// The namespace of repositories of [`DEFAULT_REGISTRY`] that are named without one.
const DEFAULT_NAMESPACE: &str = "library/";

/// Names a repository of a registry and, by tag or digest or both, what is in it. Every value that can be built is valid.
///
/// ```
/// use registry_client::reference::Reference;
/// let reference: Reference = "debian:12".parse()?;
/// assert_eq!(reference.to_string(), "docker.io/library/debian:12");
/// assert_eq!(reference.familiar(), "debian:12");
/// # Ok::<(), registry_client::reference::ReferenceError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Reference {
    registry: String,
    repository: String,
    tag: Option<String>,
    digest: Option<Digest>,
}

impl Reference {
    /// Parses a reference that names its registry; nothing is filled in.
    ///
    /// # Errors
    /// As [`FromStr`], and [`ReferenceError::NoRegistry`].
    pub fn parse_strict(text: &str) -> Result<Self, ReferenceError> {
        parse::reference(text, parse::Defaults::None)
    }

    /// Host name or address of the registry, with the port if there is one.
    pub fn registry(&self) -> &str {
        &self.registry
    }

    /// The repository: path components joined by `/`.
    pub fn repository(&self) -> &str {
        &self.repository
    }

    /// The tag.
    pub fn tag(&self) -> Option<&str> {
        self.tag.as_deref()
    }

    /// The digest; where there is one it decides, and the tag is a remark.
    pub fn digest(&self) -> Option<Digest> {
        self.digest
    }

    /// What a manifest URL of the distribution-spec ends with: the digest, else the tag, else `latest`.
    pub fn identifier(&self) -> String {
        match &self.digest {
            Some(digest) => digest.to_string(),
            None => self.tag.clone().unwrap_or_else(|| DEFAULT_TAG.to_owned()),
        }
    }

    /// `registry/repository`, without tag and digest.
    pub fn name(&self) -> String {
        format!("{}/{}", self.registry, self.repository)
    }

    /// The same repository with no tag and no digest.
    #[must_use]
    pub fn without_identifier(&self) -> Self {
        Self { tag: None, digest: None, ..self.clone() }
    }

    /// The same with the tag `latest`, if it has neither tag nor digest.
    #[must_use]
    pub fn with_default_tag(mut self) -> Self {
        if self.tag.is_none() && self.digest.is_none() {
            self.tag = Some(DEFAULT_TAG.to_owned());
        }
        self
    }

    /// The same repository under another tag, and without a digest.
    ///
    /// # Errors
    /// [`ReferenceError::Tag`].
    pub fn with_tag(&self, tag: &str) -> Result<Self, ReferenceError> {
        parse::tag(tag, tag)?;
        Ok(Self { tag: Some(tag.to_owned()), digest: None, ..self.clone() })
    }

    /// The same with this digest; the tag is kept.
    #[must_use]
    pub fn with_digest(&self, digest: Digest) -> Self {
        Self { digest: Some(digest), ..self.clone() }
    }

    /// Another repository of the same registry, without tag and digest.
    ///
    /// # Errors
    /// [`ReferenceError::Repository`] and its kin.
    pub fn with_repository(&self, repository: &str) -> Result<Self, ReferenceError> {
        let repository = if self.registry == DEFAULT_REGISTRY && !repository.contains('/') {
            format!("{DEFAULT_NAMESPACE}{repository}")
        } else {
            repository.to_owned()
        };
        parse::repository(&repository, &repository)?;
        Ok(Self { registry: self.registry.clone(), repository, tag: None, digest: None })
    }

    /// The short form Docker shows: without `docker.io/` and `library/`, where that reads back as the same reference.
    pub fn familiar(&self) -> String {
        let suffix = Suffix(self);
        if self.registry == DEFAULT_REGISTRY {
            let short = match self.repository.strip_prefix(DEFAULT_NAMESPACE) {
                Some(name) if !name.contains('/') => name,
                _ => &self.repository,
            };
            for name in [short, &self.repository] {
                let text = format!("{name}{suffix}");
                if text.parse::<Self>().is_ok_and(|back| back == *self) {
                    return text;
                }
            }
        }
        self.to_string()
    }
}

/// `:tag@digest`.
struct Suffix<'a>(&'a Reference);

impl fmt::Display for Suffix<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(tag) = &self.0.tag {
            write!(f, ":{tag}")?;
        }
        match &self.0.digest {
            Some(digest) => write!(f, "@{digest}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Reference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}{}", self.registry, self.repository, Suffix(self))
    }
}

impl FromStr for Reference {
    type Err = ReferenceError;

    fn from_str(text: &str) -> Result<Self, ReferenceError> {
        parse::reference(text, parse::Defaults::Docker)
    }
}

impl Serialize for Reference {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Reference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
