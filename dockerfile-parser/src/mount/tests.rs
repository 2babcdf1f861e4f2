use super::*;
use crate::expand::Expander;

fn read(spec: &str) -> Result<Mount, MountError> {
    let lookup = |name: &str| (name == "T").then(|| "cache".to_owned());
    parse(spec, &mut |value| Expander::new('\\').word(value, &lookup).map(|e| e.text))
}

fn plain(kind: MountKind) -> Mount {
    Mount {
        kind,
        from: None,
        source: None,
        target: None,
        read_only: !matches!(kind, MountKind::Cache | MountKind::Tmpfs),
        id: None,
        sharing: Sharing::Shared,
        required: false,
        mode: None,
        uid: None,
        gid: None,
        env: None,
        size: None,
    }
}

fn text(text: &str) -> Option<String> {
    Some(text.to_owned())
}

#[test]
fn defaults_and_aliases() {
    assert_eq!(
        read("DST=/a,src=b,From=c,rw"),
        Ok(Mount {
            from: text("c"),
            source: text("b"),
            target: text("/a"),
            read_only: false,
            ..plain(MountKind::Bind)
        })
    );
    assert_eq!(
        read("target=/a//b/,type=${T},sharing=LOCKED,mode=0750,uid=7"),
        Ok(Mount {
            target: text("/a//b/"),
            id: text("/a/b"),
            sharing: Sharing::Locked,
            mode: Some(0o750),
            uid: Some(7),
            ..plain(MountKind::Cache)
        })
    );
    assert_eq!(
        read("type=tmpfs,target=/t,size=64m,ro"),
        Ok(Mount { target: text("/t"), size: Some(64 << 20), read_only: true, ..plain(MountKind::Tmpfs) })
    );
    assert_eq!(
        read("required,type=ssh"),
        Ok(Mount { id: text("default"), required: true, mode: Some(0o600), ..plain(MountKind::Ssh) })
    );
}

#[test]
fn secrets() {
    let secret = |id: &str, target: Option<&str>, env: Option<&str>| Mount {
        id: text(id),
        target: target.map(str::to_owned),
        env: env.map(str::to_owned),
        mode: Some(0o400),
        ..plain(MountKind::Secret)
    };
    assert_eq!(read("type=secret,id=a/b"), Ok(secret("a/b", Some("/run/secrets/b"), None)));
    assert_eq!(read("type=secret,source=a"), Ok(secret("a", Some("/run/secrets/a"), None)));
    assert_eq!(read("type=secret,target=/x/y"), Ok(secret("y", Some("/x/y"), None)));
    assert_eq!(read("type=secret,id=a,env=A"), Ok(secret("a", None, Some("A"))));
    assert_eq!(read("type=secret,id=a,env=A,dst=/x"), Ok(secret("a", Some("/x"), Some("A"))));
    assert_eq!(read("type=secret,id=a,env="), Ok(secret("a", None, Some("a"))));
    assert_eq!(read("type=secret"), Err(MountError::SecretWithoutId));
    assert_eq!(read("type=secret,id=a,src=b"), Err(MountError::SecretSourceAndId));
}

