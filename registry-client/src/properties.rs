//! Properties of everything that reads what others wrote: registries, administrators, people. A bounded number of random
//! inputs in each run of the tests, and damaged copies of good ones.

use proptest::prelude::*;

mod configuration;
mod headers;
mod json;
mod references;

/// Damages `text` at a few places: bytes are changed, taken out, doubled, or the end is cut off.
fn damaged(text: &'static str) -> impl Strategy<Value = String> {
    let damage = (any::<prop::sample::Index>(), 0..4_u8, any::<u8>());
    prop::collection::vec(damage, 0..4).prop_map(move |damages| {
        let mut bytes = text.as_bytes().to_vec();
        for (at, kind, byte) in damages {
            if bytes.is_empty() {
                break;
            }
            let at = at.index(bytes.len());
            match kind {
                0 => bytes[at] = byte,
                1 => drop(bytes.remove(at)),
                2 => bytes.insert(at, bytes[at]),
                _ => bytes.truncate(at),
            }
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}
