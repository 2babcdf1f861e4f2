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
    /// Its platform.
    pub platform: Platform,
    /// Digest of its config: the image ID.
    pub id: Digest,
    /// Its manifest, as the first output wrote it.
    pub manifest: Descriptor,
    /// The names it was given, familiar form.
    pub names: Vec<String>,
    /// Bytes of its uncompressed layers.
    pub size: u64,
    /// How many layers it has.
    pub layers: usize,
}
