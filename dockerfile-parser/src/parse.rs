//! From bytes to the typed file: lines to statements to instructions to stages.

#[cfg(test)]
mod tests;

use crate::ast::{Dockerfile, Instruction, InstructionKind, Stage};
use crate::diagnostic::{Diagnostic, MAX_ERRORS, Severity};
use crate::directive;
use crate::heredoc;
use crate::instruction::{self, Context, Meaning};
use crate::lines::{self, LogicalLine, Reader};
use crate::lint::{self, Checks, Subject};
use crate::span::Span;
use crate::statement;
use crate::syntax;
use crate::words;

/// The longest line in bytes, its line feed left out. A limit of BuildKit's reader, which its users have to keep to.
const MAX_LINE: usize = 65_535;

/// A file without errors.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parsed {
    /// What it says.
    pub dockerfile: Dockerfile,
    /// What is probably not meant, in source order.
    pub warnings: Vec<Diagnostic>,
    /// Which checks are on: for those that need more than the file's text.
    pub checks: Checks,
}

/// Parses a Dockerfile.
///
/// ```
/// let parsed = dockerfile_parser::parse(b"FROM debian AS Base\nRUN true\n").unwrap();
/// assert_eq!(parsed.dockerfile.stages[0].from.image.text, "debian");
/// assert_eq!(parsed.warnings[0].code, "StageNameCasing");
/// ```
///
/// # Errors
/// Everything that is wrong with the file, in source order: after an error parsing goes on with the next instruction.
/// With `# check=error=true` warnings are errors as well.
pub fn parse(source: &[u8]) -> Result<Parsed, Vec<Diagnostic>> {
    parse_with_checks(source, None)
}

/// [`parse`] with check settings that replace those of the file's `# check=` (the build argument
/// `BUILDKIT_DOCKERFILE_CHECK`), if given.
///
/// # Errors
/// As [`parse`], and if the settings cannot be understood.
pub fn parse_with_checks(source: &[u8], checks: Option<&str>) -> Result<Parsed, Vec<Diagnostic>> {
    let too_long = long_lines(source);
    if !too_long.is_empty() {
        return Err(too_long);
    }
    let header = directive::scan(source);
    let frontend = match syntax::finding(source, header.directives.syntax.as_ref()) {
        Ok(finding) => finding,
        Err(error) => return Err(vec![*error]),
    };
    let mut errors = header.diagnostics;
    let mut reader = Reader::new(source, header.end, header.directives.escape);
    let mut empty_continuations = Vec::new();
    let dockerfile =
        Dockerfile { directives: header.directives, global_args: Vec::new(), stages: Vec::new() };
    let mut file = File { dockerfile, before_from: false, broken_from: false };
    let mut instructions = 0_usize;
    while let Some(line) = reader.next_instruction() {
        instructions += 1;
        if let Some(span) = line.empty_continuation {
            empty_continuations.push((span, line.comments.clone()));
        }
        let one = one(&mut reader, source, line, file.dockerfile.directives.escape, &mut errors);
        file.add(one, &mut errors);
        if errors.len() >= MAX_ERRORS {
            let span = Span::new(source.len(), source.len());
            errors.push(Diagnostic::error("too-many-errors", span, "too many errors; the rest is not shown"));
            break;
        }
    }
    if instructions == 0 {
        errors.push(
            Diagnostic::error("empty-file", Span::default(), "the file has no instructions")
                .help("a Dockerfile starts with FROM"),
        );
    } else if file.dockerfile.stages.is_empty() && errors.is_empty() {
        errors.push(
            Diagnostic::error("no-stage", Span::new(source.len(), source.len()), "the file has no FROM")
                .help("add FROM and an image, or FROM scratch"),
        );
    }
    let dockerfile = file.dockerfile;
    let (checks, mut warnings) = lint::settings(dockerfile.directives.check.as_ref(), checks, &mut errors);
    let subject = Subject::new(&dockerfile, source, &empty_continuations);
    warnings.extend(lint::run(&subject, &checks));
    warnings.extend(frontend);
    warnings.sort_by_key(|d| d.span);
    let promoted = warnings.iter().any(|d| d.severity == Severity::Error);
    if !errors.is_empty() || promoted {
        errors.extend(warnings);
        errors.sort_by_key(|d| d.span);
        return Err(errors);
    }
    Ok(Parsed { dockerfile, warnings, checks })
}

