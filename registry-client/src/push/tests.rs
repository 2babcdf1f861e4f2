use super::*;
use crate::{
    client::{Client, ClientOptions, Progress},
    descriptor::Descriptor,
    manifest::Manifests,
    media_type::MediaType,
    reference::Reference,
    testing::{FakeRegistry, Oddities, client, noise, options},
};
use bytes::Bytes;
use futures_util::stream;
use std::{
    collections::BTreeMap,
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

mod families;

async fn push(client: &Client, reference: &Reference, bytes: &Bytes) -> Result<BlobOutcome, PushError> {
    let descriptor = Descriptor::of(MediaType::OciLayer, bytes);
    let source = BlobSource::bytes(bytes.clone());
    client.push_blob(reference, &descriptor, &source, &PushBlobOptions::default()).await
}

/// Whatever the registry's way to say where to upload is.
fn ways() -> Vec<Oddities> {
    let mut ways = Vec::new();
    for relative_location in [false, true] {
        for state_in_query in [false, true] {
            ways.push(Oddities { relative_location, state_in_query, ..Oddities::default() });
        }
    }
    ways
}

#[tokio::test]
async fn a_blob_is_sent_in_one_put_with_its_length() {
    for way in ways() {
        let registry = FakeRegistry::start(way).await;
        let (reference, bytes) = (registry.reference("a/b"), noise(700_000));
        assert_eq!(push(&client(), &reference, &bytes).await.unwrap(), BlobOutcome::Uploaded);
        let descriptor = Descriptor::of(MediaType::OciLayer, &bytes);
        assert_eq!(registry.blob("a/b", &descriptor.digest).unwrap(), bytes);
        let log = registry.server.take_log();
        let methods: Vec<&str> = log.iter().map(|request| request.method.as_str()).collect();
        assert_eq!(methods, ["HEAD", "POST", "PUT"]);
        assert_eq!(log[2].header("content-length"), Some("700000"));
        assert_eq!(push(&client(), &reference, &bytes).await.unwrap(), BlobOutcome::Existed);
        assert_eq!(registry.server.take_log().len(), 1);
    }
}

#[tokio::test]
async fn an_empty_blob() {
    let registry = FakeRegistry::start(Oddities::default()).await;
    assert_eq!(
        push(&client(), &registry.reference("a"), &Bytes::new()).await.unwrap(),
        BlobOutcome::Uploaded
    );
    assert_eq!(registry.server.take_log()[2].header("content-length"), Some("0"));
}

#[tokio::test]
async fn a_blob_of_unknown_digest_is_streamed() {
    for way in ways() {
        let registry = FakeRegistry::start(way).await;
        let bytes = noise(700_000);
        let source = BlobSource::reader({
            let bytes = bytes.clone();
            move || std::future::ready(Ok(io::Cursor::new(bytes.clone())))
        });
        let seen: Arc<Mutex<Vec<u64>>> = Arc::default();
        let progress: Progress = {
            let seen = seen.clone();
            Arc::new(move |sent| seen.lock().unwrap().push(sent))
        };
        // A cut is no end: the source is opened again.
        registry.with(|oddities| oddities.cut_uploads = [1000].into());
        let (client, reference) = (client(), registry.reference("a"));
        let got = client.push_stream(&reference, MediaType::OciLayer, &source, Some(progress)).await;
        let want = Descriptor::of(MediaType::OciLayer, &bytes);
        assert_eq!(got.unwrap(), want);
        assert_eq!(registry.blob("a", &want.digest).unwrap(), bytes);
        let log = registry.server.take_log();
        let methods: Vec<&str> = log.iter().map(|request| request.method.as_str()).collect();
        assert_eq!(methods, ["POST", "PATCH", "DELETE", "POST", "PATCH", "PUT"]);
        assert_eq!(log[4].header("transfer-encoding"), Some("chunked"));
        assert_eq!(registry.open_uploads(), 0);
        assert_eq!(seen.lock().unwrap().last(), Some(&700_000));
    }
}

#[tokio::test]
async fn a_registry_that_takes_no_streams() {
    let bytes = noise(100_000);
    for status in [405, 411, 501] {
        let registry =
            FakeRegistry::start(Oddities { patch_status: Some(status), ..Oddities::default() }).await;
        let source = BlobSource::bytes(bytes.clone());
        let reference = registry.reference("a");
        let descriptor = client().push_stream(&reference, MediaType::OciLayer, &source, None).await.unwrap();
        assert_eq!(descriptor, Descriptor::of(MediaType::OciLayer, &bytes));
        assert_eq!(registry.blob("a", &descriptor.digest).unwrap(), bytes);
        assert_eq!(registry.open_uploads(), 0);
    }
    let registry = FakeRegistry::start(Oddities { patch_status: Some(403), ..Oddities::default() }).await;
    let source = BlobSource::bytes(bytes);
    let error = client().push_stream(&registry.reference("a"), MediaType::OciLayer, &source, None).await;
    assert!(matches!(error, Err(PushError::Request(RequestError::Denied { .. }))), "{error:?}");
}

#[tokio::test]
async fn a_file_is_a_source() {
    let registry = FakeRegistry::start(Oddities::default()).await;
    let bytes = noise(1_000_000);
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), &bytes).unwrap();
    let descriptor = Descriptor::of(MediaType::OciLayer, &bytes);
    registry.with(|oddities| oddities.cut_uploads = [500_000].into());
    let how = PushBlobOptions::default();
    let source = BlobSource::file(file.path());
    client().push_blob(&registry.reference("a"), &descriptor, &source, &how).await.unwrap();
    assert_eq!(registry.blob("a", &descriptor.digest).unwrap(), bytes);

    let missing = BlobSource::file(file.path().join("none"));
    let error = client().push_blob(&registry.reference("b"), &descriptor, &missing, &how).await.unwrap_err();
    assert!(matches!(error, PushError::Request(RequestError::Source { .. })), "{error}");
}

