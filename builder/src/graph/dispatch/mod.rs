//! One instruction changes the state of its stage.

mod copy;
mod expose;
mod metadata;
mod run;

use super::op::{Op, Origin, Vertex, VertexId};
use super::plan::{ContextKind, Planner};
use super::scope::expand;
use super::stage::StageState;
use dockerfile_parser::ast::{Instruction, InstructionKind, Word};
use dockerfile_parser::diagnostic::Diagnostic;
use dockerfile_parser::span::Span;
use dockerfile_parser::suggest;
use std::collections::BTreeMap;

/// What a dispatched instruction works on.
pub(super) struct Dispatch<'p, 'a> {
    pub(super) planner: &'p mut Planner<'a>,
    pub(super) state: &'p mut StageState,
    pub(super) instruction: &'p Instruction,
    pub(super) states: &'p BTreeMap<usize, StageState>,
}

/// Applies `instruction` to `state`.
pub(super) fn dispatch(
    planner: &mut Planner<'_>,
    state: &mut StageState,
    instruction: &Instruction,
    states: &BTreeMap<usize, StageState>,
) -> Result<(), Diagnostic> {
    let mut dispatch = Dispatch { planner, state, instruction, states };
    match &instruction.kind {
        InstructionKind::Run(run) => dispatch.run(run),
        InstructionKind::Copy(copy) => dispatch.copy(copy),
        InstructionKind::Add(add) => dispatch.add(add),
        InstructionKind::Workdir(path) => dispatch.workdir(path),
        InstructionKind::Env(pairs) => dispatch.env(pairs),
        InstructionKind::Arg(arguments) => dispatch.arg(arguments),
        InstructionKind::Label(pairs) => dispatch.label(pairs),
        InstructionKind::Maintainer(name) => dispatch.maintainer(name),
        InstructionKind::Expose(ports) => dispatch.expose(ports),
        InstructionKind::User(user) => dispatch.user(user),
        InstructionKind::Volume(paths) => dispatch.volume(paths),
        InstructionKind::Stopsignal(signal) => dispatch.stopsignal(signal),
        InstructionKind::Shell(shell) => dispatch.shell(shell),
        InstructionKind::Cmd(command) => dispatch.cmd(command),
        InstructionKind::Entrypoint(command) => dispatch.entrypoint(command),
        InstructionKind::Healthcheck(check) => dispatch.healthcheck(check),
        InstructionKind::Onbuild(onbuild) => dispatch.onbuild(onbuild),
    }
}

impl Dispatch<'_, '_> {
    /// Where to point for something at `span`: the FROM line while a trigger of a base image runs, because the
    /// trigger's own text is not in this file.
    pub(super) fn place(&self, span: Span) -> Span {
        self.state.trigger.unwrap_or(span)
    }

    /// Expands a word with ARG and ENV, warning about names that have no value.
    pub(super) fn expand(&mut self, word: &Word) -> Result<String, Diagnostic> {
        let scope = &self.state.scope;
        let (text, undefined) = expand(&self.planner.expander, word, &|name| scope.get(name))
            .map_err(|error| Diagnostic { span: self.place(error.span), ..error })?;
        for name in undefined {
            if self.state.guessed || scope.is_declared(&name) {
                continue;
            }
            let names: Vec<&str> = scope.env().iter().map(|(name, _)| name.as_str()).collect();
            let mut warning = Diagnostic::warning(
                "UndefinedVar",
                self.place(word.span),
                format!("usage of undefined variable '${name}'"),
            );
            if let Some(near) = suggest::nearest(&name, names) {
                warning = warning.help(format!("did you mean ${near}?"));
            }
            self.planner.warnings.push(warning);
        }
        Ok(text)
    }

    /// Expands a word that will be [expanded](Self::expand) again, which then warns and fails.
    pub(super) fn expand_quietly(&self, word: &Word) -> String {
        let scope = &self.state.scope;
        expand(&self.planner.expander, word, &|name| scope.get(name))
            .map_or_else(|_| word.text.clone(), |(text, _)| text)
    }

    /// Adds a step that changes the root file system, and makes it the stage's new one.
    pub(super) fn step(&mut self, op: Op, reads: Vec<VertexId>, shown: &str) -> VertexId {
        let keyword = self.instruction.keyword.text.to_uppercase();
        let position = self.state.next_position();
        let vertex = self.planner.push(Vertex {
            op,
            parent: Some(self.state.vertex),
            reads,
            name: format!("{position}{keyword} {shown}"),
            stage: self.state.stage.clone(),
            span: self.place(self.instruction.span),
            ignore_cache: self.state.ignore_cache,
            platform: self.state.platform.clone(),
        });
        self.state.vertex = vertex;
        vertex
    }

    /// The instruction's text after its keyword, on one line.
    pub(super) fn arguments(&self) -> String {
        let source = self.instruction.source.trim();
        let rest = source.get(self.instruction.keyword.text.len()..).unwrap_or_default();
        rest.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    /// The same with names expanded, as far as they can be.
    pub(super) fn expanded_arguments(&self) -> String {
        let text = self.arguments();
        let scope = &self.state.scope;
        match self.planner.expander.word(&text, &|name| scope.get(name)) {
            Ok(expanded) => expanded.text,
            Err(_) => text,
        }
    }

    /// What `--from=name` (of COPY) or `from=name` (of a mount) means here.
    pub(super) fn origin(&mut self, name: &str, span: Span) -> Result<Origin, Diagnostic> {
        let number = self.state.number;
        let span = self.place(span);
        if let Some(stage) = self.planner.earlier_stage(name, number) {
            let Some(state) = self.states.get(&stage) else {
                unreachable!("a stage that is read from is reachable and stands before");
            };
            return Ok(Origin::Step(state.vertex));
        }
        if name == "scratch" && self.planner.context(name).is_none() {
            return Ok(Origin::Empty);
        }
        let platform = self.planner.platform_of(&self.planner.file.stages[number])?;
        if let Some((name, ContextKind::Directory)) = self.planner.context_on(name, &platform) {
            return Ok(Origin::Named(name.to_owned()));
        }
        let Some(key) = self.planner.origin_image(name, number, span)? else {
            unreachable!("what is neither stage nor directory is an image");
        };
        let stage = self.state.stage.clone();
        Ok(Origin::Step(self.planner.image_vertex(&key, span, &stage, &format!("[{stage}] "))))
    }

    /// `path` made absolute by WORKDIR, with `.` and `..` taken out.
    pub(super) fn absolute(&self, path: &str) -> String {
        clean(&self.state.config.config.working_dir, path)
    }
}

/// `path` taken from directory `from`, absolute, without `.`, `..` and doubled slashes.
pub(super) fn clean(from: &str, path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    let from = if path.starts_with('/') { "" } else { from };
    for part in from.split('/').chain(path.split('/')) {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

#[cfg(test)]
mod tests {
    use super::clean;

    #[test]
    fn paths_are_cleaned() {
        for (from, path, want) in [
            ("/", "app", "/app"),
            ("/a", "b/./c/", "/a/b/c"),
            ("/a", "/b//c", "/b/c"),
            ("/a", "../../..", "/"),
            ("", "", "/"),
        ] {
            assert_eq!(clean(from, path), want, "{path} from {from}");
        }
    }
}
