//! Digests of both algorithms that blobs have, and of bytes that somebody else has hashed.

use registry_client::digest::{Digest, Digester};
use sha2::{Digest as _, Sha512};

/// A hasher of either algorithm that counts.
#[derive(Clone, Debug)]
pub(crate) enum Hasher {
    Sha256(Digester),
    Sha512(Box<Sha512>, u64),
    /// The digest is known to be this one.
    Known(Digest, u64),
}

impl Default for Hasher {
    fn default() -> Self {
        Self::Sha256(Digester::new())
    }
}

impl Hasher {
    /// One of the algorithm of `digest`.
    pub(crate) fn like(digest: &Digest) -> Self {
        match digest {
            Digest::Sha256(_) => Self::default(),
            Digest::Sha512(_) => Self::Sha512(Box::default(), 0),
        }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Sha512(hasher, count) => {
                hasher.update(bytes);
                *count += bytes.len() as u64;
            }
            Self::Known(_, count) => *count += bytes.len() as u64,
        }
    }

    /// How many bytes it has seen.
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Self::Sha256(hasher) => hasher.bytes(),
            Self::Sha512(_, count) | Self::Known(_, count) => *count,
        }
    }

    /// The digest, and the number of bytes.
    pub(crate) fn finish(self) -> (Digest, u64) {
        let bytes = self.bytes();
        let digest = match self {
            Self::Sha256(hasher) => hasher.finish(),
            Self::Sha512(hasher, _) => Digest::Sha512(hasher.finalize().into()),
            Self::Known(digest, _) => digest,
        };
        (digest, bytes)
    }
}
