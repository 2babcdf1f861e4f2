use super::{file::parse, *};
use crate::{
    client::{Client, ClientOptions},
    descriptor::Descriptor,
    digest::Digest,
    media_type::MediaType,
    push::{BlobSource, PushBlobOptions},
    reference::Reference,
    testing::{FakeRegistry, Oddities, noise, options},
};
use bytes::Bytes;
use std::{fs, path::Path};

fn configuration(text: &str) -> Configuration {
    let mut configuration = Configuration::default();
    for entry in parse(text, Path::new("registries.conf")).unwrap() {
        configuration.put(entry);
    }
    configuration
}

fn reference(text: &str) -> Reference {
    text.parse().unwrap()
}

/// The places of a reference: `mirror, mirror | own`, with `!` behind what is insecure.
fn places(configuration: &Configuration, text: &str) -> String {
    let shown =
        |endpoint: &Endpoint| format!("{}{}", endpoint.reference, if endpoint.insecure { "!" } else { "" });
    match configuration.endpoints(&reference(text)) {
        Ok(Endpoints { mirrors, own }) => {
            let mirrors: Vec<String> = mirrors.iter().map(shown).collect();
            if mirrors.is_empty() { shown(&own) } else { format!("{} | {}", mirrors.join(", "), shown(&own)) }
        }
        Err(error) => error.to_string(),
    }
}

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[test]
fn mirrors_and_rewriting() {
    let configuration = configuration(
        r#"
        unqualified-search-registries = ["quay.io"]
        short-name-mode = "enforcing"

        [[registry]]
        location = "docker.io"
        [[registry.mirror]]
        location = "mirror.example/hub"
        [[registry.mirror]]
        location = "10.0.0.1:5000"
        insecure = true
        pull-from-mirror = "digest-only"
        [[registry.mirror]]
        location = "tags.example/"
        pull-from-mirror = "tag-only"

        [[registry]]
        prefix = "quay.io/team"
        location = "internal.example:5000/quay/team"
        insecure = true

        [[registry]]
        prefix = "quay.io/team/secret"
        location = "quay.io/team/secret"
        blocked = true

        [[registry]]
        prefix = "*.corp.example"
        [[registry.mirror]]
        location = "cache.example/corp"

        [[registry]]
        prefix = "build.corp.example"
        location = "build.corp.example"

        [[registry]]
        location = "pinned.example/app:v1"
        [aliases]
        "app" = "quay.io/team/app"
        "#,
    );
    let digest = format!("debian@{DIGEST}");
    for (asked, want) in [
        (
            "debian:12",
            "mirror.example/hub/library/debian:12, tags.example/library/debian:12 | docker.io/library/debian:12",
        ),
        (
            &digest,
            &format!(
                "mirror.example/hub/library/{digest}, 10.0.0.1:5000/library/{digest}! | docker.io/library/{digest}"
            ),
        ),
        ("quay.io/team/app:1", "internal.example:5000/quay/team/app:1!"),
        ("quay.io/teamwork/app:1", "quay.io/teamwork/app:1"),
        (
            "quay.io/team/secret:1",
            "quay.io/team/secret:1: \"quay.io/team/secret\" is blocked by registries.conf",
        ),
        ("quay.io/team/secrets:1", "internal.example:5000/quay/team/secrets:1!"),
        ("a.corp.example:444/x:1", "cache.example/corp/x:1 | a.corp.example:444/x:1"),
        ("build.corp.example/x", "build.corp.example/x"),
        ("corp.example/x", "corp.example/x"),
        // Another port is another registry.
        ("build.corp.example:444/x", "cache.example/corp/x | build.corp.example:444/x"),
        ("pinned.example/app:v1", "pinned.example/app:v1"),
    ] {
        assert_eq!(places(&configuration, asked), want, "{asked}");
    }
}

#[test]
fn mirrors_named_by_hand_go_first() {
    let mirror = |location: &str| MirrorAddress { location: location.to_owned(), insecure: true };
    let mut given =
        configuration("[[registry]]\nlocation = 'docker.io'\n[[registry.mirror]]\nlocation = 'b.example'");
    given.add_mirrors("docker.io", &[mirror("a.example:5000")]);
    given.add_mirrors("ghcr.io", &[mirror("c.example/x")]);
    assert_eq!(
        places(&given, "debian"),
        "a.example:5000/library/debian!, b.example/library/debian | docker.io/library/debian"
    );
    assert_eq!(places(&given, "ghcr.io/o/r:1"), "c.example/x/o/r:1! | ghcr.io/o/r:1");
}

