//! Blobs that come over several connections.

use super::*;
use crate::client::RangePolicy;
use std::time::Duration;

const PART: u64 = 1000;

fn by_parts(connections: usize) -> Client {
    let ranges = RangePolicy { from: 2000, part: PART, loopback: true };
    Client::new(ClientOptions { ranges, connections_per_registry: connections, ..options() })
}

/// The ranges of the requests so far, sorted; whole requests are empty.
fn ranges(registry: &FakeRegistry) -> Vec<String> {
    let log = registry.server.take_log();
    let mut ranges: Vec<String> =
        log.iter().map(|request| request.header("range").unwrap_or_default().to_owned()).collect();
    ranges.sort();
    ranges
}

#[tokio::test]
async fn a_large_blob_comes_in_parts_at_once() {
    let oddities = Oddities { delay: Duration::from_millis(20), ..Oddities::default() };
    let registry = FakeRegistry::start(oddities).await;
    let bytes = noise(5_400);
    let descriptor = registry.put_blob("a", &bytes);
    let got = read(by_parts(4).blob(&registry.reference("a"), &descriptor).unwrap()).await.unwrap();
    assert_eq!(got, bytes);
    let wanted = [
        "bytes=0-999",
        "bytes=1000-1999",
        "bytes=2000-2999",
        "bytes=3000-3999",
        "bytes=4000-4999",
        "bytes=5000-",
    ];
    assert_eq!(ranges(&registry), wanted);
    let most = registry.server.peak.most();
    assert!((2..=4).contains(&most), "{most} at once");

    // One that is small does without.
    let small = noise(1999);
    let descriptor = registry.put_blob("a", &small);
    let got = read(by_parts(4).blob(&registry.reference("a"), &descriptor).unwrap()).await.unwrap();
    assert_eq!(got, small);
    assert_eq!(ranges(&registry), [""]);
}

#[tokio::test]
async fn a_registry_of_this_machine_is_asked_once() {
    let registry = FakeRegistry::start(Oddities::default()).await;
    let bytes = noise(5_400);
    let descriptor = registry.put_blob("a", &bytes);
    let ranges = RangePolicy { from: 2000, part: PART, ..RangePolicy::default() };
    let client = Client::new(ClientOptions { ranges, ..options() });
    assert_eq!(read(client.blob(&registry.reference("a"), &descriptor).unwrap()).await.unwrap(), bytes);
    assert_eq!(self::ranges(&registry), [""]);
}

#[tokio::test]
async fn what_waits_is_bounded() {
    let registry = FakeRegistry::start(Oddities::default()).await;
    let bytes = noise(20_000);
    let descriptor = registry.put_blob("a", &bytes);
    let client = by_parts(3);
    let mut blob = client.blob(&registry.reference("a"), &descriptor).unwrap();
    let first = blob.chunk().await.unwrap().unwrap();
    assert!(!first.is_empty());
    // Nobody reads on; the others fetch their part each, and then they wait.
    tokio::time::sleep(Duration::from_millis(100)).await;
    assert_eq!(ranges(&registry).len(), 3);
    drop(blob);
    // Dropped, it holds no place any more.
    let got = read(client.blob(&registry.reference("a"), &descriptor).unwrap()).await.unwrap();
    assert_eq!(got, bytes);
}

#[tokio::test]
async fn with_one_connection_few_requests_do() {
    let registry = FakeRegistry::start(Oddities::default()).await;
    let bytes = noise(20_000);
    let descriptor = registry.put_blob("a", &bytes);
    let got = read(by_parts(1).blob(&registry.reference("a"), &descriptor).unwrap()).await.unwrap();
    assert_eq!(got, bytes);
    assert_eq!(ranges(&registry), ["bytes=0-15999", "bytes=16000-"]);
}

