//! What a build made.

use registry_client::descriptor::Descriptor;
use registry_client::digest::Digest;
use registry_client::platform::Platform;
use std::time::Duration;

/// A finished build.
#[derive(Clone, Debug)]
pub struct BuildReport {
    /// The image; `None` when nothing but the cache was asked for.
    pub image: Option<BuiltImage>,
    /// How many steps there were.
    pub steps: usize,
    /// How many of them were cached.
    pub cached: usize,
    /// How long it took.
    pub elapsed: Duration,
}

/// A finished image.
#[derive(Clone, Debug)]
pub struct BuiltImage {
    /// Its platforms.
    pub platforms: Vec<Platform>,
    /// The image ID: the digest of its config; of an index, the digest of that.
    pub id: Digest,
    /// Its manifest or index, as the last output into the store or a registry wrote it; without one, the last archive.
    pub top: Descriptor,
    /// The names it was given, familiar form.
    pub names: Vec<String>,
    /// Bytes of its uncompressed layers, of all platforms.
    pub size: u64,
    /// How many layers it has, in all platforms.
    pub layers: usize,
}