#[test]
fn quoted_fields() {
    assert_eq!(read(r#""source=a,b",target=/x"#).expect("a mount").source, text("a,b"));
    assert_eq!(read(r#"source="a,target=/x"#), Err(MountError::Csv));
}

#[test]
fn refusals() {
    for (spec, message, help) in [
        ("", "a mount needs at least a target", Some("for example: --mount=type=cache,target=/root/.cache")),
        ("tagret=/x", "there is no key \"tagret\"", Some("did you mean target?")),
        ("target", "\"target\" needs a value", Some("write target=value")),
        ("target=/x,dst=/y", "\"target\" and \"dst\" are about the same thing", Some("remove it")),
        ("target=/x,ro,rw", "\"ro\" and \"rw\" are about the same thing", Some("remove it")),
        ("type=cahce,target=/x", "type cannot be \"cahce\"", Some("did you mean cache?")),
        (
            "type=volume,target=/x",
            "type cannot be \"volume\"",
            Some("it is one of bind, cache, tmpfs, secret, ssh"),
        ),
        ("type=cache,target=/x,sharing=lock", "sharing cannot be \"lock\"", Some("did you mean locked?")),
        ("target=/x,ro=yes", "ro is true or false, not \"yes\"", None),
        (
            "type=cache,target=/x,mode=89",
            "mode: \"89\" is not a number it can be",
            Some("a mode is octal, as in 0755"),
        ),
        (
            "type=cache,target=/x,uid=+1",
            "uid: \"+1\" is not a number it can be",
            Some("write a decimal number"),
        ),
        ("target=/x,uid=1", "\"uid\" has no effect on a mount of type bind", Some("remove it")),
        (
            "type=tmpfs,target=/x,mode=0700",
            "\"mode\" has no effect on a mount of type tmpfs",
            Some("remove it"),
        ),
        (
            "type=cache,target=/x,required",
            "\"required\" has no effect on a mount of type cache",
            Some("remove it"),
        ),
        ("type=secret,id=x,from=y", "\"from\" has no effect on a mount of type secret", Some("remove it")),
        (
            "type=secret,id=x,sharing=shared",
            "\"sharing\" has no effect on a mount of type secret",
            Some("remove it"),
        ),
        ("type=ssh,rw", "\"rw\" has no effect on a mount of type ssh", Some("remove it")),
        ("type=ssh,ro=false", "\"readonly=false\" has no effect on a mount of type ssh", Some("remove it")),
        (
            "type=tmpfs,target=/x,size=big",
            "\"big\" is not a size",
            Some("write bytes, or a number with k, m or g, as in 64m"),
        ),
        (
            "from=$x,target=/y",
            "names are not expanded in from",
            Some("define a stage for it, FROM image AS name, where ARGs above the first FROM are expanded"),
        ),
        ("target=${x", "target: ${ is not closed by }", None),
    ] {
        let error = read(spec).expect_err(spec);
        assert_eq!((error.to_string().as_str(), error.help().as_deref()), (message, help), "{spec}");
    }
}

#[test]
fn checks_before_values_are_known() {
    for good in
        ["type=$x,target=/y,required,uid=1", "type=secret,id=$x", "target=/x,source=$y", "from=x$,target=/y"]
    {
        assert_eq!(check(good, '\\'), Ok(()), "{good}");
    }
    for bad in ["type=$x,uid=z", "type=secret,env=$y", "target=$x,size=1", "tagret=$x"] {
        assert!(check(bad, '\\').is_err(), "{bad}");
    }
}

#[test]
fn from_is_known_before_anything_else() {
    assert_eq!(from("type=$x,FROM=build,target=${y"), text("build"));
    assert_eq!(from("type=cache,target=/x"), None);
    assert_eq!(from("from=,target=/x"), None);
}

#[test]
fn mistakes_are_marked_where_they_are() {
    use crate::ast::Word;
    use crate::span::Span;
    for (spec, marked) in [
        ("type=cache,tagret=/x", "tagret"),
        ("type=cahce,target=/x", "cahce"),
        ("target=/x,dst=/y", "dst"),
        ("target=/x,target=/y", "target"),
        ("type=cache,target=/x,mode=89", "89"),
        ("type=tmpfs,target=/x,size=big", "big"),
        ("target=/x,uid=1", "uid"),
        ("type=ssh,ro=false", "type=ssh,ro=false"),
        ("from=$x,target=/y", "$x"),
        ("target=a${x", "${x"),
        ("type=secret", "type=secret"),
        ("\"target=/x\",tagret=/x", "\"target=/x\",tagret=/x"),
    ] {
        let error = read(spec).expect_err(spec);
        let word = Word { text: spec.to_owned(), span: Span::new(100, 100 + spec.len()) };
        let Span { start, end } = error.span_in(&word);
        assert_eq!(&spec[start - 100..end - 100], marked, "{spec}");
    }
}
