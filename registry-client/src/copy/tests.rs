use super::*;
use crate::{
    client::ClientOptions,
    media_type::{Family, MediaType},
    push::{BlobOutcome, PushStep},
    testing::{FakeRegistry, Oddities, client, noise, options},
    transport::error::RequestError,
};
use bytes::Bytes;
use serde_json::json;
use std::sync::{Arc, Mutex};

/// Tells the outcomes, in no order.
fn outcomes() -> (OnStep, Arc<Mutex<Vec<BlobOutcome>>>) {
    let outcomes: Arc<Mutex<Vec<BlobOutcome>>> = Arc::default();
    let on_step: OnStep = {
        let outcomes = outcomes.clone();
        Arc::new(move |_, step| {
            if let PushStep::Done(outcome) = step {
                outcomes.lock().unwrap().push(outcome);
            }
        })
    };
    (on_step, outcomes)
}

/// An image of two layers, the first of which all images share.
fn put_image(registry: &FakeRegistry, repository: &str, tag: &str, own: &str) -> Descriptor {
    let blob = |bytes: Bytes| registry.put_blob(repository, &bytes);
    let config = blob(format!("{{\"own\":{own:?}}}").into());
    let config = Descriptor { media_type: MediaType::OciConfig, ..config };
    let layers = [blob(noise(5_000)), blob(Bytes::copy_from_slice(own.as_bytes()))];
    let manifest = json!({
        "schemaVersion": 2, "mediaType": MediaType::OciManifest, "config": config, "layers": layers,
    });
    put(registry, repository, tag, MediaType::OciManifest, &manifest)
}

fn put(
    registry: &FakeRegistry,
    repository: &str,
    tag: &str,
    media_type: MediaType,
    json: &serde_json::Value,
) -> Descriptor {
    let bytes = Bytes::from(json.to_string());
    registry.put_manifest(repository, tag, media_type.as_str(), &bytes);
    Descriptor::of(media_type, &bytes)
}

/// An index of two images, one of which is also in an index within it.
fn put_index(registry: &FakeRegistry, repository: &str, tag: &str) -> Descriptor {
    let entry = |own: &str, architecture: &str| {
        let mut entry = serde_json::to_value(put_image(registry, repository, own, own)).unwrap();
        entry["platform"] = json!({ "os": "linux", "architecture": architecture });
        entry
    };
    let (one, two) = (entry("one", "amd64"), entry("two", "arm64"));
    let index = |manifests: Vec<&serde_json::Value>| json!({ "schemaVersion": 2, "mediaType": MediaType::OciIndex, "manifests": manifests });
    let inner = put(registry, repository, "inner", MediaType::OciIndex, &index(vec![&two]));
    let inner = serde_json::to_value(inner).unwrap();
    put(registry, repository, tag, MediaType::OciIndex, &index(vec![&inner, &one, &two]))
}

#[tokio::test]
async fn an_index_goes_to_another_registry_with_all_below_it() {
    let (from, to) =
        (FakeRegistry::start(Oddities::default()).await, FakeRegistry::start(Oddities::default()).await);
    let index = put_index(&from, "a", "v1");
    let (on_step, done) = outcomes();
    let targets = [to.reference("b/c:v1"), to.reference("b/c:v2")];
    let copied =
        client().copy(&from.reference("a:v1"), &targets, &CopyOptions::default(), on_step).await.unwrap();
    assert_eq!(copied, index);
    for target in &targets {
        let top = client().manifest(target).await.unwrap();
        assert_eq!(top.descriptor, index);
    }
    // The registry refuses what lists something it does not have, so all is there. The layer that is shared went once.
    assert_eq!(done.lock().unwrap().iter().filter(|outcome| **outcome == BlobOutcome::Uploaded).count(), 5);
    let pulls = from.server.take_lines().iter().filter(|line| line.contains("/blobs/")).count();
    assert_eq!(pulls, 5);

    // Again: nothing is pulled, nothing is sent.
    let (on_step, done) = outcomes();
    client().copy(&from.reference("a:v1"), &targets[..1], &CopyOptions::default(), on_step).await.unwrap();
    assert!(done.lock().unwrap().iter().all(|outcome| *outcome == BlobOutcome::Existed));
    assert!(!from.server.take_lines().iter().any(|line| line.contains("/blobs/")));
}

#[tokio::test]
async fn one_platform() {
    let registry = FakeRegistry::start(Oddities::default()).await;
    put_index(&registry, "a", "v1");
    let (on_step, _) = outcomes();
    let options = CopyOptions { platform: Some(Platform::new("linux", "arm64")), ..CopyOptions::default() };
    let target = registry.reference("b:v1");
    let source = registry.reference("a:v1");
    let copied =
        client().copy(&source, std::slice::from_ref(&target), &options, on_step.clone()).await.unwrap();
    assert_eq!(copied.media_type, MediaType::OciManifest);
    assert_eq!(registry.manifest("b", "v1"), registry.manifest("a", "two"));
    let options = CopyOptions { platform: Some(Platform::new("linux", "s390x")), ..options };
    let error = client().copy(&source, &[target], &options, on_step).await.unwrap_err();
    assert!(error.to_string().contains("has no image for linux/s390x"), "{error}");
}

