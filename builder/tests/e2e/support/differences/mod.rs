//! What two images that should be one differ in, entry by entry.

mod archive;

use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::io::Read as _;
use std::path::Path;

/// What differs between the images of two OCI layouts, one line for each; none when their manifests are the same bytes.
pub(crate) fn of_images(ours: &Path, theirs: &Path) -> Vec<String> {
    let (ours, theirs) = (Image::read(ours), Image::read(theirs));
    if ours.digest == theirs.digest {
        return Vec::new();
    }
    let mut found = Vec::new();
    of_json("config", &ours.config, &theirs.config, &mut found);
    if ours.layers.len() != theirs.layers.len() {
        found.push(format!("{} layers, and {}", ours.layers.len(), theirs.layers.len()));
    }
    for (index, (ours, theirs)) in ours.layers.iter().zip(&theirs.layers).enumerate() {
        if ours == theirs {
            continue;
        }
        let (our_tar, their_tar) = (uncompressed(ours), uncompressed(theirs));
        if our_tar == their_tar {
            found.push(format!("layer {index}: the same archive, compressed to other bytes"));
        }
        found.extend(
            archive::differences(&our_tar, &their_tar)
                .into_iter()
                .map(|line| format!("layer {index}: {line}")),
        );
    }
    if found.is_empty() {
        of_json("manifest", &ours.manifest, &theirs.manifest, &mut found);
    }
    found
}

/// The digest of the only manifest of an OCI layout.
pub(crate) fn digest(layout: &Path) -> String {
    let index = json(&read(&layout.join("index.json")));
    index["manifests"][0]["digest"].as_str().expect("a descriptor has a digest").to_owned()
}

struct Image {
    digest: String,
    manifest: Value,
    config: Value,
    /// Blobs as they are stored.
    layers: Vec<Vec<u8>>,
}

impl Image {
    fn read(layout: &Path) -> Image {
        let blob = |digest: &str| read(&layout.join("blobs").join(digest.replace(':', "/")));
        let of = |descriptor: &Value| blob(descriptor["digest"].as_str().expect("a descriptor has a digest"));
        let digest = digest(layout);
        let manifest = json(&blob(&digest));
        let config = json(&of(&manifest["config"]));
        let layers = manifest["layers"].as_array().expect("a manifest has layers").iter().map(of).collect();
        Image { digest, manifest, config, layers }
    }
}

fn read(path: &Path) -> Vec<u8> {
    fs::read(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn json(bytes: &[u8]) -> Value {
    serde_json::from_slice(bytes).expect("documents of a layout are JSON")
}

/// The archive in a blob, by the first bytes of its format.
fn uncompressed(blob: &[u8]) -> Vec<u8> {
    let mut archive = Vec::new();
    match blob {
        [0x1f, 0x8b, ..] => {
            flate2::read::MultiGzDecoder::new(blob).read_to_end(&mut archive).expect("a whole gzip stream");
        }
        [0x28, 0xb5, 0x2f, 0xfd, ..] => archive = zstd::decode_all(blob).expect("a whole zstd stream"),
        _ => archive.extend_from_slice(blob),
    }
    archive
}

/// Every pointer at which two documents differ.
fn of_json(at: &str, ours: &Value, theirs: &Value, found: &mut Vec<String>) {
    match (ours, theirs) {
        (Value::Object(a), Value::Object(b)) => {
            for key in a.keys().chain(b.keys()).collect::<BTreeSet<_>>() {
                of_json(&format!("{at}/{key}"), &ours[key], &theirs[key], found);
            }
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
            for (index, (ours, theirs)) in a.iter().zip(b).enumerate() {
                of_json(&format!("{at}/{index}"), ours, theirs, found);
            }
        }
        _ if ours == theirs => {}
        _ => found.push(format!("{at}: {ours}, and {theirs}")),
    }
}

#[test]
fn documents() {
    let (ours, theirs) = (json(br#"{"a":[{"b":1},2],"c":3}"#), json(br#"{"a":[{"b":4},2],"d":5}"#));
    let mut found = Vec::new();
    of_json("x", &ours, &theirs, &mut found);
    assert_eq!(found, ["x/a/0/b: 1, and 4", "x/c: 3, and null", "x/d: null, and 5"]);
    found.clear();
    of_json("x", &ours, &ours, &mut found);
    assert!(found.is_empty(), "{found:?}");
}
