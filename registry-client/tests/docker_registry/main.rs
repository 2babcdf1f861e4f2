//! The client against a real registry server. Without `docker-registry` in PATH these tests are skipped.

mod server;
mod tokens;

use bytes::Bytes;
use registry_client::{
    auth::Credentials,
    client::{Client, ClientOptions, RequestError, RetryPolicy},
    configuration::{ConfigurationFiles, ConfigurationSource},
    copy::CopyOptions,
    credentials::Store,
    descriptor::Descriptor,
    manifest::{Index, Manifest, Manifests},
    media_type::{Family, MediaType},
    platform::Platform,
    pull::PullError,
    push::{BlobOutcome, BlobPush, BlobSource, ImagePush, Mount, PushBlobOptions, PushError, PushStep},
    reference::Reference,
};
use server::{Auth, DockerRegistry, KeyPair, have};
use std::{
    path::Path,
    process::Command,
    sync::{Arc, Mutex, atomic::Ordering},
    time::Duration,
};
use tokens::TokenServer;
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
    let manifests = Manifests { children: Vec::new(), top: (MediaType::OciManifest, bytes) };
    (ImagePush { blobs, manifests, convert: false, verify: false }, manifest)
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
    assert_eq!(pulled.manifest_bytes.bytes, image.manifests.top.1);
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

#[tokio::test]
async fn tokens() {
    if !have("docker-registry") || !have("openssl") {
        return;
    }
    let pair = Arc::new(KeyPair::generate());
    let server = TokenServer::start(pair.clone());
    let auth = Auth::Token { realm: &server.realm, certificate: &pair.certificate };
    let registry = DockerRegistry::start(&auth);
    let target = reference(&registry, "a/b:v1");
    let owner = client(Store::of(&registry.address, Credentials::password("tester", "secret")));
    owner.ping(target.registry()).await.unwrap();
    round_trip(&owner, &target).await;
    // One for the ping, and one for all that was pushed and pulled.
    assert_eq!(server.given.load(Ordering::Relaxed), 2);

    // A mount needs rights on both repositories, in one token.
    let layer =
        owner.image(&target, &Platform::new("linux", "amd64")).await.unwrap().manifest.layers[0].clone();
    let other = reference(&registry, "c/d");
    let mounted = owner.mount(&other, &layer.digest, "a/b").await.unwrap();
    assert!(matches!(mounted, Mount::Mounted), "{mounted:?}");

    let anyone = client(Store::default());
    anyone.manifest(&target).await.unwrap();
    let bytes = Bytes::from_static(b"{}");
    let error = anyone.push_manifest(&target, &MediaType::OciManifest, bytes).await.unwrap_err();
    assert!(matches!(error, PushError::Request(RequestError::Unauthorized { .. })), "{error}");
}

#[tokio::test]
async fn https() {
    if !have("docker-registry") || !have("openssl") {
        return;
    }
    let pair = KeyPair::generate();
    let registry = DockerRegistry::start(&Auth::Tls(&pair));
    let target = reference(&registry, "a/b:v1");

    let pem = std::fs::read(&pair.certificate).unwrap();
    let trusting = Client::new(ClientOptions { extra_ca_pem: vec![pem], ..ClientOptions::default() });
    round_trip(&trusting, &target).await;
    let insecure = [registry.address.clone()].into();
    let careless = Client::new(ClientOptions { insecure_registries: insecure, ..ClientOptions::default() });
    careless.manifest(&target).await.unwrap();

    // Whoever does not trust the certificate is told so, and does not go on without TLS.
    let other = std::fs::read(KeyPair::generate().certificate.clone()).unwrap();
    let distrusting = Client::new(ClientOptions { extra_ca_pem: vec![other], ..ClientOptions::default() });
    let error = distrusting.manifest(&target).await.unwrap_err();
    assert!(matches!(error, PullError::Request(RequestError::Tls { .. })), "{error}");
    assert!(error.to_string().contains("CA certificate"), "{error}");
    let broken = Client::new(ClientOptions {
        extra_ca_pem: vec![b"-----BEGIN CERTIFICATE-----\nx".into()],
        ..ClientOptions::default()
    });
    let error = broken.manifest(&target).await.unwrap_err();
    assert!(matches!(error, PullError::Request(RequestError::Setup { .. })), "{error}");

    // Nor does who knows nothing of its certificate and speaks plain HTTP to it at first.
    let plain = Client::new(ClientOptions::default());
    for _ in 0..2 {
        let error = plain.manifest(&target).await.unwrap_err();
        assert!(matches!(error, PullError::Request(RequestError::Tls { .. })), "{error}");
    }
}

