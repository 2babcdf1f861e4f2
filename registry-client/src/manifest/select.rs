//! Which manifest of an index is for a platform.

use super::Index;
use crate::{descriptor::Descriptor, platform::Platform};
use std::collections::BTreeSet;

/// No manifest of an index is for the platform.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error(
    "the index has no image for {platform}; it has {}{}",
    if available.is_empty() { "none for any platform".to_owned() } else { available.join(", ") },
    if *unreadable > 0 { format!(", and {unreadable} entries that cannot be read") } else { String::new() }
)]
pub struct SelectError {
    /// What was wanted.
    pub platform: Box<Platform>,
    /// What there is, sorted.
    pub available: Vec<String>,
    /// How many entries are no descriptors that could be read.
    pub unreadable: usize,
}

/// Finds the manifest for a platform: of those that run on it the one nearest to it, and of equals the first.
///
/// A machine of a variant runs the lower variants of its architecture, too (`amd64/v3` runs `amd64`; `arm/v7` runs
/// `arm/v6`). Attestations have the platform `unknown/unknown` and are never chosen. An entry without a platform is
/// chosen if it is the only image there is.
///
/// # Errors
/// If none fits; the error lists the platforms there are.
pub fn select<'a>(index: &'a Index, platform: &Platform) -> Result<&'a Descriptor, SelectError> {
    let wanted = platform.clone().normalized();
    let images = || index.manifests.iter().filter(|entry| !is_attestation(entry));
    let mut best: Option<(u32, &Descriptor)> = None;
    for entry in images() {
        let Some(distance) = entry.platform.as_ref().and_then(|have| distance(&wanted, have)) else {
            continue;
        };
        if best.is_none_or(|(least, _)| distance < least) {
            best = Some((distance, entry));
        }
    }
    if let Some((_, entry)) = best {
        return Ok(entry);
    }
    let mut all = images();
    if let (Some(only), None) = (all.next(), all.next())
        && only.platform.is_none()
    {
        return Ok(only);
    }
    let names = images().filter_map(|entry| entry.platform.clone()).map(|p| p.normalized().to_string());
    let available: BTreeSet<String> = names.collect();
    let (platform, unreadable) = (wanted.into(), index.unreadable.len());
    Err(SelectError { platform, available: available.into_iter().collect(), unreadable })
}

fn is_attestation(entry: &Descriptor) -> bool {
    entry.platform.as_ref().is_some_and(|platform| platform.os == "unknown")
        || entry.annotations.contains_key("vnd.docker.reference.type")
}

/// How far `have` is below `wanted`; `None` if it does not run there.
fn distance(wanted: &Platform, have: &Platform) -> Option<u32> {
    let have = have.clone().normalized();
    if have.os != wanted.os || have.architecture != wanted.architecture {
        return None;
    }
    if have.os == "windows" && !windows_fits(wanted.os_version.as_deref(), have.os_version.as_deref()) {
        return None;
    }
    if have.variant == wanted.variant {
        return Some(0);
    }
    let level = |platform: &Platform| -> Option<u32> {
        match (platform.architecture.as_str(), platform.variant.as_deref()) {
            ("amd64", None) => Some(1),
            ("arm64", None) => Some(8),
            ("amd64" | "arm64" | "arm", Some(variant)) => major(variant),
            _ => None,
        }
    };
    level(wanted)?.checked_sub(level(&have)?)
}

/// `8` of `v8` and of `v8.1`.
fn major(variant: &str) -> Option<u32> {
    variant.strip_prefix('v')?.split('.').next()?.parse().ok()
}