/// Parses one trigger of ONBUILD as an image config stores it; here-documents follow the first line.
///
/// Spans are those of `text`.
///
/// # Errors
/// Everything that is wrong with it, in its order, also what may not be a trigger, and anything behind the instruction.
pub fn parse_trigger(text: &str, escape: char) -> Result<Instruction, Vec<Diagnostic>> {
    let source = text.as_bytes();
    let too_long = long_lines(source);
    if !too_long.is_empty() {
        return Err(too_long);
    }
    let mut errors = Vec::new();
    let mut reader = Reader::new(source, 0, escape);
    let Some(line) = reader.next_instruction() else {
        let span = Span::new(0, source.len());
        return Err(vec![Diagnostic::error("empty-trigger", span, "the trigger holds no instruction")]);
    };
    let parsed = one(&mut reader, source, line, escape, &mut errors);
    if let Some(more) = reader.next_instruction() {
        let span = more.joined.span_of(more.joined.text());
        errors.push(Diagnostic::error("extra-instruction", span, "a trigger is a single instruction"));
    }
    let refuse = |keyword: &str, span| {
        Diagnostic::error("bad-trigger", span, format!("{keyword} cannot be a trigger"))
    };
    match parsed {
        One::From(stage) => errors.push(refuse("FROM", stage.span)),
        One::Other(instruction) => match instruction.kind {
            InstructionKind::Onbuild(_) | InstructionKind::Maintainer(_) => {
                errors.push(refuse(&instruction.keyword.text, instruction.keyword.span))
            }
            _ if errors.is_empty() => return Ok(instruction),
            _ => {}
        },
        One::Broken(_) => {}
    }
    errors.sort_by_key(|d| d.span);
    Err(errors)
}

/// The lines that are too long. No other mistake is looked for in such a file: there is nothing in it for the eye.
fn long_lines(source: &[u8]) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    let mut start = 0;
    while source.len() - start > MAX_LINE && found.len() < MAX_ERRORS {
        // The last line feed that a good line can have: all before it is good, and most of it need not be looked at.
        if let Some(feed) = source[start..=start + MAX_LINE].iter().rposition(|byte| *byte == b'\n') {
            start += feed + 1;
            continue;
        }
        let Some(line) = lines::physical_line(source, start) else { break };
        let feed = usize::from(source[line.next - 1] == b'\n');
        let length = line.next - feed - line.start;
        let span = Span::new(line.start, line.start + line.content.len());
        let message = format!("the line has {length} bytes, and may have {MAX_LINE}");
        let help = "go on in the next line after an escape character, or COPY a file";
        found.push(Diagnostic::error("line-too-long", span, message).help(help));
        start = line.next;
    }
    found
}

/// The instruction that starts on the line at `start`, here-documents included, with the offset behind it; `None` if it
/// is not understood. The comments above it do not count.
pub(crate) fn single(source: &[u8], start: usize, escape: char) -> Option<(One, usize)> {
    let mut reader = Reader::new(source, start, escape);
    let line = reader.instruction_here()?;
    let mut errors = Vec::new();
    let one = one(&mut reader, source, line, escape, &mut errors);
    (errors.is_empty() && !matches!(one, One::Broken(_))).then(|| (one, reader.position()))
}

