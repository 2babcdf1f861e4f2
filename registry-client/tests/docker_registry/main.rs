//! The client against a real registry server. Without `docker-registry` in PATH these tests are skipped.

mod server;

use bytes::Bytes;
use registry_client::{
    auth::Credentials,
    client::{Client, ClientOptions, RequestError, RetryPolicy},
    credentials::Store,
    descriptor::Descriptor,
    manifest::Manifest,
    media_type::MediaType,
    platform::Platform,
    pull::PullError,
    push::{BlobOutcome, BlobPush, BlobSource, ImagePush, PushBlobOptions, PushError, PushStep},
    reference::Reference,
};
use server::{Auth, DockerRegistry, have};
use std::{
    sync::{Arc, Mutex},
    time::Duration,
};
use tokio::io::AsyncReadExt;

fn client(credentials: Store) -> Client {
    Client::new(ClientOptions {
        credentials,
        retry: RetryPolicy { first_pause: Duration::from_millis(10), ..RetryPolicy::default() },
        ..ClientOptions::default()
    })
}

fn reference(registry: &DockerRegistry, rest: &str) -> Reference {
    format!("{}/{rest}", registry.address).parse().unwrap()
}

/// Bytes that repeat nowhere near.
fn noise(length: usize) -> Bytes {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes.into()
}

/// An image of an empty tar and a layer of noise (which no tool here unpacks), and a config that fits.
fn image(noise_length: usize) -> (ImagePush, Manifest) {
    let empty_tar = Bytes::from(vec![0; 1024]);
    let big = noise(noise_length);
    let config = serde_json::json!({
        "architecture": "amd64", "os": "linux", "config": {},
        "rootfs": {
            "type": "layers",
            "diff_ids": [Descriptor::of(MediaType::OciLayer, &empty_tar).digest, Descriptor::of(MediaType::OciLayer, &big).digest],
        },
    });
    let config = Bytes::from(serde_json::to_vec(&config).unwrap());
    let parts =
        [(MediaType::OciConfig, config), (MediaType::OciLayer, empty_tar), (MediaType::OciLayer, big)];
    let blobs: Vec<BlobPush> = parts
        .into_iter()
        .map(|(media_type, bytes)| BlobPush {
            descriptor: Descriptor::of(media_type, &bytes),
            source: BlobSource::bytes(bytes),
            mount_from: Vec::new(),
        })
        .collect();
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(MediaType::OciManifest),
        artifact_type: None,
        config: blobs[0].descriptor.clone(),
        layers: blobs[1..].iter().map(|blob| blob.descriptor.clone()).collect(),
        subject: None,
        annotations: Default::default(),
    };
    let bytes = Bytes::from(serde_json::to_vec(&manifest).unwrap());
    (ImagePush { blobs, children: Vec::new(), manifest: (MediaType::OciManifest, bytes) }, manifest)
}

/// Pushes an image twice and pulls it back.
async fn round_trip(client: &Client, target: &Reference) {
    let (image, manifest) = image(3 << 20);
    let outcomes = Arc::new(Mutex::new(Vec::new()));
    let push = || {
        let outcomes = outcomes.clone();
        client.push_image(
            std::slice::from_ref(target),
            &image,
            Arc::new(move |_, step| {
                if let PushStep::Done(outcome) = step {
                    outcomes.lock().unwrap().push(outcome);
                }
            }),
        )
    };
    let pushed = push().await.unwrap();
    assert_eq!(*outcomes.lock().unwrap(), [BlobOutcome::Uploaded; 3]);
    outcomes.lock().unwrap().clear();
    assert_eq!(push().await.unwrap(), pushed);
    assert_eq!(*outcomes.lock().unwrap(), [BlobOutcome::Existed; 3]);

    assert_eq!(client.resolve(target).await.unwrap(), pushed);
    let pulled = client.image(target, &Platform::new("linux", "amd64")).await.unwrap();
    assert_eq!(pulled.manifest, manifest);
    assert_eq!(pulled.manifest_bytes.bytes, image.manifest.1);
    let by_digest = target.without_identifier().with_digest(pushed.digest);
    assert_eq!(client.manifest(&by_digest).await.unwrap(), pulled.manifest_bytes);
    for layer in &pulled.manifest.layers {
        let mut bytes = Vec::new();
        client.blob(target, layer).unwrap().into_reader().read_to_end(&mut bytes).await.unwrap();
        assert_eq!(Descriptor::of(layer.media_type.clone(), &bytes), *layer);
    }
}

