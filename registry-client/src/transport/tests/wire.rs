//! Failures, retries, redirects, connections.

use super::*;
use crate::{
    auth::Credentials,
    client::{Client, ClientOptions},
    credentials::Store,
    push::{BlobSource, PushBlobOptions},
    testing::{FakeRegistry, Oddities, Reply, Server, client, client_with, http::Request, options},
    transport::error::is_obeyed,
};
use std::{
    sync::{Arc, Mutex, atomic::Ordering},
    time::{Duration, Instant},
};

#[tokio::test]
async fn passing_failures_are_retried() {
    let registry = FakeRegistry::start(Oddities::default()).await;
    registry.put_manifest("a", "v1", OCI, &manifest());
    let (client, reference) = (client(), registry.reference("a:v1"));
    for status in [0, 408, 425, 429, 500, 502, 503, 504] {
        registry.with(|oddities| oddities.failures = [(status, None), (status, None), (status, None)].into());
        client.manifest(&reference).await.unwrap_or_else(|error| panic!("{status}: {error}"));
        assert_eq!(registry.server.take_log().len(), 4, "{status}");
        registry.with(|oddities| oddities.failures = (0..4).map(|_| (status, None)).collect());
        let error = request_error(client.manifest(&reference).await.unwrap_err());
        assert_eq!(registry.server.take_log().len(), 4, "{status}");
        match (status, &error) {
            (0, RequestError::Unreachable { .. }) | (429, RequestError::RateLimited { .. }) => {}
            (_, RequestError::Status { status: got, .. }) if *got == status => {}
            _ => panic!("{status}: {error}"),
        }
    }
    for status in [400, 403, 405, 501] {
        registry.with(|oddities| oddities.failures = [(status, None)].into());
        client.manifest(&reference).await.unwrap_err();
        assert_eq!(registry.server.take_log().len(), 1, "{status} is final");
    }
}

#[tokio::test]
async fn retry_after_is_waited_for() {
    let registry = FakeRegistry::start(Oddities::default()).await;
    registry.put_manifest("a", "v1", OCI, &manifest());
    let (client, reference) = (client(), registry.reference("a:v1"));
    registry.with(|oddities| oddities.failures = [(429, Some("1".into()))].into());
    let start = Instant::now();
    client.manifest(&reference).await.unwrap();
    assert!(start.elapsed() >= Duration::from_secs(1), "{:?}", start.elapsed());

    registry.with(|oddities| oddities.failures = [(429, Some("7200".into()))].into());
    let start = Instant::now();
    let error = request_error(client.manifest(&reference).await.unwrap_err());
    assert!(start.elapsed() < Duration::from_secs(1), "nobody waits two hours");
    assert!(
        error.to_string().contains("TOOMANYREQUESTS: it is so); try again in 2 hours, or log"),
        "{error}"
    );
}

#[tokio::test]
async fn nobody_listens() {
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let reference = format!("127.0.0.1:{port}/a").parse().unwrap();
    let error = request_error(client().manifest(&reference).await.unwrap_err());
    assert!(matches!(error, RequestError::Unreachable { .. }), "{error}");
    let text = error.to_string();
    assert!(text.starts_with(&format!("cannot get manifest \"latest\" at 127.0.0.1:{port}/a: ")), "{text}");
    assert!(text.contains("onnection refused"), "{text}");
}

#[tokio::test]
async fn a_silent_server() {
    let server = Server::start(|_: &_| Reply { delay: Duration::from_secs(60), ..Reply::new(200) }).await;
    let client = Client::new(ClientOptions { idle_timeout: Duration::from_millis(50), ..options() });
    let reference = format!("{}/a", server.address).parse().unwrap();
    let error = request_error(client.manifest(&reference).await.unwrap_err());
    assert!(matches!(error, RequestError::Timeout { .. }), "{error}");
    assert_eq!(server.take_log().len(), 4);
}

#[tokio::test]
async fn what_takes_too_long_in_all_ends() {
    let registry = FakeRegistry::start(Oddities::default()).await;
    registry.put_manifest("a", "v1", OCI, &manifest());
    registry.with(|oddities| oddities.failures = vec![(503, Some("1".to_owned())); 3].into());
    let client = Client::new(ClientOptions { total_timeout: Duration::from_millis(200), ..options() });
    let start = Instant::now();
    let error = request_error(client.manifest(&registry.reference("a:v1")).await.unwrap_err());
    assert!(matches!(error, RequestError::Overdue { .. }), "{error}");
    assert!(error.to_string().ends_with("it is not done after 0.2 s"), "{error}");
    assert!(start.elapsed() < Duration::from_secs(2), "{:?}", start.elapsed());
}