#[tokio::test]
async fn a_cut_upload_is_begun_again() {
    let bytes = noise(500_000);
    for cuts in [vec![0], vec![1], vec![400_000], vec![10, 0, 100_000]] {
        let registry =
            FakeRegistry::start(Oddities { cut_uploads: cuts.clone().into(), ..Oddities::default() }).await;
        let outcome = push(&client(), &registry.reference("a"), &bytes).await;
        assert_eq!(outcome.unwrap_or_else(|error| panic!("{cuts:?}: {error}")), BlobOutcome::Uploaded);
        assert_eq!(registry.open_uploads(), 0);
        assert_eq!(registry.cancelled_uploads(), cuts.len());
    }
    let registry = FakeRegistry::start(Oddities { cut_uploads: [9; 4].into(), ..Oddities::default() }).await;
    let error = push(&client(), &registry.reference("a"), &bytes).await.unwrap_err();
    assert!(matches!(error, PushError::Request(RequestError::Unreachable { .. })), "{error}");
    assert_eq!(registry.cancelled_uploads(), 4);
}

/// Bytes that were sent in bodies so far.
fn sent(registry: &FakeRegistry) -> Vec<(String, usize)> {
    let log = registry.server.take_log();
    let uploads = log.into_iter().filter(|request| request.path().contains("/uploads/"));
    uploads.map(|request| (request.method.clone(), request.body.len())).collect()
}

#[tokio::test]
async fn a_cut_upload_goes_on_where_it_was_cut() {
    let bytes = noise(500_000);
    for way in ways() {
        let registry = FakeRegistry::start(Oddities { resumable: true, ..way }).await;
        registry.with(|oddities| oddities.cut_uploads = [200_000, 100_000].into());
        let seen: Arc<Mutex<Vec<u64>>> = Arc::default();
        let progress: Progress = {
            let seen = seen.clone();
            Arc::new(move |sent| seen.lock().unwrap().push(sent))
        };
        let descriptor = Descriptor::of(MediaType::OciLayer, &bytes);
        let options = PushBlobOptions { progress: Some(progress), ..PushBlobOptions::default() };
        let source = BlobSource::bytes(bytes.clone());
        client().push_blob(&registry.reference("a"), &descriptor, &source, &options).await.unwrap();
        assert_eq!(registry.blob("a", &descriptor.digest).unwrap(), bytes);
        assert_eq!(seen.lock().unwrap().last(), Some(&500_000));
        let want =
            [("POST", 0), ("PUT", 0), ("GET", 0), ("PATCH", 0), ("GET", 0), ("PATCH", 200_000), ("PUT", 0)];
        let got = sent(&registry);
        let got: Vec<(&str, usize)> = got.iter().map(|(method, length)| (&**method, *length)).collect();
        assert_eq!(got, want, "the third part has what was missing");
        assert_eq!((registry.open_uploads(), registry.cancelled_uploads()), (0, 0));
    }
}

