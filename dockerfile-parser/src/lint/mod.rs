//! Checks: what is allowed but probably not meant. Names and conditions are those of BuildKit's checks, one rule per file.
//!
//! `# check=skip=RuleA,RuleB;error=true` at the top of the file sets them, as does `# check=skip=...` in the comment above
//! one instruction, for that instruction. Rules that need more than the file's text (values of variables, base images,
//! the context) are run by whoever has it, through [`Checks::finding`].

mod consistent_instruction_casing;
mod duplicate_stage_name;
mod elsewhere;
mod expose_invalid_format;
mod expose_proto_casing;
mod from_as_casing;
mod from_near_stage;
mod from_platform_flag_const_disallowed;
mod guide;
mod heredoc_carriage_return;
mod invalid_default_arg_in_from;
mod invalid_definition_description;
mod json_args_recommended;
mod legacy_key_value_format;
mod maintainer_deprecated;
mod multiple_instructions_disallowed;
mod no_empty_continuation;
mod redundant_target_platform;
mod reserved_stage_name;
mod secrets_used_in_arg_or_env;
mod settings;
mod stage_name_casing;
#[cfg(test)]
mod tests;
mod undefined_arg_in_from;
mod workdir_relative_path;

pub use guide::{Guide, page, pages, url};
pub use secrets_used_in_arg_or_env::is_secret;
pub use settings::{Checks, ChecksError};

use crate::ast::{Dockerfile, Instruction, InstructionKind, Stage, Word};
use crate::diagnostic::Diagnostic;
use crate::expand::Expander;
use crate::span::Span;
use std::cell::OnceCell;
use std::collections::HashMap;

/// A check of a file's text.
pub(crate) struct Rule {
    name: &'static str,
    check: fn(&Subject<'_>, &mut Report<'_>),
    guide: &'static Guide,
}

const RULES: [Rule; 21] = [
    consistent_instruction_casing::RULE,
    duplicate_stage_name::RULE,
    expose_invalid_format::RULE,
    expose_proto_casing::RULE,
    from_as_casing::RULE,
    from_near_stage::RULE,
    from_platform_flag_const_disallowed::RULE,
    heredoc_carriage_return::RULE,
    invalid_default_arg_in_from::RULE,
    invalid_definition_description::RULE,
    json_args_recommended::RULE,
    legacy_key_value_format::RULE,
    maintainer_deprecated::RULE,
    multiple_instructions_disallowed::RULE,
    no_empty_continuation::RULE,
    redundant_target_platform::RULE,
    reserved_stage_name::RULE,
    secrets_used_in_arg_or_env::RULE,
    stage_name_casing::RULE,
    undefined_arg_in_from::RULE,
    workdir_relative_path::RULE,
];

/// Arguments that FROM can use without any ARG (Dockerfile reference, "Automatic platform ARGs in the global scope").
const GLOBAL_ARGS: [&str; 11] = [
    "BUILDPLATFORM",
    "BUILDOS",
    "BUILDOSVERSION",
    "BUILDARCH",
    "BUILDVARIANT",
    "TARGETPLATFORM",
    "TARGETOS",
    "TARGETOSVERSION",
    "TARGETARCH",
    "TARGETVARIANT",
    "TARGETSTAGE",
];

/// Rules that are off unless asked for.
const EXPERIMENTAL: [&str; 1] = ["InvalidDefinitionDescription"];

/// Rules that BuildKit gives no address for: those that it does not have, and one that it has.
const NO_ADDRESS: [&str; 7] = [
    "ArgOverridesEnv",
    "FromNearStage",
    "FromPlatformOfStage",
    "HeredocCarriageReturn",
    "InvalidBaseImagePlatform",
    "PackageCacheInLayer",
    "SecretInImage",
];

/// After this many findings of one rule the others are not kept: nobody would read them.
const MAX_FINDINGS: usize = 200;

/// What is checked.
pub(crate) struct Subject<'a> {
    pub(crate) dockerfile: &'a Dockerfile,
    pub(crate) source: &'a [u8],
    /// For each instruction with empty lines in its continuation the first of them, and the comments above it.
    pub(crate) empty_continuations: &'a [(Span, Vec<String>)],
    /// Filled by the first rule that asks.
    names: OnceCell<StageNames>,
}

/// Collects the findings of one rule after the other.
pub(crate) struct Report<'a> {
    checks: &'a Checks,
    rule: &'static str,
    findings: Vec<Diagnostic>,
    /// How many more findings of this rule are kept.
    left: usize,
    /// The last comment block (its address and length) that was looked into, and whether the rule is on below it. One
    /// instruction may have very many findings.
    last: Option<(*const String, usize, bool)>,
}

impl Report<'_> {
    /// Adds a finding, unless the rule is off there. `comments` are those above the instruction.
    fn add(&mut self, comments: &[String], span: Span, message: impl Into<String>, help: impl Into<String>) {
        let on = match self.last {
            Some((block, length, on)) if (block, length) == (comments.as_ptr(), comments.len()) => on,
            _ => self.checks.is_on(self.rule, comments),
        };
        self.last = Some((comments.as_ptr(), comments.len(), on));
        if on && self.left > 0 {
            self.left -= 1;
            let severity = self.checks.severity();
            let (message, help) = (message.into(), Some(help.into()));
            self.findings.push(Diagnostic { severity, code: self.rule, message, span, help });
        }
    }
}

