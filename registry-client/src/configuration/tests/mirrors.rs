//! Mirrors that serve, lack, fail and lie.

use super::*;
use crate::{
    client::{Client, ClientOptions},
    descriptor::Descriptor,
    digest::Digest,
    media_type::MediaType,
    pull::PullError,
    push::{BlobSource, PushBlobOptions},
    testing::{FakeRegistry, Oddities, noise, options},
};
use bytes::Bytes;

/// A client for which `registry.example` has a mirror at each of `mirrors` and is itself at `own`.
fn client(own: &FakeRegistry, mirrors: &[&FakeRegistry]) -> Client {
    let address = |registry: &FakeRegistry| registry.reference("x").registry().to_owned();
    let mut text = format!("[[registry]]\nprefix = 'registry.example'\nlocation = '{}'\n", address(own));
    for mirror in mirrors {
        text += &format!("[[registry.mirror]]\nlocation = '{}/cache'\n", address(mirror));
    }
    Client::new(ClientOptions {
        configuration: ConfigurationSource::Known(configuration(&text)),
        ..options()
    })
}

fn put_image(registry: &FakeRegistry, repository: &str, layer: &Bytes) -> Descriptor {
    let descriptor = registry.put_blob(repository, layer);
    let manifest =
        format!(r#"{{"schemaVersion":2,"config":{{}},"layers":[],"annotations":{{"of":"{repository}"}}}}"#);
    registry.put_manifest(repository, "1", MediaType::OciManifest.as_str(), &manifest.into());
    descriptor
}

#[tokio::test]
async fn a_mirror_serves_and_the_registry_is_not_asked() {
    let (own, mirror) =
        (FakeRegistry::start(Oddities::default()).await, FakeRegistry::start(Oddities::default()).await);
    let layer = noise(100_000);
    let descriptor = put_image(&mirror, "cache/app", &layer);
    let client = client(&own, &[&mirror]);
    let reference = reference("registry.example/app:1");
    let manifest = client.manifest(&reference).await.unwrap();
    assert!(String::from_utf8_lossy(&manifest.bytes).contains("cache/app"));
    assert_eq!(client.blob_bytes(&reference, &descriptor, 1 << 20).await.unwrap(), layer);
    assert_eq!(own.server.take_log().len(), 0);
    assert_eq!(client.take_warnings(), []);
    // It may be a mirror of several registries.
    let log = mirror.server.take_log();
    assert!(log.iter().all(|request| request.query("ns") == ["registry.example"]), "{}", log[0].target);
    let index = Bytes::from_static(br#"{"schemaVersion":2,"manifests":[]}"#);
    client.push_manifest(&reference, &MediaType::OciIndex, index).await.unwrap();
    let log = own.server.take_log();
    assert!(log.iter().all(|request| request.raw_query().is_empty()), "its own registry knows");
}

#[tokio::test]
async fn what_a_mirror_lacks_comes_from_the_next() {
    let lame = FakeRegistry::start(Oddities::default()).await;
    let (own, empty) =
        (FakeRegistry::start(Oddities::default()).await, FakeRegistry::start(Oddities::default()).await);
    lame.with(|oddities| oddities.failures.extend((0..20).map(|_| (500, None))));
    let layer = noise(100_000);
    let descriptor = put_image(&own, "app", &layer);
    let client = client(&own, &[&lame, &empty]);
    let reference = reference("registry.example/app:1");
    let manifest = client.manifest(&reference).await.unwrap();
    assert!(String::from_utf8_lossy(&manifest.bytes).contains(r#""of":"app""#));
    assert_eq!(client.blob_bytes(&reference, &descriptor, 1 << 20).await.unwrap(), layer);
    let warnings: Vec<String> = client.take_warnings().into_iter().map(|warning| warning.text).collect();
    assert!(
        warnings.iter().any(|text| text.contains("this mirror was of no use") && text.contains("500")),
        "{warnings:?}"
    );
    assert!(warnings.iter().any(|text| text.contains("not found")), "{warnings:?}");
}

#[tokio::test]
async fn a_blob_that_a_mirror_cuts_goes_on_at_the_registry() {
    let (own, mirror) =
        (FakeRegistry::start(Oddities::default()).await, FakeRegistry::start(Oddities::default()).await);
    let layer = noise(1_000_000);
    let descriptor = put_image(&own, "app", &layer);
    put_image(&mirror, "cache/app", &layer);
    mirror.with(|oddities| oddities.cut_blobs.push_back(400_000));
    let client = client(&own, &[&mirror]);
    let mut blob = client.blob(&reference("registry.example/app:1"), &descriptor).unwrap();
    let mut got = Vec::new();
    while let Some(chunk) = blob.chunk().await.unwrap() {
        if got.is_empty() {
            // Answers to the attempts to go on.
            mirror.with(|oddities| oddities.failures.extend((0..20).map(|_| (503, None))));
        }
        got.extend_from_slice(&chunk);
    }
    assert_eq!(got, layer);
    let log = own.server.take_log();
    let resumed = log.iter().find(|request| request.path().starts_with("/v2/app/blobs/")).unwrap();
    assert!(resumed.header("range").is_some_and(|range| range != "bytes=0-"), "{}", resumed.line());
}

#[tokio::test]
async fn pushes_go_to_the_registry_itself() {
    let (own, mirror) =
        (FakeRegistry::start(Oddities::default()).await, FakeRegistry::start(Oddities::default()).await);
    let client = client(&own, &[&mirror]);
    let bytes = noise(1000);
    let descriptor = Descriptor::new(MediaType::OciLayer, Digest::of(&bytes), bytes.len() as u64);
    let reference = reference("registry.example/app:1");
    let source = BlobSource::bytes(bytes.clone());
    client.push_blob(&reference, &descriptor, &source, &PushBlobOptions::default()).await.unwrap();
    assert_eq!(own.blob("app", &descriptor.digest), Some(bytes));
    // A mount from another repository of the same registry, which is rewritten as well.
    let other = self::reference("registry.example/other:1");
    let options = PushBlobOptions { mount_from: vec!["app".to_owned()], ..Default::default() };
    let outcome = client.push_blob(&other, &descriptor, &source, &options).await.unwrap();
    assert_eq!(outcome, crate::push::BlobOutcome::Mounted);
    assert_eq!(mirror.server.take_log().len(), 0);
}

#[tokio::test]
async fn what_is_blocked_is_not_asked_for() {
    let own = FakeRegistry::start(Oddities::default()).await;
    let address = own.reference("x").registry().to_owned();
    let text = format!("[[registry]]\nlocation = '{address}'\nblocked = true");
    let client = Client::new(ClientOptions {
        configuration: ConfigurationSource::Known(configuration(&text)),
        ..options()
    });
    let error = client.manifest(&own.reference("app:1")).await.unwrap_err().to_string();
    assert!(error.contains("is blocked by registries.conf"), "{error}");
    assert_eq!(own.server.take_log().len(), 0);
}

/// Reads a blob as who keeps it does: from its start again when a mirror sent wrong bytes. Tells how often that was.
async fn read(client: &Client, reference: &Reference, descriptor: &Descriptor) -> (Vec<u8>, usize) {
    for attempt in 0..10 {
        let mut blob = client.blob(reference, descriptor).unwrap();
        let mut got = Vec::new();
        loop {
            match blob.chunk().await {
                Ok(Some(chunk)) => got.extend_from_slice(&chunk),
                Ok(None) => return (got, attempt),
                Err(error) => {
                    assert!(error.is_of_mirror(), "{error}");
                    break;
                }
            }
        }
    }
    panic!("there are not so many mirrors")
}

#[tokio::test]
async fn wrong_bytes_of_a_mirror_come_from_the_next() {
    // Some of the wrong bytes are handed out before it shows only where there is more than one chunk.
    for (size, html, again) in [(1_000, false, 0), (1_000_000, false, 2), (1_000_000, true, 0)] {
        let liar = || {
            FakeRegistry::start(Oddities { corrupt_blobs: !html, html_blobs: html, ..Oddities::default() })
        };
        let (first, second) = (liar().await, liar().await);
        let own = FakeRegistry::start(Oddities::default()).await;
        let layer = noise(size);
        let descriptor = put_image(&own, "app", &layer);
        for mirror in [&first, &second] {
            put_image(mirror, "cache/app", &layer);
        }
        let client = client(&own, &[&first, &second]);
        let reference = reference("registry.example/app:1");
        let (got, attempts) = read(&client, &reference, &descriptor).await;
        assert_eq!((got == layer, attempts), (true, again), "{size} {html}");
        assert_eq!(client.take_warnings().len(), 2);
        // What lied once about a blob is not asked for that again, and may well have another.
        for mirror in [&first, &second] {
            assert_eq!(mirror.server.take_lines().len(), 1);
            mirror.with(|oddities| (oddities.corrupt_blobs, oddities.html_blobs) = (false, false));
        }
        assert_eq!(client.blob_bytes(&reference, &descriptor, 1 << 20).await.unwrap(), layer);
        assert_eq!(first.server.take_lines().len(), 0);
        let other = noise(500);
        let other_descriptor = put_image(&first, "cache/app", &other);
        assert_eq!(client.blob_bytes(&reference, &other_descriptor, 1 << 20).await.unwrap(), other);
    }
}

#[tokio::test]
async fn a_mirror_that_lies_does_not_spoil_a_copy() {
    let own = FakeRegistry::start(Oddities::default()).await;
    let mirror = FakeRegistry::start(Oddities { corrupt_blobs: true, ..Oddities::default() }).await;
    let target = FakeRegistry::start(Oddities::default()).await;
    let layer = noise(1_000_000);
    let descriptor = own.put_blob("app", &layer);
    mirror.put_blob("cache/app", &layer);
    let config = own.put_blob("app", &Bytes::from_static(b"{}"));
    mirror.put_blob("cache/app", &Bytes::from_static(b"{}"));
    let entry = |descriptor: &Descriptor| {
        format!(r#"{{"mediaType":"x","digest":"{}","size":{}}}"#, descriptor.digest, descriptor.size)
    };
    let manifest =
        format!(r#"{{"schemaVersion":2,"config":{},"layers":[{}]}}"#, entry(&config), entry(&descriptor));
    own.put_manifest("app", "1", MediaType::OciManifest.as_str(), &manifest.into());
    let client = client(&own, &[&mirror]);
    let (source, target_name) = (reference("registry.example/app:1"), target.reference("app:1"));
    let quiet: crate::push::OnStep = std::sync::Arc::new(|_, _| {});
    client.copy(&source, &[target_name], &crate::copy::CopyOptions::default(), quiet).await.unwrap();
    assert_eq!(target.blob("app", &descriptor.digest), Some(layer));
}

#[tokio::test]
async fn wrong_bytes_of_the_registry_itself_are_an_error() {
    let own = FakeRegistry::start(Oddities { corrupt_blobs: true, ..Oddities::default() }).await;
    let mirror = FakeRegistry::start(Oddities { corrupt_blobs: true, ..Oddities::default() }).await;
    let layer = noise(100_000);
    let descriptor = put_image(&own, "app", &layer);
    put_image(&mirror, "cache/app", &layer);
    let client = client(&own, &[&mirror]);
    let reference = reference("registry.example/app:1");
    let error = client.blob_bytes(&reference, &descriptor, 1 << 20).await.unwrap_err();
    assert!(matches!(error, PullError::Digest { .. }), "{error}");
    assert!(error.to_string().starts_with(&own.server.address), "{error}");
}

#[tokio::test]
async fn a_mirror_that_fails_rests() {
    let own = FakeRegistry::start(Oddities::default()).await;
    let mirror = FakeRegistry::start(Oddities::default()).await;
    mirror.with(|oddities| oddities.failures.extend((0..1000).map(|_| (503, None))));
    let layers: Vec<Bytes> = (1..4).map(|n| noise(n * 1000)).collect();
    let descriptors: Vec<Descriptor> = layers.iter().map(|layer| put_image(&own, "app", layer)).collect();
    let client = client(&own, &[&mirror]);
    let reference = reference("registry.example/app:1");
    // All begin at once, before anything is known of the mirror.
    let mut blobs: Vec<_> =
        descriptors.iter().map(|descriptor| client.blob(&reference, descriptor).unwrap()).collect();
    client.manifest(&reference).await.unwrap();
    let attempts = options().retry.attempts as usize;
    assert_eq!(mirror.server.take_lines().len(), attempts);
    for (blob, layer) in blobs.iter_mut().zip(&layers) {
        let mut got = Vec::new();
        while let Some(chunk) = blob.chunk().await.unwrap() {
            got.extend_from_slice(&chunk);
        }
        assert_eq!(got, *layer);
    }
    // Each that had begun asked once.
    assert_eq!(mirror.server.take_lines().len(), layers.len());
    client.blob_bytes(&reference, &descriptors[0], 1 << 20).await.unwrap();
    assert_eq!(mirror.server.take_lines().len(), 0);
    assert_eq!(client.take_warnings().len(), 1);
}