#[tokio::test]
async fn a_cut_before_anything_arrived_is_begun_again() {
    for cut in [0, 1] {
        let oddities = Oddities { resumable: true, cut_uploads: [cut].into(), ..Oddities::default() };
        let registry = FakeRegistry::start(oddities).await;
        assert_eq!(
            push(&client(), &registry.reference("a"), &noise(1000)).await.unwrap(),
            BlobOutcome::Uploaded
        );
        assert_eq!(registry.cancelled_uploads(), 1, "one byte cannot be told from none");
    }
}

#[tokio::test]
async fn parts_that_make_something_else_are_sent_again_as_a_whole() {
    let bytes = noise(10_000);
    let registry = FakeRegistry::start(Oddities {
        resumable: true,
        corrupt_kept: true,
        cut_uploads: [5_000].into(),
        ..Oddities::default()
    })
    .await;
    assert_eq!(push(&client(), &registry.reference("a"), &bytes).await.unwrap(), BlobOutcome::Uploaded);
    assert_eq!(registry.blob("a", &Digest::of(&bytes)).unwrap(), bytes);
    let methods: Vec<String> = sent(&registry).into_iter().map(|(method, _)| method).collect();
    assert_eq!(methods[..5], ["POST", "PUT", "GET", "PATCH", "PUT"]);
    assert_eq!(methods.iter().filter(|method| *method == "POST").count(), 2);
}

#[tokio::test]
async fn a_lost_answer_is_no_second_upload() {
    let registry = FakeRegistry::start(Oddities { lose_answers: 1, ..Oddities::default() }).await;
    push(&client(), &registry.reference("a"), &noise(1000)).await.unwrap();
    let puts = registry.server.take_lines().iter().filter(|line| line.starts_with("PUT")).count();
    assert_eq!(puts, 1);
}

#[tokio::test]
async fn a_lost_session_is_begun_again() {
    let registry = FakeRegistry::start(Oddities { lose_sessions: 2, ..Oddities::default() }).await;
    assert_eq!(push(&client(), &registry.reference("a"), &noise(1000)).await.unwrap(), BlobOutcome::Uploaded);
}

#[tokio::test]
async fn refusals_before_the_body_was_read() {
    let bytes = noise(3_000_000);
    let registry =
        FakeRegistry::start(Oddities { refuse_uploads: [503, 429].into(), ..Oddities::default() }).await;
    assert_eq!(push(&client(), &registry.reference("a"), &bytes).await.unwrap(), BlobOutcome::Uploaded);
    registry.with(|oddities| oddities.refuse_uploads = [403].into());
    let error = push(&client(), &registry.reference("b"), &bytes).await.unwrap_err();
    assert!(matches!(error, PushError::Request(RequestError::Denied { .. })), "{error}");
}

#[tokio::test]
async fn a_mount_that_fails_is_an_upload() {
    let bytes = noise(1000);
    for status in [500, 503, 429, 403, 404, 405] {
        let registry =
            FakeRegistry::start(Oddities { mount_status: Some(status), ..Oddities::default() }).await;
        let descriptor = registry.put_blob("from", &bytes);
        let options = PushBlobOptions { mount_from: vec!["from".to_owned()], ..Default::default() };
        let (reference, source) = (registry.reference("to"), BlobSource::bytes(bytes.clone()));
        let outcome = client().push_blob(&reference, &descriptor, &source, &options).await;
        assert_eq!(outcome.unwrap_or_else(|error| panic!("{status}: {error}")), BlobOutcome::Uploaded);
        assert_eq!(registry.blob("to", &descriptor.digest).unwrap(), bytes);
        // It is not worth all attempts: the look-up, two mounts at most, POST and PUT.
        assert!(registry.server.take_log().len() <= 5, "{status}");
    }
}

