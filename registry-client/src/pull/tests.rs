use super::*;
use crate::{
    client::ClientOptions,
    testing::{FakeRegistry, Oddities, Reply, Server, client, http::Request, noise, options},
    transport::error::RequestError,
};
use futures_util::TryStreamExt;
use std::sync::{
    Arc, Mutex,
    atomic::{AtomicUsize, Ordering},
};
use tokio::io::AsyncReadExt;

const OCI: &str = "application/vnd.oci.image.manifest.v1+json";
const INDEX: &str = "application/vnd.oci.image.index.v1+json";

fn image_manifest() -> Bytes {
    let descriptor = Descriptor::of(MediaType::OciConfig, b"{}");
    let manifest =
        serde_json::json!({ "schemaVersion": 2, "mediaType": OCI, "config": descriptor, "layers": [] });
    Bytes::from(manifest.to_string())
}

async fn registry_with_manifest() -> (FakeRegistry, Reference, Descriptor) {
    let registry = FakeRegistry::start(Oddities::default()).await;
    let bytes = image_manifest();
    registry.put_manifest("a/b", "v1", OCI, &bytes);
    let reference = registry.reference("a/b:v1");
    (registry, reference, Descriptor::of(MediaType::OciManifest, &bytes))
}

#[tokio::test]
async fn resolve_needs_one_head() {
    let (registry, reference, want) = registry_with_manifest().await;
    assert_eq!(client().resolve(&reference).await.unwrap(), want);
    assert_eq!(client().resolve(&reference.with_digest(want.digest)).await.unwrap(), want);
    let by_digest = format!("HEAD /v2/a/b/manifests/{}", want.digest);
    assert_eq!(registry.server.take_lines(), ["HEAD /v2/a/b/manifests/v1", &by_digest]);
}

#[tokio::test]
async fn resolve_falls_back_to_get() {
    let (registry, reference, want) = registry_with_manifest().await;
    for status in [400, 403, 404, 405, 501] {
        registry.with(|oddities| oddities.head_status = Some(status));
        assert_eq!(client().resolve(&reference).await.unwrap(), want, "{status}");
        assert_eq!(registry.server.take_log().len(), 2, "{status}");
    }
    registry.with(|oddities| {
        oddities.head_status = None;
        oddities.no_content_digest = true;
    });
    assert_eq!(client().resolve(&reference).await.unwrap(), want);
    assert_eq!(registry.server.take_log().len(), 2);
    // The digest is known, so the header is not missed.
    assert_eq!(client().resolve(&reference.with_digest(want.digest)).await.unwrap(), want);
    assert_eq!(registry.server.take_log().len(), 1);
}

#[tokio::test]
async fn manifests_are_verified() {
    let (registry, reference, want) = registry_with_manifest().await;
    let other = Digest::of(b"other");
    let manifest = client().manifest(&reference).await.unwrap();
    assert_eq!((&manifest.descriptor, &manifest.bytes), (&want, &image_manifest()));

    // Something else under the digest that is asked for.
    registry.put_manifest("a/b", &other.to_string(), OCI, &image_manifest());
    let error = client().manifest(&reference.with_digest(other)).await.unwrap_err();
    assert!(matches!(error, PullError::Digest { want, .. } if want == other), "{error}");

    registry.with(|oddities| oddities.wrong_content_digest = true);
    let error = client().manifest(&reference).await.unwrap_err();
    assert!(matches!(error, PullError::Digest { .. }), "{error}");
    // A HEAD that tells another digest than was asked for is not believed.
    let by_digest = reference.with_digest(want.digest);
    assert!(matches!(client().resolve(&by_digest).await, Err(PullError::Digest { .. })));

    registry.with(|oddities| oddities.no_content_digest = true);
    assert_eq!(client().manifest(&by_digest).await.unwrap().descriptor, want);
}