#[tokio::test]
async fn within_a_registry_blobs_are_mounted() {
    for (no_mounts, want) in [(false, BlobOutcome::Mounted), (true, BlobOutcome::Uploaded)] {
        let registry = FakeRegistry::start(Oddities { no_mounts, ..Oddities::default() }).await;
        put_image(&registry, "a", "v1", "one");
        let (on_step, done) = outcomes();
        let client = Client::new(ClientOptions { connections_per_registry: 1, ..options() });
        let target = [registry.reference("b:v1")];
        client.copy(&registry.reference("a:v1"), &target, &CopyOptions::default(), on_step).await.unwrap();
        assert_eq!(*done.lock().unwrap(), [want; 3]);
        assert_eq!(registry.manifest("b", "v1"), registry.manifest("a", "v1"));
        assert_eq!(registry.open_uploads(), 0);
    }
}

#[tokio::test]
async fn what_goes_to_two_repositories_of_a_registry_is_read_and_sent_once() {
    let (from, to) =
        (FakeRegistry::start(Oddities::default()).await, FakeRegistry::start(Oddities::default()).await);
    put_image(&from, "a", "v1", "one");
    let (on_step, done) = outcomes();
    let targets = [to.reference("b:v1"), to.reference("c:v1")];
    client().copy(&from.reference("a:v1"), &targets, &CopyOptions::default(), on_step).await.unwrap();
    assert_eq!(*done.lock().unwrap(), [[BlobOutcome::Uploaded; 3], [BlobOutcome::Mounted; 3]].concat());
    let lines = from.server.take_lines();
    assert_eq!(lines.iter().filter(|line| line.contains("/blobs/")).count(), 3, "{lines:?}");
    for repository in ["b", "c"] {
        assert_eq!(to.manifest(repository, "v1"), from.manifest("a", "v1"));
    }
}

#[tokio::test]
async fn within_a_repository_only_the_name_is_new() {
    let registry = FakeRegistry::start(Oddities::default()).await;
    put_index(&registry, "a", "v1");
    let (on_step, _) = outcomes();
    let target = [registry.reference("a:v2")];
    client().copy(&registry.reference("a:inner"), &target, &CopyOptions::default(), on_step).await.unwrap();
    assert_eq!(registry.manifest("a", "v2"), registry.manifest("a", "inner"));
    let lines = registry.server.take_lines();
    assert_eq!(lines.iter().filter(|line| line.starts_with("PUT")).count(), 1, "{lines:?}");
}

#[tokio::test]
async fn layers_that_are_hosted_elsewhere_stay_there() {
    let (from, to) =
        (FakeRegistry::start(Oddities::default()).await, FakeRegistry::start(Oddities::default()).await);
    let config = from.put_blob("a", &"{}".into());
    let foreign = json!({
        "mediaType": MediaType::DockerForeignLayerGzip, "digest": Digest::of(b"elsewhere"), "size": 9,
        "urls": ["http://localhost/elsewhere"],
    });
    let manifest = json!({ "schemaVersion": 2, "mediaType": MediaType::DockerManifest, "config": config, "layers": [foreign] });
    put(&from, "a", "v1", MediaType::DockerManifest, &manifest);
    let (on_step, done) = outcomes();
    let target = [to.reference("b:v1")];
    let result = client().copy(&from.reference("a:v1"), &target, &CopyOptions::default(), on_step).await;
    assert_eq!(*done.lock().unwrap(), [BlobOutcome::Uploaded]);
    // This registry wants all blobs; that it says so shows that the manifest was sent as it is.
    let Err(CopyError::Push(PushError::Request(RequestError::Status { status: 400, .. }))) = result else {
        panic!("{result:?}")
    };
}

#[tokio::test]
async fn what_is_missing_or_damaged_leaves_no_name() {
    let (from, to) =
        (FakeRegistry::start(Oddities::default()).await, FakeRegistry::start(Oddities::default()).await);
    put_image(&from, "a", "v1", "one");
    from.with(|oddities| oddities.corrupt_blobs = true);
    let (on_step, _) = outcomes();
    let target = [to.reference("b:v1")];
    let error = client()
        .copy(&from.reference("a:v1"), &target, &CopyOptions::default(), on_step.clone())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("sent something else than sha256:"), "{error}");
    assert_eq!(to.manifest("b", "v1"), None);
    let error = client()
        .copy(&from.reference("a:absent"), &target, &CopyOptions::default(), on_step)
        .await
        .unwrap_err();
    assert!(matches!(error, CopyError::Pull(PullError::Request(RequestError::NotFound { .. }))), "{error}");
}