#[tokio::test]
async fn a_registry_that_answers_no_head_of_a_blob() {
    let bytes = noise(1000);
    for status in [400, 403, 405, 501] {
        let registry =
            FakeRegistry::start(Oddities { blob_head_status: Some(status), ..Oddities::default() }).await;
        let reference = registry.reference("a");
        let digest = Digest::of(&bytes);
        assert!(!client().blob_exists(&reference, &digest).await.unwrap(), "{status}");
        assert_eq!(push(&client(), &reference, &bytes).await.unwrap(), BlobOutcome::Uploaded);
        assert!(client().blob_exists(&reference, &digest).await.unwrap(), "{status}");
    }
}

#[tokio::test]
async fn a_rest_that_is_no_chunk_closes_the_upload() {
    let bytes = noise(10_000);
    for (minimum, methods) in
        [(5_001, ["POST", "PUT", "GET", "PUT"].as_slice()), (5_000, &["POST", "PUT", "GET", "PATCH", "PUT"])]
    {
        let registry = FakeRegistry::start(Oddities {
            resumable: true,
            chunk_minimum: Some(minimum),
            cut_uploads: [5_000].into(),
            ..Oddities::default()
        })
        .await;
        assert_eq!(push(&client(), &registry.reference("a"), &bytes).await.unwrap(), BlobOutcome::Uploaded);
        assert_eq!(registry.blob("a", &Digest::of(&bytes)).unwrap(), bytes);
        let sent: Vec<String> = sent(&registry).into_iter().map(|(method, _)| method).collect();
        assert_eq!(sent, methods, "{minimum}");
    }
}

#[tokio::test]
async fn a_stream_that_is_no_chunk_is_sent_as_a_blob() {
    let registry = FakeRegistry::start(Oddities { chunk_minimum: Some(2_000), ..Oddities::default() }).await;
    for size in [1_000, 2_000] {
        let bytes = noise(size);
        let source = BlobSource::bytes(bytes.clone());
        let reference = registry.reference("a");
        let pushed = client().push_stream(&reference, MediaType::OciLayer, &source, None).await.unwrap();
        assert_eq!(registry.blob("a", &pushed.digest).unwrap(), bytes);
    }
}

#[tokio::test]
async fn where_there_is_no_room_no_attempt_helps() {
    for status in [403, 412, 413, 429, 507] {
        let registry =
            FakeRegistry::start(Oddities { quota_status: Some(status), ..Oddities::default() }).await;
        let error = push(&client(), &registry.reference("a"), &noise(1000)).await.unwrap_err().to_string();
        assert!(error.contains("make room at the registry"), "{status}: {error}");
        let puts = registry.server.take_lines().iter().filter(|line| line.starts_with("PUT")).count();
        assert_eq!((puts, registry.open_uploads()), (1, 0), "{status}");
    }
}

#[tokio::test]
async fn failing_sources_are_not_tried_again() {
    let registry = FakeRegistry::start(Oddities::default()).await;
    let descriptor = Descriptor::of(MediaType::OciLayer, b"0123456789");
    let chunks = |chunks: &'static [&'static str], error: Option<&'static str>| {
        BlobSource::stream(move || async move {
            let chunks = chunks.iter().map(|chunk| Ok(Bytes::from(*chunk)));
            Ok(stream::iter(chunks.chain(error.map(|error| Err(io::Error::other(error))))))
        })
    };
    for (source, want) in [
        (chunks(&["01234"], None), "ended after 5 of 10 bytes"),
        (chunks(&["01234", "567890"], None), "more than the 10 bytes"),
        (chunks(&["01234"], Some("the disk is gone")), "the disk is gone"),
        (chunks(&[], None), "ended after 0 of 10 bytes"),
    ] {
        let how = PushBlobOptions::default();
        let error =
            client().push_blob(&registry.reference("a"), &descriptor, &source, &how).await.unwrap_err();
        assert!(matches!(error, PushError::Request(RequestError::Source { .. })), "{error}");
        assert!(error.to_string().contains(want), "{error}");
        assert!(registry.blob("a", &descriptor.digest).is_none());
        let posts = registry.server.take_lines().iter().filter(|line| line.starts_with("POST")).count();
        assert_eq!(posts, 1, "{want}");
    }
}

