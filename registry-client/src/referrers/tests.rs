use super::*;
use crate::testing::{FakeRegistry, Oddities, client};
use serde_json::json;

const SBOM: &str = "application/spdx+json";
const SIGNATURE: &str = "application/vnd.example.signature";

/// Pushes an image and `count` referrers of each type; tells the image.
async fn pushed(registry: &FakeRegistry, count: usize) -> Descriptor {
    let config = registry.put_blob("a", &"{}".into());
    let image =
        json!({ "schemaVersion": 2, "mediaType": MediaType::OciManifest, "config": config, "layers": [] });
    let push = async |json: serde_json::Value| {
        let bytes = Bytes::from(json.to_string());
        client().push_manifest(&registry.reference("a"), &MediaType::OciManifest, bytes).await.unwrap()
    };
    let subject = push(image).await.descriptor;
    for n in 0..count {
        for kind in [SBOM, SIGNATURE] {
            let mut manifest = json!({
                "schemaVersion": 2, "mediaType": MediaType::OciManifest, "config": config, "layers": [],
                "subject": subject, "annotations": { "n": n.to_string() },
            });
            // Without a type of its own the config's says what it is.
            if kind == SBOM {
                manifest["artifactType"] = kind.into();
            } else {
                manifest["config"]["mediaType"] = kind.into();
            }
            push(manifest).await;
        }
    }
    subject
}

#[tokio::test]
async fn listed_by_the_registry_or_by_a_tag() {
    for oddities in [
        Oddities { referrers: Some(100), ..Oddities::default() },
        Oddities { referrers: Some(100), unfiltered_referrers: true, ..Oddities::default() },
        // In pages.
        Oddities { referrers: Some(2), ..Oddities::default() },
        Oddities::default(),
    ] {
        let listed = oddities.referrers.is_some();
        let registry = FakeRegistry::start(oddities).await;
        let subject = pushed(&registry, 3).await;
        let reference = registry.reference("a").with_digest(subject.digest);
        assert_eq!(client().referrers(&reference, None).await.unwrap().len(), 6);
        let signatures = client().referrers(&reference, Some(SIGNATURE)).await.unwrap();
        let mut numbers: Vec<&str> = signatures.iter().map(|entry| &*entry.annotations["n"]).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, ["0", "1", "2"]);
        assert!(signatures.iter().all(|entry| entry.artifact_type.as_deref() == Some(SIGNATURE)));
        let tag = format!("sha256-{}", subject.digest.hex());
        assert_eq!(
            registry.manifest("a", &tag).is_some(),
            !listed,
            "the tag is kept only where it is needed"
        );
    }
}

#[tokio::test]
async fn a_referrer_is_listed_once() {
    let registry = FakeRegistry::start(Oddities::default()).await;
    let subject = pushed(&registry, 1).await;
    pushed(&registry, 1).await;
    let reference = registry.reference("a").with_digest(subject.digest);
    assert_eq!(client().referrers(&reference, None).await.unwrap().len(), 2);
}

#[tokio::test]
async fn nothing_refers_to_it() {
    for referrers in [None, Some(1)] {
        let registry = FakeRegistry::start(Oddities { referrers, ..Oddities::default() }).await;
        let subject = pushed(&registry, 0).await;
        let reference = registry.reference("a").with_digest(subject.digest);
        assert_eq!(client().referrers(&reference, None).await.unwrap(), []);
    }
}

#[tokio::test]
async fn a_tag_that_is_no_list() {
    let registry = FakeRegistry::start(Oddities::default()).await;
    let subject = pushed(&registry, 0).await;
    let image = registry.manifest("a", &subject.digest.to_string()).unwrap();
    let tag = format!("sha256-{}", subject.digest.hex());
    registry.put_manifest("a", &tag, MediaType::OciManifest.as_str(), &image);
    let reference = registry.reference("a").with_digest(subject.digest);
    let error = client().referrers(&reference, None).await.unwrap_err();
    assert!(error.to_string().contains("names an image"), "{error}");
}

#[test]
fn pages() {
    for (header, want) in [
        (r#"</v2/a/referrers/x?n=2>; rel="next""#, Some("/v2/a/referrers/x?n=2")),
        (r#"<a>; rel="prev", <b>; type=x; rel=next"#, Some("b")),
        (r#"<a>; rel="prev""#, None),
        ("<a", None),
        ("", None),
    ] {
        assert_eq!(next_page(header), want, "{header}");
    }
}

#[test]
fn tags_of_digests() {
    let reference: Reference = "localhost/a".parse().unwrap();
    let sha512: Digest = format!("sha512:{}", "ab".repeat(64)).parse().unwrap();
    assert_eq!(tagged(&reference, &sha512).unwrap().tag(), Some(&*format!("sha512-{}", "ab".repeat(32))));
    let sha256 = Digest::of(b"");
    assert_eq!(tagged(&reference, &sha256).unwrap().tag(), Some(&*format!("sha256-{}", sha256.hex())));
}
