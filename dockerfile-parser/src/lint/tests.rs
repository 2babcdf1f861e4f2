use super::*;

/// The findings for a file, as rule names.
fn rules(source: &str) -> Vec<&'static str> {
    let parsed = crate::parse(source.as_bytes()).expect(source);
    parsed.warnings.iter().map(|d| d.code).collect()
}

#[test]
fn rules_are_listed_in_order() {
    assert!(RULES.windows(2).all(|pair| pair[0].name < pair[1].name));
    assert!(EXPERIMENTAL.iter().all(|name| rule_names().contains(name)));
}

#[test]
fn skipping() {
    assert_eq!(rules("FROM a AS B\nMAINTAINER x\n"), ["StageNameCasing", "MaintainerDeprecated"]);
    assert_eq!(rules("# check=skip=StageNameCasing,X;error=false\nFROM a AS B\n"), ["UnknownCheck"]);
    assert_eq!(rules("# check=skip=all\nFROM a AS B\nMAINTAINER x\n"), Vec::<&str>::new());
    assert_eq!(rules("FROM a AS B\n# check=skip=MaintainerDeprecated\nMAINTAINER x\n"), ["StageNameCasing"]);
    assert_eq!(rules("# about b\n#\n# check=skip=StageNameCasing\nFROM a AS B\n"), Vec::<&str>::new());
}

#[test]
fn blanks_in_settings() {
    for text in [
        "skip=StageNameCasing,Maintainer;error=true",
        " skip = StageNameCasing , Maintainer, ; error = true ; ",
    ] {
        let checks = Checks::parse(text).expect(text);
        assert!(checks.error, "{text}");
        assert!(!checks.is_on("StageNameCasing", &[]) && !checks.is_on("Maintainer", &[]), "{text}");
        let unknown = checks.unknown_rules(Span::default());
        assert_eq!(
            unknown.iter().map(|d| d.message.as_str()).collect::<Vec<_>>(),
            ["there is no check \"Maintainer\""]
        );
    }
    assert!(crate::parse(b"# check=skip=X; error=true\nFROM a AS B\n").is_err());
    assert_eq!(
        rules("# check = skip = StageNameCasing, MaintainerDeprecated\nFROM a AS B\nMAINTAINER x\n"),
        [""; 0]
    );
    // Above an instruction a remark may follow.
    let found =
        rules("FROM a AS b\n# check=skip=MaintainerDeprecated for old readers; they need it\nMAINTAINER x\n");
    assert_eq!(found, [""; 0]);
}

#[test]
fn carriage_returns_in_scripts() {
    for (text, found) in [
        ("RUN <<E\r\nset -e\r\nE\r\n", true),
        ("RUN cat <<E\r\nx\r\nE\r\n", true),
        ("COPY <<E /x\r\n#!/bin/sh\r\nE\r\n", true),
        ("ADD --chmod=755 <<E /x\r\n#!/bin/sh\r\nE\r\n", true),
        ("COPY <<E /x\r\ntext\r\nE\r\n", false),
        ("RUN <<E\nset -e\nE\n", false),
        ("RUN set -e\r\n", false),
    ] {
        let source = format!("FROM a\n{text}");
        assert_eq!(rules(&source).contains(&"HeredocCarriageReturn"), found, "{source:?}");
    }
}

#[test]
fn names_near_to_those_of_stages() {
    for (text, near) in [
        ("FROM biuld\n", true),
        ("FROM x\nCOPY --from=Buidl / /\n", true),
        ("FROM x\nRUN --mount=type=bind,from=buil,target=/b true\n", true),
        ("# check=skip=FromNearStage\nFROM biuld\n", false),
        ("FROM BUILD\n", false),
        ("FROM biuld:latest\n", false),
        ("FROM example.org/biuld\n", false),
        ("FROM buildah\n", false),
        ("FROM golang\n", false),
        ("FROM golang AS golang2\n", false),
        ("FROM x\nCOPY --from=0 / /\n", false),
        ("FROM $build\n", false),
        ("FROM x AS builds\n", false),
        ("FROM later\nFROM x AS alter\n", false),
    ] {
        let source = format!("FROM golang:1 AS build\nFROM golang AS golang1\n{text}");
        assert_eq!(rules(&source).contains(&"FromNearStage"), near, "{source}");
    }
    let parsed = crate::parse(b"FROM a AS build\nFROM biuld\n").expect("a warning");
    assert_eq!(
        (parsed.warnings[0].span, parsed.warnings[0].help.as_deref()),
        (Span::new(21, 26), Some("did you mean build?"))
    );
}

#[test]
fn addresses_of_rules() {
    let at = |name: &str| url(name).map(|url| url.rsplit('/').nth(1).unwrap_or_default().to_owned());
    assert_eq!(at("JSONArgsRecommended").as_deref(), Some("json-args-recommended"));
    assert_eq!(at("SecretsUsedInArgOrEnv").as_deref(), Some("secrets-used-in-arg-or-env"));
    assert!(NO_ADDRESS.iter().chain(&["UnknownCheck"]).all(|name| url(name).is_none()));
    assert!(NO_ADDRESS.iter().all(|name| rule_names().contains(name)));
}

#[test]
fn experimental_rules_must_be_asked_for() {
    let source = "# syntax=docker/dockerfile:1\n# other\nFROM a AS b\n# X is it\nARG X\n";
    assert_eq!(rules(source), Vec::<&str>::new());
    let asked = format!("# check=experimental=all\n{source}");
    assert_eq!(rules(&asked), ["InvalidDefinitionDescription"]);
}