#[tokio::test]
async fn wrong_bytes_are_refused_by_the_registry() {
    let registry = FakeRegistry::start(Oddities::default()).await;
    let descriptor = Descriptor::of(MediaType::OciLayer, b"right");
    let how = PushBlobOptions::default();
    let error =
        client().push_blob(&registry.reference("a"), &descriptor, &BlobSource::bytes("wrong"), &how).await;
    let error = error.unwrap_err();
    assert!(matches!(error, PushError::Request(RequestError::Status { status: 400, .. })), "{error}");
    assert!(error.to_string().contains("DIGEST_INVALID"), "{error}");
}

#[tokio::test]
async fn mounts() {
    let registry = FakeRegistry::start(Oddities::default()).await;
    let bytes = noise(1000);
    let descriptor = registry.put_blob("base", &bytes);
    let how = PushBlobOptions { mount_from: vec!["app".into(), "base".into()], progress: None };
    let source = BlobSource::bytes(bytes.clone());
    let outcome = client().push_blob(&registry.reference("app"), &descriptor, &source, &how).await.unwrap();
    assert_eq!(outcome, BlobOutcome::Mounted);
    let log = registry.server.take_log();
    assert_eq!(log.len(), 2, "no mount from the repository itself");
    assert_eq!(log[1].raw_query(), format!("mount={}&from=base", descriptor.digest));

    // The upload that was begun instead of a mount is the one that is used.
    for way in ways() {
        let registry = FakeRegistry::start(Oddities { no_mounts: true, ..way }).await;
        registry.put_blob("base", &bytes);
        let outcome =
            client().push_blob(&registry.reference("app"), &descriptor, &source, &how).await.unwrap();
        assert_eq!(outcome, BlobOutcome::Uploaded);
        let lines = registry.server.take_lines();
        assert_eq!(lines.len(), 3, "{lines:?}");
        assert_eq!(registry.open_uploads(), 0);
    }

    // Of several, only the last is kept open.
    let registry = FakeRegistry::start(Oddities::default()).await;
    let how = PushBlobOptions { mount_from: vec!["x".into(), "y".into(), "z".into()], progress: None };
    client().push_blob(&registry.reference("app"), &descriptor, &source, &how).await.unwrap();
    assert_eq!((registry.open_uploads(), registry.cancelled_uploads()), (0, 2));
}

#[tokio::test]
async fn a_refused_mount_is_no_failure() {
    let registry = FakeRegistry::start(Oddities::default()).await;
    let bytes = noise(1000);
    let descriptor = Descriptor::of(MediaType::OciLayer, &bytes);
    for status in [400, 403, 404] {
        let how = PushBlobOptions { mount_from: vec!["private".into()], progress: None };
        let reference = registry.reference(&format!("to{status}"));
        // The first answer is to the look-up, which finds nothing; the second is to the mount.
        registry.with(|oddities| oddities.failures = [(404, None), (status, None)].into());
        let source = BlobSource::bytes(bytes.clone());
        let outcome = client().push_blob(&reference, &descriptor, &source, &how).await;
        assert_eq!(outcome.unwrap_or_else(|error| panic!("{status}: {error}")), BlobOutcome::Uploaded);
    }
}

#[tokio::test]
async fn the_same_blob_at_the_same_time_is_sent_once() {
    let delay = Duration::from_millis(10);
    let registry = FakeRegistry::start(Oddities { delay, ..Oddities::default() }).await;
    let (client, reference, bytes) = (client(), registry.reference("a"), noise(1000));
    let pushes = (0..8).map(|_| push(&client, &reference, &bytes));
    let outcomes = futures_util::future::try_join_all(pushes).await.unwrap();
    let uploaded = outcomes.iter().filter(|outcome| **outcome == BlobOutcome::Uploaded).count();
    assert_eq!(uploaded, 1, "{outcomes:?}");
}

/// An image of some layers, one of which it has twice, and its manifest's digest.
fn image(layers: usize) -> (ImagePush, Vec<Descriptor>) {
    let blob = |media_type, bytes: Bytes| BlobPush {
        descriptor: Descriptor::of(media_type, &bytes),
        source: BlobSource::bytes(bytes),
        mount_from: Vec::new(),
    };
    let mut blobs = vec![blob(MediaType::OciConfig, Bytes::from_static(b"{}"))];
    blobs.extend((0..layers).map(|n| blob(MediaType::OciLayer, noise(1000 + n))));
    blobs.push(blobs[1].clone());
    let descriptors: Vec<Descriptor> = blobs.iter().map(|blob| blob.descriptor.clone()).collect();
    let manifest = serde_json::json!({
        "schemaVersion": 2, "mediaType": MediaType::OciManifest, "config": descriptors[0], "layers": descriptors[1..],
    });
    let top = (MediaType::OciManifest, Bytes::from(manifest.to_string()));
    let manifests = Manifests { children: Vec::new(), top };
    (ImagePush { blobs, manifests, convert: false, verify: false }, descriptors)
}