#[tokio::test]
async fn blobs_share_the_connections() {
    let oddities = Oddities { delay: Duration::from_millis(2), ..Oddities::default() };
    let registry = FakeRegistry::start(oddities).await;
    let blobs: Vec<Bytes> = (0..6).map(|n| noise(9_000 + n * 100)).collect();
    let descriptors: Vec<Descriptor> = blobs.iter().map(|bytes| registry.put_blob("a", bytes)).collect();
    let (client, reference) = (by_parts(3), registry.reference("a"));
    let reads = descriptors.iter().map(|descriptor| read(client.blob(&reference, descriptor).unwrap()));
    let got = futures_util::future::try_join_all(reads).await.unwrap();
    assert_eq!(got, blobs);
    assert!(registry.server.peak.most() <= 3, "{} at once", registry.server.peak.most());
}

#[tokio::test]
async fn each_cut_is_mended() {
    let registry = FakeRegistry::start(Oddities::default()).await;
    let bytes = noise(6_000);
    let descriptor = registry.put_blob("a", &bytes);
    let (client, reference) = (by_parts(4), registry.reference("a"));
    for cut in (0..1000).step_by(77) {
        registry.with(|oddities| oddities.cut_blobs = [1000, cut, 1000, cut / 2].into());
        let got = read(client.blob(&reference, &descriptor).unwrap()).await;
        assert_eq!(got.unwrap_or_else(|error| panic!("cut at {cut}: {error}")), bytes);
        let sizes = ranges(&registry);
        assert!(sizes.len() <= 6 + 3 && !sizes.contains(&String::new()), "{sizes:?}");
    }
}

#[tokio::test]
async fn servers_that_take_no_ranges() {
    let bytes = noise(6_000);
    for (oddities, requests) in [
        (Oddities { ignore_range: true, ..Oddities::default() }, 1),
        (Oddities { range_status: Some(416), ..Oddities::default() }, 2),
        (Oddities { range_status: Some(400), ..Oddities::default() }, 2),
        (Oddities { range_status: Some(501), ..Oddities::default() }, 2),
    ] {
        let registry = FakeRegistry::start(oddities).await;
        let descriptor = registry.put_blob("a", &bytes);
        let got = read(by_parts(4).blob(&registry.reference("a"), &descriptor).unwrap()).await.unwrap();
        assert_eq!(got, bytes);
        assert_eq!(ranges(&registry).len(), requests);
    }
}

#[tokio::test]
async fn shorter_ranges_than_asked_for() {
    let oddities = Oddities { longest_range: Some(700), ..Oddities::default() };
    let registry = FakeRegistry::start(oddities).await;
    let bytes = noise(6_000);
    let descriptor = registry.put_blob("a", &bytes);
    let got = read(by_parts(2).blob(&registry.reference("a"), &descriptor).unwrap()).await.unwrap();
    assert_eq!(got, bytes);
}

#[tokio::test]
async fn ranges_of_something_else() {
    let registry = FakeRegistry::start(Oddities { range_total: Some(6_001), ..Oddities::default() }).await;
    let descriptor = registry.put_blob("a", &noise(6_000));
    let error = read(by_parts(4).blob(&registry.reference("a"), &descriptor).unwrap()).await.unwrap_err();
    assert!(matches!(error, PullError::Size { want: 6_000, got: 6_001, .. }), "{error}");

    registry.with(|oddities| *oddities = Oddities { corrupt_blobs: true, ..Oddities::default() });
    let error = read(by_parts(4).blob(&registry.reference("a"), &descriptor).unwrap()).await.unwrap_err();
    assert!(matches!(error, PullError::Digest { .. }), "{error}");
}