#[tokio::test]
async fn a_slow_upload_is_not_a_silent_one() {
    let registry = FakeRegistry::start(Oddities::default()).await;
    let client = Client::new(ClientOptions { idle_timeout: Duration::from_millis(600), ..options() });
    let descriptor = crate::descriptor::Descriptor::of("x".into(), &[b'x'; 10]);
    // Ten bytes in a second.
    let source = BlobSource::stream(|| async {
        Ok(futures_util::stream::unfold(0, |sent| async move {
            tokio::time::sleep(Duration::from_millis(100)).await;
            (sent < 10).then(|| (Ok(Bytes::from_static(b"x")), sent + 1))
        }))
    });
    let how = PushBlobOptions::default();
    client.push_blob(&registry.reference("a"), &descriptor, &source, &how).await.unwrap();
    let uploads = registry.server.take_lines().iter().filter(|line| line.starts_with("PUT")).count();
    assert_eq!(uploads, 1);
}

#[tokio::test]
async fn redirects() {
    let target = Server::start(|request: &crate::testing::http::Request| {
        assert_eq!(request.header("authorization"), None);
        Reply::new(200).header("Content-Type", OCI).body(manifest())
    })
    .await;
    let location = format!("http://{}/elsewhere", target.address);
    let server = Server::start(move |request: &crate::testing::http::Request| {
        if request.header("authorization").is_none() {
            return Reply::new(401).header("WWW-Authenticate", "Basic");
        }
        match request.path() {
            "/v2/loop/manifests/latest" => Reply::new(302).header("Location", "/v2/loop/manifests/latest"),
            "/v2/file/manifests/latest" => Reply::new(302).header("Location", "file:///etc/passwd"),
            "/v2/bad/manifests/latest" => Reply::new(302).header("Location", "http://[bad"),
            "/v2/none/manifests/latest" => Reply::new(302),
            "/v2/near/manifests/latest" => Reply::new(301).header("Location", "far"),
            _ => Reply::new(307).header("Location", &location),
        }
    })
    .await;
    let client = client_with(Store::of(&server.address, Credentials::password("me", "secret")));
    let get = async |name: &str| {
        client.manifest(&format!("{}/{name}", server.address).parse().unwrap()).await.map_err(request_error)
    };
    assert_eq!(get("near").await.unwrap().bytes, manifest());
    assert_eq!(target.take_lines(), ["GET /elsewhere"]);
    for (name, why) in [
        ("loop", "redirects more than 10 times"),
        ("file", "redirects to another protocol"),
        ("bad", "redirects to what is no URL"),
        ("none", "redirects to what is no URL"),
    ] {
        let error = get(name).await.unwrap_err();
        assert!(matches!(error, RequestError::Protocol { .. }), "{name}: {error}");
        assert!(error.to_string().contains(why), "{name}: {error}");
    }
}

/// Docker Hub's, of six hours: to ask again in a second is of no use.
#[tokio::test]
async fn a_limit_that_is_used_up() {
    for (window, retry_after, asked) in [("21600", None, 1), ("60", None, 4), ("21600", Some("0"), 4)] {
        let server = Server::start(move |_: &_| {
            let reply = Reply::new(429)
                .header("RateLimit-Limit", format!("100;w={window}"))
                .header("RateLimit-Remaining", format!("0;w={window}"));
            match retry_after {
                Some(value) => reply.header("Retry-After", value),
                None => reply,
            }
        })
        .await;
        let reference = format!("{}/a", server.address).parse().unwrap();
        let error = request_error(client().manifest(&reference).await.unwrap_err());
        assert!(matches!(error, RequestError::RateLimited { .. }), "{error}");
        assert_eq!(server.take_log().len(), asked, "{window} {retry_after:?}");
    }
}

#[tokio::test]
async fn warnings_are_collected_once() {
    let registry =
        FakeRegistry::start(Oddities { warning: Some("v1 goes away"), ..Oddities::default() }).await;
    registry.put_manifest("a", "v1", OCI, &manifest());
    let client = client();
    client.manifest(&registry.reference("a:v1")).await.unwrap();
    client.manifest(&registry.reference("a:v1")).await.unwrap();
    let warnings = client.take_warnings();
    assert_eq!(warnings.len(), 1);
    assert_eq!(
        (warnings[0].text.as_str(), &warnings[0].registry),
        ("v1 goes away", &registry.server.address)
    );
    assert!(client.take_warnings().is_empty());
}

