//! What must be true of any input: one function for each fuzz target.
//!
//! The targets in `fuzz_targets/` call these with what libFuzzer makes up; `dockerfile-parser/tests/corpus.rs` calls them
//! with the corpus and with damaged copies of it, on any toolchain.

use dockerfile_parser::diagnostic::{self, Diagnostic, Severity};
use dockerfile_parser::expand::Expander;
use dockerfile_parser::glob::{self, Glob};
use dockerfile_parser::ignore::{MatchState, Patterns};
use dockerfile_parser::{detect_syntax, device, fmt, mount, parse, parse_trigger, parse_with_checks, syntax};

/// Dockerfiles: nothing panics, findings are in order and inside the file, and a file without errors has stages and can be
/// formatted.
pub(crate) fn parser(source: &[u8]) {
    formatted(source);
    match parse(source) {
        Ok(parsed) => {
            assert!(!parsed.dockerfile.stages.is_empty());
            findings(source, &parsed.warnings);
            let mut end = 0;
            for stage in &parsed.dockerfile.stages {
                assert!(stage.span.start >= end && stage.span.end <= source.len());
                end = stage.span.end;
                for instruction in &stage.instructions {
                    assert!(instruction.span.start >= end && instruction.span.end <= source.len());
                    end = instruction.span.end;
                }
            }
        }
        Err(errors) => {
            assert!(errors.iter().any(|finding| finding.severity == Severity::Error));
            findings(source, &errors);
        }
    }
    if let Some(frontend) = detect_syntax(source) {
        let _ = syntax::check(&frontend);
    }
    if let Ok(text) = std::str::from_utf8(source) {
        for escape in ['\\', '`'] {
            if let Err(errors) = parse_trigger(text, escape) {
                findings(source, &errors);
            }
        }
    }
}

/// Formatting keeps the meaning, and formatting again changes nothing.
fn formatted(source: &[u8]) {
    let Ok(once) = fmt::format(source) else { return };
    let read = |source: &[u8]| parse_with_checks(source, Some("skip=all")).map(|parsed| parsed.dockerfile);
    let (Ok(before), Ok(after)) = (read(source), read(&once)) else {
        panic!("what was formatted does not parse: {}", String::from_utf8_lossy(&once));
    };
    assert!(fmt::same_meaning(&before, &after), "it became {}", String::from_utf8_lossy(&once));
    let twice = fmt::format(&once).unwrap_or_default();
    assert_eq!(String::from_utf8_lossy(&once), String::from_utf8_lossy(&twice));
}

fn findings(source: &[u8], findings: &[Diagnostic]) {
    assert!(findings.is_sorted_by_key(|finding| finding.span));
    for finding in findings.iter().take(20) {
        assert!(finding.span.start <= finding.span.end && finding.span.end <= source.len(), "{finding:?}");
        let text = diagnostic::render("Dockerfile", source, finding);
        assert!(!text.contains('\x1b') && text.lines().count() <= 5, "{text}");
        let json = diagnostic::json("Dockerfile", source, finding);
        assert!(json.starts_with('{') && json.ends_with('}') && !json.contains(char::is_control), "{json}");
    }
}

/// Words: the first line is the value of `V`, the rest is expanded, in each way there is.
pub(crate) fn words(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let (value, word) = text.split_once('\n').unwrap_or_default();
    let lookup = |name: &str| match name {
        "V" => Some(value.to_owned()),
        "E" => Some(String::new()),
        _ => None,
    };
    for escape in ['\\', '`'] {
        let expander = Expander::new(escape);
        let whole = expander.word(word, &lookup);
        let split = expander.words(word, &lookup);
        match (&whole, &split) {
            (Ok(whole), Ok(split)) => {
                // Splitting takes white space away, and nothing else.
                let without = |text: &str| text.chars().filter(|c| !c.is_whitespace()).collect::<String>();
                assert_eq!(without(&whole.text), without(&split.concat()), "{word:?}");
                assert!(split.iter().all(|part| !part.is_empty()));
                assert!(!whole.undefined.iter().any(|name| name == "V" || name == "E"));
            }
            (Err(whole), Err(split)) => assert_eq!(whole, split),
            _ => panic!("{word:?} is {whole:?}, and in words {split:?}"),
        }
        if let Err(error) = &whole {
            assert!(error.offset <= word.len() && !error.to_string().is_empty());
        }
        let _ = expander.heredoc(word, &lookup);
    }
}

/// Ignore files: up to the first NUL the patterns, then paths. A walk says the same as a look at each path, and a
/// directory that may be skipped holds nothing.
pub(crate) fn ignore(data: &[u8]) {
    let mut parts = data.split(|byte| *byte == 0);
    let patterns = parts.next().unwrap_or_default();
    if let Ok(text) = std::str::from_utf8(patterns) {
        let cleaned = glob::clean(text);
        assert_eq!(glob::clean(&cleaned), cleaned);
        if let Ok(glob) = Glob::new(text) {
            let literal = glob.literal().map(str::to_owned);
            assert!(literal.is_none_or(|literal| glob.matches(literal)));
        }
    }
    let Ok(patterns) = Patterns::parse(patterns) else { return };
    let is_clean =
        |path: &&[u8]| path.split(|byte| *byte == b'/').all(|name| !matches!(name, b"" | b"." | b".."));
    for path in parts.take(8).filter(is_clean).filter(|path| path.len() < 200) {
        let mut state = MatchState::default();
        let mut skipped = false;
        let ends = path.iter().enumerate().filter(|(_, byte)| **byte == b'/').map(|(at, _)| at);
        for end in ends.chain([path.len()]) {
            let part = &path[..end];
            state = patterns.enter(state, part);
            let verdict = patterns.verdict(state);
            assert_eq!(verdict, patterns.matches(part));
            assert!(!skipped || verdict.ignored, "{part:?} is in a directory that was to be skipped");
            skipped |= verdict.ignored && !patterns.may_reinclude_below_from(state, part);
        }
    }
}

/// Mounts and devices of RUN: what is refused before names have values is refused with any values.
pub(crate) fn mounts(data: &[u8]) {
    let Ok(spec) = std::str::from_utf8(data) else { return };
    let _ = device::parse(spec);
    for escape in ['\\', '`'] {
        let expander = Expander::new(escape);
        let checked = mount::check(spec, escape);
        for value in ["", "cache", "/x", "077"] {
            let lookup = |_: &str| Some(value.to_owned());
            let parsed = mount::parse(spec, &mut |text| expander.word(text, &lookup).map(|done| done.text));
            match (&checked, &parsed) {
                (Err(error), Ok(mount)) => panic!("{spec:?} was refused ({error}), and is {mount:?}"),
                (Ok(()), Ok(mount)) => assert_eq!(mount::from(spec), mount.from),
                (_, Err(error)) => assert!(!error.to_string().is_empty()),
            }
            if !spec.contains('$') {
                assert_eq!(checked.is_ok(), parsed.is_ok(), "{spec:?}");
            }
        }
    }
}
