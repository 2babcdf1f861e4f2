use super::*;
use crate::testing::{self, Reply, Server, http::Request, noise};
use bytes::Bytes;
use std::{
    io::Read,
    sync::atomic::{AtomicUsize, Ordering},
};

const TIME: &str = "Sun, 06 Nov 1994 08:49:37 GMT";

async fn get(
    url: &str,
    known: Option<&Validators>,
    authorization: Option<&str>,
) -> Result<Option<(Downloaded, Vec<u8>)>, DownloadError> {
    let url = Url::parse(url).unwrap();
    let mut file = tempfile::tempfile().unwrap();
    let download = Download { url: &url, known, authorization, progress: &|_, _| {} };
    let Some(downloaded) = testing::client().download(download, &mut file).await? else { return Ok(None) };
    let mut bytes = Vec::new();
    file.rewind().unwrap();
    file.read_to_end(&mut bytes).unwrap();
    assert_eq!((downloaded.digest, downloaded.size), (Digest::of(&bytes), bytes.len() as u64));
    Ok(Some((downloaded, bytes)))
}

#[tokio::test]
async fn a_file_and_what_is_known_of_it() {
    let body = noise(300_000);
    let server = {
        let body = body.clone();
        Server::start(move |request: &Request| {
            if request.header("if-none-match") == Some("\"one\"") {
                return Reply::new(304);
            }
            Reply::new(200)
                .header("ETag", "\"one\"")
                .header("Last-Modified", TIME)
                .header("Content-Disposition", "attachment; filename=\"a b.tar\"")
                .body(body.clone())
        })
        .await
    };
    let url = format!("http://{}/x", server.address);
    let (downloaded, bytes) = get(&url, None, None).await.unwrap().unwrap();
    assert_eq!(bytes, body);
    assert_eq!(downloaded.file_name.as_deref(), Some("a b.tar"));
    let modified = downloaded.validators.modified().unwrap();
    assert_eq!(modified.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs(), 784_111_777);
    assert!(get(&url, Some(&downloaded.validators), None).await.unwrap().is_none());
    let other = Validators { etag: Some("\"two\"".to_owned()), last_modified: None };
    assert!(get(&url, Some(&other), None).await.unwrap().is_some());
}

