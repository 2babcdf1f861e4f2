//! Files made of known instructions, printed in all sorts of layouts: they parse to what they were made of.

use dockerfile_parser::ast::{CommandLine, Instruction, InstructionKind, Source, Word};
use dockerfile_parser::{fmt, parse_with_checks};
use proptest::prelude::*;

/// An instruction of which everything is known.
#[derive(Clone, Debug)]
enum Known {
    /// The text for a shell, and the mounts.
    Run {
        mounts: Vec<String>,
        text: String,
    },
    Exec {
        keyword: &'static str,
        words: Vec<String>,
    },
    Copy {
        from: Option<String>,
        words: Vec<String>,
    },
    CopyHeredoc {
        body: String,
        quoted: bool,
        destination: String,
    },
    Pairs {
        keyword: &'static str,
        pairs: Vec<(String, String)>,
    },
    Words {
        keyword: &'static str,
        words: Vec<String>,
    },
    Text {
        keyword: &'static str,
        text: String,
    },
}

/// How to write it.
#[derive(Clone, Debug)]
struct Style {
    lower: bool,
    /// For each gap between words what fills it, in turn.
    gaps: Vec<Gap>,
    comments: Vec<String>,
    blank_lines: usize,
}

#[derive(Clone, Copy, Debug)]
enum Gap {
    Space,
    Blanks,
    Line,
    LineWithComment,
    LineWithEmpty,
}

fn print(known: &Known, style: &Style, escape: char) -> String {
    let mut gaps = style.gaps.iter().cycle();
    let mut gap = || match gaps.next().copied().unwrap_or(Gap::Space) {
        Gap::Space => " ".to_owned(),
        Gap::Blanks => " \t  ".to_owned(),
        Gap::Line => format!(" {escape}\n  "),
        Gap::LineWithComment => format!(" {escape}  \n\t# note\n") + " ",
        Gap::LineWithEmpty => format!(" {escape}\n\n "),
    };
    let (keyword, words, tail) = match known {
        Known::Run { mounts, text } => {
            let mut words: Vec<String> = mounts.iter().map(|mount| format!("--mount={mount}")).collect();
            words.push(text.replace('\n', &format!("{escape}\n")));
            ("RUN", words, String::new())
        }
        Known::Exec { keyword, words } => {
            let quoted: Vec<String> = words.iter().map(|word| format!("{word:?}")).collect();
            let mut parts = vec!["[".to_owned()];
            let last = quoted.len().saturating_sub(1);
            parts.extend(
                quoted.iter().enumerate().map(|(i, w)| if i == last { w.clone() } else { format!("{w},") }),
            );
            parts.push("]".to_owned());
            (*keyword, parts, String::new())
        }
        Known::Copy { from, words } => {
            let mut all: Vec<String> = from.iter().map(|from| format!("--from={from}")).collect();
            all.extend(words.iter().cloned());
            ("COPY", all, String::new())
        }
        Known::CopyHeredoc { body, quoted, destination } => {
            let opening = if *quoted { "<<'END'" } else { "<<END" };
            ("COPY", vec![opening.to_owned(), destination.clone()], format!("\n{body}END"))
        }
        Known::Pairs { keyword, pairs } => {
            (*keyword, pairs.iter().map(|(name, value)| format!("{name}={value}")).collect(), String::new())
        }
        Known::Words { keyword, words } => (*keyword, words.clone(), String::new()),
        Known::Text { keyword, text } => (*keyword, vec![text.clone()], String::new()),
    };
    let mut out: String = style.comments.iter().map(|comment| format!("# {comment}\n")).collect();
    out += &if style.lower { keyword.to_lowercase() } else { keyword.to_owned() };
    for word in words {
        out += &gap();
        out += &word;
    }
    out + &tail + "\n" + &"\n".repeat(style.blank_lines)
}

fn texts(words: &[Word]) -> Vec<String> {
    words.iter().map(|word| word.text.clone()).collect()
}

/// Whether what was parsed is what was printed.
fn is(instruction: &Instruction, known: &Known) -> bool {
    match (known, &instruction.kind) {
        (Known::Run { mounts, text }, InstructionKind::Run(run)) => {
            let CommandLine::Shell(command) = &run.command else { return false };
            let specs: Vec<String> = run.mounts.iter().map(|mount| mount.spec.text.clone()).collect();
            command.text == text.replace('\n', "") && specs == *mounts
        }
        (Known::Exec { words, .. }, InstructionKind::Cmd(line) | InstructionKind::Entrypoint(line)) => {
            matches!(line, CommandLine::Exec(parsed) if texts(parsed) == *words)
        }
        (Known::Exec { words, .. }, InstructionKind::Shell(parsed) | InstructionKind::Volume(parsed))
        | (Known::Words { words, .. }, InstructionKind::Expose(parsed) | InstructionKind::Volume(parsed)) => {
            texts(parsed) == *words
        }
        (Known::Copy { from, words }, InstructionKind::Copy(copy)) => {
            let mut parsed: Vec<String> = copy
                .sources
                .iter()
                .filter_map(|source| match source {
                    Source::Path(word) => Some(word.text.clone()),
                    Source::Heredoc(_) => None,
                })
                .collect();
            parsed.push(copy.destination.text.clone());
            parsed == *words && copy.from.as_ref().map(|word| &word.text) == from.as_ref()
        }
        (Known::CopyHeredoc { body, quoted, destination }, InstructionKind::Copy(copy)) => {
            let [Source::Heredoc(heredoc)] = &copy.sources[..] else { return false };
            heredoc.body == *body && heredoc.expand != *quoted && copy.destination.text == *destination
        }
        (Known::Pairs { pairs, .. }, InstructionKind::Env(values) | InstructionKind::Label(values)) => {
            let parsed = values.pairs.iter().map(|(name, value)| (name.text.clone(), value.text.clone()));
            parsed.collect::<Vec<_>>() == *pairs && !values.legacy
        }
        (Known::Pairs { pairs, .. }, InstructionKind::Arg(declarations)) => {
            let text = |word: &Option<Word>| word.as_ref().map_or(String::new(), |word| word.text.clone());
            let parsed = declarations.iter().map(|one| (one.name.text.clone(), text(&one.default)));
            parsed.collect::<Vec<_>>() == *pairs
        }
        (Known::Text { text, .. }, InstructionKind::Workdir(word) | InstructionKind::User(word)) => {
            word.text == *text
        }
        _ => false,
    }
}

