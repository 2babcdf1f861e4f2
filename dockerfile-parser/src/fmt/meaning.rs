//! Whether two files say the same.

use crate::ast::{
    CommandLine, CopyOptions, Dockerfile, Healthcheck, Heredoc, Instruction, InstructionKind, KeyValues,
    Source, Stage, Word,
};
use crate::parse::One;
use crate::span::Span;

/// Whether two files differ only in how they are written: where things stand ([`Span`]), the case of keywords, and the
/// blanks between words, which the `source` of an instruction shows.
///
/// ```
/// use dockerfile_parser::{fmt, parse};
///
/// let read = |text: &str| parse(text.as_bytes()).unwrap().dockerfile;
/// assert!(fmt::same_meaning(&read("FROM a\nENV x=1  y=2\n"), &read("from a\n\nenv x=1 \\\n y=2\n")));
/// assert!(!fmt::same_meaning(&read("FROM a\nRUN x  y\n"), &read("FROM a\nRUN x y\n")));
/// ```
pub fn same_meaning(one: &Dockerfile, other: &Dockerfile) -> bool {
    let plain = |file: &Dockerfile| {
        let mut file = file.clone();
        file.directives.syntax.iter_mut().chain(&mut file.directives.check).for_each(word);
        file.global_args.iter_mut().for_each(instruction);
        file.stages.iter_mut().for_each(stage);
        file
    };
    plain(one) == plain(other)
}

pub(super) fn same_instruction(one: One, other: One) -> bool {
    match (one, other) {
        (One::From(mut one), One::From(mut other)) => {
            stage(&mut one);
            stage(&mut other);
            one == other
        }
        (One::Other(mut one), One::Other(mut other)) => {
            instruction(&mut one);
            instruction(&mut other);
            one == other
        }
        _ => false,
    }
}

fn stage(stage: &mut Stage) {
    stage.span = Span::default();
    stage.source.clear();
    word(&mut stage.from.image);
    stage.from.platform.iter_mut().chain(&mut stage.from.name).for_each(word);
    stage.instructions.iter_mut().for_each(instruction);
}

fn word(word: &mut Word) {
    word.span = Span::default();
}

fn instruction(of: &mut Instruction) {
    of.span = Span::default();
    of.source.clear();
    of.keyword.span = Span::default();
    of.keyword.text.to_mut().make_ascii_uppercase();
    match &mut of.kind {
        InstructionKind::Run(run) => {
            command(&mut run.command);
            run.heredocs.iter_mut().for_each(heredoc);
            run.mounts.iter_mut().for_each(|mount| word(&mut mount.spec));
            run.devices.iter_mut().for_each(word);
        }
        InstructionKind::Cmd(line) | InstructionKind::Entrypoint(line) => command(line),
        InstructionKind::Label(values) | InstructionKind::Env(values) => pairs(values),
        InstructionKind::Maintainer(text)
        | InstructionKind::User(text)
        | InstructionKind::Workdir(text)
        | InstructionKind::Stopsignal(text) => word(text),
        InstructionKind::Expose(words) | InstructionKind::Volume(words) | InstructionKind::Shell(words) => {
            words.iter_mut().for_each(word);
        }
        InstructionKind::Add(add) => {
            sources(&mut add.sources, &mut add.destination, &mut add.options);
            add.checksum.iter_mut().for_each(word);
        }
        InstructionKind::Copy(copy) => {
            sources(&mut copy.sources, &mut copy.destination, &mut copy.options);
            copy.from.iter_mut().for_each(word);
        }
        InstructionKind::Arg(declarations) => {
            for declaration in declarations {
                word(&mut declaration.name);
                declaration.default.iter_mut().for_each(word);
            }
        }
        InstructionKind::Onbuild(onbuild) => instruction(&mut onbuild.instruction),
        InstructionKind::Healthcheck(Healthcheck::None) => {}
        InstructionKind::Healthcheck(Healthcheck::Cmd { command: line, .. }) => command(line),
    }
}

fn command(line: &mut CommandLine) {
    match line {
        CommandLine::Shell(text) => word(text),
        CommandLine::Exec(words) => words.iter_mut().for_each(word),
    }
}

fn pairs(values: &mut KeyValues) {
    for (key, value) in &mut values.pairs {
        word(key);
        word(value);
    }
}

fn sources(sources: &mut [Source], destination: &mut Word, options: &mut CopyOptions) {
    for source in sources {
        match source {
            Source::Path(path) => word(path),
            Source::Heredoc(document) => heredoc(document),
        }
    }
    word(destination);
    options.chown.iter_mut().chain(&mut options.chmod).chain(&mut options.excludes).for_each(word);
}

fn heredoc(document: &mut Heredoc) {
    document.span = Span::default();
    document.body_span = Span::default();
}