#[test]
fn findings_can_be_errors() {
    let errors = crate::parse(b"# check=error=true\nFROM a AS B\n").expect_err("a finding");
    assert_eq!((errors[0].code, errors[0].severity), ("StageNameCasing", crate::diagnostic::Severity::Error));
    assert!(crate::parse(b"# check=error=true\nFROM a AS b\n").is_ok());
    // What the caller says replaces what the file says.
    let parsed =
        crate::parse_with_checks(b"# check=error=true\nFROM a AS B\n", Some("skip=all")).expect("no finding");
    assert!(parsed.warnings.is_empty() && !parsed.checks.error);
}

#[test]
fn broken_settings() {
    let errors = crate::parse(b"# check=skpi=all\nFROM a\n").expect_err("an error");
    assert_eq!((errors[0].code, errors[0].span), ("bad-check", Span::new(8, 16)));
    assert!(Checks::parse("error=perhaps").is_err());
}

#[test]
fn shell_and_workdir_are_inherited_within_the_file() {
    assert_eq!(rules("FROM a AS b\nSHELL [\"x\"]\nFROM b\nCMD y\n"), Vec::<&str>::new());
    assert_eq!(rules("FROM a\nSHELL [\"x\"]\nFROM b\nCMD y\n"), ["JSONArgsRecommended"]);
    assert_eq!(rules("FROM a AS b\nWORKDIR /x\nFROM b\nWORKDIR y\n"), Vec::<&str>::new());
    assert_eq!(rules("FROM a\nWORKDIR y\nWORKDIR z\n"), ["WorkdirRelativePath"]);
    assert_eq!(rules("FROM a\nWORKDIR $y\nWORKDIR \"C:/z\"\n"), Vec::<&str>::new());
}

#[test]
fn from_with_undeclared_names() {
    assert_eq!(rules("ARG A=x\nFROM $A:${B}\n"), ["UndefinedArgInFrom"]);
    assert_eq!(rules("FROM --platform=$BUILDPLATFROM x\n"), ["UndefinedArgInFrom"]);
    assert_eq!(rules("FROM --platform=$BUILDPLATFORM x:${TARGETARCH}\n"), Vec::<&str>::new());
    assert_eq!(rules("FROM ${B:-x}\n"), Vec::<&str>::new());
    let parsed = crate::parse(b"ARG VERSION=1\nFROM x:$VERSON\n").expect("a warning");
    assert_eq!(parsed.warnings[0].help.as_deref(), Some("did you mean VERSION?"));
}

#[test]
fn from_with_defaults() {
    for (source, found) in [
        ("ARG TAG\nFROM x:$TAG\n", true),
        ("ARG TAG=\nFROM x:${TAG}\n", true),
        ("ARG NAME\nFROM $NAME\n", true),
        ("ARG NAME=Upper/..\nFROM $NAME\n", true),
        ("ARG TAG=1\nFROM x:$TAG\n", false),
        ("ARG A=1\nARG TAG=${A}.2\nFROM x:$TAG\n", false),
        ("ARG TAG\nFROM x:${TAG:-1}\n", false),
        ("ARG HOST=h.example:5000/\nFROM ${HOST}a/b:c\n", false),
        ("FROM x:$UNDECLARED\n", false),
    ] {
        assert_eq!(rules(source).contains(&"InvalidDefaultArgInFrom"), found, "{source}");
    }
}

#[test]
fn examples_show_what_they_are_about() {
    for rule in &RULES {
        let found = rules(rule.guide.bad);
        assert_eq!(found, [rule.name], "{}", rule.guide.bad);
        assert_eq!(rules(rule.guide.good), Vec::<&str>::new(), "{}", rule.guide.good);
    }
    for (name, guide) in elsewhere::GUIDES {
        for example in [guide.bad, guide.good] {
            assert!(crate::parse(example.as_bytes()).is_ok(), "{name}: {example}");
        }
    }
}

/// `UPDATE=1` writes the pages.
#[test]
fn pages_are_those_of_the_rules() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/checks");
    let mut names: Vec<String> = pages().iter().map(|(name, _)| format!("{name}.md")).collect();
    let index: String = guide::all()
        .map(|(name, _)| name)
        .collect::<std::collections::BTreeSet<_>>()
        .iter()
        .map(|name| {
            let (_, guide) = guide::all().find(|(known, _)| known == name).expect("it is one of them");
            format!("- [{name}]({name}.md): {}\n", guide.summary)
        })
        .collect();
    let index = format!(
        "# Checks\n\nWhat is allowed in a Dockerfile, but probably not meant. `build --check .` runs them without building.\n\n{index}"
    );
    names.push("README.md".to_owned());
    let pages = pages()
        .into_iter()
        .map(|(name, text)| (format!("{name}.md"), text))
        .chain([("README.md".to_owned(), index)]);
    for (name, text) in pages {
        let path = folder.join(name);
        if std::env::var_os("UPDATE").is_some() {
            std::fs::create_dir_all(&folder).expect("docs can be written");
            std::fs::write(&path, &text).expect("docs can be written");
        }
        let there = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(there == text, "{} is not what the rule says; run the tests with UPDATE=1", path.display());
    }
    let mut there: Vec<String> = std::fs::read_dir(&folder)
        .expect("the pages are there")
        .map(|entry| entry.expect("it can be read").file_name().to_string_lossy().into_owned())
        .collect();
    there.sort();
    names.sort();
    assert_eq!(there, names, "a page of no rule");
}
