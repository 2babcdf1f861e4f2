//! One stage: its base, its triggers, its instructions, in that order.

use super::dispatch;
use super::names::Base;
use super::op::{
    BaseImages, BaseKey, CopyOp, CopySource, HistoryEntry, NamedValue, Op, Origin, UserName, Vertex, VertexId,
};
use super::plan::Planner;
use super::scope::Scope;
use crate::request::NoCache;
use dockerfile_parser::ast::{Instruction, InstructionKind};
use dockerfile_parser::diagnostic::Diagnostic;
use dockerfile_parser::span::Span;
use registry_client::config::{History, ImageConfig};
use registry_client::platform::Platform;
use std::collections::BTreeMap;

/// Docker's PATH for images that set none.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What a stage has become after some of its instructions.
#[derive(Clone, Debug)]
pub(super) struct StageState {
    /// Its root file system.
    pub(super) vertex: VertexId,
    /// Config of the image it would be. Layers and history are those of the base image.
    pub(super) config: ImageConfig,
    /// History since the base image.
    pub(super) history: Vec<HistoryEntry>,
    /// ARG and ENV.
    pub(super) scope: Scope,
    /// Its environment may have more names, of a base image that could not be asked.
    pub(super) guessed: bool,
    /// What it runs on.
    pub(super) platform: Platform,
    /// Where USER was set, if not in the base image.
    pub(super) user_span: Option<Span>,
    /// Whether this very stage has set CMD.
    pub(super) cmd_set: bool,
    /// Name, or number.
    pub(super) stage: String,
    /// Number in the file.
    pub(super) number: usize,
    /// Whether results of earlier builds may be used.
    pub(super) ignore_cache: bool,
    /// Where the result is for, when steps are shown with their platform.
    pub(super) shown_target: Option<Platform>,
    /// How many steps were numbered, and how many there are.
    pub(super) counter: (usize, usize),
    /// Set while a trigger of the base runs: the place to blame.
    pub(super) trigger: Option<Span>,
    /// The instruction that is dispatched.
    pub(super) at: Span,
    /// Names that an ARG or ENV with a mistake would have set: what comes of their absence is no mistake of its own.
    pub(super) broken: Vec<String>,
}

impl StageState {
    /// `[build 2/5] `, counting up.
    pub(super) fn next_position(&mut self) -> String {
        self.counter.0 += 1;
        let (at, of) = self.counter;
        let width = of.to_string().len();
        let onbuild = if self.trigger.is_some() { "ONBUILD " } else { "" };
        format!("[{}{} {at:width$}/{of}] {onbuild}", self.shown_platform(), self.stage)
    }

    /// `linux/amd64 `, or `linux/amd64->arm64 ` once a stage of another platform asks what it is building for; nothing
    /// for an image of one platform.
    fn shown_platform(&self) -> String {
        let Some(target) = &self.shown_target else { return String::new() };
        let cross = *target != self.platform
            && ["TARGETPLATFORM", "TARGETOS", "TARGETARCH", "TARGETVARIANT"]
                .iter()
                .any(|name| self.scope.is_declared(name));
        if !cross {
            return format!("{} ", self.platform);
        }
        let text = target.to_string();
        let short = text.strip_prefix(&format!("{}/", self.platform.os)).unwrap_or(&text);
        format!("{}->{short} ", self.platform)
    }

    /// USER as it is now.
    pub(super) fn user(&self) -> UserName {
        UserName { text: self.config.config.user.clone(), span: self.user_span }
    }

    /// Notes an instruction in the history.
    pub(super) fn remember(&mut self, created_by: String, vertex: Option<VertexId>) {
        self.remember_values(created_by, vertex, Vec::new());
    }

    /// The same of one that sets names.
    pub(super) fn remember_values(
        &mut self,
        created_by: String,
        vertex: Option<VertexId>,
        values: Vec<NamedValue>,
    ) {
        self.history.push(HistoryEntry {
            history: History {
                created: None,
                created_by: Some(created_by),
                author: None,
                comment: Some("buildkit.dockerfile.v0".to_owned()),
                empty_layer: vertex.is_none(),
            },
            vertex,
            span: self.at,
            values,
        });
    }

