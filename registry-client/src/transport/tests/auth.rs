//! Challenges, tokens and passwords.

use super::*;
use crate::{
    auth::Credentials,
    client::{Client, ClientOptions},
    configuration::{Configuration, ConfigurationSource},
    credentials::Store,
    descriptor::Descriptor,
    media_type::MediaType,
    push::{BlobSource, Mount, PushBlobOptions, PushError},
    reference::Reference,
    testing::{
        FakeRegistry, Oddities, Reply, Server, TokenServer, client, client_with, http::Request, options,
        tokens::TokenRules,
    },
    transport::{Origin, Scopes, Transport, error::Asked, token},
};
use futures_util::future::join_all;
use std::time::Duration;

/// A registry with `a:v1` behind a token server.
async fn guarded(rules: TokenRules) -> (FakeRegistry, TokenServer, Reference) {
    let tokens = TokenServer::start(rules).await;
    let registry = FakeRegistry::start(Oddities {
        bearer: Some((tokens.challenge("{scope}"), tokens.tokens.clone())),
        ..Oddities::default()
    })
    .await;
    registry.put_manifest("a", "v1", OCI, &manifest());
    let reference = registry.reference("a:v1");
    (registry, tokens, reference)
}

fn store(registry: &FakeRegistry, credentials: Credentials) -> Store {
    Store::of(&registry.server.address, credentials)
}

#[tokio::test]
async fn anonymous_token_is_fetched_once() {
    let (registry, tokens, reference) = guarded(TokenRules::default()).await;
    let client = client();
    for _ in 0..3 {
        client.manifest(&reference).await.unwrap();
    }
    let asked = tokens.server.take_log();
    assert_eq!(asked.len(), 1);
    assert_eq!(asked[0].query("scope"), ["repository:a:pull"]);
    assert_eq!(asked[0].header("authorization"), None);
    assert_eq!(registry.server.take_log().len(), 4, "one challenge, then straight");
}

#[tokio::test]
async fn many_requests_at_once_fetch_one_token() {
    let (registry, tokens, reference) = guarded(TokenRules::default()).await;
    let client = client();
    join_all((0..12).map(|_| client.manifest(&reference))).await.into_iter().for_each(|result| {
        result.unwrap();
    });
    assert_eq!(tokens.server.take_log().len(), 1);
    // They are renewed once, too.
    tokens.tokens.lock().unwrap().revoke_all();
    registry.server.take_log();
    join_all((0..12).map(|_| client.manifest(&reference))).await.into_iter().for_each(|result| {
        result.unwrap();
    });
    assert_eq!(tokens.server.take_log().len(), 1);
}

#[tokio::test]
async fn a_token_for_pushing_serves_pulling() {
    let (_registry, tokens, reference) = guarded(TokenRules::default()).await;
    let client = client();
    client.push_manifest(&reference, &OCI.into(), Bytes::from_static(b"{}")).await.unwrap();
    client.resolve(&reference).await.unwrap();
    assert_eq!(tokens.server.take_log().len(), 1);
}