#[tokio::test]
async fn an_image_is_pushed_with_its_manifest_last() {
    let delay = Duration::from_millis(20);
    let registry = FakeRegistry::start(Oddities { delay, ..Oddities::default() }).await;
    let client = Client::new(ClientOptions { connections_per_registry: 3, ..options() });
    let (image, descriptors) = image(9);
    let done: Arc<Mutex<Vec<BlobOutcome>>> = Arc::default();
    let sent: Arc<AtomicUsize> = Arc::default();
    let on_step: OnStep = {
        let (done, sent) = (done.clone(), sent.clone());
        Arc::new(move |_, step| match step {
            PushStep::Sent(bytes) => drop(sent.fetch_max(bytes as usize, Ordering::Relaxed)),
            PushStep::Done(outcome) => done.lock().unwrap().push(outcome),
        })
    };
    let references = [registry.reference("a:v1"), registry.reference("a:v2"), registry.reference("b:v1")];
    let pushed = client.push_image(&references, &image, on_step).await.unwrap();
    assert_eq!(pushed, Descriptor::of(MediaType::OciManifest, &image.manifests.top.1));
    for reference in &references {
        let got = registry.manifest(reference.repository(), reference.tag().unwrap());
        assert_eq!(got.as_ref(), Some(&image.manifests.top.1));
    }
    // The registry refuses manifests whose blobs it does not have; so the order is right if all is well.
    let lines = registry.server.take_lines();
    let puts = |start: &str| lines.iter().filter(|line| line.starts_with(start)).count();
    assert_eq!((puts("PUT /v2/a/blobs/"), puts("PUT /v2/b/blobs/")), (10, 0), "each blob once");
    let blobs = descriptors.len() - 1;
    let want = [vec![BlobOutcome::Uploaded; blobs], vec![BlobOutcome::Mounted; blobs]].concat();
    assert_eq!(*done.lock().unwrap(), want, "what a has is mounted in b");
    assert_eq!(sent.load(Ordering::Relaxed), 1008);
    assert!((2..=3).contains(&registry.server.peak.most()), "{}", registry.server.peak.most());
}

#[tokio::test]
async fn registries_that_do_not_mount_get_each_blob_in_each_repository() {
    let registries = [
        FakeRegistry::start(Oddities { no_mounts: true, ..Oddities::default() }).await,
        FakeRegistry::start(Oddities::default()).await,
    ];
    let (image, _) = image(3);
    let [first, second] = &registries;
    let references = [first.reference("a"), second.reference("a"), first.reference("b")];
    client().push_image(&references, &image, Arc::new(|_, _| {})).await.unwrap();
    for (registry, puts, mounts) in [(first, 8, 4), (second, 4, 0)] {
        let log = registry.server.take_log();
        let blobs =
            log.iter().filter(|request| request.method == "PUT" && request.path().contains("/blobs/"));
        let asked = log.iter().filter(|request| request.query("from") == ["a"]);
        assert_eq!((blobs.count(), asked.count()), (puts, mounts));
        assert_eq!(registry.open_uploads(), 0);
    }
}

#[tokio::test]
async fn an_image_that_is_there_takes_two_requests() {
    let registry = FakeRegistry::start(Oddities::default()).await;
    let (image, _) = image(20);
    let outcomes: Arc<Mutex<Vec<BlobOutcome>>> = Arc::default();
    let on_step: OnStep = {
        let outcomes = outcomes.clone();
        Arc::new(move |_, step| {
            if let PushStep::Done(outcome) = step {
                outcomes.lock().unwrap().push(outcome);
            }
        })
    };
    let client = client();
    client.push_image(&[registry.reference("a:v1")], &image, on_step.clone()).await.unwrap();
    registry.server.take_lines();
    outcomes.lock().unwrap().clear();
    client.push_image(&[registry.reference("a:v1")], &image, on_step.clone()).await.unwrap();
    let digest = Digest::of(&image.manifests.top.1);
    assert_eq!(
        registry.server.take_lines(),
        [format!("HEAD /v2/a/manifests/{digest}"), "PUT /v2/a/manifests/v1".to_owned()]
    );
    assert_eq!(*outcomes.lock().unwrap(), vec![BlobOutcome::Existed; image.blobs.len()]);
    // A registry that refuses the question gets all that the answer would have spared.
    registry.with(|oddities| oddities.head_status = Some(405));
    client.push_image(&[registry.reference("a:v2")], &image, on_step).await.unwrap();
    assert!(registry.server.take_lines().len() > 20);
}