#[tokio::test]
async fn certificates_of_a_directory() {
    if !have("docker-registry") {
        return;
    }
    let (server, user) = (KeyPair::generate(), KeyPair::generate());
    let registry = DockerRegistry::start(&Auth::MutualTls(&server, &user));
    let target = reference(&registry, "a/b:v1");
    let certs_d = tempfile::tempdir().unwrap();
    let own = certs_d.path().join(&registry.address);
    std::fs::create_dir(&own).unwrap();
    let client = || {
        Client::new(ClientOptions {
            retry: RetryPolicy { first_pause: Duration::from_millis(10), ..RetryPolicy::default() },
            configuration: ConfigurationSource::Files {
                files: ConfigurationFiles {
                    certificates: vec![certs_d.path().into()],
                    ..ConfigurationFiles::default()
                },
                mirrors: Default::default(),
            },
            ..ClientOptions::default()
        })
    };
    let error = client().manifest(&target).await.unwrap_err();
    assert!(matches!(error, PullError::Request(RequestError::Tls { .. })), "{error}");
    std::fs::copy(&server.certificate, own.join("server.crt")).unwrap();
    // The server is trusted now, but does not know us.
    let error = client().manifest(&target).await.unwrap_err();
    assert!(matches!(error, PullError::Request(RequestError::Tls { .. })), "{error}");
    assert!(error.to_string().contains("client certificate"), "{error}");
    std::fs::copy(&user.certificate, own.join("user.cert")).unwrap();
    let error = client().manifest(&target).await.unwrap_err();
    assert!(error.to_string().contains("user.cert cannot be used: its key"), "{error}");
    std::fs::copy(&user.key, own.join("user.key")).unwrap();
    round_trip(&client(), &target).await;

    // Without extensions openssl signs certificates of version 1; a server in Go takes them.
    let (certificate, key) = user.sign_client();
    std::fs::write(own.join("user.cert"), certificate).unwrap();
    let error = client().manifest(&target).await.unwrap_err();
    assert!(error.to_string().contains("the *.key file is not that of the certificate"), "{error}");
    std::fs::write(own.join("user.key"), key).unwrap();
    client().manifest(&target).await.unwrap();
    // With an unchecked server, too.
    std::fs::remove_file(own.join("server.crt")).unwrap();
    let insecure = [registry.address.clone()].into();
    let careless = ClientOptions { insecure_registries: insecure, ..client().options().clone() };
    Client::new(careless).manifest(&target).await.unwrap();
}

/// This registry lists no referrers: they are found by the tag of the subject's digest, and go along with a copy.
#[tokio::test]
async fn referrers_and_copies() {
    if !have("docker-registry") {
        return;
    }
    let (from, to) = (DockerRegistry::start(&Auth::None), DockerRegistry::start(&Auth::Htpasswd));
    let credentials = Credentials::password("tester", "secret");
    let client = client(Store::of(&to.address, credentials));
    let (source, target) = (reference(&from, "a/b:v1"), reference(&to, "c:v2"));
    let (image, manifest) = image(2 << 20);
    let nothing: registry_client::push::OnStep = Arc::new(|_, _| {});
    let pushed = client.push_image(std::slice::from_ref(&source), &image, nothing.clone()).await.unwrap();
    let signature = Manifest {
        artifact_type: Some("application/vnd.example.signature".to_owned()),
        layers: Vec::new(),
        subject: Some(pushed.clone()),
        annotations: [("by".to_owned(), "tester".to_owned())].into(),
        ..manifest.clone()
    };
    let bytes = Bytes::from(serde_json::to_vec(&signature).unwrap());
    let signature = client.push_manifest(&source.without_identifier(), &MediaType::OciManifest, bytes).await;
    let signature = signature.unwrap().descriptor;

    let options = CopyOptions { referrers: true, ..CopyOptions::default() };
    client.copy(&source, std::slice::from_ref(&target), &options, nothing).await.unwrap();
    for place in [&source, &target] {
        assert_eq!(client.resolve(place).await.unwrap(), pushed);
        let found = client.referrers(place, None).await.unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].digest, signature.digest);
        assert_eq!(found[0].annotations["by"], "tester");
        assert_eq!(found[0].artifact_type.as_deref(), Some("application/vnd.example.signature"));
        assert_eq!(client.referrers(place, Some("application/other")).await.unwrap(), []);
        for layer in &manifest.layers {
            client.blob_bytes(place, layer, 3 << 20).await.unwrap();
        }
    }
}