#[tokio::test]
async fn a_manifest_by_sha512() {
    let bytes = image_manifest();
    let zero: Digest = format!("sha512:{}", "0".repeat(128)).parse().unwrap();
    let digest = zero.same_algorithm_of(&bytes);
    let registry = FakeRegistry::start(Oddities::default()).await;
    registry.put_manifest("a", &digest.to_string(), OCI, &bytes);
    // The registry tells the sha256 of the same bytes, which is as true.
    let reference = registry.reference("a").with_digest(digest);
    assert_eq!(client().manifest(&reference).await.unwrap().descriptor.digest, digest);
}

#[tokio::test]
async fn manifests_have_a_limit() {
    let (_registry, reference, want) = registry_with_manifest().await;
    for (limit, fits) in [(want.size as usize, true), (want.size as usize - 1, false)] {
        let client = Client::new(ClientOptions { manifest_limit: limit, ..options() });
        let result = client.manifest(&reference).await;
        assert_eq!(result.is_ok(), fits, "{result:?}");
    }
}

#[tokio::test]
async fn schema_1_is_refused_by_name() {
    let registry = FakeRegistry::start(Oddities::default()).await;
    let signed = "application/vnd.docker.distribution.manifest.v1+prettyjws";
    registry.put_manifest("old", "latest", signed, &Bytes::from_static(b"{\"schemaVersion\":1}"));
    let reference = registry.reference("old");
    for error in
        [client().manifest(&reference).await.unwrap_err(), client().resolve(&reference).await.unwrap_err()]
    {
        assert!(error.to_string().contains("Docker's schema 1"), "{error}");
    }
}

#[tokio::test]
async fn odd_content_types() {
    let (registry, reference, want) = registry_with_manifest().await;
    let bytes = image_manifest();
    let parameters = format!("{OCI}; charset=utf-8");
    // Those that say nothing, or say it with parameters, do not count against what the manifest says itself.
    for content_type in [&*parameters, "application/json", "text/plain; charset=utf-8", ""] {
        registry.put_manifest("a/b", "odd", content_type, &bytes);
        let odd = reference.with_tag("odd").unwrap();
        assert_eq!(client().resolve(&odd).await.unwrap(), want, "{content_type:?}");
        assert_eq!(client().manifest(&odd).await.unwrap().descriptor, want, "{content_type:?}");
    }
    registry.put_manifest("a/b", "lie", INDEX, &bytes);
    let error = client().manifest(&reference.with_tag("lie").unwrap()).await.unwrap_err();
    assert!(error.to_string().contains("says its media type is"), "{error}");
}

