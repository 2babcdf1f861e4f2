mod mirrors;

use super::{file::parse, *};
use crate::reference::Reference;
use std::{fs, path::Path};

fn configuration(text: &str) -> Configuration {
    let mut configuration = Configuration::default();
    let path = Path::new("registries.conf");
    configuration.add(path, parse(text, path).unwrap());
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
fn where_credentials_are_and_keys_that_are_not_known() {
    assert_eq!(configuration("").keepers, None);
    let mut configuration = configuration(
        r#"
        credential-helpers = ["ecr-login", "containers-auth.json"]
        future-key = { a = 1 }
        "#,
    );
    let ecr = Keeper::Helper("ecr-login".to_owned());
    assert_eq!(configuration.keepers, Some(vec![ecr, Keeper::Files]));
    let unknown = [(PathBuf::from("registries.conf"), "future-key".to_owned())];
    assert_eq!(configuration.unknown_keys, unknown);
    let later = Path::new("later.conf");
    configuration.add(later, parse("", later).unwrap());
    assert_eq!(
        configuration.keepers.as_ref().map(Vec::len),
        Some(2),
        "a file that does not say changes nothing"
    );
    configuration.add(later, parse("credential-helpers = [\"pass\"]", later).unwrap());
    assert_eq!(configuration.keepers, Some(vec![Keeper::Helper("pass".to_owned())]));
}

#[test]
fn the_port_of_https_may_be_left_out() {
    let directory = tempfile::tempdir().unwrap();
    let configuration =
        Configuration { certificates: vec![directory.path().into()], ..Configuration::default() };
    for (there, asked, found) in [
        ("a.example:443", "a.example", true),
        ("b.example", "b.example:443", true),
        ("c.example:5000", "c.example", false),
        ("d.example", "d.example:5000", false),
        ("[::1]:443", "[::1]", true),
        ("[::2]", "[::2]:443", true),
    ] {
        fs::create_dir(directory.path().join(there)).unwrap();
        fs::write(directory.path().join(there).join("ca.crt"), there).unwrap();
        let authorities = configuration.certificates_of(asked).unwrap().map(|found| found.authorities);
        assert_eq!(authorities, found.then(|| vec![there.as_bytes().to_vec()]), "{asked}");
    }
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