/// What we write for a registry that takes one family alone is taken by a real one, and read by skopeo.
#[tokio::test]
async fn both_families() {
    if !have("docker-registry") || !have("skopeo") {
        return;
    }
    let registry = DockerRegistry::start(&Auth::None);
    let directory = tempfile::tempdir().unwrap();
    let (client, auth_file) = (client(Store::default()), directory.path().join("auth.json"));
    std::fs::write(&auth_file, "{}").unwrap();
    let (mut image, manifest) = image(1 << 20);
    let child = image.manifests.top.clone();
    let mut entry = Descriptor::of(child.0.clone(), &child.1);
    entry.platform = Some(Platform::new("linux", "amd64"));
    let index = Index { manifests: vec![entry], ..Index::empty() };
    let index = Bytes::from(serde_json::to_vec(&index).unwrap());
    image.manifests = Manifests { children: vec![child], top: (MediaType::OciIndex, index) };
    for family in [Family::Docker, Family::Oci] {
        image.manifests = image.manifests.converted(family).unwrap().manifests;
        let target = reference(&registry, &format!("app:{family}"));
        let nothing: registry_client::push::OnStep = Arc::new(|_, _| {});
        let pushed = client.push_image(std::slice::from_ref(&target), &image, nothing).await.unwrap();
        assert_eq!(pushed.media_type, family.index());
        let pulled = client.image(&target, &Platform::new("linux", "amd64")).await.unwrap();
        assert_eq!(pulled.indexes[0].descriptor, pushed);
        assert_eq!(pulled.manifest.media_type, Some(family.manifest()));
        let url = format!("docker://{target}");
        let config = skopeo(&["inspect", "--config", "--raw", "--tls-verify=false", &url], &auth_file);
        assert_eq!(Descriptor::of(family.config(), &config), pulled.manifest.config);
        let layers: Vec<_> = pulled.manifest.layers.iter().map(|layer| layer.digest).collect();
        assert_eq!(layers, manifest.layers.iter().map(|layer| layer.digest).collect::<Vec<_>>());
        let copy = format!("dir:{}", directory.path().join(family.to_string()).display());
        skopeo(&["copy", "--src-tls-verify=false", &url, &copy], &auth_file);
    }
}

/// `skopeo`, with its standard output.
fn skopeo(arguments: &[&str], auth_file: &Path) -> Vec<u8> {
    let mut command = Command::new("skopeo");
    command.args(arguments).arg("--authfile").arg(auth_file);
    let output = command.output().unwrap();
    assert!(output.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
    output.stdout
}

#[tokio::test]
async fn skopeo_reads_what_we_push_and_we_read_what_it_pushes() {
    if !have("docker-registry") || !have("skopeo") {
        return;
    }
    let registry = DockerRegistry::start(&Auth::Htpasswd);
    let directory = tempfile::tempdir().unwrap();
    // Our login is skopeo's login.
    let auth_file = directory.path().join("auth.json");
    let store = Store::new(vec![auth_file.clone()]);
    store.save(&registry.address, &Credentials::password("tester", "secret")).await.unwrap();
    let client = client(store);

    let target = reference(&registry, "ours/app:v1");
    let (image, manifest) = image(1 << 20);
    let pushed = client.push_image(std::slice::from_ref(&target), &image, Arc::new(|_, _| {})).await.unwrap();
    let url = format!("docker://{target}");
    let raw = skopeo(&["inspect", "--raw", "--tls-verify=false", &url], &auth_file);
    assert_eq!(raw, image.manifests.top.1);
    let copy = format!("dir:{}", directory.path().join("copy").display());
    skopeo(&["copy", "--src-tls-verify=false", &url, &copy], &auth_file);
    for descriptor in manifest.layers.iter().chain([&manifest.config]) {
        let bytes = std::fs::read(directory.path().join("copy").join(descriptor.digest.hex())).unwrap();
        assert_eq!(Descriptor::of(descriptor.media_type.clone(), &bytes), *descriptor);
    }

    let theirs = reference(&registry, "theirs/app:v2");
    skopeo(&["copy", "--dest-tls-verify=false", &copy, &format!("docker://{theirs}")], &auth_file);
    let pulled = client.image(&theirs, &Platform::new("linux", "amd64")).await.unwrap();
    assert_eq!(pulled.manifest_bytes.descriptor, pushed);
    for layer in &pulled.manifest.layers {
        client.blob_bytes(&theirs, layer, 2 << 20).await.unwrap();
    }
}