    /// Notes what an instruction with a mistake would have set.
    fn breaks(&mut self, instruction: &Instruction) {
        self.broken.extend(match &instruction.kind {
            InstructionKind::Arg(arguments) => arguments.iter().map(|a| a.name.text.clone()).collect(),
            InstructionKind::Env(env) => env.pairs.iter().map(|(name, _)| name.text.clone()).collect(),
            _ => Vec::new(),
        });
    }

    /// Whether an instruction takes anything that is broken.
    fn takes_broken(&self, instruction: &Instruction) -> bool {
        let source = &instruction.source;
        self.broken
            .iter()
            .any(|name| ["$", "${"].iter().any(|dollar| source.contains(&format!("{dollar}{name}"))))
    }
}

/// Evaluates stage `number`; the stages it reads from are in `states`. What is wrong in it goes to `errors`: the stages after
/// it are then looked at with what became of it.
///
/// # Errors
/// When nothing can become of it.
pub(super) fn evaluate(
    planner: &mut Planner<'_>,
    number: usize,
    bases: &BaseImages,
    states: &BTreeMap<usize, StageState>,
    errors: &mut Vec<Diagnostic>,
) -> Result<StageState, Vec<Diagnostic>> {
    let stage = &planner.file.stages[number];
    let replaced = replaced(planner, number);
    let triggers = planner.triggers(number, bases)?;
    let mut state = start(planner, number, &triggers, bases, states).map_err(|error| vec![error])?;
    let mut dispatch = |state: &mut StageState, instruction: &Instruction| {
        state.at = state.trigger.unwrap_or(instruction.span);
        if let Err(error) = dispatch::dispatch(planner, state, instruction, states) {
            if !state.takes_broken(instruction) {
                errors.push(error);
            }
            state.breaks(instruction);
        }
    };
    state.trigger = Some(stage.from.image.span);
    for trigger in &triggers {
        dispatch(&mut state, trigger);
    }
    state.trigger = None;
    for instruction in stage.instructions.iter().filter(|_| !replaced) {
        dispatch(&mut state, instruction);
    }
    Ok(state)
}

/// A named context stands for the whole stage: nothing of it runs.
fn replaced(planner: &Planner<'_>, number: usize) -> bool {
    let name = planner.file.stages[number].from.name.as_ref();
    name.is_some_and(|name| planner.context(&name.text).is_some())
}

/// The state right after FROM.
fn start(
    planner: &mut Planner<'_>,
    number: usize,
    triggers: &[Instruction],
    bases: &BaseImages,
    states: &BTreeMap<usize, StageState>,
) -> Result<StageState, Diagnostic> {
    let stage = &planner.file.stages[number];
    let span = stage.from.image.span;
    let name = planner.stage_name(number);
    let platform = planner.platform_of(stage)?;
    // A base image may turn out to be for something else than what was asked for: both count.
    supported(&platform, span)?;
    let steps = triggers.iter().chain(&stage.instructions).filter(|i| is_step(i)).count();
    let base = planner.base_of(number)?;
    let first = usize::from(base != Base::Scratch);
    let ignore_cache = match &planner.options.no_cache {
        NoCache::Nothing => false,
        NoCache::All => true,
        NoCache::Stages(stages) => stages.iter().any(|s| s.eq_ignore_ascii_case(&name)),
    };
    let mut state = StageState {
        vertex: VertexId(0),
        config: empty_config(&platform),
        history: Vec::new(),
        scope: Scope::default(),
        guessed: false,
        platform,
        user_span: None,
        cmd_set: false,
        stage: name.clone(),
        number,
        ignore_cache,
        shown_target: planner.options.multi_platform.then(|| planner.platform.clone()),
        counter: (0, steps + first),
        trigger: None,
        at: span,
        broken: Vec::new(),
    };
    match base {
        Base::Scratch => state.vertex = nothing(planner, &state, span),
        Base::Stage(parent) => {
            let Some(parent) = states.get(&parent) else {
                unreachable!("a stage is evaluated after the stage it starts from");
            };
            let asked = state.platform.clone();
            on_stage(&mut state, parent);
            if let Some(word) = &stage.from.platform
                && asked != state.platform
            {
                let message =
                    format!("--platform={asked} has no effect: the stage is for {}", state.platform);
                planner.warnings.push(
                    Diagnostic::warning("FromPlatformOfStage", word.span, message)
                        .help("give --platform to the FROM of the image at the bottom"),
                );
            }
            // FROM of a stage is no step of its own.
            state.counter = (0, steps);
        }
        Base::Image(key) => on_image(planner, &mut state, &key, span, bases),
        Base::Directory(context) => on_directory(planner, &mut state, context, span),
    }
    supported(&state.platform, span)?;
    inherit_environment(&mut state);
    Ok(state)
}

