//! Why a text is no reference.

use crate::digest::DigestError;

/// Why a text is no reference; each variant shows the part that is wrong.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum ReferenceError {
    /// Nothing at all.
    #[error("the image reference is empty; write [registry/]repository[:tag][@digest]")]
    Empty,
    /// The registry is no host name, IPv4 or bracketed IPv6 address with an optional port.
    #[error("{reference:?}: {part:?} is no registry: {why}")]
    Registry {
        /// The whole text.
        reference: String,
        /// The registry in it.
        part: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// A strict parse found no registry.
    #[error("{reference:?} names no registry; write it in full, as in docker.io/library/debian")]
    NoRegistry {
        /// The whole text.
        reference: String,
    },
    /// A strict parse found a repository of Docker's registry without its namespace.
    #[error(
        "{reference:?} names no namespace of docker.io; write it in full, as in docker.io/library/debian"
    )]
    NoNamespace {
        /// The whole text.
        reference: String,
    },
    /// No repository.
    #[error("{reference:?} names no repository")]
    NoRepository {
        /// The whole text.
        reference: String,
    },
    /// A component of the repository breaks the grammar.
    #[error("{reference:?}: {part:?} cannot be part of a repository name: {why}")]
    Repository {
        /// The whole text.
        reference: String,
        /// The component.
        part: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The repository is longer than registries take.
    #[error("{reference:?}: the repository name has {length} characters; 255 is the most")]
    TooLong {
        /// The whole text.
        reference: String,
        /// Length of the repository.
        length: usize,
    },
    /// 64 hexadecimal digits and nothing else: an image ID was meant.
    #[error(
        "{reference:?} could be an image ID, so it is refused as a repository name; an ID is written sha256:..."
    )]
    LikeAnId {
        /// The whole text.
        reference: String,
    },
    /// The tag breaks the grammar.
    #[error("{reference:?}: {part:?} is no tag: {why}")]
    Tag {
        /// The whole text.
        reference: String,
        /// The tag in it.
        part: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The digest breaks the grammar.
    #[error("{reference:?}: {error}")]
    Digest {
        /// The whole text.
        reference: String,
        /// What is wrong with it; it shows the digest.
        error: DigestError,
    },
}
