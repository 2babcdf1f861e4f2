//! What must be true of whatever registries, administrators and people write: one function for each fuzz target.
//!
//! The targets in `fuzz_targets/` call these with what libFuzzer makes up; `registry-client/tests/corpus.rs` calls them
//! with the corpus and with damaged copies of it, on any toolchain.

use registry_client::auth::challenge;
use registry_client::configuration::{Configuration, MirrorAddress};
use registry_client::digest::Digest;
use registry_client::manifest::{Contribution, Index, ManifestBytes, Manifests, ParsedManifest, select};
use registry_client::media_type::Family;
use registry_client::platform::Platform;
use registry_client::reference::{Reference, ReferenceError};
use std::collections::BTreeMap;
use std::path::Path;

/// References: what is read is written the same, leads nowhere else in URLs and names of files, and what is refused is
/// shown.
pub(crate) fn references(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let strict = Reference::parse_strict(text);
    let reference = match text.parse::<Reference>() {
        Ok(reference) => reference,
        Err(error) => {
            assert!(strict.is_err(), "{text:?} is taken where nothing may be left out, and else refused");
            let shown = error.to_string();
            assert!(matches!(error, ReferenceError::Empty) || shown.len() > 10, "{text:?}: {shown}");
            assert!(!shown.contains(char::is_control), "{shown:?}");
            return;
        }
    };
    assert!(strict.is_err() || strict == Ok(reference.clone()), "{text:?} means two things");
    assert_eq!(Reference::parse_strict(&reference.to_string()), Ok(reference.clone()));
    assert_eq!(reference.familiar().parse(), Ok(reference.clone()));
    assert!(reference.repository().split('/').all(|part| !matches!(part, "" | "." | "..")), "{reference}");
    assert!(!reference.registry().contains(['/', '@', '?', '#', ' ', '\\', '%']), "{reference}");
    assert!(!reference.identifier().contains(['/', '?', '#', ' ']), "{reference}");
    let bare = reference.without_identifier();
    assert_eq!(bare.name(), bare.to_string());
    if let Some(tag) = reference.tag() {
        assert_eq!(
            bare.with_tag(tag).map(|tagged| tagged.tag().map(str::to_owned)),
            Ok(Some(tag.to_owned()))
        );
    }
    assert_eq!(reference.with_repository(reference.repository()), Ok(bare));
}

/// Challenges: what was understood can be written and understood again, and nothing is made up.
pub(crate) fn challenges(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let read = challenge::parse(text);
    let mut length = 0;
    let mut written = Vec::new();
    for challenge in &read {
        assert!(!challenge.scheme.is_empty() && !challenge.scheme.contains(char::is_uppercase));
        length += challenge.scheme.len();
        let mut parameters = Vec::new();
        for (name, value) in challenge.params() {
            length += name.len() + value.len();
            assert!(!name.is_empty() && challenge.param(name).is_some());
            let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
            parameters.push(format!("{name}=\"{quoted}\""));
        }
        written.push(format!("{} {}", challenge.scheme, parameters.join(", ")));
    }
    assert!(length <= text.len(), "{text:?} is {read:?}");
    assert_eq!(challenge::parse(&written.join(", ")), read, "{text:?}");
}

