//! Pushes and pulls through a proxy that does bad things, in front of a real registry: each ends with the very bytes, or
//! with an error that says what happened; never with something else, and never late. Without `docker-registry` in PATH
//! this is skipped.

mod proxy;
#[allow(dead_code, reason = "it serves another test, too")]
#[path = "../docker_registry/server.rs"]
mod server;

use bytes::Bytes;
use futures_util::{StreamExt, stream};
use proxy::{KINDS, Proxy, Random};
use registry_client::{
    client::{Client, ClientOptions, RangePolicy, RetryPolicy},
    descriptor::Descriptor,
    manifest::{Manifest, Manifests},
    media_type::MediaType,
    platform::Platform,
    pull::PullError,
    push::{BlobPush, BlobSource, ImagePush, PushError},
    reference::Reference,
};
use server::{Auth, DockerRegistry, Storage, have};
use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

const RUNS: u64 = 200;
const LAYERS: usize = 10;
/// A run that takes longer hangs, even on a machine with much else to do.
const LIMIT: Duration = Duration::from_secs(120);

/// The largest sizes of an image's layers: most are small, so that many requests of many kinds are made; the others take
/// many reads and writes, and several ranges.
const SIZES: [u64; LAYERS] = [8_000, 8_000, 8_000, 8_000, 8_000, 8_000, 8_000, 50_000, 100_000, 400_000];

/// By many small ranges, or by few large ones.
fn client(seed: u64) -> Client {
    let ranges = match seed % 3 {
        0 => RangePolicy { from: 6_000, part: 5_000, loopback: true },
        _ => RangePolicy { from: 50_000, part: 100_000, loopback: true },
    };
    Client::new(ClientOptions {
        retry: RetryPolicy {
            attempts: 4,
            first_pause: Duration::from_millis(2),
            longest_pause: Duration::from_millis(8),
            longest_retry_after: Duration::from_secs(1),
        },
        idle_timeout: Duration::from_secs(1),
        ranges,
        ..ClientOptions::default()
    })
}

/// An image and all of its bytes by digest, different for each seed.
struct Image {
    push: ImagePush,
    blobs: BTreeMap<String, Bytes>,
}

fn image(seed: u64) -> Image {
    let mut random = Random(seed);
    let mut parts = vec![(MediaType::OciConfig, Bytes::from(format!("{{\"seed\":{seed}}}")))];
    for size in SIZES {
        let length = random.below(size) as usize;
        let mut bytes: Vec<u8> = (0..length / 8 + 1).flat_map(|_| random.next().to_le_bytes()).collect();
        bytes.truncate(length);
        parts.push((MediaType::OciLayer, bytes.into()));
    }
    let descriptors: Vec<Descriptor> =
        parts.iter().map(|(media_type, bytes)| Descriptor::of(media_type.clone(), bytes)).collect();
    let manifest = Manifest {
        schema_version: 2,
        media_type: Some(MediaType::OciManifest),
        artifact_type: None,
        config: descriptors[0].clone(),
        layers: descriptors[1..].to_vec(),
        subject: None,
        annotations: Default::default(),
    };
    let manifest = Bytes::from(serde_json::to_vec(&manifest).unwrap());
    let blobs =
        descriptors.iter().zip(&parts).map(|(d, (_, bytes))| (d.digest.to_string(), bytes.clone())).collect();
    let push = descriptors.into_iter().zip(parts).map(|(descriptor, (_, bytes))| BlobPush {
        descriptor,
        source: BlobSource::bytes(bytes),
        mount_from: if seed % 8 < 4 { vec!["other".into()] } else { Vec::new() },
    });
    let push = ImagePush {
        blobs: push.collect(),
        manifests: Manifests { children: Vec::new(), top: (MediaType::OciManifest, manifest) },
        convert: false,
        verify: false,
    };
    Image { push, blobs }
}

