//! The typed instructions of a Dockerfile.
//!
//! Text is kept unexpanded and quoted, exactly as it stands after continuations were joined: `${...}` and quotes are
//! the business of the `expand` module, once the value of every name is known. Each [`Word`] has the span it came from.
//!
//! With the feature `serde` all of it can be serialized: structs as maps of their fields, enums by the name of their variant
//! in `snake_case`.

use crate::span::Span;
use std::borrow::Cow;
use std::fmt;
use std::time::Duration;

/// A piece of source text: unexpanded, still quoted.
#[derive(Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Word {
    /// The text, continuations joined.
    pub text: String,
    /// Where it stands.
    pub span: Span,
}

/// `"text" @ 3..7`: in one line, so that a dump of many nodes can be read.
impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} @ {:?}", self.text, self.span)
    }
}

/// The name of an instruction, in any case.
///
/// Borrowed when it is in upper case, as nearly all are: a file has one for each instruction.
#[derive(Clone, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Keyword {
    /// As written.
    pub text: Cow<'static, str>,
    /// Where it stands.
    pub span: Span,
}

/// As of a [`Word`].
impl fmt::Debug for Keyword {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} @ {:?}", self.text, self.span)
    }
}

/// A whole Dockerfile.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Dockerfile {
    /// Parser directives at the top.
    pub directives: Directives,
    /// `ARG` instructions before the first `FROM`.
    pub global_args: Vec<Instruction>,
    /// The stages, in source order; at least one.
    pub stages: Vec<Stage>,
}

/// Parser directives (Dockerfile reference, "Parser directives").
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Directives {
    /// `# syntax=`: the frontend image asked for.
    pub syntax: Option<Word>,
    /// `# escape=`: backslash, or backtick.
    pub escape: char,
    /// `# check=`: the lint configuration, unparsed.
    pub check: Option<Word>,
}

/// `FROM` and all that follows it up to the next `FROM`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Stage {
    /// The `FROM` instruction.
    pub from: From,
    /// Span of the `FROM` instruction.
    pub span: Span,
    /// Its source text, continuations joined, as history shows it.
    pub source: String,
    /// Comment block directly above `FROM`, without `#`, used as the stage's description.
    pub comments: Vec<String>,
    /// The instructions of the stage.
    pub instructions: Vec<Instruction>,
}

impl Dockerfile {
    /// The comments above the instruction at `offset`, for `# check=` in them.
    pub fn comments_at(&self, offset: usize) -> &[String] {
        let inside = |span: Span| (span.start..span.end.max(span.start + 1)).contains(&offset);
        for instruction in
            self.global_args.iter().chain(self.stages.iter().flat_map(|stage| &stage.instructions))
        {
            if inside(instruction.span) {
                return &instruction.comments;
            }
        }
        self.stages.iter().find(|stage| inside(stage.span)).map_or(&[], |stage| &stage.comments)
    }
}

/// `FROM [--platform=P] IMAGE [AS NAME]`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct From {
    /// `--platform=`.
    pub platform: Option<Word>,
    /// Image, earlier stage, named context, or `scratch`; expanded with global ARGs.
    pub image: Word,
    /// `AS name`, as written; compare without case.
    pub name: Option<Word>,
}

/// One instruction of a stage.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Instruction {
    /// From the keyword to the end of the last argument, heredoc bodies included.
    pub span: Span,
    /// The keyword as written.
    pub keyword: Keyword,
    /// The source text, continuations joined, heredoc bodies left out.
    pub source: String,
    /// Comment block directly above, without `#`.
    pub comments: Vec<String>,
    /// What it says.
    pub kind: InstructionKind,
}

/// What an instruction says.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[allow(missing_docs, reason = "named after the instruction")]
pub enum InstructionKind {
    Run(Run),
    Cmd(CommandLine),
    Label(KeyValues),
    Maintainer(Word),
    Expose(Vec<Word>),
    Env(KeyValues),
    Add(Add),
    Copy(Copy),
    Entrypoint(CommandLine),
    Volume(Vec<Word>),
    User(Word),
    Workdir(Word),
    Arg(Vec<ArgDeclaration>),
    Onbuild(Onbuild),
    Stopsignal(Word),
    Healthcheck(Healthcheck),
    Shell(Vec<Word>),
}

/// The argument of RUN, CMD, ENTRYPOINT and HEALTHCHECK CMD: never expanded by the builder.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum CommandLine {
    /// Shell form: one string for the shell.
    Shell(Word),
    /// Exec (JSON) form; an empty list is possible and clears the setting.
    Exec(Vec<Word>),
}

/// `ENV` and `LABEL`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct KeyValues {
    /// Key and value, in order; both are expanded.
    pub pairs: Vec<(Word, Word)>,
    /// The form without `=`: `ENV key some value`.
    pub legacy: bool,
}

/// One name of an `ARG` instruction.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct ArgDeclaration {
    /// The name; expanded.
    pub name: Word,
    /// The default; expanded when it is used.
    pub default: Option<Word>,
    /// Its description: the comment directly above.
    pub comment: Option<String>,
}

