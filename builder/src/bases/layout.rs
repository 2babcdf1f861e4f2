//! Which image of an OCI image layout is meant (image-spec, image-layout.md).

use registry_client::descriptor::Descriptor;
use registry_client::digest::Digest;
use registry_client::manifest::Index;
use registry_client::media_type::MediaType;
use serde::Deserialize;
use std::io;
use std::path::{Path, PathBuf};

/// The tag of an entry.
const REF_NAME: &str = "org.opencontainers.image.ref.name";
/// The whole name of an entry, where containerd wrote the layout.
const CONTAINERD_NAME: &str = "io.containerd.image.name";

/// Where a layout keeps a blob.
pub(super) fn blob_path(layout: &Path, digest: &Digest) -> PathBuf {
    layout.join("blobs").join(digest.algorithm()).join(digest.hex())
}

/// The entry that `wanted` means: a digest, a tag, a name, or the only one. A digest may also be of something that an
/// index of the layout points to.
pub(super) fn entry(layout: &Path, index: &Index, wanted: Option<&str>) -> Result<Descriptor, String> {
    let known = || index.manifests.iter().filter_map(name_of).collect::<Vec<_>>().join(", ");
    match wanted {
        Some(wanted) if wanted.contains(':') && wanted.parse::<Digest>().is_ok() => {
            let Ok(digest) = wanted.parse::<Digest>() else { return Err(format!("{wanted} is no digest")) };
            match index.manifests.iter().find(|entry| entry.digest == digest) {
                Some(found) => Ok(found.clone()),
                None => by_blob(layout, digest),
            }
        }
        Some(wanted) => {
            let tagged = |name: &String| name.rsplit_once(':').is_some_and(|(_, tag)| tag == wanted);
            let means = |entry: &&Descriptor| {
                [REF_NAME, CONTAINERD_NAME]
                    .iter()
                    .filter_map(|key| entry.annotations.get(*key))
                    .any(|name| name == wanted || tagged(name))
            };
            let found = index.manifests.iter().find(means);
            found.cloned().ok_or_else(|| match known() {
                known if known.is_empty() => format!("it has no image {wanted:?}; its images have no names"),
                known => format!("it has no image {wanted:?}; it has {known}"),
            })
        }
        None => match index.manifests.as_slice() {
            [only] => Ok(only.clone()),
            [] => Err("it holds no image".to_owned()),
            several => {
                let latest = several
                    .iter()
                    .find(|entry| entry.annotations.get(REF_NAME).is_some_and(|n| n == "latest"));
                latest.cloned().ok_or_else(|| match known() {
                    known if known.is_empty() => "it holds several images: name one by its digest".to_owned(),
                    known => format!("it holds several images: name one of {known}"),
                })
            }
        },
    }
}

fn name_of(entry: &Descriptor) -> Option<String> {
    [REF_NAME, CONTAINERD_NAME].iter().find_map(|key| entry.annotations.get(*key)).cloned()
}

/// A manifest or index that `index.json` does not list. Its bytes are compared with the digest when they are read.
fn by_blob(layout: &Path, digest: Digest) -> Result<Descriptor, String> {
    /// What tells a manifest from an index.
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Kind {
        media_type: Option<MediaType>,
        manifests: Option<serde::de::IgnoredAny>,
        config: Option<serde::de::IgnoredAny>,
    }
    let bytes = std::fs::read(blob_path(layout, &digest)).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => format!("it has no {digest}"),
        _ => format!("blob {digest}: {error}"),
    })?;
    let media_type = serde_json::from_slice::<Kind>(&bytes).ok().and_then(|kind| match kind {
        Kind { media_type: Some(given), .. } => Some(given),
        Kind { manifests: Some(_), .. } => Some(MediaType::OciIndex),
        Kind { config: Some(_), .. } => Some(MediaType::OciManifest),
        _ => None,
    });
    let media_type = media_type.ok_or_else(|| format!("{digest} in it is no image"))?;
    Ok(Descriptor::new(media_type, digest, bytes.len() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn described(bytes: &[u8], annotations: &[(&str, &str)]) -> Descriptor {
        let mut descriptor = Descriptor::new(MediaType::OciManifest, Digest::of(bytes), bytes.len() as u64);
        descriptor.annotations.extend(annotations.iter().map(|(k, v)| ((*k).to_owned(), (*v).to_owned())));
        descriptor
    }

    fn index(manifests: Vec<Descriptor>) -> Index {
        Index { manifests, ..Index::empty() }
    }

    #[test]
    fn images_of_a_layout() {
        let directory = tempfile::tempdir().expect("a directory");
        let nested = br#"{"schemaVersion":2,"config":{},"layers":[]}"#;
        let file = blob_path(directory.path(), &Digest::of(nested));
        std::fs::create_dir_all(file.parent().expect("a parent")).expect("a directory");
        std::fs::write(file, nested).expect("a file");
        std::fs::write(blob_path(directory.path(), &Digest::of(b"x")), b"x").expect("a file");
        let three = index(vec![
            described(b"a", &[(REF_NAME, "v1")]),
            described(b"b", &[(REF_NAME, "example.org/app:v2")]),
            described(b"c", &[(CONTAINERD_NAME, "docker.io/library/app:v3"), (REF_NAME, "v3x")]),
        ]);
        let entry = |wanted: Option<&str>| super::entry(directory.path(), &three, wanted);
        let digest = |bytes: &[u8]| Digest::of(bytes).to_string();
        for (wanted, bytes) in [
            ("v1", b"a" as &[u8]),
            ("v2", b"b"),
            ("v3", b"c"),
            ("docker.io/library/app:v3", b"c"),
            (&digest(b"b"), b"b"),
        ] {
            assert_eq!(entry(Some(wanted)).expect(wanted).digest, Digest::of(bytes), "{wanted}");
        }
        let found = entry(Some(&digest(nested))).expect("it is in blobs");
        assert_eq!((found.media_type, found.size), (MediaType::OciManifest, nested.len() as u64));
        for (wanted, want) in [
            (Some("v9".to_owned()), "it has no image \"v9\"; it has v1, example.org/app:v2, v3x".to_owned()),
            (None, "it holds several images: name one of v1, example.org/app:v2, v3x".to_owned()),
            (Some(digest(b"x")), format!("{} in it is no image", digest(b"x"))),
            (Some(digest(b"y")), format!("it has no {}", digest(b"y"))),
        ] {
            assert_eq!(entry(wanted.as_deref()).expect_err("no image"), want);
        }
        assert_eq!(
            super::entry(directory.path(), &index(Vec::new()), None).expect_err("none"),
            "it holds no image"
        );
    }
}
