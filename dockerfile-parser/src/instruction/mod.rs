//! From statements to typed instructions; one instruction, one file.

mod add;
mod arg;
mod command;
mod copy;
mod copying;
mod env;
mod expose;
mod from;
mod healthcheck;
mod onbuild;
mod run;
mod shell;
mod text;
mod volume;

use crate::ast::{self, CommandLine, Heredoc, InstructionKind, Keyword, Word};
use crate::diagnostic::Diagnostic;
use crate::flags::{Flags, Known};
use crate::lines::Joined;
use crate::span::Span;
use crate::statement::{Arguments, KEYWORDS, RawFlag, Statement};
use crate::suggest;

/// What one statement says.
#[derive(Debug)]
pub(crate) enum Meaning {
    /// A new stage.
    From(ast::From),
    /// Anything else.
    Kind(InstructionKind),
}

/// A statement on its way to a meaning.
pub(crate) struct Context<'a> {
    /// The keyword in upper case; empty if it is unknown.
    pub(crate) name: &'static str,
    /// Without its flags and arguments.
    pub(crate) statement: &'a Statement,
    /// Those of the statement, until they are checked.
    pub(crate) flags: Vec<RawFlag>,
    /// Those of the statement. Their words go into the typed instruction, so whoever needs them takes them.
    pub(crate) arguments: Arguments,
    /// The text the statement was cut from.
    pub(crate) joined: &'a Joined<'a>,
    /// The whole file.
    pub(crate) source: &'a [u8],
    pub(crate) escape: char,
    pub(crate) comments: &'a [String],
    /// Those opened on the statement's line, with their bodies.
    pub(crate) heredocs: Vec<Heredoc>,
    /// End of the last here-document's terminator.
    pub(crate) heredocs_end: Option<usize>,
    pub(crate) diagnostics: Vec<Diagnostic>,
}

impl Context<'_> {
    fn error(&mut self, code: &'static str, span: Span, message: impl Into<String>) {
        self.diagnostics.push(Diagnostic::error(code, span, message));
    }

    fn error_help(
        &mut self,
        code: &'static str,
        span: Span,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        self.diagnostics.push(Diagnostic::error(code, span, message).help(help));
    }

    fn flags(&mut self, known: &[Known]) -> Flags {
        let written = std::mem::take(&mut self.flags);
        Flags::check(self.name, written, known, &mut self.diagnostics)
    }

    fn no_flags(&mut self) {
        self.flags(&[]);
    }

    /// Reports that the instruction stands alone.
    fn missing(&mut self, what: &str, example: &str) {
        let message = format!("{} needs {what}", self.name);
        self.error_help(
            "missing-argument",
            self.statement.source.span,
            message,
            format!("for example: {example}"),
        );
    }

    fn take_arguments(&mut self) -> Arguments {
        std::mem::take(&mut self.arguments)
    }

    /// The words of a list or JSON form, none for an empty one.
    fn take_words(&mut self) -> Vec<Word> {
        match self.take_arguments() {
            Arguments::List(words) | Arguments::Json(words) => words,
            _ => Vec::new(),
        }
    }
}

/// The shell or exec form; `None` if there is nothing.
fn command_line(arguments: Arguments) -> Option<CommandLine> {
    match arguments {
        Arguments::Json(words) => Some(CommandLine::Exec(words)),
        Arguments::Text(text) => Some(CommandLine::Shell(text)),
        _ => None,
    }
}

/// Finds out what a statement says; `None` after reporting why it says nothing.
pub(crate) fn parse(cx: &mut Context<'_>) -> Option<Meaning> {
    let kind = match cx.name {
        "FROM" => return from::parse(cx).map(Meaning::From),
        "RUN" => run::parse(cx).map(InstructionKind::Run),
        "CMD" => command::parse(cx).map(InstructionKind::Cmd),
        "LABEL" => env::parse(cx).map(InstructionKind::Label),
        "MAINTAINER" => text::parse(cx, "the author's name", "MAINTAINER Jane <jane@example.com>")
            .map(InstructionKind::Maintainer),
        "EXPOSE" => expose::parse(cx).map(InstructionKind::Expose),
        "ENV" => env::parse(cx).map(InstructionKind::Env),
        "ADD" => add::parse(cx).map(InstructionKind::Add),
        "COPY" => copy::parse(cx).map(InstructionKind::Copy),
        "ENTRYPOINT" => command::parse(cx).map(InstructionKind::Entrypoint),
        "VOLUME" => volume::parse(cx).map(InstructionKind::Volume),
        "USER" => text::parse(cx, "a user", "USER 1000:1000").map(InstructionKind::User),
        "WORKDIR" => text::parse(cx, "a path", "WORKDIR /app").map(InstructionKind::Workdir),
        "ARG" => arg::parse(cx).map(InstructionKind::Arg),
        "ONBUILD" => onbuild::parse(cx).map(InstructionKind::Onbuild),
        "STOPSIGNAL" => text::parse(cx, "a signal", "STOPSIGNAL SIGTERM").map(InstructionKind::Stopsignal),
        "HEALTHCHECK" => healthcheck::parse(cx).map(InstructionKind::Healthcheck),
        "SHELL" => shell::parse(cx).map(InstructionKind::Shell),
        _ => {
            let diagnostic = unknown(&cx.statement.keyword);
            cx.diagnostics.push(diagnostic);
            None
        }
    };
    kind.map(Meaning::Kind)
}

/// The instruction that an unknown keyword was probably meant to be.
pub(crate) fn nearest_keyword(keyword: &str) -> Option<&'static str> {
    suggest::nearest(&keyword.to_ascii_uppercase(), KEYWORDS)
}

fn unknown(keyword: &Keyword) -> Diagnostic {
    let shown: String = keyword.text.chars().take(40).collect();
    let diagnostic =
        Diagnostic::error("unknown-instruction", keyword.span, format!("unknown instruction \"{shown}\""));
    match nearest_keyword(&keyword.text) {
        Some(near) if keyword.text.chars().all(char::is_lowercase) => {
            diagnostic.help(format!("did you mean {}?", near.to_lowercase()))
        }
        Some(near) => diagnostic.help(format!("did you mean {near}?")),
        None => diagnostic.help(
            "an instruction may go on in the next line only if its line ends with the escape character",
        ),
    }
}