#[tokio::test]
async fn a_password_gets_a_token() {
    let rules = TokenRules { password: Some(("me", "päss:word")), ..TokenRules::default() };
    let (registry, tokens, reference) = guarded(rules).await;
    client_with(store(&registry, Credentials::password("me", "päss:word")))
        .manifest(&reference)
        .await
        .unwrap();
    assert_eq!(tokens.server.take_log()[0].query("account"), ["me"]);

    let wrong = client_with(store(&registry, Credentials::password("me", "not it")));
    let error = request_error(wrong.manifest(&reference).await.unwrap_err());
    assert!(matches!(error, RequestError::Unauthorized { had_credentials: true, .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains("get a token from 127.0.0.1 to get manifest \"v1\""), "{text}");
    assert!(text.contains("UNAUTHORIZED: wrong password"), "{text}");
    // GET, then the OAuth2 way; and not again and again.
    assert_eq!(tokens.server.take_lines(), ["GET /token", "POST /token"]);

    let error = request_error(client().manifest(&reference).await.unwrap_err());
    assert!(matches!(error, RequestError::Unauthorized { had_credentials: false, .. }), "{error}");
    assert!(error.to_string().contains("log in first"), "{error}");
}

#[tokio::test]
async fn oauth2_where_get_is_not_known() {
    let rules = TokenRules { password: Some(("me", "secret")), post_only: true, ..TokenRules::default() };
    let (registry, tokens, reference) = guarded(rules).await;
    client_with(store(&registry, Credentials::password("me", "secret"))).manifest(&reference).await.unwrap();
    assert_eq!(tokens.server.take_lines(), ["GET /token", "POST /token"]);
}

#[tokio::test]
async fn identity_and_registry_tokens() {
    let rules = TokenRules { password: Some(("x", "y")), identity: Some("refresh"), ..TokenRules::default() };
    let (registry, tokens, reference) = guarded(rules).await;
    let with = |credentials| client_with(store(&registry, credentials));
    with(Credentials::IdentityToken("refresh".into())).manifest(&reference).await.unwrap();
    assert_eq!(tokens.server.take_lines(), ["POST /token"]);
    let error = with(Credentials::IdentityToken("stale".into())).manifest(&reference).await.unwrap_err();
    assert!(matches!(request_error(error), RequestError::Unauthorized { had_credentials: true, .. }));

    // The first token given out is as good as any, when it is sent as it is.
    tokens.server.take_log();
    with(Credentials::RegistryToken("token-1".into())).manifest(&reference).await.unwrap();
    assert!(tokens.server.take_log().is_empty());
    let error = with(Credentials::RegistryToken("token-9".into())).manifest(&reference).await.unwrap_err();
    assert!(matches!(request_error(error), RequestError::Unauthorized { had_credentials: true, .. }));
}

#[tokio::test]
async fn a_refused_token_is_renewed_once() {
    let (registry, tokens, reference) = guarded(TokenRules::default()).await;
    let client = client();
    client.manifest(&reference).await.unwrap();
    tokens.tokens.lock().unwrap().revoke_all();
    client.manifest(&reference).await.unwrap();
    assert_eq!(tokens.server.take_log().len(), 2);
    // A registry that accepts no token is not asked for ever.
    let other = TokenServer::start(TokenRules::default()).await;
    registry.with(|oddities| oddities.bearer.as_mut().unwrap().1 = other.tokens.clone());
    registry.server.take_log();
    let error = request_error(client.manifest(&reference).await.unwrap_err());
    assert!(matches!(error, RequestError::Unauthorized { .. }), "{error}");
    assert_eq!(registry.server.take_log().len(), 2);
}

/// Expired tokens are answered without a challenge by some: in the middle of a transfer, say.
#[tokio::test]
async fn a_token_that_expires_meanwhile() {
    for status in [400, 403] {
        let (registry, tokens, reference) = guarded(TokenRules::default()).await;
        let client = client();
        client.manifest(&reference).await.unwrap();
        registry.with(|oddities| oddities.expiry_status = Some(status));
        tokens.tokens.lock().unwrap().revoke_all();
        let blob = Bytes::from_static(b"blob");
        let descriptor = Descriptor::of(MediaType::OciLayer, &blob);
        client.manifest(&reference).await.unwrap();
        let push = PushBlobOptions::default();
        client.push_blob(&reference, &descriptor, &BlobSource::bytes(blob), &push).await.unwrap();
        // One that is never good is not renewed for ever.
        let other = TokenServer::start(TokenRules::default()).await;
        registry.with(|oddities| oddities.bearer.as_mut().unwrap().1 = other.tokens.clone());
        registry.server.take_log();
        let error = request_error(client.manifest(&reference).await.unwrap_err());
        assert!(error.to_string().ends_with("log in again"), "{error}");
        assert_eq!(registry.server.take_log().len(), 2);
    }
}

/// A blob that takes longer than a token lives: what is asked for or sent next gets a new one.
#[tokio::test]
async fn a_token_that_expires_in_the_middle_of_a_blob() {
    let (registry, tokens, reference) = guarded(TokenRules::default()).await;
    let client = client();
    let bytes = crate::testing::noise(300_000);
    let descriptor = registry.put_blob("a", &bytes);
    registry.with(|oddities| oddities.cut_blobs = [100_000, 50_000].into());
    let mut blob = client.blob(&reference, &descriptor).unwrap();
    let mut got = Vec::new();
    while let Some(chunk) = blob.chunk().await.unwrap() {
        // Whatever token was used until now is none any more, when the next range is asked for.
        tokens.tokens.lock().unwrap().revoke_all();
        got.extend_from_slice(&chunk);
    }
    assert_eq!(got, bytes);
    assert_eq!(tokens.server.take_log().len(), 3, "one at first, and one after each cut");

    // The token is good when the upload begins, and no more when the bytes come.
    let revoke = tokens.tokens.clone();
    let opened = std::sync::Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let source = BlobSource::stream({
        let (opened, bytes) = (opened.clone(), bytes.slice(1..));
        move || {
            if opened.fetch_add(1, std::sync::atomic::Ordering::Relaxed) == 0 {
                revoke.lock().unwrap().revoke_all();
            }
            let bytes = bytes.clone();
            async move { Ok(futures_util::stream::once(async move { Ok(bytes) })) }
        }
    });
    let other = Descriptor::of(MediaType::OciLayer, &bytes[1..]);
    for stream in [false, true] {
        opened.store(0, std::sync::atomic::Ordering::Relaxed);
        let target = registry.reference(if stream { "streamed" } else { "sent" });
        if stream {
            let pushed = client.push_stream(&target, MediaType::OciLayer, &source, None).await;
            assert_eq!(pushed.unwrap(), other);
        } else {
            client.push_blob(&target, &other, &source, &PushBlobOptions::default()).await.unwrap();
        }
        assert_eq!(registry.blob(target.repository(), &other.digest).unwrap(), bytes[1..]);
        assert_eq!(opened.load(std::sync::atomic::Ordering::Relaxed), 2, "once refused, once taken");
        assert_eq!(registry.open_uploads(), 0);
    }
}

#[tokio::test]
async fn an_expired_token_is_not_sent() {
    // A life of no time is none that a server can mean.
    let rules = TokenRules { expires_in: Some(0), ..TokenRules::default() };
    let (registry, tokens, reference) = guarded(rules).await;
    let client = client();
    for _ in 0..3 {
        client.manifest(&reference).await.unwrap();
    }
    assert_eq!(tokens.server.take_log().len(), 1);
    client.transport.registry(reference.registry(), false).authorizer.expire_tokens().await;
    registry.server.take_log();
    client.manifest(&reference).await.unwrap();
    assert_eq!(tokens.server.take_log().len(), 1);
    assert_eq!(registry.server.take_log().len(), 1, "renewed before the request, not after its refusal");
}

#[tokio::test]
async fn a_mount_asks_for_both_scopes() {
    let (registry, tokens, _) = guarded(TokenRules::default()).await;
    let descriptor = registry.put_blob("from", &Bytes::from_static(b"layer"));
    let outcome = client().mount(&registry.reference("to"), &descriptor.digest, "from").await.unwrap();
    assert!(matches!(outcome, Mount::Mounted));
    let asked = tokens.server.take_log();
    assert_eq!(asked.last().unwrap().query("scope"), ["repository:from:pull", "repository:to:pull,push"]);
}

#[tokio::test]
async fn the_scopes_of_the_challenge_count() {
    let (registry, tokens, reference) = guarded(TokenRules::default()).await;
    let challenge = tokens.challenge("{scope} registry:special:use");
    registry.with(|oddities| oddities.bearer.as_mut().unwrap().0 = challenge);
    client().manifest(&reference).await.unwrap();
    assert_eq!(tokens.server.take_log()[0].query("scope"), ["registry:special:use", "repository:a:pull"]);
}

#[tokio::test]
async fn rights_to_pull_are_no_rights_to_push() {
    let rules = TokenRules { password: Some(("x", "y")), anonymous_pull: true, ..TokenRules::default() };
    let (registry, _tokens, reference) = guarded(rules).await;
    let client = client();
    client.manifest(&reference).await.unwrap();
    let descriptor = crate::descriptor::Descriptor::of("x".into(), b"x");
    let (source, how) = (BlobSource::bytes("x"), PushBlobOptions::default());
    let error = client.push_blob(&reference, &descriptor, &source, &how).await.unwrap_err();
    assert!(matches!(error, PushError::Request(RequestError::Unauthorized { .. })), "{error}");
    assert_eq!(registry.open_uploads(), 0);
}

#[tokio::test]
async fn a_failing_token_server_is_asked_again() {
    let rules = TokenRules { failures: 2, ..TokenRules::default() };
    let (_registry, tokens, reference) = guarded(rules).await;
    client().manifest(&reference).await.unwrap();
    assert_eq!(tokens.server.take_log().len(), 3);
}

#[tokio::test]
async fn basic() {
    let registry =
        FakeRegistry::start(Oddities { basic: Some("Basic bWU6c2VjcmV0".into()), ..Oddities::default() })
            .await;
    registry.put_manifest("a", "v1", OCI, &manifest());
    let reference = registry.reference("a:v1");
    let good = client_with(store(&registry, Credentials::password("me", "secret")));
    for _ in 0..3 {
        good.manifest(&reference).await.unwrap();
    }
    assert_eq!(registry.server.take_log().len(), 4);
    let wrong = client_with(store(&registry, Credentials::password("me", "wrong")));
    let error = wrong.manifest(&reference).await.unwrap_err();
    assert!(matches!(request_error(error), RequestError::Unauthorized { .. }));
    let error = wrong.ping(reference.registry()).await.unwrap_err().to_string();
    assert!(error.contains("; check the user name and the password"), "{error}");
    for token in [Credentials::IdentityToken("t".into()), Credentials::RegistryToken("t".into())] {
        let error = client_with(store(&registry, token)).manifest(&reference).await.unwrap_err().to_string();
        assert!(
            error.contains("wants a user name and a password, and what is kept for it is a token"),
            "{error}"
        );
    }
    assert!(good.ping(reference.registry()).await.unwrap());
}

/// Says all that it was sent, in an error and in a warning.
fn echo(status: u16, request: &Request) -> Reply {
    let sent = request.header("authorization").unwrap_or("nothing");
    let form = String::from_utf8_lossy(&request.body);
    let text = format!("bad header: Authorization: {sent}; bad form: {form}; \"p\u{e4}ss: word\" is wrong");
    let errors =
        serde_json::json!({"errors": [{"code": "DENIED", "message": text, "detail": {"sent": [text]}}]});
    Reply::new(status).header("Warning", format!("299 - \"it was {sent}\"")).body(errors.to_string())
}

/// Wants a password, and then says what it was.
fn echo_password(status: u16) -> impl Fn(&Request) -> Reply {
    move |request| {
        let reply = match request.header("authorization") {
            None if request.method == "GET" => Reply::new(401),
            _ => echo(status, request),
        };
        reply.header("WWW-Authenticate", "Basic realm=\"test\"")
    }
}

fn without_secrets(text: &str) {
    for secret in ["bWU6cMOkc3M6IHdvcmQ", "p\u{e4}ss: word", "p%C3%A4ss%3A+word", "token-1"] {
        assert!(!text.contains(secret), "{secret} is in {text}");
    }
    assert!(text.contains("<redacted>"), "{text}");
}

#[tokio::test]
async fn what_was_sent_is_in_no_message() {
    for status in [400, 401, 403, 404, 429, 500] {
        let registry = Server::start(echo_password(status)).await;
        let reference = format!("{}/a", registry.address).parse().unwrap();
        let credentials = Store::of(&registry.address, Credentials::password("me", "p\u{e4}ss: word"));
        let client = client_with(credentials);
        let error = request_error(client.manifest(&reference).await.unwrap_err());
        without_secrets(&error.to_string());
        without_secrets(&format!("{error:?}"));
        client.take_warnings().iter().for_each(|warning| without_secrets(&warning.text));
    }
}

#[tokio::test]
async fn what_a_token_server_got_is_in_no_message() {
    for credentials in
        [Credentials::password("me", "p\u{e4}ss: word"), Credentials::IdentityToken("p\u{e4}ss: word".into())]
    {
        let tokens = Server::start(echo_password(401)).await;
        let challenge = format!("Bearer realm=\"http://{}/token\"", tokens.address);
        let registry =
            Server::start(move |_: &_| Reply::new(401).header("WWW-Authenticate", &challenge)).await;
        let reference = format!("{}/a", registry.address).parse().unwrap();
        let client = client_with(Store::of(&registry.address, credentials));
        let error = request_error(client.manifest(&reference).await.unwrap_err());
        without_secrets(&error.to_string());
        without_secrets(&format!("{error:?}"));
    }
    let rules = TokenRules { password: Some(("me", "p\u{e4}ss: word")), ..TokenRules::default() };
    let tokens = TokenServer::start(rules).await;
    let challenge = tokens.challenge("");
    let registry = Server::start(move |request: &Request| match request.header("authorization") {
        None => Reply::new(401).header("WWW-Authenticate", &challenge),
        Some(_) => echo(403, request),
    })
    .await;
    let reference = format!("{}/a", registry.address).parse().unwrap();
    let client = client_with(Store::of(&registry.address, Credentials::password("me", "p\u{e4}ss: word")));
    without_secrets(&client.manifest(&reference).await.unwrap_err().to_string());
    without_secrets(&client.take_warnings()[0].text);
}

/// Nobody has looked at the password then.
#[tokio::test]
async fn a_login_that_proves_nothing() {
    let password = || Credentials::password("me", "secret");
    let registry = FakeRegistry::start(Oddities::default()).await;
    let open = client_with(store(&registry, password()));
    assert!(!open.ping(&registry.server.address).await.unwrap());

    let other = TokenServer::start(TokenRules::default()).await;
    let location = format!("http://{}/token?of=the+realm&service=test", other.server.address);
    let tokens = Server::start(move |_: &_| Reply::new(307).header("Location", &location)).await;
    let challenge = format!("Bearer realm=\"http://{}/token\",service=\"test\"", tokens.address);
    let guarded = FakeRegistry::start(Oddities {
        bearer: Some((challenge, other.tokens.clone())),
        ..Oddities::default()
    })
    .await;
    assert!(!client_with(store(&guarded, password())).ping(&guarded.server.address).await.unwrap());
    assert_eq!(other.server.take_log()[0].header("authorization"), None);

    let rules = TokenRules { password: Some(("me", "secret")), ..TokenRules::default() };
    let (registry, _tokens, reference) = self::guarded(rules).await;
    assert!(client_with(store(&registry, password())).ping(reference.registry()).await.unwrap());
    let wrong = client_with(store(&registry, Credentials::password("me", "another")));
    let error = wrong.ping(reference.registry()).await.unwrap_err().to_string();
    assert!(error.contains("; check the user name and the password"), "{error}");
}

#[tokio::test]
async fn the_configuration_says_where_credentials_are() {
    let registry =
        FakeRegistry::start(Oddities { basic: Some("Basic bWU6c2VjcmV0".into()), ..Oddities::default() })
            .await;
    registry.put_manifest("a", "v1", OCI, &manifest());
    let file = tempfile::NamedTempFile::new().unwrap();
    let auths = serde_json::json!({ "auths": { &registry.server.address: { "auth": "bWU6c2VjcmV0" } } });
    std::fs::write(file.path(), auths.to_string()).unwrap();
    for (text, found) in [
        ("", true),
        ("credential-helpers = [\"containers-auth.json\"]", true),
        ("credential-helpers = []\nfuture-key = 1", false),
    ] {
        let configuration = Configuration::parse(text, "r.conf".as_ref()).unwrap();
        let client = Client::new(ClientOptions {
            credentials: Store::new(vec![file.path().to_owned()]),
            configuration: ConfigurationSource::Known(configuration),
            ..options()
        });
        let result = client.manifest(&registry.reference("a:v1")).await;
        assert_eq!(result.is_ok(), found, "{text}");
        let told: Vec<String> =
            client.take_warnings().into_iter().map(|w| w.registry + ": " + &w.text).collect();
        let want = "r.conf: the key \"future-key\" is not known, and has no effect";
        assert_eq!(told, if text.contains("future") { vec![want] } else { vec![] });
    }
}

#[tokio::test]
async fn a_password_in_a_form_goes_to_no_other_host() {
    let thief = Server::start(|_: &_| Reply::new(200).body(r#"{"token":"x"}"#)).await;
    let location = format!("http://{}/token", thief.address);
    let tokens = Server::start(move |_: &_| Reply::new(307).header("Location", &location)).await;
    let challenge = format!("Bearer realm=\"http://{}/token\"", tokens.address);
    let registry = Server::start(move |_: &_| Reply::new(401).header("WWW-Authenticate", &challenge)).await;
    let credentials = Credentials::IdentityToken("secret".into());
    let client = client_with(Store::of(&registry.address, credentials));
    let reference = format!("{}/a", registry.address).parse().unwrap();
    let error = request_error(client.manifest(&reference).await.unwrap_err());
    assert!(error.to_string().contains("redirects to another host"), "{error}");
    assert!(thief.take_log().is_empty());
}

#[tokio::test]
async fn a_plain_token_server_of_an_https_registry_gets_no_password() {
    let tokens = TokenServer::start(TokenRules::default()).await;
    let transport = Transport::new(options());
    let asked = Asked { registry: "r".into(), repository: "a".into(), action: "ask".into() };
    let asking = token::Asking {
        transport: &transport,
        home: &Origin { url: "https://localhost/".parse().unwrap(), verified: true },
        realm: &format!("http://{}/token?of=the+realm", tokens.server.address).parse().unwrap(),
        service: Some("test"),
        scopes: Scopes::default(),
        asked: &asked,
    };
    let credentials = Credentials::password("me", "secret");
    let error = asking.fetch(Some(&credentials)).await.err().unwrap();
    assert!(error.to_string().contains("plain HTTP"), "{error}");
    assert!(tokens.server.take_log().is_empty());
    assert!(asking.fetch(None).await.is_ok(), "without credentials there is nothing to lose");
}

#[tokio::test]
async fn a_password_that_changed_is_asked_for_again() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("auth.json");
    let rules = TokenRules { password: Some(("me", "first")), ..TokenRules::default() };
    let (registry, tokens, reference) = guarded(rules).await;
    let store = Store::new(vec![file.clone()]);
    let save = async |password: &str| {
        store.save(&registry.server.address, &Credentials::password("me", password)).await.unwrap();
    };
    save("first").await;
    let client = client_with(store.clone());
    client.manifest(&reference).await.unwrap();
    // The registry's password ends, as those of ECR do after 12 hours, and a helper would give the next.
    save("second").await;
    tokens.with(|rules| rules.password = Some(("me", "second")));
    // Another token is wanted, for which the password of before is at hand.
    let bytes = Bytes::from_static(b"{}");
    client.push_manifest(&reference, &OCI.into(), bytes.clone()).await.unwrap();

    // One that was looked up just now is not looked up again, and one that is the same is not sent again.
    tokens.with(|rules| rules.password = Some(("me", "third")));
    tokens.server.take_log();
    for _ in 0..2 {
        let other = registry.reference("b:v1");
        client.push_manifest(&other, &OCI.into(), bytes.clone()).await.unwrap_err();
        assert_eq!(tokens.server.take_lines(), ["GET /token", "POST /token"]);
    }
}

#[tokio::test]
async fn tokens_have_a_budget_of_their_own() {
    let rules = TokenRules { delay: Duration::from_millis(50), ..TokenRules::default() };
    let (registry, tokens, _) = guarded(rules).await;
    let client = client();
    client.manifest(&registry.reference("a:v1")).await.unwrap();
    let references: Vec<Reference> = (0..12).map(|n| registry.reference(&format!("r{n}:v1"))).collect();
    for reference in &references {
        registry.put_manifest(reference.repository(), "v1", OCI, &manifest());
    }
    let pulls = references.iter().map(|reference| client.manifest(reference));
    let registry = &registry;
    let client = &client;
    let blobs = references.iter().map(|reference| async move {
        let descriptor = registry.put_blob(reference.repository(), &Bytes::from_static(b"blob"));
        client.blob_bytes(reference, &descriptor, 100).await.unwrap();
    });
    let (manifests, _) = futures_util::future::join(join_all(pulls), join_all(blobs)).await;
    assert!(manifests.into_iter().all(|result| result.is_ok()));
    let most = tokens.server.peak.most();
    assert!((2..=options().connections_per_registry).contains(&most), "{most} at once");
}
