use super::*;

fn bound(spec: &str, from: Origin) -> RunMount {
    let mut mount = dockerfile_parser::mount::parse(spec, &mut |text| Ok(text.to_owned())).unwrap();
    mount.target = mount.target.or_else(|| Some("/t".to_owned()));
    let span = dockerfile_parser::span::Span::default();
    RunMount { mount, from, span, source_span: span }
}

fn run(mounts: Vec<RunMount>) -> RunOp {
    RunOp {
        args: vec!["true".to_owned()],
        env: Vec::new(),
        arguments: Vec::new(),
        proxy_env: Vec::new(),
        cwd: "/".to_owned(),
        user: crate::graph::UserName::default(),
        network: crate::request::NetworkMode::None,
        security: ast::Security::Sandbox,
        mounts,
        script: None,
        hostname: "test".to_owned(),
    }
}

#[test]
fn a_directory_is_named_by_its_id_and_its_beginning() {
    let named = |spec: &str, seed: Option<&[u8]>| {
        let from = if seed.is_some() { Origin::Context } else { Origin::Empty };
        name(&bound(&format!("type=cache,{spec}"), from), seed.map(ContentId::of).as_ref())
    };
    assert_eq!(named("target=/t/../c/", None), "/c");
    assert_eq!(named("id=x,target=/t,sharing=locked,ro", None), "x");
    let all = [
        named("id=x,target=/t", None),
        named("id=y,target=/t", None),
        named("id=x,target=/t,mode=0700", None),
        named("id=x,target=/t,uid=1", None),
        named("id=x,target=/t,gid=1", None),
        named("id=x,target=/t", Some(b"one")),
        named("id=x,target=/t", Some(b"two")),
        named("id=x,target=/t,mode=0700", Some(b"two")),
    ];
    assert_eq!(all.iter().collect::<HashSet<_>>().len(), all.len(), "{all:?}");
    assert_eq!(all[2], named("mode=700,dst=/elsewhere,id=x,sharing=private", None));
}

#[test]
fn one_directory_is_locked_once_in_the_strictest_way() {
    let mounts = [
        ("id=z,target=/1", false),
        ("id=a,target=/2,sharing=private", false),
        ("id=z,target=/3,sharing=locked", false),
        ("id=a,target=/4", false),
        ("id=m,target=/5,mode=0700", true),
    ];
    let specs = mounts.map(|(spec, _)| bound(&format!("type=cache,{spec}"), Origin::Empty));
    let run = run(specs.to_vec());
    let mut names: Vec<Named> = run.mounts.iter().map(|bound| Some((name(bound, None), None))).collect();
    let ways = |names: &[Named]| -> Vec<(String, Sharing, bool)> {
        let id = |name: &str| name.split('\0').next().unwrap_or_default().to_owned();
        distinct(&run, names, true)
            .iter()
            .map(|(name, cache)| (id(name), cache.sharing, cache.anew))
            .collect()
    };
    let of = |id: &str, sharing, anew| (id.to_owned(), sharing, anew);
    assert_eq!(
        ways(&names),
        [of("a", Sharing::Private, false), of("m", Sharing::Shared, true), of("z", Sharing::Locked, false)]
    );
    names[2] = None;
    assert_eq!(ways(&names)[2], of("z", Sharing::Shared, false));
}

#[test]
fn what_has_a_beginning() {
    for (spec, from, has) in [
        ("target=/t", Origin::Empty, false),
        ("target=/t,source=a", Origin::Empty, false),
        ("target=/t,gid=0", Origin::Empty, true),
        ("target=/t,mode=0755", Origin::Empty, true),
        ("target=/t", Origin::Context, true),
    ] {
        assert_eq!(has_beginning(&bound(&format!("type=cache,{spec}"), from)), has, "{spec}");
    }
}