/// `registries.conf`: what a name becomes keeps its tag and digest; what cannot be used is told with the file.
pub(crate) fn registries(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let path = Path::new("/etc/containers/registries.conf");
    let mut configuration = match Configuration::parse(text, path) {
        Ok(configuration) => configuration,
        Err(error) => {
            let shown = error.to_string();
            assert!(shown.contains("registries.conf") && !shown.contains('\n'), "{shown:?}");
            return;
        }
    };
    let digest = Digest::of(b"");
    let names = ["debian:12", "docker.io/a/b", "a.example.com/b/c:1", "localhost:5000/x", "[::1]:80/x:y"];
    let mirror = MirrorAddress { location: "mirror.example:5000/hub".to_owned(), insecure: true };
    for mirrored in [false, true] {
        if mirrored {
            configuration.add_mirrors("docker.io", std::slice::from_ref(&mirror));
        }
        for name in names {
            let Ok(named) = name.parse::<Reference>() else { unreachable!("{name} is a reference") };
            for reference in [named.clone(), named.with_digest(digest)] {
                let Ok(endpoints) = configuration.endpoints(&reference) else { continue };
                for place in endpoints.mirrors.iter().chain([&endpoints.own]) {
                    assert_eq!(place.reference.tag(), reference.tag());
                    assert_eq!(place.reference.digest(), reference.digest());
                }
            }
            let _ = configuration.is_insecure(named.registry());
        }
    }
}

/// Manifests and indexes: up to the first line end the server's `Content-Type`, then what it sent.
pub(crate) fn manifests(data: &[u8]) {
    let at = data.iter().position(|byte| *byte == b'\n').unwrap_or(0);
    let content_type = std::str::from_utf8(&data[..at]).ok().filter(|text| !text.is_empty());
    let bytes = data[at..].to_vec();
    let digest = Digest::of(&bytes);
    let received = match ManifestBytes::new(content_type, digest, bytes.clone().into()) {
        Ok(received) => received,
        Err(error) => return refused(&error.to_string(), &digest),
    };
    assert_eq!(received.bytes, bytes, "what was received stays as it is");
    assert_eq!((received.descriptor.digest, received.descriptor.size), (digest, bytes.len() as u64));
    let media_type = received.descriptor.media_type.clone();
    assert!(media_type.is_index() || media_type.is_manifest());
    match received.parse() {
        Err(error) => return refused(&error.to_string(), &digest),
        Ok(ParsedManifest::Manifest(manifest)) => {
            let again = serde_json::to_vec(&manifest).map(|json| serde_json::from_slice(&json).ok());
            assert_eq!(again.ok().flatten(), Some(manifest));
        }
        Ok(ParsedManifest::Index(index)) => {
            let again = serde_json::to_vec(&index).map(|json| serde_json::from_slice(&json).ok());
            assert_eq!(again.ok().flatten().as_ref(), Some(&index));
            composed(*index);
        }
    }
    let manifests = Manifests { children: Vec::new(), top: (media_type, received.bytes) };
    for family in [Family::Oci, Family::Docker] {
        let Ok(converted) = manifests.converted(family) else { continue };
        let (media_type, bytes) = &converted.manifests.top;
        assert_eq!(media_type.family(), Some(family));
        // What was written is read, and is what was wanted.
        let again = converted.manifests.converted(family);
        assert!(again.is_err(), "{} is converted twice", String::from_utf8_lossy(bytes));
        let read = ManifestBytes::new(Some(media_type.as_str()), Digest::of(bytes), bytes.clone());
        assert!(read.is_ok_and(|read| read.parse().is_ok()), "{}", String::from_utf8_lossy(bytes));
    }
}

fn refused(shown: &str, digest: &Digest) {
    assert!(shown.contains(&digest.to_string()) && !shown.contains(char::is_control), "{shown:?}");
}

/// An image is chosen from it, or the error lists what there is; put together anew it holds the same.
fn composed(index: Index) {
    for platform in [Platform::new("linux", "amd64"), Platform::new("windows", "arm")] {
        match select(&index, &platform) {
            Ok(chosen) => assert!(index.manifests.contains(chosen)),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
    let one = Contribution { name: "one".to_owned(), entries: index.manifests.clone() };
    if let Ok(mut made) = Index::compose(None, &[one], false) {
        assert!(made.manifests.iter().all(|entry| index.manifests.contains(entry)));
        let annotations = BTreeMap::from([("a".to_owned(), "b".to_owned())]);
        assert_eq!(made.annotate(&annotations).is_err(), made.is_of_docker());
    }
}
