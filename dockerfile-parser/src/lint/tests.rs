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