/// A registry that looks whether all is there says so when it gets the manifest; of what an index lists it knows no more.
#[tokio::test]
async fn what_a_registry_has_lost_is_sent_again() {
    let registry = FakeRegistry::start(Oddities::default()).await;
    let (client, (image, blobs)) = (client(), image(20));
    let outcomes: Arc<Mutex<BTreeMap<Digest, BlobOutcome>>> = Arc::default();
    let on_step: OnStep = {
        let outcomes = outcomes.clone();
        Arc::new(move |descriptor, step| {
            if let PushStep::Done(outcome) = step {
                outcomes.lock().unwrap().insert(descriptor.digest, outcome);
            }
        })
    };
    let reference = [registry.reference("a:v1")];
    client.push_image(&reference, &image, on_step.clone()).await.unwrap();
    let lost = blobs[3].digest;
    let is_whole = || {
        let outcomes = std::mem::take(&mut *outcomes.lock().unwrap());
        let mut sent: Vec<Digest> = outcomes.keys().copied().collect();
        sent.retain(|digest| outcomes[digest] != BlobOutcome::Existed);
        (registry.blob("a", &lost).is_some(), outcomes.len(), sent)
    };
    assert!(is_whole().0);
    registry.lose_blob("a", &lost);
    client.push_image(&reference, &image, on_step.clone()).await.unwrap();
    assert_eq!(is_whole(), (true, 21, vec![lost]));

    let entries = [Descriptor::of(MediaType::OciManifest, &image.manifests.top.1)];
    let index =
        serde_json::json!({ "schemaVersion": 2, "mediaType": MediaType::OciIndex, "manifests": entries });
    let top = (MediaType::OciIndex, Bytes::from(index.to_string()));
    let manifests = Manifests { children: vec![image.manifests.top.clone()], top };
    let index = ImagePush { manifests, ..image };
    client.push_image(&reference, &index, on_step.clone()).await.unwrap();
    assert!(is_whole().0);
    registry.lose_blob("a", &lost);
    client.push_image(&reference, &index, on_step.clone()).await.unwrap();
    assert_eq!(is_whole(), (false, 21, vec![]), "what an index lists is trusted");
    let index = ImagePush { verify: true, ..index };
    client.push_image(&reference, &index, on_step.clone()).await.unwrap();
    assert_eq!(is_whole(), (true, 21, vec![lost]));
    registry.server.take_lines();
    client.push_image(&reference, &index, on_step).await.unwrap();
    let lines = registry.server.take_lines();
    let asked = lines.iter().filter(|line| line.starts_with("HEAD /v2/a/blobs/")).count();
    assert_eq!((asked, lines.len()), (21, 23), "{lines:?}");
}

#[tokio::test]
async fn an_index_is_pushed_after_its_images() {
    let registry = FakeRegistry::start(Oddities::default()).await;
    let (mut image, _) = image(2);
    let child = std::mem::replace(&mut image.manifests.top, (MediaType::OciIndex, Bytes::new()));
    let descriptor = Descriptor::of(MediaType::OciManifest, &child.1);
    let index = serde_json::json!({ "schemaVersion": 2, "mediaType": MediaType::OciIndex, "manifests": [descriptor] });
    image.manifests.top.1 = Bytes::from(index.to_string());
    image.manifests.children.push(child.clone());
    let nothing: OnStep = Arc::new(|_, _| {});
    client().push_image(&[registry.reference("a:v1")], &image, nothing.clone()).await.unwrap();
    assert_eq!(registry.manifest("a", "v1").unwrap(), image.manifests.top.1);
    assert_eq!(registry.manifest("a", &descriptor.digest.to_string()).unwrap(), child.1);
    assert!(matches!(client().push_image(&[], &image, nothing).await, Err(PushError::NoReference)));
}