#[tokio::test]
async fn plain() {
    if !have("docker-registry") {
        return;
    }
    let registry = DockerRegistry::start(&Auth::None);
    let client = client(Store::default());
    let target = reference(&registry, "a/b:v1");
    client.ping(target.registry()).await.unwrap();
    round_trip(&client, &target).await;
    let missing = client.resolve(&target.with_tag("v2").unwrap()).await.unwrap_err();
    let PullError::Request(RequestError::NotFound { .. }) = &missing else { panic!("{missing}") };
    assert!(missing.to_string().contains("MANIFEST_UNKNOWN"), "{missing}");
    assert!(missing.to_string().contains(&format!("\"v2\" at {}/a/b", registry.address)), "{missing}");
}

#[tokio::test]
async fn mounts_and_streams() {
    if !have("docker-registry") {
        return;
    }
    let registry = DockerRegistry::start(&Auth::None);
    let client = client(Store::default());
    let (from, to) = (reference(&registry, "from"), reference(&registry, "to"));
    let bytes = noise(1 << 20);
    let descriptor = client
        .push_stream(&from, MediaType::OciLayer, &BlobSource::bytes(bytes.clone()), None)
        .await
        .unwrap();
    assert_eq!(descriptor, Descriptor::of(MediaType::OciLayer, &bytes));
    assert!(client.blob_exists(&from, &descriptor.digest).await.unwrap());
    assert!(!client.blob_exists(&to, &descriptor.digest).await.unwrap());
    // This source must not be read.
    let untouched = BlobSource::stream(|| async {
        Err::<futures_util::stream::Empty<_>, _>(std::io::Error::other("the blob is there already"))
    });
    let options = PushBlobOptions { mount_from: vec!["none/such".into(), "from".into()], progress: None };
    let outcome = client.push_blob(&to, &descriptor, &untouched, &options).await.unwrap();
    assert_eq!(outcome, BlobOutcome::Mounted);
    assert!(client.blob_exists(&to, &descriptor.digest).await.unwrap());

    // A mount that fails falls through to an upload.
    let other = noise(1000);
    let descriptor = Descriptor::of(MediaType::OciLayer, &other);
    let outcome = client.push_blob(&to, &descriptor, &BlobSource::bytes(other), &options).await.unwrap();
    assert_eq!(outcome, BlobOutcome::Uploaded);
    assert!(client.blob_exists(&to, &descriptor.digest).await.unwrap());

    // What is not what its descriptor says is refused by us or by the registry, and is not there afterwards.
    let mut wrong = Descriptor::of(MediaType::OciLayer, b"right");
    let error = client
        .push_blob(&to, &wrong, &BlobSource::bytes("wrong"), &PushBlobOptions::default())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("DIGEST_INVALID"), "{error}");
    wrong.size += 1;
    let error = client
        .push_blob(&to, &wrong, &BlobSource::bytes("right"), &PushBlobOptions::default())
        .await
        .unwrap_err();
    assert!(error.to_string().contains("ended after 5 of 6 bytes"), "{error}");
    assert!(!client.blob_exists(&to, &wrong.digest).await.unwrap());
}

#[tokio::test]
async fn htpasswd() {
    if !have("docker-registry") {
        return;
    }
    let registry = DockerRegistry::start(&Auth::Htpasswd);
    let target = reference(&registry, "a/b:v1");
    let with = |password| client(Store::of(&registry.address, Credentials::password("tester", password)));
    let good = with("secret");
    good.ping(target.registry()).await.unwrap();
    round_trip(&good, &target).await;

    for (client, had) in [(client(Store::default()), false), (with("wrong"), true)] {
        let error = client.ping(target.registry()).await.unwrap_err();
        let RequestError::Unauthorized { had_credentials, .. } = error else { panic!("{error}") };
        assert_eq!(had_credentials, had);
        let error = client.manifest(&target).await.unwrap_err();
        assert!(matches!(error, PullError::Request(RequestError::Unauthorized { .. })), "{error}");
        let bytes = Bytes::from_static(b"{}");
        let error = client.push_manifest(&target, &MediaType::OciManifest, bytes).await.unwrap_err();
        assert!(matches!(error, PushError::Request(RequestError::Unauthorized { .. })), "{error}");
    }
}