fn index(entries: &[(&Digest, &str, &str)]) -> Bytes {
    let manifests: Vec<_> = entries
        .iter()
        .map(|(digest, media_type, architecture)| {
            serde_json::json!({
                "mediaType": media_type, "digest": digest, "size": 1,
                "platform": { "os": "linux", "architecture": architecture },
            })
        })
        .collect();
    let index = serde_json::json!({ "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests });
    Bytes::from(index.to_string())
}

#[tokio::test]
async fn an_image_is_found_through_indexes() {
    let (registry, reference, want) = registry_with_manifest().await;
    let amd64 = Platform::new("linux", "amd64");
    let inner = index(&[(&Digest::of(b"no such"), OCI, "arm64"), (&want.digest, OCI, "amd64")]);
    let inner_digest = registry.put_manifest("a/b", "inner", INDEX, &inner);
    let outer = index(&[(&inner_digest, INDEX, "amd64")]);
    registry.put_manifest("a/b", "outer", INDEX, &outer);

    let image = client().image(&reference.with_tag("outer").unwrap(), &amd64).await.unwrap();
    assert_eq!(image.manifest_bytes.descriptor, want);
    assert_eq!(image.indexes.iter().map(|index| &index.bytes).collect::<Vec<_>>(), [&outer, &inner]);
    let image = client().image(&reference, &amd64).await.unwrap();
    assert_eq!((image.indexes.len(), image.manifest.layers.len()), (0, 0));

    let error = client()
        .image(&reference.with_tag("inner").unwrap(), &"linux/s390x".parse().unwrap())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("it has linux/amd64, linux/arm64"), "{error}");

    // An index cannot hold itself, but a chain of them can be long.
    let mut digest = inner_digest;
    for _ in 0..5 {
        digest = registry.put_manifest("a/b", "deep", INDEX, &index(&[(&digest, INDEX, "amd64")]));
    }
    let error = client().image(&reference.with_tag("deep").unwrap(), &amd64).await.unwrap_err();
    assert!(matches!(error, PullError::Nested { .. }), "{error}");
}

async fn read(blob: Blob) -> Result<Vec<u8>, PullError> {
    blob.into_stream()
        .try_fold(Vec::new(), |mut all, chunk| async move {
            all.extend_from_slice(&chunk);
            Ok(all)
        })
        .await
}

#[tokio::test]
async fn a_blob_streams() {
    let registry = FakeRegistry::start(Oddities::default()).await;
    let bytes = noise(1 << 20);
    let descriptor = registry.put_blob("a", &bytes);
    let reference = registry.reference("a");
    for chunked in [false, true] {
        registry.with(|oddities| oddities.chunked_blobs = chunked);
        let seen: Arc<Mutex<Vec<u64>>> = Arc::default();
        let blob = client().blob(&reference, &descriptor).unwrap();
        let blob = blob.on_progress({
            let seen = seen.clone();
            move |current| seen.lock().unwrap().push(current)
        });
        let mut read = Vec::new();
        blob.into_reader().read_to_end(&mut read).await.unwrap();
        assert_eq!(read, bytes);
        let seen = seen.lock().unwrap();
        assert!(seen.is_sorted() && seen.len() > 1 && seen.last() == Some(&(1 << 20)), "{seen:?}");
    }
}

#[tokio::test]
async fn an_empty_blob_needs_no_request() {
    let registry = FakeRegistry::start(Oddities::default()).await;
    let empty = Descriptor::of(MediaType::OciLayer, b"");
    assert_eq!(client().blob_bytes(&registry.reference("a"), &empty, 0).await.unwrap(), "");
    let wrong = Descriptor::new(MediaType::OciLayer, Digest::of(b"x"), 0);
    assert!(matches!(client().blob(&registry.reference("a"), &wrong), Err(PullError::Digest { .. })));
    assert!(registry.server.take_log().is_empty());
}

#[tokio::test]
async fn a_cut_blob_is_taken_up_where_it_was_cut() {
    let registry = FakeRegistry::start(Oddities::default()).await;
    let bytes = noise(40);
    let descriptor = registry.put_blob("a", &bytes);
    let (client, reference) = (client(), registry.reference("a"));
    for (ignore_range, chunked) in [(false, false), (true, false), (true, true)] {
        registry.with(|oddities| {
            oddities.ignore_range = ignore_range;
            oddities.chunked_blobs = chunked;
        });
        for cut in 0..bytes.len() {
            registry.with(|oddities| oddities.cut_blobs = [cut].into());
            let got = read(client.blob(&reference, &descriptor).unwrap()).await;
            assert_eq!(got.unwrap_or_else(|error| panic!("cut at {cut}: {error}")), bytes);
            let log = registry.server.take_log();
            assert_eq!(log.len(), 2, "cut at {cut}");
            let range = (cut > 0).then(|| format!("bytes={cut}-"));
            assert_eq!(log[1].header("range"), range.as_deref(), "cut at {cut}");
        }
    }
}

#[tokio::test]
async fn cuts_may_be_many_if_bytes_come_in_between() {
    let registry = FakeRegistry::start(Oddities::default()).await;
    let bytes = noise(40);
    let descriptor = registry.put_blob("a", &bytes);
    let (client, reference) = (client(), registry.reference("a"));
    registry.with(|oddities| oddities.cut_blobs = [5; 7].into());
    assert_eq!(read(client.blob(&reference, &descriptor).unwrap()).await.unwrap(), bytes);
    registry.server.take_log();

    registry.with(|oddities| oddities.cut_blobs = [5, 0, 0, 0, 0].into());
    let error = read(client.blob(&reference, &descriptor).unwrap()).await.unwrap_err();
    assert!(matches!(error, PullError::Request(RequestError::Unreachable { .. })), "{error}");
    assert_eq!(registry.server.take_log().len(), 4, "the cut after the last byte was the first failure");
}

#[tokio::test]
async fn a_blob_that_drips_ends() {
    let bytes = noise(4096);
    let descriptor = Descriptor::of(MediaType::OciLayer, &bytes);
    let requests = Arc::new(AtomicUsize::new(0));
    let server = Server::start({
        let requests = requests.clone();
        move |request: &Request| {
            requests.fetch_add(1, Ordering::Relaxed);
            let start: usize =
                request.header("range").map_or(0, |range| range[6..range.len() - 1].parse().unwrap());
            let reply = Reply { cut: Some(Some(1)), ..Reply::new(if start == 0 { 200 } else { 206 }) };
            reply.header("Content-Range", format!("bytes {start}-4095/4096")).body(bytes.slice(start..))
        }
    })
    .await;
    let reference = format!("{}/a", server.address).parse().unwrap();
    let error = read(client().blob(&reference, &descriptor).unwrap()).await.unwrap_err();
    assert!(matches!(error, PullError::Request(RequestError::Unreachable { .. })), "{error}");
    assert_eq!(requests.load(Ordering::Relaxed), 101);
}

#[tokio::test]
async fn wrong_bytes_are_never_complete() {
    let registry = FakeRegistry::start(Oddities { corrupt_blobs: true, ..Oddities::default() }).await;
    let bytes = noise(300_000);
    let descriptor = registry.put_blob("a", &bytes);
    let mut blob = client().blob(&registry.reference("a"), &descriptor).unwrap();
    let mut got = 0;
    let error = loop {
        match blob.chunk().await {
            Ok(chunk) => got += chunk.expect("an error before the end").len(),
            Err(error) => break error,
        }
    };
    let PullError::Digest { want, .. } = error else { panic!("{error}") };
    assert_eq!(want, descriptor.digest);
    assert!(got < bytes.len(), "the last chunk is held back");

    let reader = client().blob(&registry.reference("a"), &descriptor).unwrap().into_reader();
    let error = { reader }.read_to_end(&mut Vec::new()).await.unwrap_err();
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    assert!(matches!(inner, Some(PullError::Digest { .. })), "{error}");
}

#[tokio::test]
async fn wrong_sizes() {
    let registry = FakeRegistry::start(Oddities::default()).await;
    let bytes = noise(1000);
    let right = registry.put_blob("a", &bytes);
    for chunked in [false, true] {
        registry.with(|oddities| oddities.chunked_blobs = chunked);
        for size in [1, 999, 1001, 5000] {
            let wrong = Descriptor { size, ..right.clone() };
            let error = read(client().blob(&registry.reference("a"), &wrong).unwrap()).await.unwrap_err();
            // Without a length too few bytes look like a cut.
            let cut = chunked && size > 1000;
            assert!(
                cut || matches!(error, PullError::Size { .. } | PullError::Digest { .. }),
                "{size}: {error}"
            );
        }
    }
    let error = client().blob_bytes(&registry.reference("a"), &right, 999).await.unwrap_err();
    assert!(matches!(error, PullError::TooLarge { limit: 999, .. }), "{error}");
}

#[tokio::test]
async fn a_missing_blob() {
    let registry = FakeRegistry::start(Oddities::default()).await;
    let descriptor = Descriptor::of(MediaType::OciLayer, b"x");
    let error = read(client().blob(&registry.reference("a"), &descriptor).unwrap()).await.unwrap_err();
    assert!(matches!(error, PullError::Request(RequestError::NotFound { .. })), "{error}");
    assert_eq!(registry.server.take_log().len(), 1);
}

#[tokio::test]
async fn storage_elsewhere_sees_no_authorization() {
    let bytes = noise(5000);
    let storage = Server::start({
        let bytes = bytes.clone();
        let first = AtomicUsize::new(0);
        move |request: &Request| {
            // As storage services do with signed URLs.
            if request.header("authorization").is_some() {
                return Reply::new(400).body("only one way to authorise is allowed");
            }
            assert_eq!(request.raw_query(), "signature=x");
            if first.fetch_add(1, Ordering::Relaxed) == 0 {
                return Reply { cut: Some(Some(100)), ..Reply::new(200) }.body(bytes.clone());
            }
            assert_eq!(request.header("range"), Some("bytes=100-"));
            Reply::new(206).header("Content-Range", "bytes 100-4999/5000").body(bytes.slice(100..))
        }
    })
    .await;
    let registry = FakeRegistry::start(Oddities {
        redirect_blobs: Some(storage.address.clone()),
        basic: Some("Basic bWU6c2VjcmV0".into()),
        ..Oddities::default()
    })
    .await;
    let descriptor = registry.put_blob("a", &bytes);
    let credentials = crate::auth::Credentials::password("me", "secret");
    let client =
        crate::testing::client_with(crate::credentials::Store::of(&registry.server.address, credentials));
    let got = read(client.blob(&registry.reference("a"), &descriptor).unwrap()).await.unwrap();
    assert_eq!(got, bytes);
    assert_eq!(storage.take_log().len(), 2, "a fresh redirect for the rest");
}

#[tokio::test]
async fn foreign_layers_come_from_their_urls() {
    let bytes = noise(5000);
    let elsewhere = Server::start({
        let bytes = bytes.clone();
        move |request: &Request| match request.path() {
            "/layer" => Reply::new(200).body(bytes.clone()),
            _ => Reply::new(404),
        }
    })
    .await;
    let registry = FakeRegistry::start(Oddities::default()).await;
    let mut descriptor = Descriptor::of(MediaType::DockerForeignLayerGzip, &bytes);
    descriptor.urls = vec![
        "ftp://elsewhere/layer".to_owned(),
        format!("http://{}/moved", elsewhere.address),
        format!("http://{}/layer", elsewhere.address),
    ];
    let got = read(client().blob(&registry.reference("a"), &descriptor).unwrap()).await.unwrap();
    assert_eq!(got, bytes);
    assert_eq!(registry.server.take_log().len(), 1, "the registry first");
    assert_eq!(elsewhere.take_lines(), ["GET /moved", "GET /layer"]);
}

#[tokio::test]
async fn embedded_data_needs_no_request() {
    let registry = FakeRegistry::start(Oddities::default()).await;
    let mut descriptor = Descriptor::of(MediaType::OciEmpty, b"{}");
    descriptor.data = Some("e30=".to_owned());
    assert_eq!(client().blob_bytes(&registry.reference("a"), &descriptor, 100).await.unwrap(), "{}");
    assert!(registry.server.take_log().is_empty());
    descriptor.data = Some("W10=".to_owned());
    let error = client().blob_bytes(&registry.reference("a"), &descriptor, 100).await.unwrap_err();
    assert!(matches!(error, PullError::Digest { .. }), "{error}");
}

#[tokio::test]
async fn a_sha512_blob() {
    let bytes = noise(5000);
    let zero: Digest = format!("sha512:{}", "0".repeat(128)).parse().unwrap();
    let descriptor = Descriptor::new(MediaType::OciLayer, zero.same_algorithm_of(&bytes), 5000);
    let server = Server::start(move |_: &Request| Reply::new(200).body(bytes.clone())).await;
    let reference = format!("{}/a", server.address).parse().unwrap();
    assert_eq!(read(client().blob(&reference, &descriptor).unwrap()).await.unwrap().len(), 5000);
}

#[tokio::test]
async fn pulls_at_once_are_bounded() {
    let delay = std::time::Duration::from_millis(30);
    let registry = FakeRegistry::start(Oddities { delay, ..Oddities::default() }).await;
    let descriptor = registry.put_blob("a", &noise(1000));
    let client = Client::new(ClientOptions { connections_per_registry: 3, ..options() });
    let reference = registry.reference("a");
    let pulls = (0..10).map(|_| client.blob_bytes(&reference, &descriptor, 1000));
    futures_util::future::try_join_all(pulls).await.unwrap();
    assert_eq!(registry.server.peak.most(), 3);
}

mod parts;
