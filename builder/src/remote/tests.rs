use super::*;

fn repository(text: &str) -> GitSource {
    match of_add(text) {
        Ok(Some(Remote::Git(source))) => *source,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn what_is_remote() {
    for (text, want) in [
        ("https://example.org/a.tar", "http"),
        ("HTTP://example.org/a.tar?x=y.git", "http"),
        ("https://example.org/a.git", "git"),
        ("https://example.org/a.git#main", "git"),
        ("https://example.org/a.git?ref=main", "git"),
        ("git://example.org/a", "git"),
        ("ssh://git@example.org:22/a", "git"),
        ("git@example.org:team/a.git", "git"),
        ("git@example.org:team/a.git#v1:sub", "git"),
        ("some_user@example.org:a", "git"),
        ("github.com/team/a", "local"),
        ("./git@example.org:a", "local"),
        ("file:///etc/passwd", "local"),
        ("a@b", "local"),
        ("a b@c:d", "local"),
        ("x@-oProxyCommand=y:z", "local"),
        ("dir/file", "local"),
        ("", "local"),
    ] {
        let found = match of_add(text).unwrap() {
            None => "local",
            Some(Remote::Http(_)) => "http",
            Some(Remote::Git(_)) => "git",
        };
        assert_eq!(found, want, "{text}");
    }
    assert!(
        matches!(of_context("github.com/team/a"), Ok(Some(Remote::Git(source))) if source.remote == "https://github.com/team/a")
    );
}

#[test]
fn parts_of_a_git_url() {
    let base = GitSource { remote: "https://h/a.git".to_owned(), ..GitSource::default() };
    let referring = |reference: &str| GitSource { reference: Some(reference.to_owned()), ..base.clone() };
    for (text, want) in [
        ("https://h/a.git", base.clone()),
        ("https://h/a.git#", base.clone()),
        ("https://h/a.git#main", referring("main")),
        (
            "https://h/a.git#baz/qux:quux/./x/../quuz",
            GitSource { subdir: "quux/quuz".to_owned(), ..referring("baz/qux") },
        ),
        ("https://h/a.git#:dir", GitSource { subdir: "dir".to_owned(), ..base.clone() }),
        ("https://h/a.git?ref=v1&subdir=/d", GitSource { subdir: "d".to_owned(), ..referring("v1") }),
        ("https://h/a.git?tag=v1", referring("refs/tags/v1")),
        ("https://h/a.git?branch=refs/heads/v1", referring("refs/heads/v1")),
        (
            "https://h/a.git?commit=ABCDEF1",
            GitSource { checksum: Some("abcdef1".to_owned()), ..base.clone() },
        ),
        (
            "https://h/a.git?keep-git-dir&submodules=false&mtime=checkout&fetch-by-commit=true",
            GitSource {
                keep_git_dir: Some(true),
                skip_submodules: true,
                checkout_times: true,
                ..base.clone()
            },
        ),
        ("https://h/a.git?ref=v1#v1", referring("v1")),
    ] {
        assert_eq!(repository(text), want, "{text}");
    }
    let ssh = repository("git@h:team/a.git?ref=x#:d");
    assert_eq!(
        (ssh.remote.as_str(), ssh.reference.as_deref(), ssh.subdir.as_str()),
        ("git@h:team/a.git", Some("x"), "d")
    );
}

#[test]
fn refusals() {
    for (text, want) in [
        ("https://h/a.git?what=1", "no query key \"what\""),
        ("https://h/a.git?ref=", "a value is missing"),
        ("https://h/a.git?ref=a&ref=b", "say it once"),
        ("https://h/a.git?ref=a#b", "says the ref twice"),
        ("https://h/a.git?tag=a&branch=a", "says the ref twice"),
        ("https://h/a.git?keep-git-dir=maybe", "write true or false"),
        ("https://h/a.git?mtime=now", "write checkout or commit"),
        ("https://h/a.git?fetch-by-commit=x", "write true or false"),
        ("https://h/a.git?commit=xyz", "no name of a branch"),
        ("https://h/a.git#--upload-pack=x", "no name of a branch"),
        ("https://h/a.git#a..b", "no name of a branch"),
        ("https://h/a.git#main:../x", "not below the top"),
        ("https://h/a.git#main:.git/hooks", "not below the top"),
        ("https://", "is no URL"),
    ] {
        let error = of_add(text).unwrap_err().to_string();
        assert!(error.contains(want), "{text}: {error}");
    }
}

#[test]
fn passwords_are_not_shown() {
    let source = repository("https://u:secret@h/a.git#main:d");
    assert_eq!(source.to_string(), "https://u:xxxxx@h/a.git#main:d");
    assert!(source.remote.contains("secret"));
}

#[test]
fn checksums() {
    let bytes = b"abc";
    let known = Digest::of(bytes);
    // FIPS 180-2, appendices B to D.
    for text in [
        "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        "sha384:cb00753f45a35e8bb5a03d699ac65007272c32ab0eded1631a8b605a43ff5bed8086072ba1e7cc2358baeca134c825a7",
        "sha512:ddaf35a193617abacc417349ae20413112e6fa4e89a97ea20a9eeee64b55d39a2192992a274fc1a836ba3c23a3feebbd454d4423643ce80e2a9ac94fa54ca49f",
    ] {
        let checksum: Checksum = text.parse().unwrap();
        assert_eq!(checksum.to_string(), text);
        assert_eq!(checksum.of_file(&mut io::Cursor::new(bytes), &known).unwrap(), checksum);
        let other = checksum.of_file(&mut io::Cursor::new(b"abd"), &Digest::of(b"abd")).unwrap();
        assert_ne!(other, checksum);
    }
    for text in [
        "",
        "sha256:",
        "sha256:xyz",
        "md5:d41d8cd98f00b204e9800998ecf8427e",
        "sha256:BA7816BF8F01CFEA414140DE5DAE2223B00361A396177A9CB410FF61F20015AD",
    ] {
        assert!(text.parse::<Checksum>().is_err(), "{text}");
    }
}

#[test]
fn names_of_files() {
    for (url, want) in [
        ("https://h/a/b.tar.gz?x=y#z", "b.tar.gz"),
        ("https://h/a/b/", "b"),
        ("https://h/a%20b", "a b"),
        ("https://h/", "__unnamed__"),
        ("https://h", "__unnamed__"),
        ("https://h/a%2Fb", "__unnamed__"),
        ("https://h/%2e%2e", "__unnamed__"),
    ] {
        assert_eq!(file_name(&Url::parse(url).unwrap()), want, "{url}");
    }
}