/// One entry that nobody can read is no reason not to pull the others; but a copy would leave it behind.
#[tokio::test]
async fn an_index_with_odd_entries() {
    let registry = FakeRegistry::start(Oddities::default()).await;
    let mut image = serde_json::to_value(put_image(&registry, "a", "v1", "one")).unwrap();
    image["platform"] = json!({ "os": "linux", "architecture": "amd64", "os.features": null });
    let mut empty = image.clone();
    empty["platform"] = json!({});
    let put_index = |tag: &str, odd: &serde_json::Value| {
        let index = json!({ "schemaVersion": 2, "manifests": [odd, empty, image], "annotations": null });
        put(&registry, "a", tag, MediaType::OciIndex, &index);
    };
    put_index("empty", &empty);
    put_index("odd", &json!({ "mediaType": MediaType::OciManifest, "digest": "md5:00", "size": 1 }));
    for tag in ["empty", "odd"] {
        let reference = registry.reference(&format!("a:{tag}"));
        let found = client().image(&reference, &Platform::new("linux", "amd64")).await.unwrap();
        assert_eq!(serde_json::to_value(found.manifest_bytes.descriptor.digest).unwrap(), image["digest"]);
        let target = [registry.reference("b:v1")];
        let copied = client().copy(&reference, &target, &CopyOptions::default(), outcomes().0).await;
        match (tag, copied) {
            ("empty", copied) => drop(copied.unwrap()),
            (_, copied) => {
                let error = copied.unwrap_err().to_string();
                assert!(error.contains("entries of the index cannot be read: {\"mediaType\""), "{error}");
            }
        }
    }
    let error = client().image(&registry.reference("a:odd"), &Platform::new("linux", "arm64")).await;
    let error = error.unwrap_err().to_string();
    assert!(error.contains("it has linux/amd64, and 1 entries that cannot be read"), "{error}");
}

#[tokio::test]
async fn referrers_go_along() {
    // One registry lists them itself, the other does not.
    for (lists_from, lists_to) in [(Some(10), None), (None, Some(10))] {
        let from = FakeRegistry::start(Oddities { referrers: lists_from, ..Oddities::default() }).await;
        let to = FakeRegistry::start(Oddities { referrers: lists_to, ..Oddities::default() }).await;
        let subject = put_image(&from, "a", "v1", "one");
        let config = from.put_blob("a", &"{}".into());
        let mut expected = Vec::new();
        let mut of = subject.clone();
        // A signature, and a signature of the signature.
        for kind in ["application/sig", "application/sig2"] {
            let manifest = json!({
                "schemaVersion": 2, "mediaType": MediaType::OciManifest, "artifactType": kind,
                "config": config, "layers": [], "subject": of, "annotations": { "kind": kind },
            });
            let bytes = Bytes::from(manifest.to_string());
            let pushed = client().push_manifest(&from.reference("a"), &MediaType::OciManifest, bytes).await;
            let pushed = pushed.unwrap().descriptor;
            expected.push((of.digest, pushed.digest));
            of = pushed;
        }
        let (on_step, _) = outcomes();
        let options = CopyOptions { referrers: true, ..CopyOptions::default() };
        client().copy(&from.reference("a:v1"), &[to.reference("b:v1")], &options, on_step).await.unwrap();
        for (subject, referrer) in expected {
            let found = client().referrers(&to.reference("b").with_digest(subject), None).await.unwrap();
            let digests: Vec<Digest> = found.iter().map(|entry| entry.digest).collect();
            assert_eq!(digests, [referrer]);
        }
    }
}

#[tokio::test]
async fn a_registry_that_takes_other_types_gets_them_unless_something_refers_to_the_image() {
    let from = FakeRegistry::start(Oddities::default()).await;
    let refused_family = Some((Family::Oci, 415, "MANIFEST_INVALID"));
    let to = FakeRegistry::start(Oddities { refused_family, ..Oddities::default() }).await;
    let index = put_index(&from, "a", "v1");
    let (source, target) = (from.reference("a:v1"), [to.reference("b:v1")]);
    let (on_step, _) = outcomes();
    let client = client();
    let copied = client.copy(&source, &target, &CopyOptions::default(), on_step.clone()).await.unwrap();
    assert_eq!(copied.media_type, MediaType::DockerManifestList);
    let there = client.manifest(&target[0]).await.unwrap();
    assert_eq!(there.descriptor, copied);
    for platform in ["amd64", "arm64"] {
        let image = client.image(&target[0], &Platform::new("linux", platform)).await.unwrap();
        assert_eq!(image.manifest_bytes.descriptor.media_type, MediaType::DockerManifest);
    }
    assert_eq!(client.take_warnings().len(), 1);
    // A signature names the digest that the image has.
    let options = CopyOptions { referrers: true, ..CopyOptions::default() };
    let error = client.copy(&source, &target, &options, on_step).await.unwrap_err();
    assert!(error.to_string().contains("415"), "{error}");
    assert_ne!(copied.digest, index.digest);
}