/// Refuses platforms whose images cannot be built here.
fn supported(platform: &Platform, span: Span) -> Result<(), Diagnostic> {
    if platform.os != "windows" {
        return Ok(());
    }
    Err(Diagnostic::error("windows", span, format!("images for {platform} cannot be built here")).help(
        "the layers of Windows hold its registry and its own kinds of permissions; build them on Windows",
    ))
}

/// The empty root file system.
fn nothing(planner: &mut Planner<'_>, state: &StageState, span: Span) -> VertexId {
    planner.push(Vertex {
        op: Op::Scratch,
        parent: None,
        reads: Vec::new(),
        name: String::new(),
        stage: state.stage.clone(),
        span,
        ignore_cache: false,
        platform: state.platform.clone(),
    })
}

/// All that an earlier stage has become, but its triggers.
fn on_stage(state: &mut StageState, parent: &StageState) {
    state.vertex = parent.vertex;
    state.config = parent.config.clone();
    state.history = parent.history.clone();
    state.scope = parent.scope.clone();
    state.guessed = parent.guessed;
    state.platform = parent.platform.clone();
    state.user_span = parent.user_span;
    state.broken.clone_from(&parent.broken);
    state.config.config.on_build = None;
}

/// An image, and its config but its triggers.
fn on_image(
    planner: &mut Planner<'_>,
    state: &mut StageState,
    key: &BaseKey,
    span: Span,
    bases: &BaseImages,
) {
    let Some(resolved) = bases.get(key) else {
        unreachable!("every base image of a reachable stage is resolved before");
    };
    let position = state.next_position();
    state.vertex = planner.image_vertex(key, span, &state.stage, &position);
    state.config = resolved.config.clone();
    state.guessed = resolved.guessed;
    state.config.config.on_build = None;
    let found = state.config.platform();
    if found.os != state.platform.os || found.architecture != state.platform.architecture {
        planner.warnings.push(Diagnostic::warning(
            "InvalidBaseImagePlatform",
            span,
            format!("{} is for {found}, but {} was asked for", key.name, state.platform),
        ));
        // Its programs run on what they were made for.
        state.platform = found;
    }
}

/// All files of a named context.
fn on_directory(planner: &mut Planner<'_>, state: &mut StageState, context: String, span: Span) {
    let parent = Some(nothing(planner, state, span));
    let position = state.next_position();
    let copy = CopyOp {
        add: false,
        origin: Origin::Named(context.clone()),
        sources: vec![CopySource::Path("/".to_owned(), span)],
        destination: "/".to_owned(),
        chown: None,
        chmod: None,
        link: false,
        parents: false,
        excludes: Vec::new(),
        unpack: None,
    };
    state.vertex = planner.push(Vertex {
        op: Op::Copy(Box::new(copy)),
        parent,
        reads: Vec::new(),
        name: format!("{position}FROM {context}"),
        stage: state.stage.clone(),
        span,
        ignore_cache: state.ignore_cache,
        platform: state.platform.clone(),
    });
    state.remember(format!("FROM {context} # buildkit"), Some(state.vertex));
}

/// PATH is always set, and what the config sets is what RUN sees.
fn inherit_environment(state: &mut StageState) {
    let env = state.config.config.env.get_or_insert_default();
    if !env.iter().any(|entry| entry.starts_with("PATH=")) {
        env.push(format!("PATH={DEFAULT_PATH}"));
    }
    for entry in env.iter() {
        let (name, value) = entry.split_once('=').unwrap_or((entry, ""));
        state.scope.set(name, value);
    }
    if state.config.config.working_dir.is_empty() {
        "/".clone_into(&mut state.config.config.working_dir);
    }
}

fn empty_config(platform: &Platform) -> ImageConfig {
    let mut config = ImageConfig::empty(platform);
    "/".clone_into(&mut config.config.working_dir);
    config
}

/// Whether progress numbers an instruction.
fn is_step(instruction: &Instruction) -> bool {
    use InstructionKind::{Add, Copy, Run, Workdir};
    matches!(instruction.kind, Run(_) | Copy(_) | Add(_) | Workdir(_))
}
