//! Whatever comes in: no panic, spans that are true, and time that grows with the input only.

use super::*;
use crate::ast::{CommandLine, Healthcheck, Source, Word};
use crate::diagnostic;
use crate::expand::Expander;
use crate::testing::{Random, hostile};
use std::time::{Duration, Instant};

/// Pieces that mean something somewhere, and so are likely to reach deep.
const PIECES: [&str; 64] = [
    "FROM ",
    "RUN ",
    "COPY ",
    "ADD ",
    "ENV ",
    "ARG ",
    "LABEL ",
    "ONBUILD ",
    "HEALTHCHECK ",
    "CMD ",
    "SHELL ",
    "VOLUME ",
    "EXPOSE ",
    "USER ",
    "WORKDIR ",
    "STOPSIGNAL ",
    "ENTRYPOINT ",
    "MAINTAINER ",
    "AS ",
    "NONE",
    "--from=",
    "--mount=",
    "--chown=",
    "--link ",
    "--interval=",
    "-- ",
    "type=cache,",
    "target=/x",
    "scratch",
    "a",
    "b c",
    "\\",
    "\\\n",
    "`",
    "\n",
    "\n",
    "\r\n",
    "\t",
    " ",
    "  ",
    "#",
    "# escape=`\n",
    "# check=",
    "<<EOF",
    "<<-'X'",
    "EOF\n",
    "X\n",
    "<<",
    "[",
    "]",
    "\"",
    "\"a\"",
    "'",
    ",",
    "=",
    "$",
    "${",
    "}",
    ":-",
    "{",
    "é",
    "\u{2003}",
    "\u{feff}",
    "\0",
];

fn soup(random: &mut Random) -> Vec<u8> {
    let mut bytes = Vec::new();
    if random.below(3) > 0 {
        bytes.extend(b"FROM a\n");
    }
    for _ in 0..random.below(40) {
        match random.below(30) {
            0 => bytes.push(random.below(256) as u8),
            _ => bytes.extend(random.pick(&PIECES).as_bytes()),
        }
    }
    bytes
}

/// Good files, to be damaged.
fn seeds() -> Vec<Vec<u8>> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../testdata/parser");
    let cases = std::fs::read_dir(folder).expect("testdata/parser");
    let mut files: Vec<_> = cases.map(|case| case.expect("a case").path().join("Dockerfile")).collect();
    files.sort();
    files.into_iter().map(|file| std::fs::read(file).expect("a Dockerfile")).collect()
}

fn damage(random: &mut Random, bytes: &mut Vec<u8>) {
    for _ in 0..random.below(4) + 1 {
        let at = random.below(bytes.len() + 1);
        let end = at + random.below(bytes.len() + 1 - at).min(12);
        match random.below(4) {
            0 => drop(bytes.drain(at..end)),
            1 => {
                let copy = bytes[at..end].to_vec();
                bytes.splice(at..at, copy);
            }
            2 => {
                let piece = random.pick(&PIECES).as_bytes();
                bytes.splice(at..at, piece.iter().copied());
            }
            _ => {
                if let Some(byte) = bytes.get_mut(at) {
                    *byte ^= 1 << random.below(8);
                }
            }
        }
    }
}

#[test]
fn nothing_panics_and_spans_are_true() {
    let mut random = Random::new(1);
    let seeds = seeds();
    let (mut good, mut bad) = (0, 0);
    for i in 0..6000 {
        let source = if i % 2 == 0 {
            soup(&mut random)
        } else {
            let mut source = random.pick(&seeds).clone();
            damage(&mut random, &mut source);
            source
        };
        match parse(&source) {
            Ok(parsed) => {
                good += 1;
                check_file(&source, &parsed.dockerfile);
                check_diagnostics(&source, &parsed.warnings);
            }
            Err(errors) => {
                bad += 1;
                assert!(errors.iter().any(|d| d.severity == Severity::Error));
                check_diagnostics(&source, &errors);
            }
        }
        let _ = parse_trigger(&String::from_utf8_lossy(&source), '\\');
        let _ = crate::detect_syntax(&source);
        let _ = crate::ignore::Patterns::parse(&source);
        let text = String::from_utf8_lossy(&source);
        let lookup = |name: &str| (name.len() % 2 == 1).then(|| text.chars().take(9).collect::<String>());
        for expander in [Expander::new('\\'), Expander::new('`')] {
            let _ = expander.word(&text, &lookup);
            let _ = expander.words(&text, &lookup);
            let _ = expander.heredoc(&text, &lookup);
            let _ = crate::mount::parse(&text, &mut |value| expander.word(value, &lookup).map(|e| e.text));
        }
        let _ = crate::mount::check(&text, '\\');
        let _ = crate::device::parse(&text);
        if let Ok(glob) = crate::glob::Glob::with_double_star(&text) {
            let _ = (glob.matches("a/b"), glob.may_match_below("a"));
        }
    }
    assert!(good > 500 && bad > 500, "{good} good, {bad} bad: the generator reaches only one side");
}

