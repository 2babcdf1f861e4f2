use super::*;
use crate::content::{ContentId, Ingredients};

fn listed(path: &str, content: &str, mode: u32) -> Listed {
    Listed {
        path: path.to_owned(),
        kind: FileKind::File,
        mode,
        owner: (0, 0),
        attributes: 0,
        content: Some(ContentId::of(content.as_bytes())),
    }
}

#[test]
fn files_that_differ() {
    let old = FileList(vec![listed("a", "1", 0o644), listed("b", "1", 0o644), listed("gone", "1", 0o644)]);
    let mut link = listed("b", "x", 0o777);
    link.kind = FileKind::Symlink;
    let new = FileList(vec![listed("a", "2", 0o755), link, listed("new", "1", 0o644)]);
    let changes = FileChanges::between(&old, &new);
    assert_eq!((changes.added, changes.removed, changes.changed), (1, 1, 2));
    let of = |path: &str| changes.files.iter().find(|file| file.path == path).expect(path).what.clone();
    assert_eq!(of("a"), [What::Content, What::Mode(0o644, 0o755)]);
    assert_eq!(of("b"), [What::Kind(FileKind::File, FileKind::Symlink), What::Mode(0o644, 0o777)]);
    assert_eq!((of("gone"), of("new")), (vec![What::Removed], vec![What::Added]));
    assert_eq!(FileList::from_bytes(&new.to_bytes().expect("it fits")), Some(new));
    assert_eq!(FileList::from_bytes(b"damaged"), None);
}

fn ingredients(texts: &[(&str, &str)], contents: &[(&str, &str)]) -> Ingredients {
    let mut list = Ingredients::default();
    for (name, value) in texts {
        list.text(*name, *value);
    }
    for (name, value) in contents {
        list.content(*name, ContentId::of(value.as_bytes()));
    }
    list
}

#[test]
fn inputs_that_differ() {
    let old = ingredients(
        &[("command", "make"), ("variable A", "1"), ("variable B", "2"), ("mount", "x"), ("mount", "y")],
        &[],
    );
    let mut new = ingredients(
        &[("command", "make"), ("variable A", "7"), ("mount", "x"), ("mount", "z"), ("variable C", "")],
        &[],
    );
    assert_eq!(compare(&old, &old, &Now::default()), []);
    let input = |name: &str, from: Option<&str>, to: Option<&str>| Reason::Input {
        name: name.to_owned(),
        from: from.map(str::to_owned),
        to: to.map(str::to_owned),
        hidden: false,
    };
    let arguments = Now { arguments: vec!["A", "C", "TOKEN"], ..Now::default() };
    let wanted = [
        input("ARG A", Some("1"), Some("7")),
        input("mount", Some("y"), Some("z")),
        input("ARG C", None, Some("")),
        input("ENV B", Some("2"), None),
    ];
    assert_eq!(compare(&old, &new, &arguments), wanted);
    new.hidden("variable TOKEN", "hunter2");
    let reasons = compare(&old, &new, &arguments);
    assert!(reasons.iter().any(
        |r| matches!(r, Reason::Input { name, hidden: true, from: None, to: None } if name == "ARG TOKEN")
    ));
    assert!(!format!("{reasons:?}").contains("hunter2"));
}

#[test]
fn content_that_differs() {
    let old = ingredients(&[], &[("below", "1"), ("files", "1")]);
    let new = ingredients(&[], &[("below", "2"), ("files", "2")]);
    let lists = |then: Option<FileList>| {
        let now = Some(FileList(vec![listed("a", "", 0)]));
        vec![NowFiles { name: "files".to_owned(), place: "the build context".to_owned(), then, now }]
    };
    let now = Now { parent: Some("RUN make"), files: lists(Some(FileList::default())), ..Now::default() };
    let reasons = compare(&old, &new, &now);
    assert_eq!(reasons[0], Reason::Below { step: "RUN make".to_owned() });
    let Reason::Files { place, changes: Some(changes) } = &reasons[1] else { panic!("{reasons:?}") };
    assert_eq!((place.as_str(), changes.added), ("the build context", 1));

    let now = Now {
        base: (Some("debian:12@sha256:b"), Some("debian:12@sha256:a")),
        files: lists(None),
        ..Now::default()
    };
    let reasons = compare(&old, &new, &now);
    let base = Reason::Base {
        image: "debian:12".to_owned(),
        from: "sha256:a".to_owned(),
        to: "sha256:b".to_owned(),
    };
    assert_eq!(reasons[0], base);
    assert!(matches!(&reasons[1], Reason::Files { changes: None, .. }));
}

fn step(stage: &str, name: &str, key: Option<&str>, outcome: Outcome) -> HistoricStep {
    HistoricStep {
        stage: stage.to_owned(),
        name: name.to_owned(),
        platform: "linux/amd64".to_owned(),
        key: key.map(|key| ContentId::of(key.as_bytes())),
        base: None,
        outcome,
        reasons: Vec::new(),
        same_result: false,
    }
}

#[test]
fn which_step_it_was() {
    let ran = Outcome::Ran;
    let old = BuildHistory {
        steps: vec![
            step("a", "[a 1/3] RUN one", Some("1"), ran),
            step("a", "[a 2/3] RUN two", Some("2"), ran),
            step("a", "[a 3/3] COPY x /", Some("3"), ran),
            step("b", "[b 1/1] RUN two", Some("4"), ran),
        ],
        ..BuildHistory::default()
    };
    let earlier = |stage: &str, name: &str, position| {
        old.earlier(&step(stage, name, None, ran), position).map(|step| step.name.clone())
    };
    // Another one was put before it; it was changed; it was moved to another stage; it is new.
    assert_eq!(earlier("a", "[a 3/4] RUN two", 2).as_deref(), Some("[a 2/3] RUN two"));
    assert_eq!(earlier("a", "[a 2/3] RUN three", 1).as_deref(), Some("[a 2/3] RUN two"));
    assert_eq!(earlier("c", "[c 1/1] COPY x /", 0).as_deref(), Some("[a 3/3] COPY x /"));
    assert_eq!(earlier("a", "[a 3/4] RUN three", 2), None);

    let mut new = BuildHistory {
        steps: vec![
            step("a", "[a 1/3] RUN one", Some("7"), Outcome::Failed),
            step("a", "[a 2/3] RUN two", None, Outcome::NotReached),
        ],
        ..BuildHistory::default()
    };
    new.complete(&old);
    assert_eq!(new.steps[0].key, Some(ContentId::of(b"7")));
    assert_eq!(new.steps[1].key, Some(ContentId::of(b"2")));
}
