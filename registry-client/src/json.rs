//! JSON as programs in Go write it: a list or map that nobody put anything into is `null` there, not left out.

use serde::{Deserialize, Deserializer};

/// Reads `null` as the empty value.
pub(crate) fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}