#[tokio::test]
async fn hostile_texts_are_made_harmless() {
    // "\u{202e}" makes what follows read from the right, "\u{2066}" begins a text of its own direction.
    let hostile = format!("\u{1b}[2J\n\u{202e}\u{2066}\u{200f}\u{2028}{}", "x".repeat(10_000));
    let server = Server::start(move |_: &_| Reply::new(400).body(hostile.clone())).await;
    let reference = format!("{}/a", server.address).parse().unwrap();
    let text = client().manifest(&reference).await.unwrap_err().to_string();
    assert!(text.len() < 1000 && text.contains("[2J     xxx"), "{text:?}");
    assert!(!text.contains(is_obeyed) && text.is_ascii(), "{text:?}");
}

#[tokio::test]
async fn https_first_where_a_registry_is_insecure() {
    let registry = FakeRegistry::start(Oddities::default()).await;
    registry.put_manifest("a", "v1", OCI, &manifest());
    let insecure = [registry.server.address.clone()].into();
    let client = Client::new(ClientOptions { insecure_registries: insecure, ..options() });
    for _ in 0..2 {
        client.manifest(&registry.reference("a:v1")).await.unwrap();
    }
    let lines = registry.server.take_lines();
    assert_eq!(lines, ["GET /v2/", "GET /v2/a/manifests/v1", "GET /v2/a/manifests/v1"]);
}

#[tokio::test]
async fn what_is_wrong_with_a_request_is_no_sign_of_https() {
    let registry = FakeRegistry::start(Oddities::default()).await;
    registry.put_manifest("a", "v1", OCI, &manifest());
    registry.with(|oddities| oddities.failures.push_back((400, None)));
    let (client, reference) = (client(), registry.reference("a:v1"));
    let error = request_error(client.manifest(&reference).await.unwrap_err());
    assert!(matches!(error, RequestError::Status { status: 400, .. }), "{error}");
    client.manifest(&reference).await.unwrap();
    // The request, the question whether HTTPS is spoken there, which is asked once, and the next request.
    assert_eq!(registry.server.take_lines().len(), 2);
    let connections = registry.server.connections.load(Ordering::Relaxed);
    registry.with(|oddities| oddities.failures.push_back((400, None)));
    client.manifest(&reference).await.unwrap_err();
    assert_eq!(registry.server.connections.load(Ordering::Relaxed), connections);
}

#[tokio::test]
async fn connections_are_used_again() {
    let registry = FakeRegistry::start(Oddities::default()).await;
    let descriptor = registry.put_blob("a", &crate::testing::noise(300_000));
    registry.put_manifest("a", "v1", OCI, &manifest());
    let (client, reference) = (client(), registry.reference("a:v1"));
    for _ in 0..5 {
        client.manifest(&reference).await.unwrap();
        client.blob_bytes(&reference, &descriptor, 1 << 20).await.unwrap();
        client.resolve(&reference).await.unwrap();
    }
    assert_eq!(registry.server.connections.load(Ordering::Relaxed), 1);
}

/// Sixteen look-ups at once, of which the first are told to wait: the others are not made until the time is over, and then
/// not all at once.
#[tokio::test]
async fn all_leave_a_registry_in_peace_that_asks_for_it() {
    let start = Instant::now();
    let came: Arc<Mutex<Vec<Duration>>> = Arc::default();
    let server = {
        let came = came.clone();
        Server::start(move |_: &Request| {
            let now = start.elapsed();
            came.lock().unwrap().push(now);
            match now < Duration::from_millis(900) {
                true => Reply::new(429).header("Retry-After", "1"),
                false => Reply::new(404),
            }
        })
        .await
    };
    let client = client();
    let reference: crate::reference::Reference = format!("{}/a", server.address).parse().unwrap();
    let ask = |n: u8| {
        let (client, reference) = (&client, &reference);
        async move { client.blob_exists(reference, &crate::digest::Digest::of(&[n])).await.unwrap() }
    };
    let found = futures_util::future::join_all((0..16).map(ask)).await;
    assert_eq!(found, [false; 16]);
    let came = came.lock().unwrap();
    let (early, late): (Vec<Duration>, Vec<Duration>) =
        came.iter().partition(|came| **came < Duration::from_millis(900));
    assert!(early.len() <= options().connections_per_registry, "{came:?}");
    assert_eq!(late.len(), 16, "{came:?}");
    let (first, last) = (late.iter().min().unwrap(), late.iter().max().unwrap());
    assert!(*first >= Duration::from_secs(1) && *last - *first > Duration::from_millis(20), "{came:?}");
}
