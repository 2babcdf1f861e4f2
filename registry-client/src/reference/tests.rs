use super::*;

const DIGEST: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";

#[test]
fn short_forms_are_completed_as_docker_does() {
    for (text, canonical, familiar) in [
        ("debian", "docker.io/library/debian", "debian"),
        ("debian:12", "docker.io/library/debian:12", "debian:12"),
        ("user/app", "docker.io/user/app", "user/app"),
        ("docker.io/debian", "docker.io/library/debian", "debian"),
        ("index.docker.io/debian", "docker.io/library/debian", "debian"),
        ("docker.io/library/debian", "docker.io/library/debian", "debian"),
        ("library/debian", "docker.io/library/debian", "debian"),
        ("docker.io/library/a/b", "docker.io/library/a/b", "library/a/b"),
        ("localhost/app", "localhost/app", "localhost/app"),
        ("localhost:5000/app:v1", "localhost:5000/app:v1", "localhost:5000/app:v1"),
        ("127.0.0.1:5000/a/b/c", "127.0.0.1:5000/a/b/c", "127.0.0.1:5000/a/b/c"),
        ("[::1]:5000/app:x", "[::1]:5000/app:x", "[::1]:5000/app:x"),
        ("[fe80::1]/app", "[fe80::1]/app", "[fe80::1]/app"),
        ("Example/app", "Example/app", "Example/app"),
        ("ghcr.io/o/app_x__y---z.w", "ghcr.io/o/app_x__y---z.w", "ghcr.io/o/app_x__y---z.w"),
        ("debian:5000", "docker.io/library/debian:5000", "debian:5000"),
        ("docker.io/dots.first/app", "docker.io/dots.first/app", "docker.io/dots.first/app"),
    ] {
        let reference: Reference = text.parse().unwrap();
        assert_eq!(reference.to_string(), canonical, "{text}");
        assert_eq!(reference.familiar(), familiar, "{text}");
        for again in [canonical, familiar] {
            assert_eq!(again.parse::<Reference>().unwrap(), reference, "{text} by {again}");
        }
        assert_eq!(Reference::parse_strict(canonical).unwrap(), reference, "{text}");
        let json = serde_json::to_string(&reference).unwrap();
        assert_eq!(serde_json::from_str::<Reference>(&json).unwrap(), reference);
    }
}

#[test]
fn tag_and_digest() {
    let both: Reference = format!("app:v1@{DIGEST}").parse().unwrap();
    assert_eq!(both.tag(), Some("v1"));
    assert_eq!(both.digest(), Some(Digest::of(b"")));
    assert_eq!(both.identifier(), DIGEST, "the digest decides");
    assert_eq!(both.familiar(), format!("app:v1@{DIGEST}"));
    assert_eq!(both.clone().with_default_tag(), both);

    let bare: Reference = "app".parse().unwrap();
    assert_eq!((bare.tag(), bare.identifier().as_str()), (None, "latest"));
    assert_eq!(bare.clone().with_default_tag().tag(), Some("latest"));
    let digest_only = bare.with_digest(Digest::of(b""));
    assert_eq!(digest_only.clone().with_default_tag(), digest_only, "a digest needs no tag");
    assert_eq!(digest_only.with_tag("x").unwrap().to_string(), "docker.io/library/app:x");
    assert_eq!(digest_only.without_identifier(), bare);
    assert_eq!(bare.with_repository("a/b").unwrap().to_string(), "docker.io/a/b");
    assert_eq!(bare.with_repository("b").unwrap().to_string(), "docker.io/library/b");
    assert!(bare.with_repository("A").is_err());
    assert!(bare.with_repository("a:b").is_err());
}

#[test]
fn refusals_show_the_part() {
    for (text, want) in [
        ("", "is empty"),
        ("App", r#""App" cannot be part of a repository name: repository names are lower case"#),
        ("a//b", r#""" cannot be part"#),
        ("a/b/", r#""" cannot be part"#),
        ("/a", r#""" cannot be part"#),
        ("a..b", r#""a..b" cannot be part"#),
        ("a___b", "one or two underscores"),
        ("a_.b", "the separators are"),
        ("-a", "begins or ends with a separator"),
        ("a/b-", r#""b-" cannot be part"#),
        ("a b", "only a-z"),
        ("ä", "only a-z"),
        ("https://host/app", r#""https:" is no registry: the port"#),
        ("host.com:/app", "the port is no number"),
        ("host.com:0/app", "the port is no number"),
        ("host.com:65536/app", "the port is no number"),
        ("host.com:+5/app", "the port is no number"),
        ("ho_st.com/app", "only letters, digits, hyphens"),
        ("-host.com/app", "hyphen"),
        ("host..com/app", "a part of the host name is empty"),
        ("[::1/app", "not closed"),
        ("[::1]x/app", "only a port"),
        ("[1.2.3.4]/app", "no IPv6 address"),
        ("::1/app", "in brackets"),
        ("host.com/", "names no repository"),
        ("host.com/:tag", "names no repository"),
        (":tag", "names no repository"),
        ("app:", r#""" is no tag: it is empty"#),
        ("app:-x", r#""-x" is no tag: it begins with"#),
        ("app:a b", r#""a b" is no tag: only"#),
        ("app:tag:more", r#""app:tag" cannot be part"#),
        ("app@", r#""" is no digest"#),
        ("app@sha256:abc", r#""sha256:abc" is no digest"#),
        ("app@md5:abc", r#""md5" is no digest algorithm"#),
        (&DIGEST[7..], "could be an image ID"),
    ] {
        let error = text.parse::<Reference>().expect_err(text).to_string();
        assert!(error.contains(want), "{text}: {error}");
    }
}

#[test]
fn length_limits() {
    let longest = "a".repeat(255 - "library/".len());
    assert!(longest.parse::<Reference>().is_ok());
    let error = format!("{longest}a").parse::<Reference>().unwrap_err();
    assert!(matches!(error, ReferenceError::TooLong { length: 256, .. }), "{error}");
    assert!(format!("app:{}", "t".repeat(128)).parse::<Reference>().is_ok());
    assert!(format!("app:{}", "t".repeat(129)).parse::<Reference>().is_err());
    assert!(format!("{}.a/app", "a.".repeat(126)).parse::<Reference>().is_err());
}

#[test]
fn strict_fills_in_nothing() {
    for text in ["debian", "user/app", "a/b/c:tag"] {
        assert!(matches!(Reference::parse_strict(text), Err(ReferenceError::NoRegistry { .. })), "{text}");
    }
    assert!(matches!(Reference::parse_strict("docker.io/debian"), Err(ReferenceError::NoNamespace { .. })));
    assert_eq!(Reference::parse_strict("localhost/a:b").unwrap().to_string(), "localhost/a:b");
}
