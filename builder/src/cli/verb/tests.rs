use super::*;

fn parsed(line: &str) -> Result<Command, Stop> {
    let words: Vec<OsString> =
        std::iter::once("build").chain(line.split_whitespace()).map(Into::into).collect();
    parse(&words)
}

fn usage(line: &str) -> String {
    match parsed(line) {
        Err(Stop::Usage(error)) => error.to_string(),
        other => panic!("{line}: {other:?}"),
    }
}

fn shown(line: &str) -> String {
    match parsed(line) {
        Err(Stop::Show(text)) => text,
        other => panic!("{line}: {other:?}"),
    }
}

fn build(line: &str) -> args::BuildArgs {
    match parsed(line) {
        Ok(Command::Build(args)) => *args,
        other => panic!("{line}: {other:?}"),
    }
}

#[test]
fn the_first_word_may_be_a_verb() {
    for line in [".", "build .", "-t images .", "./push", "build images", "-- push", "build build"] {
        assert!(matches!(parsed(line), Ok(Command::Build(_))), "{line}");
    }
    for (line, verb) in [
        ("images", "Images"),
        ("images debian", "Images"),
        ("inspect a b", "Inspect"),
        ("history a", "History"),
        ("tag a b", "Tag"),
        ("rmi -f a", "Rmi"),
        ("pull --platform linux/arm64 a", "Pull"),
        ("push -q a", "Push"),
        ("save -o x.tar a b", "Save"),
        ("load -i x.tar", "Load"),
        ("login -u me --password-stdin localhost:5000", "Login"),
        ("logout", "Logout"),
        ("run -it --rm-not", "error"),
        ("version --format json", "Version"),
    ] {
        let shown = match parsed(line) {
            Ok(command) => format!("{command:?}"),
            Err(_) => "error".to_owned(),
        };
        assert!(shown.starts_with(verb), "{line}: {shown}");
    }
}

#[test]
fn every_verb_has_help() {
    let top = shown("--help");
    for (verb, about) in VERBS {
        assert!(top.contains(&format!("  {verb:<10}{about}\n")), "{verb}");
        let help = shown(&format!("{verb} --help"));
        assert!(help.starts_with(about), "{help}");
        assert!(help.contains(&format!("Usage: build {verb}")), "{help}");
    }
    assert_eq!(shown("--version"), format!("build {}\n", env!("CARGO_PKG_VERSION")));
    for heading in ["Input:", "Output:", "Steps:", "Display:", "Verbs:", "--cache-from"] {
        assert!(top.contains(heading), "{heading} is not in\n{top}");
    }
    assert!(top.lines().all(|line| line.chars().count() <= 125), "a line is too long:\n{top}");
}

#[test]
fn truth_values_have_three_forms() {
    for (line, want) in [
        (".", false),
        ("--pull .", true),
        ("--pull=true .", true),
        ("--pull=0 .", false),
        ("--pull --pull=F .", false),
    ] {
        assert_eq!(build(line).pull, want, "{line}");
    }
    let all = build("--push --load --no-cache -qt a:1 .");
    assert!(all.push && all.load && all.no_cache && all.quiet);
    assert_eq!(all.tag, ["a:1"]);
    assert_eq!(all.context.as_deref(), Some(OsStr::new(".")));
}

#[test]
fn what_follows_the_image_is_the_programs() {
    let Ok(Command::Run(run)) =
        parsed("run -it -e A=1 -e B -v /a:/b:ro --network none img ls -e --help -- x")
    else {
        panic!("it is a run");
    };
    assert!(run.interactive && run.tty && !run.read_only);
    assert_eq!(run.env, [("A".to_owned(), Some("1".to_owned())), ("B".to_owned(), None)]);
    assert_eq!(run.words, ["img", "ls", "-e", "--help", "--", "x"]);
}

#[test]
fn wrong_command_lines() {
    assert_eq!(
        usage("--cache-from x ."),
        "--cache-from is not supported: steps are cached in the store of this machine only"
    );
    for (line, want) in [
        ("--targt x .", "error: unexpected argument '--targt' found"),
        ("--targt x .", "a similar argument exists: '--target'"),
        ("--frobnicate .", "error: unexpected argument '--frobnicate' found"),
        (". extra", "error: unexpected argument 'extra' found"),
        ("--target", "error: a value is required for '--target <STAGE>' but none was supplied"),
        ("--pull=maybe .", "error: invalid value 'maybe' for '--pull[=<BOOL>]': write true or false"),
        (
            "--ulimit nofile=x .",
            "error: invalid value 'nofile=x' for '--ulimit <NAME=SOFT[:HARD]>': \
             nofile=\"x\" is not understood: write a number, or -1 for no limit",
        ),
        ("-m much .", "memory=\"much\" is not understood: write a size, as in 512m or 2g"),
        (
            "--resource cpus=2 .",
            "error: invalid value 'cpus=2' for '--resource <KEY=VALUE>': unknown key \"cpus\"",
        ),
        ("--network bridge .", "error: invalid value 'bridge' for '--network <MODE>'"),
        ("--network bridge .", "[possible values: default, host, none]"),
        ("--progress fancy .", "[possible values: auto, tty, plain, quiet, rawjson, none]"),
        ("--platform a/b/c/d .", "error: invalid value 'a/b/c/d' for '--platform <OS/ARCH[/VARIANT],...>'"),
        ("--parallelism 0 .", "error: invalid value '0' for '--parallelism <N>'"),
        (
            "-o type=zip .",
            "error: invalid value 'type=zip' for '--output <SPEC>': type=\"zip\" is not understood",
        ),
        ("login -p secret", "error: unexpected argument '-p' found"),
        ("tag a", "error: the following required arguments were not provided"),
        ("rmi", "error: the following required arguments were not provided"),
        ("run", "error: the following required arguments were not provided"),
        ("run -v data:/b img", "would be a named volume, and there are none; for a directory write ./data"),
    ] {
        let text = usage(line);
        assert!(text.contains(want), "{line}: {text}");
    }
}