#[tokio::test]
async fn a_failed_blob_leaves_no_manifest() {
    let registry = FakeRegistry::start(Oddities::default()).await;
    let (mut image, _) = image(5);
    image.blobs[3].source = BlobSource::bytes("something else");
    let error =
        client().push_image(&[registry.reference("a:v1")], &image, Arc::new(|_, _| {})).await.unwrap_err();
    assert!(matches!(error, PushError::Request(RequestError::Source { .. })), "{error}");
    assert!(registry.manifest("a", "v1").is_none());
}

#[tokio::test]
async fn manifests() {
    let registry = FakeRegistry::start(Oddities::default()).await;
    let bytes = Bytes::from_static(b"{\"schemaVersion\":2}");
    let digest = Digest::of(&bytes);
    let put = async |reference: &Reference| {
        client().push_manifest(reference, &MediaType::OciIndex, bytes.clone()).await
    };
    let tagged = registry.reference("a:v1");
    for (reference, name) in [
        (tagged.clone(), "v1".to_owned()),
        (tagged.with_digest(digest), "v1".to_owned()),
        (registry.reference("a"), digest.to_string()),
        (registry.reference("a").with_digest(digest), digest.to_string()),
    ] {
        assert_eq!(put(&reference).await.unwrap().descriptor.digest, digest);
        let log = registry.server.take_log();
        assert_eq!(log[0].line(), format!("PUT /v2/a/manifests/{name}"), "{reference}");
        assert_eq!(log[0].header("content-type"), Some(MediaType::OciIndex.as_str()));
    }
    let error = put(&tagged.with_digest(Digest::of(b"other"))).await.unwrap_err();
    assert!(matches!(error, PushError::Reference { .. }), "{error}");
    assert!(registry.server.take_log().is_empty());
    let nonsense = MediaType::from("a\nb");
    let error = client().push_manifest(&tagged, &nonsense, bytes.clone()).await.unwrap_err();
    assert!(matches!(error, PushError::MediaType { .. }), "{error}");

    registry.with(|oddities| oddities.wrong_content_digest = true);
    let error = put(&tagged).await.unwrap_err();
    assert!(matches!(error, PushError::Digest { .. }), "{error}");
}

#[tokio::test]
async fn tags_that_cannot_be_moved() {
    let registry = FakeRegistry::start(Oddities { immutable_tags: true, ..Oddities::default() }).await;
    let reference = registry.reference("a:v1");
    let put = async |text: &'static str| {
        client().push_manifest(&reference, &MediaType::OciIndex, Bytes::from_static(text.as_bytes())).await
    };
    put("{\"a\":1}").await.unwrap();
    put("{\"a\":1}").await.unwrap();
    let error = put("{\"a\":2}").await.unwrap_err();
    assert!(matches!(error, PushError::Request(RequestError::Denied { .. })), "{error}");
}

#[tokio::test]
async fn clients_that_trust_differently_share_their_limits() {
    let registry = FakeRegistry::start(Oddities {
        delay: Duration::from_millis(5),
        warning: Some("be careful"),
        ..Oddities::default()
    })
    .await;
    let strict = client();
    let careless = strict.trusting([registry.server.address.clone()]);
    assert!(strict.options().insecure_registries.is_empty());
    let blobs: Vec<Bytes> = (0..12).map(|n| noise(1_000 + n)).collect();
    let reference = registry.reference("a");
    let pushes =
        blobs.iter().flat_map(|bytes| [push(&strict, &reference, bytes), push(&careless, &reference, bytes)]);
    let outcomes = futures_util::future::join_all(pushes).await;
    let uploaded = outcomes.iter().filter(|outcome| matches!(outcome, Ok(BlobOutcome::Uploaded))).count();
    // What both push at the same time is sent once.
    assert_eq!((uploaded, outcomes.iter().filter(|outcome| outcome.is_ok()).count()), (12, 24));
    assert!(registry.server.peak.most() <= options().connections_per_registry);
    assert_eq!(strict.take_warnings().len(), 1);
    assert_eq!(careless.take_warnings(), []);
}