fn word() -> impl Strategy<Value = String> {
    "[a-z/$][a-zA-Z0-9_./$*{}-]{0,12}".prop_filter("braces", |word| !word.contains("${"))
}

fn known() -> impl Strategy<Value = Known> {
    let words = || prop::collection::vec(word(), 1..5);
    let pair = ("[A-Z_]{1,8}", prop_oneof!["[a-z0-9./]{0,12}", "\"[a-z '#=]{0,12}\"", "'[a-z \"#=]{0,12}'"]);
    let text = "[a-z][a-z0-9 &|;$\"'#/-]{0,30}(\n[a-z ][a-z0-9 ]{0,12}[a-z]){0,3}"
        .prop_map(|text| text.trim_end().to_owned());
    let mount = "[a-z]{1,5}".prop_map(|name| format!("type=cache,target=/{name}"));
    prop_oneof![
        (prop::collection::vec(mount, 0..3), text).prop_map(|(mounts, text)| Known::Run { mounts, text }),
        (
            prop::sample::select(vec!["CMD", "ENTRYPOINT", "SHELL", "VOLUME"]),
            prop::collection::vec("[a-z \\\\\"#]{1,8}", 1..4)
        )
            .prop_map(|(keyword, words)| Known::Exec {
                keyword,
                // VOLUME takes blanks off.
                words: words.into_iter().map(|word| format!("/{}x", word.trim())).collect(),
            }),
        (prop::option::of("[a-z]{1,8}"), prop::collection::vec(word(), 2..5))
            .prop_map(|(from, words)| Known::Copy { from, words }),
        ("([a-z\\\\#$ `]{0,12}\n){0,4}", any::<bool>(), word())
            .prop_map(|(body, quoted, destination)| Known::CopyHeredoc { body, quoted, destination }),
        (prop::sample::select(vec!["ENV", "LABEL", "ARG"]), prop::collection::vec(pair, 1..5))
            .prop_map(|(keyword, pairs)| Known::Pairs { keyword, pairs }),
        (prop::sample::select(vec!["EXPOSE", "VOLUME"]), words())
            .prop_map(|(keyword, words)| Known::Words { keyword, words }),
        (prop::sample::select(vec!["WORKDIR", "USER"]), "[a-z/$][a-z0-9 \"'$/#]{0,16}[a-z]")
            .prop_map(|(keyword, text)| Known::Text { keyword, text }),
    ]
}

fn style() -> impl Strategy<Value = Style> {
    let gap = prop::sample::select(vec![
        Gap::Space,
        Gap::Blanks,
        Gap::Line,
        Gap::LineWithComment,
        Gap::LineWithEmpty,
    ]);
    (
        any::<bool>(),
        prop::collection::vec(gap, 1..4),
        prop::collection::vec("[a-z]{1,8}( [a-z]{1,5}){0,2}", 0..3),
        0..3_usize,
    )
        .prop_map(|(lower, gaps, comments, blank_lines)| Style { lower, gaps, comments, blank_lines })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 500, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_printed_is_parsed(
        instructions in prop::collection::vec((known(), style()), 0..6),
        backtick in any::<bool>(),
        windows in any::<bool>(),
    ) {
        let escape = if backtick { '`' } else { '\\' };
        let mut text = if backtick { "# escape=`\n" } else { "# syntax=docker/dockerfile:1\n" }.to_owned();
        text += "FROM scratch\n";
        text.extend(instructions.iter().map(|(known, style)| print(known, style, escape)));
        let heredocs = instructions.iter().any(|(known, _)| matches!(known, Known::CopyHeredoc { .. }));
        if windows && !heredocs {
            text = text.replace('\n', "\r\n");
        }
        let read = |text: &[u8]| parse_with_checks(text, Some("skip=all")).map(|parsed| parsed.dockerfile);
        let file = read(text.as_bytes()).map_err(|errors| TestCaseError::fail(format!("{errors:?} in\n{text}")))?;
        let parsed = &file.stages[0].instructions;
        prop_assert_eq!(parsed.len(), instructions.len());
        for (instruction, (known, style)) in parsed.iter().zip(&instructions) {
            prop_assert!(is(instruction, known), "{known:?} became {instruction:?} by\n{text}");
            prop_assert_eq!(&instruction.comments, &style.comments);
        }

        let formatted = fmt::format(text.as_bytes()).map_err(|errors| TestCaseError::fail(format!("{errors:?}")))?;
        let again = read(&formatted).map_err(|errors| TestCaseError::fail(format!("{errors:?}")))?;
        prop_assert!(fmt::same_meaning(&file, &again), "{text}\nbecame\n{}", String::from_utf8_lossy(&formatted));
        prop_assert_eq!(fmt::format(&formatted).ok(), Some(formatted));
    }
}