/// Runs all rules.
pub(crate) fn run(subject: &Subject<'_>, checks: &Checks) -> Vec<Diagnostic> {
    let mut report = Report { checks, rule: "", findings: Vec::new(), left: MAX_FINDINGS, last: None };
    for rule in &RULES {
        (report.rule, report.left, report.last) = (rule.name, MAX_FINDINGS, None);
        (rule.check)(subject, &mut report);
    }
    report.findings
}

/// The settings in force: `given` ones, or else those of the file. What cannot be understood is an error; a rule that is
/// not known is a warning, given back.
pub(crate) fn settings(
    directive: Option<&Word>,
    given: Option<&str>,
    errors: &mut Vec<Diagnostic>,
) -> (Checks, Vec<Diagnostic>) {
    let (text, span) = match (given, directive) {
        (Some(text), _) => (text, Span::default()),
        (None, Some(word)) => (word.text.as_str(), word.span),
        (None, None) => return (Checks::default(), Vec::new()),
    };
    match Checks::parse(text) {
        Ok(checks) => {
            let warnings = checks.unknown_rules(span);
            (checks, warnings)
        }
        Err(error) => {
            let diagnostic = Diagnostic::error("bad-check", span, error.to_string());
            errors.push(diagnostic.help("for example: check=skip=JSONArgsRecommended;error=true"));
            (Checks::default(), Vec::new())
        }
    }
}

/// Every rule's name, in order of the alphabet.
pub fn rule_names() -> Vec<&'static str> {
    let mut names: Vec<&str> = guide::all().map(|(name, _)| name).collect();
    names.sort_unstable();
    names
}

impl<'a> Subject<'a> {
    pub(crate) fn new(
        dockerfile: &'a Dockerfile,
        source: &'a [u8],
        empty_continuations: &'a [(Span, Vec<String>)],
    ) -> Self {
        Self { dockerfile, source, empty_continuations, names: OnceCell::new() }
    }

    fn stages(&self) -> impl Iterator<Item = &'a Stage> {
        self.dockerfile.stages.iter()
    }

    /// All instructions but FROM.
    fn instructions(&self) -> impl Iterator<Item = &'a Instruction> {
        let dockerfile = self.dockerfile;
        dockerfile.global_args.iter().chain(dockerfile.stages.iter().flat_map(|stage| &stage.instructions))
    }

    /// The word without quotes, if no name's value matters for it.
    fn constant(&self, word: &Word) -> Option<String> {
        if word.text.contains('$') {
            return None;
        }
        let expander = Expander::new(self.dockerfile.directives.escape);
        expander.word(&word.text, &|_| None).ok().map(|expanded| expanded.text)
    }

    /// The ARGs before the first FROM, with their defaults as they are without any `--build-arg`.
    fn global_arguments(&self) -> Vec<(&'a str, Option<String>)> {
        let expander = Expander::new(self.dockerfile.directives.escape);
        let mut known: Vec<(&str, Option<String>)> = Vec::new();
        for instruction in &self.dockerfile.global_args {
            let InstructionKind::Arg(declarations) = &instruction.kind else { continue };
            for declaration in declarations {
                let value = declaration.default.as_ref().and_then(|word| {
                    let lookup = |name: &str| match known.iter().rfind(|(known, _)| *known == name) {
                        Some((_, value)) => value.clone(),
                        None => GLOBAL_ARGS.contains(&name).then(|| "x".to_owned()),
                    };
                    expander.word(&word.text, &lookup).ok().map(|expanded| expanded.text)
                });
                known.push((&declaration.name.text, value));
            }
        }
        known
    }

    /// How the stages are named.
    fn names(&self) -> &StageNames {
        self.names.get_or_init(|| StageNames::new(&self.dockerfile.stages))
    }
}

/// How stages are named, and which are built from which. Names are compared without case.
struct StageNames {
    /// In lower case, each with the first stage of that name.
    first: HashMap<String, usize>,
    /// For each stage the earlier stage it is built from.
    parents: Vec<Option<usize>>,
    /// Stages that have the name of an earlier one, with the last of these.
    again: Vec<(usize, usize)>,
}

impl StageNames {
    fn new(stages: &[Stage]) -> Self {
        let mut names = Self {
            first: HashMap::with_capacity(stages.len()),
            parents: Vec::with_capacity(stages.len()),
            again: Vec::new(),
        };
        let mut last: HashMap<String, usize> = HashMap::with_capacity(stages.len());
        for (number, stage) in stages.iter().enumerate() {
            names.parents.push(last.get(&stage.from.image.text.to_lowercase()).copied());
            let Some(name) = &stage.from.name else { continue };
            let name = name.text.to_lowercase();
            match last.get_mut(&name) {
                Some(earlier) => names.again.push((std::mem::replace(earlier, number), number)),
                None => {
                    names.first.insert(name.clone(), number);
                    last.insert(name, number);
                }
            }
        }
        names
    }
}

/// The keyword of a stage's FROM, as written.
fn from_keyword(stage: &Stage) -> &str {
    crate::words::first_word(&stage.source).0
}

/// Ports of EXPOSE as constants.
fn exposed<'a>(subject: &'a Subject<'a>) -> impl Iterator<Item = (&'a Instruction, &'a Word, String)> {
    subject.instructions().flat_map(move |instruction| {
        let words: &[Word] = match &instruction.kind {
            InstructionKind::Expose(words) => words,
            _ => &[],
        };
        words.iter().filter_map(move |word| Some((instruction, word, subject.constant(word)?)))
    })
}