/// One instruction.
#[allow(
    clippy::large_enum_variant,
    reason = "there is one of them at a time, and nearly all are the large variant"
)]
pub(crate) enum One {
    From(Stage),
    Other(Instruction),
    /// It was not understood, and that has been reported. The name of the instruction it tried to be, if known.
    Broken(&'static str),
}

/// Parses the instruction on `line`, reading the bodies of its here-documents.
fn one(
    reader: &mut Reader<'_>,
    source: &[u8],
    line: LogicalLine<'_>,
    escape: char,
    errors: &mut Vec<Diagnostic>,
) -> One {
    errors.extend(line.diagnostics);
    let joined = line.joined;
    let statement = statement::parse(&joined, escape);
    // A statement that is not understood may have bodies too; they must not be taken for instructions.
    let may_hold_heredocs = match &statement {
        Ok(statement) if statement.name.is_empty() => looks_like_heredoc_holder(joined.text()),
        Ok(statement) => statement.may_hold_heredocs(),
        Err(_) => looks_like_heredoc_holder(joined.text()),
    };
    let (heredocs, heredocs_end) = if may_hold_heredocs {
        let openings = heredoc::openings(joined.text());
        heredoc::read_bodies(reader, source, &joined, openings, errors)
    } else {
        (Vec::new(), None)
    };
    let mut statement = match statement {
        Ok(statement) => statement,
        Err(diagnostic) => {
            errors.push(diagnostic);
            let (keyword, _) = words::first_word(joined.text().trim());
            return One::Broken(statement::known(keyword).unwrap_or_default());
        }
    };
    let name = statement.name;
    let arguments = std::mem::take(&mut statement.arguments);
    let flags = std::mem::take(&mut statement.flags);
    let mut cx = Context {
        name,
        statement: &statement,
        flags,
        arguments,
        joined: &joined,
        source,
        escape,
        comments: &line.comments,
        heredocs,
        heredocs_end,
        diagnostics: Vec::new(),
    };
    let meaning = instruction::parse(&mut cx);
    errors.append(&mut cx.diagnostics);
    let mut span = statement.source.span;
    span.end = heredocs_end.unwrap_or(span.end);
    let source = statement.source.text;
    match meaning {
        None => One::Broken(name),
        Some(Meaning::From(from)) => {
            One::From(Stage { from, span, source, comments: line.comments, instructions: Vec::new() })
        }
        Some(Meaning::Kind(kind)) => One::Other(Instruction {
            span,
            keyword: statement.keyword,
            source,
            comments: line.comments,
            kind,
        }),
    }
}

/// Whether the text is, or was perhaps meant as, an instruction whose `<<` opens here-documents.
fn looks_like_heredoc_holder(text: &str) -> bool {
    if !text.contains("<<") {
        return false;
    }
    let (keyword, rest) = words::first_word(text.trim());
    match statement::known(keyword).or_else(|| instruction::nearest_keyword(keyword)) {
        Some("ONBUILD") => {
            let (keyword, _) = words::first_word(rest);
            statement::known(keyword).is_some_and(is_heredoc_holder)
        }
        name => name.is_some_and(is_heredoc_holder),
    }
}

fn is_heredoc_holder(name: &str) -> bool {
    matches!(name, "RUN" | "COPY" | "ADD")
}

/// The file as far as it has been read.
struct File {
    dockerfile: Dockerfile,
    /// An instruction before the first FROM has been reported.
    before_from: bool,
    /// A FROM was not understood: what follows belongs to a stage that is not there.
    broken_from: bool,
}

impl File {
    fn add(&mut self, one: One, errors: &mut Vec<Diagnostic>) {
        match one {
            One::From(stage) => self.dockerfile.stages.push(stage),
            One::Broken(name) => self.broken_from |= name == "FROM",
            One::Other(instruction) => match self.dockerfile.stages.last_mut() {
                Some(stage) => stage.instructions.push(instruction),
                None if matches!(instruction.kind, InstructionKind::Arg(_)) => {
                    self.dockerfile.global_args.push(instruction);
                }
                None if self.before_from || self.broken_from => {}
                None => {
                    self.before_from = true;
                    let name = instruction.keyword.text.to_ascii_uppercase();
                    errors.push(
                        Diagnostic::error(
                            "before-from",
                            instruction.keyword.span,
                            format!("{name} stands before the first FROM"),
                        )
                        .help("only ARG may come before FROM"),
                    );
                }
            },
        }
    }
}