/// Pulls all of an image. Whatever comes without an error must be what was pushed.
async fn pull(client: &Client, reference: &Reference, image: &Image) -> Result<(), PullError> {
    let pulled = client.image(reference, &Platform::new("linux", "amd64")).await?;
    assert_eq!(pulled.manifest_bytes.bytes, image.push.manifests.top.1, "{reference}: another manifest");
    let descriptors = pulled.manifest.layers.iter().chain([&pulled.manifest.config]);
    let blobs = descriptors.map(|descriptor| async {
        let bytes = client.blob_bytes(reference, descriptor, 4 << 20).await?;
        assert_eq!(bytes, image.blobs[&descriptor.digest.to_string()], "{reference}: another blob");
        Ok::<_, PullError>(())
    });
    futures_util::future::try_join_all(blobs).await?;
    Ok(())
}

/// What a run may end with.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Pushed,
    NotPushed,
    Pulled,
    NotPulled,
}

/// The text of an error names the registry and is no book.
fn check_text(text: &str, address: &str, seed: u64) {
    assert!(text.contains(address) && text.len() < 1_000, "seed {seed}: {text:?}");
}

async fn run(registry: &str, seed: u64, done: Arc<[AtomicUsize; KINDS]>) -> [End; 2] {
    // From a network that is nearly well to one that is hardly there.
    let percent = [2, 5, 10, 30][seed as usize % 4];
    let proxy = Proxy::start(registry, seed, percent, done).await;
    let image = image(seed);
    let reference = |address: &str| format!("{address}/run{seed}:v1").parse::<Reference>().unwrap();
    let (through, direct) = (reference(&proxy.address), reference(registry));
    let pushed =
        client(seed).push_image(std::slice::from_ref(&through), &image.push, Arc::new(|_, _| {})).await;
    let clean = Client::new(ClientOptions::default());
    let there = pull(&clean, &direct, &image);
    let first = match &pushed {
        Ok(_) => {
            there.await.unwrap_or_else(|error| panic!("seed {seed}: it was pushed, and now: {error}"));
            End::Pushed
        }
        // The registry was sent another manifest than ours, took it, and we noticed.
        Err(error @ PushError::Digest { .. }) => {
            check_text(&error.to_string(), &proxy.address, seed);
            End::NotPushed
        }
        Err(error) => {
            check_text(&error.to_string(), &proxy.address, seed);
            // Nothing is there, or all of it, and only the answer to the last request was lost.
            if let Err(left) = there.await {
                let text = left.to_string();
                assert!(
                    text.contains("MANIFEST_UNKNOWN") || text.contains("NAME_UNKNOWN"),
                    "seed {seed}: {text}"
                );
            }
            End::NotPushed
        }
    };
    if first == End::NotPushed {
        clean.push_image(std::slice::from_ref(&direct), &image.push, Arc::new(|_, _| {})).await.unwrap();
    }
    let second = match pull(&client(seed), &through, &image).await {
        Ok(()) => End::Pulled,
        Err(error) => {
            check_text(&error.to_string(), &proxy.address, seed);
            End::NotPulled
        }
    };
    [first, second]
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_bad_network_gives_the_right_bytes_or_an_error() {
    if !have("docker-registry") {
        return;
    }
    let registry = DockerRegistry::start_in(Storage::Memory, &Auth::None);
    let done: Arc<[AtomicUsize; KINDS]> = Arc::default();
    let runs = stream::iter(0..RUNS).map(|seed| {
        let run = run(&registry.address, seed, done.clone());
        async move { tokio::time::timeout(LIMIT, run).await.unwrap_or_else(|_| panic!("seed {seed} hangs")) }
    });
    let ends: Vec<[End; 2]> = runs.buffer_unordered(12).collect().await;
    let mut counts = BTreeMap::new();
    for end in ends.into_iter().flatten() {
        *counts.entry(end).or_insert(0) += 1;
    }
    // Otherwise the test has shown nothing.
    for end in [End::Pushed, End::NotPushed, End::Pulled, End::NotPulled] {
        assert!(counts.get(&end).is_some_and(|count| *count >= RUNS / 20), "{counts:?}");
    }
    let faults: Vec<usize> = done.iter().map(|count| count.load(Ordering::Relaxed)).collect();
    assert!(faults.iter().all(|count| *count >= 20), "{faults:?}");
}