fn check_diagnostics(source: &[u8], diagnostics: &[Diagnostic]) {
    for d in diagnostics {
        assert!(d.span.start <= d.span.end && d.span.end <= source.len(), "{d:?}");
        let text = diagnostic::render("Dockerfile", source, d);
        assert!(text.lines().count() <= 5, "{text}");
    }
    assert!(diagnostics.is_sorted_by_key(|d| d.span));
}

fn check_file(source: &[u8], file: &Dockerfile) {
    let mut end = 0;
    for stage in &file.stages {
        plain(source, &stage.from.image);
        stage.from.name.iter().for_each(|name| plain(source, name));
        assert!(stage.span.start >= end && stage.span.end <= source.len());
        end = stage.span.end;
        for instruction in &stage.instructions {
            assert!(instruction.span.start >= end && instruction.span.end <= source.len(), "{instruction:?}");
            end = instruction.span.end;
            check_instruction(source, instruction, file.directives.escape);
        }
    }
}

/// A word stands as it is where its span says, from the first byte to the last.
fn plain(source: &[u8], word: &Word) {
    let Span { start, end } = word.span;
    match (word.text.as_bytes(), &source[start..end]) {
        ([], []) => {}
        ([first, ..], [byte, ..]) => {
            assert_eq!((first, word.text.as_bytes().last()), (byte, source[..end].last()), "{word:?}");
        }
        _ => panic!("{word:?} is empty in one place only"),
    }
}

fn plain_or_json(source: &[u8], words: &[Word]) {
    for word in words {
        let is_json = source[word.span.start] == b'"'
            && source[word.span.end - 1] == b'"'
            && word.span.end - word.span.start > 1;
        if !is_json {
            plain(source, word);
        }
    }
}

fn command(source: &[u8], command: &CommandLine) {
    match command {
        CommandLine::Shell(word) => plain(source, word),
        CommandLine::Exec(words) => plain_or_json(source, words),
    }
}

fn sources(source: &[u8], sources: &[Source], destination: &Word) {
    plain_or_json(source, std::slice::from_ref(destination));
    for one in sources {
        match one {
            Source::Path(word) => plain_or_json(source, std::slice::from_ref(word)),
            Source::Heredoc(heredoc) => heredoc_is_true(source, heredoc),
        }
    }
}

fn heredoc_is_true(source: &[u8], heredoc: &crate::ast::Heredoc) {
    let opening = &source[heredoc.span.start..heredoc.span.end];
    assert!(opening.windows(2).any(|pair| pair == b"<<" || pair == b"<\\" || pair == b"<`"), "{heredoc:?}");
    let body = String::from_utf8_lossy(&source[heredoc.body_span.start..heredoc.body_span.end]);
    match heredoc.strip_tabs {
        true => assert_eq!(heredoc.body.replace('\t', ""), body.replace('\t', "")),
        false => assert_eq!(heredoc.body, body),
    }
}

fn check_instruction(source: &[u8], instruction: &Instruction, escape: char) {
    let keyword = &instruction.keyword;
    plain(source, &Word { text: keyword.text.clone().into_owned(), span: keyword.span });
    match &instruction.kind {
        InstructionKind::Run(run) => {
            command(source, &run.command);
            run.heredocs.iter().for_each(|heredoc| heredoc_is_true(source, heredoc));
        }
        InstructionKind::Cmd(line) | InstructionKind::Entrypoint(line) => command(source, line),
        InstructionKind::Healthcheck(Healthcheck::Cmd { command: line, .. }) => command(source, line),
        InstructionKind::Healthcheck(Healthcheck::None) => {}
        InstructionKind::Label(values) | InstructionKind::Env(values) => {
            values.pairs.iter().for_each(|(key, value)| {
                plain(source, key);
                plain(source, value);
            });
        }
        InstructionKind::Arg(declarations) => declarations.iter().for_each(|declaration| {
            plain(source, &declaration.name);
            declaration.default.iter().for_each(|default| plain(source, default));
        }),
        InstructionKind::Maintainer(word)
        | InstructionKind::User(word)
        | InstructionKind::Workdir(word)
        | InstructionKind::Stopsignal(word) => plain(source, word),
        InstructionKind::Expose(words) => words.iter().for_each(|word| plain(source, word)),
        InstructionKind::Shell(words) => plain_or_json(source, words),
        InstructionKind::Volume(_) => {}
        InstructionKind::Copy(copy) => sources(source, &copy.sources, &copy.destination),
        InstructionKind::Add(add) => sources(source, &add.sources, &add.destination),
        InstructionKind::Onbuild(onbuild) => {
            check_instruction(source, &onbuild.instruction, escape);
            // What the image stores is read back as what it was.
            let again = parse_trigger(&onbuild.trigger, escape).expect("a trigger");
            assert_eq!(again.source, onbuild.instruction.source);
            assert_eq!(without_spans(&again), without_spans(&onbuild.instruction), "{}", onbuild.trigger);
        }
    }
}

