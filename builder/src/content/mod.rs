//! Content ids: names made of content, so that equal content has equal names whatever made it.
//!
//! A [`ContentId`] is a BLAKE3 hash. What goes in is framed by [`Encoder`]: every field has a length in front of it, so
//! that no two different inputs give the same bytes. Times never go in.

mod ingredients;

pub use ingredients::{Ingredient, Ingredients};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::{fmt, str::FromStr};

/// Names content: a file's bytes, a tree, a step's inputs or result.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ContentId(pub [u8; 32]);

impl ContentId {
    /// The id of plain bytes.
    pub fn of(bytes: &[u8]) -> Self {
        Self(*blake3::hash(bytes).as_bytes())
    }

    /// Lower-case hexadecimal, 64 digits.
    pub fn hex(&self) -> String {
        blake3::Hash::from_bytes(self.0).to_hex().to_string()
    }
}

impl fmt::Display for ContentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.hex())
    }
}

impl fmt::Debug for ContentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ContentId({})", &self.hex()[..12])
    }
}

/// The text is not 64 hexadecimal digits.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{0:?} is no content id: 64 hexadecimal digits are")]
pub struct ContentIdError(String);

impl FromStr for ContentId {
    type Err = ContentIdError;

    fn from_str(text: &str) -> Result<Self, ContentIdError> {
        match blake3::Hash::from_hex(text) {
            Ok(hash) if text.len() == 64 => Ok(Self(*hash.as_bytes())),
            _ => Err(ContentIdError(text.to_owned())),
        }
    }
}

impl Serialize for ContentId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for ContentId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

/// Frames fields and hashes them. The encoding is part of every cache on disk: changing it means a new `domain`.
#[derive(Clone)]
pub struct Encoder(blake3::Hasher);

impl Encoder {
    /// An encoder for one kind of thing; `domain` keeps kinds and versions apart (`"slipway run v1"`).
    pub fn new(domain: &str) -> Self {
        let mut encoder = Self(blake3::Hasher::new());
        encoder.bytes(domain.as_bytes());
        encoder
    }

    /// A byte string.
    pub fn bytes(&mut self, bytes: &[u8]) -> &mut Self {
        self.0.update(&(bytes.len() as u64).to_le_bytes());
        self.0.update(bytes);
        self
    }

    /// A text.
    pub fn text(&mut self, text: &str) -> &mut Self {
        self.bytes(text.as_bytes())
    }

    /// A number.
    pub fn number(&mut self, number: u64) -> &mut Self {
        self.0.update(&number.to_le_bytes());
        self
    }

    /// Something that may be absent.
    pub fn option(&mut self, bytes: Option<&[u8]>) -> &mut Self {
        match bytes {
            None => self.number(0),
            Some(bytes) => self.number(1).bytes(bytes),
        }
    }

    /// A list of byte strings, with its length.
    pub fn list<I>(&mut self, items: I) -> &mut Self
    where
        I: IntoIterator<IntoIter: ExactSizeIterator, Item: AsRef<[u8]>>,
    {
        let items = items.into_iter();
        self.number(items.len() as u64);
        for item in items {
            self.bytes(item.as_ref());
        }
        self
    }

    /// Another id.
    pub fn id(&mut self, id: &ContentId) -> &mut Self {
        self.0.update(&id.0);
        self
    }

    /// The id of all fields.
    pub fn finish(&self) -> ContentId {
        ContentId(*self.0.finalize().as_bytes())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_encoding_is_frozen() {
        let id = Encoder::new("slipway test v1")
            .text("a")
            .number(7)
            .option(None)
            .option(Some(b"x"))
            .list(["p", "q"])
            .id(&ContentId::of(b"z"))
            .finish();
        assert_eq!(id.hex(), "1f65c19f1c3b5e993ac0cc41078dc69c5383fe7eefdee37a273174f72dc31709");
        assert_eq!(id.hex().parse(), Ok(id));
    }

    #[test]
    fn fields_do_not_run_together() {
        let one = Encoder::new("d").text("ab").text("c").finish();
        let two = Encoder::new("d").text("a").text("bc").finish();
        assert_ne!(one, two);
        assert_ne!(Encoder::new("d").list(["a"]).finish(), Encoder::new("d").list(["a", ""]).finish());
    }
}
