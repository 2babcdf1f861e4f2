//! Content digests (image-spec descriptor.md, "Digests"), DiffIDs and ChainIDs (config.md, "Layer DiffID").

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::Digest as _;
use std::{fmt, io, str::FromStr};

/// A digest of stored bytes; every value that can be built is valid.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Digest {
    /// `sha256:` and 64 hex digits.
    Sha256([u8; 32]),
    /// `sha512:` and 128 hex digits.
    Sha512([u8; 64]),
}

/// Why a text is no digest.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum DigestError {
    /// No `:`.
    #[error("{0:?} is no digest: it has no algorithm before a colon")]
    NoAlgorithm(String),
    /// Neither sha256 nor sha512.
    #[error("{0:?} is no digest algorithm known here; sha256 and sha512 are")]
    Algorithm(String),
    /// Wrong length, or something else than lower-case hex digits.
    #[error("{0:?} is no digest: sha256 takes 64 and sha512 128 lower-case hexadecimal digits")]
    Encoded(String),
}

impl Digest {
    /// The SHA-256 digest of `bytes`.
    pub fn of(bytes: &[u8]) -> Self {
        Self::Sha256(sha2::Sha256::digest(bytes).into())
    }

    /// The digest of `bytes` by the algorithm of this one.
    #[must_use]
    pub fn same_algorithm_of(&self, bytes: &[u8]) -> Self {
        let mut verifier = Verifier::new(self);
        verifier.update(bytes);
        verifier.digest()
    }

    /// `sha256` or `sha512`.
    pub fn algorithm(&self) -> &'static str {
        match self {
            Self::Sha256(_) => "sha256",
            Self::Sha512(_) => "sha512",
        }
    }

    /// The hexadecimal part.
    pub fn hex(&self) -> String {
        let bytes: &[u8] = match self {
            Self::Sha256(bytes) => bytes,
            Self::Sha512(bytes) => bytes,
        };
        let mut hex = String::with_capacity(bytes.len() * 2);
        for byte in bytes {
            hex.push(char::from(b"0123456789abcdef"[usize::from(byte >> 4)]));
            hex.push(char::from(b"0123456789abcdef"[usize::from(byte & 15)]));
        }
        hex
    }

    /// The first twelve hexadecimal digits, as people read them.
    pub fn short(&self) -> String {
        self.hex()[..12].to_owned()
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.algorithm(), self.hex())
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for Digest {
    type Err = DigestError;

    fn from_str(text: &str) -> Result<Self, DigestError> {
        let (algorithm, encoded) =
            text.split_once(':').ok_or_else(|| DigestError::NoAlgorithm(text.to_owned()))?;
        match algorithm {
            "sha256" => unhex(encoded).map(Self::Sha256),
            "sha512" => unhex(encoded).map(Self::Sha512),
            _ => return Err(DigestError::Algorithm(algorithm.to_owned())),
        }
        .ok_or_else(|| DigestError::Encoded(text.to_owned()))
    }
}

fn unhex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let nibble = |b: u8| match b {
        b'0'..=b'9' => Some(b - b'0'),
        b'a'..=b'f' => Some(b - b'a' + 10),
        _ => None,
    };
    let text = text.as_bytes();
    if text.len() != N * 2 {
        return None;
    }
    let mut bytes = [0; N];
    for (byte, pair) in bytes.iter_mut().zip(text.chunks_exact(2)) {
        *byte = nibble(pair[0])? << 4 | nibble(pair[1])?;
    }
    Some(bytes)
}

impl Serialize for Digest {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Digest {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Names a layer by its *uncompressed* bytes; it cannot be passed where a manifest's [`Digest`] is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct DiffId(pub Digest);

impl fmt::Display for DiffId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Names a stack of layers (config.md, "Layer ChainID"); `None` for no layer at all.
pub fn chain_id(layers: &[DiffId]) -> Option<Digest> {
    let (first, rest) = layers.split_first()?;
    Some(rest.iter().fold(first.0, |chain, layer| Digest::of(format!("{chain} {layer}").as_bytes())))
}

/// A SHA-256 hasher that counts, and can be written to.
#[derive(Clone, Default)]
pub struct Digester {
    hasher: sha2::Sha256,
    bytes: u64,
}

impl Digester {
    /// A hasher that has seen nothing.
    pub fn new() -> Self {
        Self::default()
    }

    /// Takes in `bytes`.
    pub fn update(&mut self, bytes: &[u8]) {
        self.hasher.update(bytes);
        self.bytes += bytes.len() as u64;
    }

    /// How many bytes went in.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// The digest of all that went in.
    pub fn finish(self) -> Digest {
        Digest::Sha256(self.hasher.finalize().into())
    }
}

impl fmt::Debug for Digester {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Digester({} bytes)", self.bytes)
    }
}

impl io::Write for Digester {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.update(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// A hasher of the algorithm that some digest asks for.
#[derive(Clone)]
pub(crate) enum Verifier {
    Sha256(sha2::Sha256),
    Sha512(sha2::Sha512),
}

impl Verifier {
    /// A hasher of the algorithm of `digest` that has seen nothing.
    pub(crate) fn new(digest: &Digest) -> Self {
        match digest {
            Digest::Sha256(_) => Self::Sha256(sha2::Sha256::default()),
            Digest::Sha512(_) => Self::Sha512(sha2::Sha512::default()),
        }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Sha256(hasher) => hasher.update(bytes),
            Self::Sha512(hasher) => hasher.update(bytes),
        }
    }

    /// The digest of what went in so far.
    pub(crate) fn digest(&self) -> Digest {
        match self {
            Self::Sha256(hasher) => Digest::Sha256(hasher.clone().finalize().into()),
            Self::Sha512(hasher) => Digest::Sha512(hasher.clone().finalize().into()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn round_trip_and_refusals() {
        let empty = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Digest::of(b"").to_string(), empty);
        assert_eq!(empty.parse::<Digest>().unwrap(), Digest::of(b""));
        assert!(matches!("e3b0".parse::<Digest>(), Err(DigestError::NoAlgorithm(_))));
        assert!(matches!("md5:e3b0".parse::<Digest>(), Err(DigestError::Algorithm(_))));
        assert!(matches!(empty.to_uppercase().parse::<Digest>(), Err(DigestError::Algorithm(_))));
        assert!(matches!(empty[..70].parse::<Digest>(), Err(DigestError::Encoded(_))));
        assert!(matches!(empty.replace('e', "E").parse::<Digest>(), Err(DigestError::Encoded(_))));
    }

    #[test]
    fn sha512() {
        let digest: Digest = format!("sha512:{}", "0".repeat(128)).parse().unwrap();
        let empty = digest.same_algorithm_of(b"");
        assert_eq!(empty.short(), "cf83e1357eef");
        assert_eq!(empty.to_string().parse(), Ok(empty));
    }

    #[test]
    fn chain_id_of_one_layer_is_its_diff_id() {
        let (a, b) = (DiffId(Digest::of(b"a")), DiffId(Digest::of(b"b")));
        assert_eq!(chain_id(&[]), None);
        assert_eq!(chain_id(&[a]), Some(a.0));
        assert_eq!(chain_id(&[a, b]), Some(Digest::of(format!("{a} {b}").as_bytes())));
    }
}