/// A server that has too much to do is left in peace: one connection goes on.
#[tokio::test]
async fn too_many_requests_end_the_parts() {
    let registry = FakeRegistry::start(Oddities::default()).await;
    let bytes = noise(40_000);
    let descriptor = registry.put_blob("a", &bytes);
    let mut blob = by_parts(4).blob(&registry.reference("a"), &descriptor).unwrap();
    let mut got = blob.chunk().await.unwrap().unwrap().to_vec();
    registry.with(|oddities| oddities.failures = vec![(429, Some("0".to_owned())); 2].into());
    while let Some(chunk) = blob.chunk().await.unwrap() {
        got.extend_from_slice(&chunk);
    }
    assert_eq!(got, bytes);
    let asked = ranges(&registry);
    assert!(asked.len() < 12, "{asked:?}");
    assert!(asked.iter().any(|range| range.ends_with('-')), "the rest in one: {asked:?}");
}

/// Parts ahead go to the storage at once; when it does not take the URL any more, the registry gives another.
#[tokio::test]
async fn storage_whose_urls_expire() {
    let bytes = noise(8_000);
    let requests = Arc::new(AtomicUsize::new(0));
    let storage = Server::start({
        let (bytes, requests) = (bytes.clone(), requests.clone());
        move |request: &Request| {
            assert_eq!(request.header("authorization"), None);
            if requests.fetch_add(1, Ordering::Relaxed) == 3 {
                return Reply::new(403).body("Request has expired");
            }
            let range = request.header("range").and_then(|range| range.strip_prefix("bytes=")).unwrap();
            let (start, last) = range.split_once('-').unwrap();
            let start: usize = start.parse().unwrap();
            let last = last.parse().unwrap_or(bytes.len() - 1);
            let content_range = format!("bytes {start}-{last}/{}", bytes.len());
            Reply::new(206).header("Content-Range", content_range).body(bytes.slice(start..=last))
        }
    })
    .await;
    let oddities = Oddities { redirect_blobs: Some(storage.address.clone()), ..Oddities::default() };
    let registry = FakeRegistry::start(oddities).await;
    let descriptor = registry.put_blob("a", &bytes);
    let got = read(by_parts(3).blob(&registry.reference("a"), &descriptor).unwrap()).await.unwrap();
    assert_eq!(got, bytes);
    let redirects = registry.server.take_log().len();
    assert_eq!(redirects, 2, "the first, and the one after the refusal");
    assert!(storage.take_log().len() >= 5, "the three at first, one refused, and the rest");
}

/// A part that failed has given its place back before anyone noticed; what is fetched ahead may have it by then.
#[tokio::test]
async fn a_blob_does_not_wait_for_its_own_parts() {
    for connections in [2, 3, 4] {
        let registry = FakeRegistry::start(Oddities::default()).await;
        let bytes = noise(20_000);
        let descriptor = registry.put_blob("a", &bytes);
        let client = by_parts(connections);
        let reading = async {
            // Two, so that each may wait for places of the other.
            let blobs = [(); 2].map(|()| async {
                let mut blob = client.blob(&registry.reference("a"), &descriptor).unwrap();
                let mut got = Vec::new();
                while let Some(chunk) = blob.chunk().await.unwrap() {
                    got.extend_from_slice(&chunk);
                    if got.len() % 3_000 == 0 {
                        // What is fetched now is cut, and that is known before it is wanted.
                        registry.with(|oddities| oddities.cut_blobs.push_back(100));
                        tokio::time::sleep(Duration::from_millis(20)).await;
                    }
                }
                assert_eq!(got, bytes);
            });
            futures_util::future::join_all(blobs).await;
        };
        let in_time = tokio::time::timeout(Duration::from_secs(20), reading).await;
        assert!(in_time.is_ok(), "{connections} connections: it hangs");
    }
}

/// A program that pulls at its default settings is to stay below 48 MiB; what it is itself, and what is on its way through
/// it, takes most of that.
#[test]
fn the_defaults_let_little_wait() {
    let options = ClientOptions::default();
    let waiting = options.ranges.part * options.connections_per_registry as u64;
    assert!(waiting <= 8 << 20, "{waiting} bytes");
    assert!(options.ranges.from >= 2 * waiting);
}