/// A Windows container needs the build number of its host: three of the four parts of the version.
fn windows_fits(wanted: Option<&str>, have: Option<&str>) -> bool {
    let (Some(wanted), Some(have)) = (wanted, have) else { return true };
    wanted.split('.').take(3).eq(have.split('.').take(3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{digest::Digest, media_type::MediaType};

    fn index(platforms: &[&str]) -> Index {
        let entry = |text: &&str| {
            let mut entry = Descriptor::of(MediaType::OciManifest, text.as_bytes());
            // As an index says it, which need not be the normal form.
            entry.platform = (!text.is_empty()).then(|| {
                let mut parts = text.split('/').map(str::to_owned);
                let mut platform = Platform::new("linux", "amd64");
                platform.os = parts.next().unwrap();
                platform.architecture = parts.next().unwrap();
                platform.variant = parts.next();
                platform
            });
            entry
        };
        Index { manifests: platforms.iter().map(entry).collect(), ..Index::empty() }
    }

    #[test]
    fn nearest() {
        for (wanted, have, want) in [
            ("linux/amd64", vec!["linux/arm64", "linux/amd64"], Some("linux/amd64")),
            ("linux/amd64", vec!["linux/amd64/v3", "linux/amd64/v2"], None),
            (
                "linux/amd64/v3",
                vec!["linux/amd64", "linux/amd64/v2", "linux/amd64/v4"],
                Some("linux/amd64/v2"),
            ),
            ("linux/amd64", vec!["linux/x86_64"], Some("linux/x86_64")),
            ("linux/amd64", vec!["linux/386"], None),
            ("linux/arm64", vec!["linux/arm/v7", "linux/arm64/v8"], Some("linux/arm64/v8")),
            ("linux/arm64/v9", vec!["linux/arm64"], Some("linux/arm64")),
            ("linux/arm64", vec!["linux/arm64/v9"], None),
            ("linux/arm/v7", vec!["linux/arm/v5", "linux/arm/v6", "linux/arm64"], Some("linux/arm/v6")),
            ("linux/arm/v6", vec!["linux/arm/v7"], None),
            ("linux/riscv64", vec!["linux/riscv64"], Some("linux/riscv64")),
            ("linux/amd64", vec!["windows/amd64"], None),
            ("linux/amd64", vec!["unknown/unknown"], None),
            ("linux/amd64", vec!["", "unknown/unknown"], Some("")),
            ("linux/amd64", vec!["", ""], None),
            ("linux/amd64", vec![], None),
        ] {
            let index = index(&have);
            let got = select(&index, &wanted.parse().unwrap()).ok().map(|entry| entry.digest);
            assert_eq!(got, want.map(|text| Digest::of(text.as_bytes())), "{wanted} of {have:?}");
        }
    }

    #[test]
    fn of_equals_the_first() {
        let mut index = index(&["linux/amd64", "linux/amd64"]);
        index.manifests[1].digest = Digest::of(b"other");
        let first = index.manifests[0].digest;
        assert_eq!(select(&index, &Platform::new("linux", "amd64")).unwrap().digest, first);
    }

    #[test]
    fn attestations_of_a_real_platform() {
        let mut index = index(&["linux/amd64"]);
        let annotations = &mut index.manifests[0].annotations;
        annotations.insert("vnd.docker.reference.type".to_owned(), "attestation-manifest".to_owned());
        assert!(select(&index, &Platform::new("linux", "amd64")).is_err());
    }

    #[test]
    fn the_error_lists_what_there_is() {
        let index = index(&["linux/s390x", "linux/arm64", "unknown/unknown", "linux/arm64/v8"]);
        let error = select(&index, &Platform::new("linux", "amd64")).unwrap_err().to_string();
        assert_eq!(error, "the index has no image for linux/amd64; it has linux/arm64, linux/s390x");
    }

    #[test]
    fn windows_builds() {
        let mut index = index(&["windows/amd64", "windows/amd64"]);
        for (entry, version) in index.manifests.iter_mut().zip(["10.0.17763.1", "10.0.20348.5"]) {
            entry.platform.as_mut().unwrap().os_version = Some(version.to_owned());
            entry.digest = Digest::of(version.as_bytes());
        }
        let mut wanted = Platform::new("windows", "amd64");
        wanted.os_version = Some("10.0.20348.999".to_owned());
        assert_eq!(select(&index, &wanted).unwrap().digest, Digest::of(b"10.0.20348.5"));
    }
}