fn without_spans(instruction: &Instruction) -> String {
    let mut text = format!("{:?}", instruction.kind);
    for mark in [" @ ", "span: "] {
        let mut parts = text.split(mark);
        let mut out = parts.next().unwrap_or_default().to_owned();
        out.extend(parts.map(|part| part.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.')));
        text = out;
    }
    text
}

#[test]
fn triggers() {
    let trigger = parse_trigger("RUN <<-E cat\n\tx\n\tE", '\\').expect("a trigger");
    let InstructionKind::Run(run) = trigger.kind else { panic!("not RUN") };
    assert_eq!((run.heredocs[0].body.as_str(), trigger.span), ("x\n", Span::new(0, 18)));
    let code = |text: &str| parse_trigger(text, '\\').expect_err(text)[0].code;
    assert_eq!(code(""), "empty-trigger");
    assert_eq!(code("FROM a"), "bad-trigger");
    assert_eq!(code("ONBUILD RUN a"), "bad-trigger");
    assert_eq!(code("MAINTAINER a"), "bad-trigger");
    assert_eq!(code("RUN a\nRUN b"), "extra-instruction");
    assert_eq!(code("RUN <<E\nx"), "unterminated-heredoc");
    assert_eq!(code("RNU a"), "unknown-instruction");
}

/// A megabyte; less where the compiler has not optimised.
const SIZE: usize = if cfg!(debug_assertions) { 1 << 18 } else { 1 << 20 };

fn within(limit: Duration, what: &str, work: impl FnOnce()) {
    let start = Instant::now();
    work();
    assert!(start.elapsed() < limit, "{what} took {:?}", start.elapsed());
}

/// A megabyte of each: something quadratic would take hours, something recursive would overflow the stack.
#[test]
fn megabytes() {
    for (name, source) in hostile::dockerfiles(SIZE) {
        within(Duration::from_secs(60), &name, || drop(parse(source.as_bytes())));
    }
}

#[test]
fn a_line_has_a_limit() {
    let long = |length: usize| format!("FROM a\r\nRUN {}\r\n", "x".repeat(length - "RUN \r".len()));
    assert!(parse(long(65_535).as_bytes()).is_ok());
    let errors = parse(long(65_536).as_bytes()).expect_err("a line that is too long");
    assert_eq!(errors.len(), 1);
    assert_eq!((errors[0].code, errors[0].span), ("line-too-long", Span::new(8, 8 + 65_535)));
    // Here-documents and comments are lines too; what counts is the line, not the instruction.
    assert!(parse(format!("FROM a\nRUN <<E\n{}\nE\n", "x".repeat(65_536)).as_bytes()).is_err());
    assert!(parse(format!("#{}\nFROM a\n", "x".repeat(65_535)).as_bytes()).is_err());
    assert!(parse(format!("FROM a\nRUN {}\n", "x \\\n".repeat(65_535)).as_bytes()).is_ok());
    assert!(parse_trigger(&format!("RUN {}", "x".repeat(65_535)), '\\').is_err());
}

#[test]
fn megabytes_of_words_and_patterns() {
    let repeat = |piece: &str| piece.repeat(SIZE / piece.len());
    let value = hostile::value(SIZE);
    let lookup = |name: &str| (name == "V").then(|| value.clone());
    let expander = Expander::new('\\');
    for word in hostile::words(SIZE) {
        let name: String = word.chars().take(30).collect();
        within(Duration::from_secs(60), &name, || drop(expander.word(&word, &lookup)));
        within(Duration::from_secs(60), &name, || drop(expander.words(&word, &lookup)));
    }
    let glob = crate::glob::Glob::with_double_star("**/a*b*a*b*/**/x").expect("a pattern");
    within(Duration::from_secs(60), "glob", || assert!(!glob.matches(repeat("ab/").as_str())));
    within(Duration::from_secs(60), "ignore", || {
        drop(crate::ignore::Patterns::parse(repeat("**a[b]\n").as_bytes()))
    });
    within(Duration::from_secs(60), "stars", || drop(crate::glob::Glob::with_double_star(&repeat("*"))));
}

#[test]
fn many_instructions_are_fast() {
    let source = hostile::ordinary(20_000);
    // examples/speed.rs measures; this only keeps out anything quadratic.
    let limit = if cfg!(debug_assertions) { Duration::from_secs(20) } else { Duration::from_secs(1) };
    within(limit, "20,000 instructions", || assert!(parse(source.as_bytes()).is_ok()));
}

#[test]
fn no_help_names_what_cannot_be_a_trigger() {
    for (text, help) in [
        ("FROM a\nONBUILD FOO x\n", "ONBUILD takes any instruction but FROM, MAINTAINER and ONBUILD"),
        ("FROM a\nONBUILD RNU x\n", "did you mean RUN?"),
    ] {
        let errors = crate::parse(text.as_bytes()).expect_err(text);
        assert_eq!(errors[0].help.as_deref(), Some(help), "{text}");
    }
}
