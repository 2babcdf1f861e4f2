//! Registries that take the media types of one family alone.

use super::*;
use crate::media_type::Family;

/// An index of an image in OCI's types, with its blobs.
fn index() -> ImagePush {
    let (mut image, _) = image(2);
    let child = image.manifests.top.clone();
    let mut entry = serde_json::to_value(Descriptor::of(child.0.clone(), &child.1)).unwrap();
    entry["platform"] = serde_json::json!({ "os": "linux", "architecture": "amd64" });
    let index = serde_json::json!({
        "schemaVersion": 2, "mediaType": MediaType::OciIndex, "manifests": [entry], "annotations": { "a": "b" },
    });
    image.manifests =
        Manifests { children: vec![child], top: (MediaType::OciIndex, Bytes::from(index.to_string())) };
    image
}

async fn refusing(family: Family, status: u16, code: &'static str) -> FakeRegistry {
    let oddities = Oddities { refused_family: Some((family, status, code)), ..Oddities::default() };
    FakeRegistry::start(oddities).await
}

fn nothing() -> OnStep {
    Arc::new(|_, _| {})
}

#[tokio::test]
async fn a_registry_gets_the_types_it_takes() {
    for (status, code) in
        [(415, "MANIFEST_INVALID"), (405, "UNSUPPORTED"), (400, "MANIFEST_INVALID"), (422, "UNSUPPORTED")]
    {
        let registry = refusing(Family::Oci, status, code).await;
        let image = ImagePush { convert: true, ..index() };
        let references = [registry.reference("a:v1"), registry.reference("a:v2"), registry.reference("b:v1")];
        let client = client();
        let pushed = client.push_image(&references, &image, nothing()).await.unwrap();
        let want = image.manifests.converted(Family::Docker).unwrap().manifests;
        assert_eq!(pushed, Descriptor::of(MediaType::DockerManifestList, &want.top.1));
        for reference in &references {
            let got = client.manifest(reference).await.unwrap();
            assert_eq!(
                (&got.descriptor, &got.bytes),
                (&pushed, &want.top.1),
                "what was told is what is there"
            );
        }
        let child = registry.reference("b").with_digest(Digest::of(&want.children[0].1));
        assert_eq!(client.manifest(&child).await.unwrap().descriptor.media_type, MediaType::DockerManifest);
        let log = registry.server.take_lines();
        let refused = log.iter().filter(|line| line.starts_with("PUT") && line.contains("/manifests/"));
        assert_eq!(refused.count(), 1 + 2 + 1 + 2, "once is enough to learn it; both repositories need both");
        let warnings = client.take_warnings();
        assert_eq!(warnings.len(), 1, "{warnings:?}");
        assert_eq!(
            warnings[0].text,
            format!(
                "it does not take OCI media types; {} was pushed with those of Docker, which have no annotations, as {}",
                references[0], pushed.digest
            )
        );
        // Again nothing is sent but the question.
        client.push_image(&references[..1], &image, nothing()).await.unwrap();
        assert!(!registry.server.take_lines().iter().any(|line| line.starts_with("POST")));
    }
}

#[tokio::test]
async fn docker_manifests_for_a_registry_of_oci_alone() {
    let registry = refusing(Family::Docker, 415, "UNSUPPORTED").await;
    let (mut image, _) = image(2);
    image.manifests = image.manifests.converted(Family::Docker).unwrap().manifests;
    image.convert = true;
    let pushed = client().push_image(&[registry.reference("a:v1")], &image, nothing()).await.unwrap();
    assert_eq!(pushed.media_type, MediaType::OciManifest);
    let there: serde_json::Value = serde_json::from_slice(&registry.manifest("a", "v1").unwrap()).unwrap();
    assert_eq!(there["layers"][0]["mediaType"], MediaType::OciLayer.as_str());
}

#[tokio::test]
async fn nothing_is_converted_unasked() {
    let registry = refusing(Family::Oci, 415, "MANIFEST_INVALID").await;
    let error = client().push_image(&[registry.reference("a:v1")], &index(), nothing()).await.unwrap_err();
    assert!(error.to_string().contains("oci-mediatypes=true or false"), "{error}");
    assert!(registry.manifest("a", "v1").is_none());
}

#[tokio::test]
async fn what_has_no_other_types() {
    let registry = refusing(Family::Oci, 415, "MANIFEST_INVALID").await;
    let (mut image, _) = image(1);
    let text = String::from_utf8_lossy(&image.manifests.top.1).into_owned();
    let zstd = text.replace(MediaType::OciLayer.as_str(), MediaType::OciLayerZstd.as_str());
    image.manifests.top.1 = zstd.into();
    image.convert = true;
    let error = client().push_image(&[registry.reference("a:v1")], &image, nothing()).await.unwrap_err();
    assert!(matches!(error, PushError::Unconvertible { .. }), "{error}");
    let text = error.to_string();
    let start = format!(
        "cannot push manifest \"v1\" at {}/a: the registry answers with status 415",
        registry.server.address
    );
    assert!(text.starts_with(&start), "{text}");
    assert!(
        text.contains("nor can it be pushed with Docker media types: they have no type for sha256:"),
        "{text}"
    );
    assert!(text.ends_with("tar+zstd; compress with gzip"), "{text}");
}

#[tokio::test]
async fn neither_family() {
    let registry = FakeRegistry::start(Oddities::default()).await;
    let image = ImagePush { convert: true, ..index() };
    let client = client();
    client.push_image(&[registry.reference("a:v1")], &image, nothing()).await.unwrap();
    // The blobs and images are there; the index is refused in both forms, and so is the image that is written anew.
    registry.with(|oddities| oddities.refused_manifests = Some((400, "MANIFEST_INVALID")));
    let error = client.push_image(&[registry.reference("a:v2")], &image, nothing()).await.unwrap_err();
    let PushError::NoMediaType { family: Family::Docker, .. } = &error else { panic!("{error}") };
    let says = "the registry answers with status 400 (MANIFEST_INVALID: it is so)";
    assert!(error.to_string().ends_with(&format!("{says}; and with Docker media types: {says}")), "{error}");
    assert!(registry.manifest("a", "v2").is_none());
}

#[tokio::test]
async fn other_refusals_are_no_reason_to_convert() {
    for (status, code) in
        [(400, "TAG_INVALID"), (403, "DENIED"), (404, "NAME_UNKNOWN"), (413, "SIZE_INVALID")]
    {
        let registry = refusing(Family::Oci, status, code).await;
        let image = ImagePush { convert: true, ..index() };
        let error = client().push_image(&[registry.reference("a:v1")], &image, nothing()).await.unwrap_err();
        assert!(matches!(error, PushError::Request(_)), "{status}: {error}");
        assert!(registry.manifest("a", "v1").is_none());
    }
}