/// `RUN`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Run {
    /// The command. For `RUN <<EOF` alone this is the heredoc's opening (`<<EOF`), and `heredocs` holds the body.
    pub command: CommandLine,
    /// Here-documents opened on the line, in order.
    pub heredocs: Vec<Heredoc>,
    /// `--mount=`, in order.
    pub mounts: Vec<MountFlag>,
    /// `--network=`.
    pub network: Option<Network>,
    /// `--security=`.
    pub security: Option<Security>,
    /// `--device=`, in order.
    pub devices: Vec<Word>,
}

/// `RUN --network=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[allow(missing_docs, reason = "named after the value")]
pub enum Network {
    Default,
    None,
    Host,
}

/// `RUN --security=`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[allow(missing_docs, reason = "named after the value")]
pub enum Security {
    Sandbox,
    Insecure,
}

/// `RUN --mount=`: the text as written. It was checked once while parsing; `mount::parse` makes a [`Mount`] of it when
/// the names in it can be expanded.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct MountFlag {
    /// The comma-separated specification.
    pub spec: Word,
}

/// A mount of one RUN (Dockerfile reference, "RUN --mount").
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Mount {
    /// `type=`; bind when absent.
    pub kind: MountKind,
    /// `from=`: stage, named context or image; never expanded.
    pub from: Option<String>,
    /// `source=`.
    pub source: Option<String>,
    /// `target=`.
    pub target: Option<String>,
    /// Whether the RUN may write to it.
    pub read_only: bool,
    /// `id=` of a cache, secret or ssh mount.
    pub id: Option<String>,
    /// `sharing=` of a cache mount.
    pub sharing: Sharing,
    /// `required=` of a secret or ssh mount.
    pub required: bool,
    /// `mode=`, octal.
    pub mode: Option<u32>,
    /// `uid=`.
    pub uid: Option<u32>,
    /// `gid=`.
    pub gid: Option<u32>,
    /// `env=` of a secret mount.
    pub env: Option<String>,
    /// `size=` of a tmpfs mount, in bytes.
    pub size: Option<u64>,
}

/// `type=` of a mount.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[allow(missing_docs, reason = "named after the value")]
pub enum MountKind {
    Bind,
    Cache,
    Tmpfs,
    Secret,
    Ssh,
}

/// `sharing=` of a cache mount.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
#[allow(missing_docs, reason = "named after the value")]
pub enum Sharing {
    #[default]
    Shared,
    Private,
    Locked,
}

/// A here-document.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Heredoc {
    /// The delimiter word without quotes: also the file name in COPY and ADD.
    pub name: String,
    /// `<<-`: leading tabs were removed from the body already.
    pub strip_tabs: bool,
    /// Whether the builder expands names in the body (COPY and ADD; false when the word was quoted).
    pub expand: bool,
    /// The file descriptor before `<<`.
    pub fd: Option<u32>,
    /// The body, raw, each line with its line ending.
    pub body: String,
    /// The opening (`<<EOF`) in the instruction.
    pub span: Span,
    /// The body in the source.
    pub body_span: Span,
}

/// One source of COPY and ADD.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum Source {
    /// A path, URL or git reference.
    Path(Word),
    /// A here-document, which becomes a file named after its delimiter.
    Heredoc(Heredoc),
}

/// `COPY`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Copy {
    /// What to copy; at least one.
    pub sources: Vec<Source>,
    /// Where to.
    pub destination: Word,
    /// `--from=`: stage name or index, named context, image. Not expanded.
    pub from: Option<Word>,
    /// Options shared with ADD. Boxed: they would make every instruction half as large again.
    pub options: Box<CopyOptions>,
    /// `--parents`.
    pub parents: bool,
}

/// `ADD`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Add {
    /// What to add; at least one.
    pub sources: Vec<Source>,
    /// Where to.
    pub destination: Word,
    /// Options shared with COPY.
    pub options: Box<CopyOptions>,
    /// `--checksum=`.
    pub checksum: Option<Word>,
    /// `--keep-git-dir`.
    pub keep_git_dir: Option<bool>,
    /// `--unpack`.
    pub unpack: Option<bool>,
}

/// Options of both COPY and ADD.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct CopyOptions {
    /// `--chown=`; expanded.
    pub chown: Option<Word>,
    /// `--chmod=`; expanded.
    pub chmod: Option<Word>,
    /// `--link`.
    pub link: bool,
    /// `--exclude=`, in order; not expanded.
    pub excludes: Vec<Word>,
}

/// `ONBUILD`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
pub struct Onbuild {
    /// What the image config stores: the trigger's text, heredoc bodies and terminators included.
    pub trigger: String,
    /// The trigger as an instruction of this file.
    pub instruction: Box<Instruction>,
}

/// `HEALTHCHECK`.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize), serde(rename_all = "snake_case"))]
pub enum Healthcheck {
    /// `HEALTHCHECK NONE`.
    None,
    /// `HEALTHCHECK [options] CMD ...`.
    Cmd {
        /// The command.
        command: CommandLine,
        /// `--interval=`; absent or zero means inherit.
        interval: Option<Duration>,
        /// `--timeout=`.
        timeout: Option<Duration>,
        /// `--start-period=`.
        start_period: Option<Duration>,
        /// `--start-interval=`.
        start_interval: Option<Duration>,
        /// `--retries=`.
        retries: Option<u32>,
    },
}