#[test]
fn files_that_make_no_sense() {
    for (text, want) in [
        ("[[registry]]", "a [[registry]] has neither prefix nor location"),
        ("[[registry]]\nprefix = 'a.example'", "the [[registry]] of prefix \"a.example\" has no location"),
        ("[[registry]]\nlocation = 'https://a.example'", "has a scheme"),
        ("[[registry]]\nprefix = '*example'", "prefix \"*example\" is no wildcard"),
        ("[[registry]]\nprefix = '*.example/x'", "prefix \"*.example/x\" is no wildcard"),
        (
            "[[registry]]\nlocation = 'a'\n[[registry]]\nlocation = 'a'",
            "two [[registry]] entries are about \"a\"",
        ),
        ("[[registry]]\nlocation = 'a'\nblocks = true", "unknown field `blocks`"),
        ("[[registry]]\nlocation = 3", "invalid type: integer `3`"),
        (
            "[[registry]]\nlocation = 'a'\n[[registry.mirror]]\nlocation = 'b'\npull-from-mirror = 'no'",
            "not \"no\"",
        ),
        (
            "[[registry]]\nlocation = 'a'\nmirror-by-digest-only = true\n[[registry.mirror]]\nlocation = 'b'\npull-from-mirror = 'all'",
            "has pull-from-mirror beside",
        ),
        ("[registries.search]\nregistries = ['a']", "is version 1 of the format"),
        ("registry =", "line 1"),
    ] {
        let error = parse(text, Path::new("/etc/r.conf")).unwrap_err().to_string();
        assert!(error.contains(want) && error.starts_with("/etc/r.conf cannot be used: "), "{text}\n{error}");
    }
}

#[test]
fn rewriting_to_no_reference() {
    let configuration = configuration("[[registry]]\nprefix = 'a.example'\nlocation = 'B.example/UPPER'");
    let error = places(&configuration, "a.example/x");
    assert!(
        error.starts_with("a.example/x: registries.conf rewrites it to \"B.example/UPPER/x\""),
        "{error}"
    );
}

#[test]
fn files_beside_the_main_one_decide_later() {
    let dir = tempfile::tempdir().unwrap();
    let conf_d = dir.path().join("registries.conf.d");
    fs::create_dir(&conf_d).unwrap();
    let main = dir.path().join("registries.conf");
    fs::write(&main, "[[registry]]\nlocation = 'a.example'\nblocked = true").unwrap();
    fs::write(conf_d.join("2.conf"), "[[registry]]\nprefix = 'a.example'\nlocation = 'two.example'").unwrap();
    fs::write(conf_d.join("1.conf"), "[[registry]]\nprefix = 'a.example'\nlocation = 'one.example'").unwrap();
    fs::write(conf_d.join("README"), "no file of ours").unwrap();
    let mut files = ConfigurationFiles {
        main: vec![dir.path().join("absent"), main, dir.path().join("later")],
        drop_ins: vec![conf_d.clone(), dir.path().join("absent.d")],
        certificates: Vec::new(),
    };
    assert_eq!(places(&Configuration::read(&files).unwrap(), "a.example/x:1"), "two.example/x:1");
    files.drop_ins.clear();
    assert!(places(&Configuration::read(&files).unwrap(), "a.example/x:1").contains("blocked"));
    files.main.clear();
    assert_eq!(Configuration::read(&files).unwrap(), Configuration::default());
}

#[test]
fn certificates_of_a_host() {
    let dir = tempfile::tempdir().unwrap();
    let host = dir.path().join("r.example:5000");
    fs::create_dir(&host).unwrap();
    let configuration =
        Configuration { certificates: vec![dir.path().into(), "/absent".into()], ..Default::default() };
    assert_eq!(configuration.certificates_of("r.example:5000").unwrap(), None);
    fs::write(host.join("ca.crt"), "ca").unwrap();
    fs::write(host.join("client.cert"), "cert").unwrap();
    let error = configuration.certificates_of("r.example:5000").unwrap_err().to_string();
    assert!(error.contains("client.cert cannot be used: its key"), "{error}");
    fs::write(host.join("client.key"), "key").unwrap();
    let found = configuration.certificates_of("r.example:5000").unwrap().unwrap();
    assert_eq!(found.authorities, [b"ca".to_vec()]);
    assert_eq!(found.identity.as_deref(), Some(&b"cert\nkey"[..]));
    assert!(!format!("{found:?}").contains("107"), "{found:?}");
    assert_eq!(configuration.certificates_of("../r.example:5000").unwrap(), None);
    fs::remove_file(host.join("client.cert")).unwrap();
    assert!(configuration.certificates_of("r.example:5000").is_err());
}

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