/// Serves `body`, or what of it is asked for; the first answers are cut.
fn cutting(body: Bytes, cuts: usize, tags: [&'static str; 2]) -> impl Fn(&Request) -> Reply + Send + Sync {
    let answers = AtomicUsize::new(0);
    move |request: &Request| {
        let number = answers.fetch_add(1, Ordering::Relaxed);
        let tag = tags[usize::from(number > 0)];
        let start = request
            .header("range")
            .filter(|_| request.header("if-range") == Some(tag))
            .and_then(|range| range.strip_prefix("bytes=")?.strip_suffix('-')?.parse::<usize>().ok());
        let reply = match start {
            Some(start) => Reply::new(206)
                .header("Content-Range", format!("bytes {start}-{}/{}", body.len() - 1, body.len()))
                .body(body.slice(start..)),
            None => Reply::new(200).body(body.clone()),
        };
        let cut = (number < cuts).then_some(Some(100_000));
        Reply { cut, ..reply.header("ETag", tag) }
    }
}

#[tokio::test]
async fn a_cut_download_goes_on_where_it_was() {
    let body = noise(350_000);
    let server = Server::start(cutting(body.clone(), 2, ["\"one\"", "\"one\""])).await;
    let (_, bytes) = get(&format!("http://{}/x", server.address), None, None).await.unwrap().unwrap();
    assert_eq!(bytes, body);
    let log = server.take_log();
    assert_eq!(log.len(), 3);
    assert!(log[1..].iter().all(|request| request.header("range").is_some()));
}

#[tokio::test]
async fn a_file_that_changed_meanwhile_comes_from_its_start() {
    let body = noise(350_000);
    let server = Server::start(cutting(body.clone(), 1, ["\"one\"", "\"two\""])).await;
    let (downloaded, bytes) =
        get(&format!("http://{}/x", server.address), None, None).await.unwrap().unwrap();
    assert_eq!(bytes, body);
    assert_eq!(downloaded.validators.etag.as_deref(), Some("\"two\""));
}

#[tokio::test]
async fn redirects() {
    let other = Server::start(|request: &Request| {
        assert_eq!(request.header("authorization"), None);
        Reply::new(200).body("there")
    })
    .await;
    let there = format!("http://{}/there", other.address);
    let home = Server::start(move |request: &Request| {
        assert_eq!(request.header("authorization"), Some("Bearer x"));
        match request.path() {
            "/other" => Reply::new(302).header("Location", &there),
            "/relative" => Reply::new(301).header("Location", "other"),
            "/file" => Reply::new(302).header("Location", "file:///etc/passwd"),
            "/loop" => Reply::new(307).header("Location", "/loop"),
            _ => Reply::new(302),
        }
    })
    .await;
    let at = |path: &str| format!("http://{}/{path}", home.address);
    for path in ["other", "relative"] {
        assert_eq!(get(&at(path), None, Some("Bearer x")).await.unwrap().unwrap().1, b"there");
    }
    for (path, want) in [
        ("file", "it redirects to another protocol on nowhere, which is not followed"),
        ("loop", "it redirects more than 10 times"),
        ("nowhere", "it redirects to what is no URL"),
    ] {
        let error = get(&at(path), None, Some("Bearer x")).await.unwrap_err().to_string();
        assert!(error.contains(want), "{error}");
    }
}

#[tokio::test]
async fn statuses() {
    let asked = std::sync::Arc::new(AtomicUsize::new(0));
    let server = {
        let asked = asked.clone();
        Server::start(move |request: &Request| match request.path() {
            "/busy" if asked.fetch_add(1, Ordering::Relaxed) < 2 => Reply::new(503),
            "/busy" => Reply::new(200).body("at last"),
            "/private" if request.header("authorization") == Some("Basic dTpzZWM6cmV0") => {
                Reply::new(200).body("yours")
            }
            _ => Reply::new(404),
        })
        .await
    };
    assert_eq!(
        get(&format!("http://{}/busy", server.address), None, None).await.unwrap().unwrap().1,
        b"at last"
    );
    let url = format!("http://u:sec%3Aret@{}/private", server.address);
    assert_eq!(get(&url, None, None).await.unwrap().unwrap().1, b"yours");
    let error = get(&format!("http://u:secret@{}/x", server.address), None, None).await.unwrap_err();
    assert!(error.to_string().ends_with("/x: the server answers with status 404"), "{error}");
    assert!(!error.to_string().contains("secret"), "{error}");
    let error = get("ftp://host/x", None, None).await.unwrap_err();
    assert!(matches!(error, DownloadError::Scheme { .. }), "{error}");
}

#[tokio::test]
async fn a_server_that_asks_for_patience_gets_it() {
    let start = std::time::Instant::now();
    let server = Server::start(move |request: &Request| match request.path() {
        "/later" => Reply::new(429).header("Retry-After", "3600"),
        _ if start.elapsed() < Duration::from_millis(900) => Reply::new(503).header("Retry-After", "1"),
        _ => Reply::new(200).body("at last"),
    })
    .await;
    let client = testing::client();
    let urls: Vec<Url> =
        (0..12).map(|n| Url::parse(&format!("http://{}/{n}", server.address)).unwrap()).collect();
    let downloads = urls.iter().map(|url| {
        let client = &client;
        async move {
            let mut file = tempfile::tempfile().unwrap();
            let download = Download { url, known: None, authorization: None, progress: &|_, _| {} };
            client.download(download, &mut file).await.unwrap().unwrap();
        }
    });
    futures_util::future::join_all(downloads).await;
    assert!(start.elapsed() >= Duration::from_secs(1));
    // Those that had a place heard it, and the others with them.
    let asked = server.take_log().len();
    assert!(asked <= 12 + testing::options().connections_per_registry, "{asked} requests for 12 files");
    let error = get(&format!("http://{}/later", server.address), None, None).await.unwrap_err().to_string();
    assert!(error.ends_with("status 429, and wants to be asked again in 3600 s"), "{error}");
    assert_eq!(server.take_log().len(), 1);
}

#[tokio::test]
async fn downloads_at_once_are_bounded() {
    let server =
        Server::start(|_: &Request| Reply { delay: Duration::from_millis(50), ..Reply::new(200).body("x") })
            .await;
    let client = testing::client();
    let url = Url::parse(&format!("http://{}/blobs/", server.address)).unwrap();
    let downloads = (0..12).map(|_| async {
        let mut file = tempfile::tempfile().unwrap();
        let download = Download { url: &url, known: None, authorization: None, progress: &|_, _| {} };
        client.download(download, &mut file).await.unwrap().unwrap();
    });
    futures_util::future::join_all(downloads).await;
    assert_eq!(server.peak.most(), testing::options().connections_per_registry);
}

#[test]
fn names_in_headers() {
    for (header, want) in [
        ("attachment; filename=a.tar", Some("a.tar")),
        ("inline; FileName=\"a b\"; size=3", Some("a b")),
        ("attachment", None),
        ("attachment; filename=\"\"", None),
    ] {
        assert_eq!(disposition_name(header).as_deref(), want, "{header}");
    }
}
