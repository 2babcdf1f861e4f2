//! From a Dockerfile and options to a graph, asking for base images until all are known.

use super::names::Base;
use super::op::{BaseImages, BaseKey, Graph, ImagePlan, Op, Vertex, VertexId};
use super::reach;
use super::scope::{Globals, expand};
use super::stage::{self, StageState};
use crate::lockfile::LockFile;
use crate::request::{Entitlements, NetworkMode, NoCache};
use dockerfile_parser::ast::{Dockerfile, Instruction, InstructionKind, Stage, Word};
use dockerfile_parser::diagnostic::Diagnostic;
use dockerfile_parser::expand::Expander;
use dockerfile_parser::span::Span;
use dockerfile_parser::{mount, suggest};
use registry_client::platform::Platform;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::PathBuf;

/// What a plan depends on besides the Dockerfile and the base images.
#[derive(Clone, Debug)]
pub struct PlanOptions {
    /// `--target`; the last stage when absent.
    pub target: Option<String>,
    /// `--build-arg`.
    pub build_args: BTreeMap<String, String>,
    /// `--label`.
    pub labels: BTreeMap<String, String>,
    /// The platforms to build for: at least one, each once. The graph has an image for each, in this order.
    pub platforms: Vec<Platform>,
    /// Whether `--platform` said so; otherwise a foreign base decides the platform of the result.
    pub explicit_platform: bool,
    /// Whether the result is an index, so that steps are shown with their platform.
    pub multi_platform: bool,
    /// The platform of this machine.
    pub build_platform: Platform,
    /// `--build-context`, names in lower case.
    pub contexts: BTreeMap<String, ContextKind>,
    /// `--network`.
    pub network: NetworkMode,
    /// `--allow`.
    pub allowed: Entitlements,
    /// The ids of `--ssh`.
    pub ssh: BTreeSet<String>,
    /// The ids of `--secret`, when RUNs that require others are to be told of. A build has `None`: a RUN that is cached
    /// needs no secret.
    pub secrets: Option<BTreeSet<String>>,
    /// `--no-cache`.
    pub no_cache: NoCache,
    /// `--offline`: what was fetched before does, `no_cache` or not.
    pub offline: bool,
    /// `--locked`: what names mean, and that nothing else is taken.
    pub locked: Option<LockFile>,
}

/// What a named context is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContextKind {
    /// A directory.
    Directory,
    /// An image reference, as it was written after `docker-image://`.
    Image(String),
    /// An OCI layout.
    OciLayout {
        /// The directory.
        path: PathBuf,
        /// Tag or digest.
        reference: Option<String>,
    },
    /// A stage of this Dockerfile: its name or number.
    Target(String),
}

/// What planning gives.
#[derive(Debug)]
pub enum Plan {
    /// These images must be resolved first; then plan again.
    Needs(Vec<BaseRequest>),
    /// All is known.
    Ready(Box<Graph>),
}

/// An image that must be resolved.
#[derive(Clone, Debug)]
pub struct BaseRequest {
    /// Which.
    pub key: BaseKey,
    /// Where the Dockerfile names it.
    pub span: Span,
    /// What to do when it is not found: a stage of nearly that name.
    pub help: Option<String>,
}

/// Plans `file` with the base images known until now. Steps that are the same for several platforms are in the graph
/// once.
///
/// # Errors
/// Everything in the reachable stages that cannot be built, with its place.
pub fn plan(file: &Dockerfile, options: &PlanOptions, bases: &BaseImages) -> Result<Plan, Vec<Diagnostic>> {
    known_stages(file, &options.no_cache)?;
    let mut missing: BTreeMap<BaseKey, BaseRequest> = BTreeMap::new();
    let mut graph = Graph::default();
    for platform in &options.platforms {
        let vertices = std::mem::take(&mut graph.vertices);
        let mut planner = Planner::new(file, options, platform, vertices)?;
        let target = planner.target()?;
        let reachable = reach::reachable(&planner, bases, target)?;
        missing.extend(planner.missing(&reachable, bases)?);
        if missing.is_empty() {
            let mut states: BTreeMap<usize, StageState> = BTreeMap::new();
            let mut errors = Vec::new();
            for number in reachable {
                match stage::evaluate(&mut planner, number, bases, &states, &mut errors) {
                    Ok(state) => drop(states.insert(number, state)),
                    Err(more) => {
                        // What takes from this stage cannot be looked at.
                        errors.extend(more);
                        break;
                    }
                }
            }
            if !errors.is_empty() {
                errors.sort_by_key(|error| error.span);
                return Err(errors);
            }
            let Some(state) = states.remove(&target) else {
                unreachable!("the target is reachable from itself");
            };
            graph.images.push(planner.finish(state));
        }
        graph.source_date_epoch = planner.source_date_epoch.take();
        graph.vertices = planner.vertices;
        graph.warnings.append(&mut planner.warnings);
    }
    if !missing.is_empty() {
        return Ok(Plan::Needs(missing.into_values().collect()));
    }
    graph.warnings.sort_by_key(|warning| warning.span);
    graph.warnings.dedup();
    Ok(Plan::Ready(Box::new(graph)))
}

/// The numbers of the stages that the target needs on the first platform, in the order of the file; the target is the last.
///
/// # Errors
/// As [`plan`].
pub fn reachable_stages(
    file: &Dockerfile,
    options: &PlanOptions,
    bases: &BaseImages,
) -> Result<Vec<usize>, Vec<Diagnostic>> {
    let Some(platform) = options.platforms.first() else { return Ok(Vec::new()) };
    let planner = Planner::new(file, options, platform, Vec::new())?;
    let target = planner.target()?;
    Ok(reach::reachable(&planner, bases, target)?.into_iter().collect())
}

/// Refuses `--no-cache-filter` of what is no stage: nothing would run again.
fn known_stages(file: &Dockerfile, no_cache: &NoCache) -> Result<(), Vec<Diagnostic>> {
    let NoCache::Stages(stages) = no_cache else { return Ok(()) };
    let names: Vec<String> = (0..file.stages.len()).map(|number| stage_name(file, number)).collect();
    let unknown = stages.iter().filter(|stage| !names.contains(&stage.to_lowercase()));
    let errors = unknown.map(|stage| {
        let message = format!("--no-cache-filter names no stage: {stage:?}");
        let last = file.stages.last().map(|stage| stage.span).unwrap_or_default();
        let error = Diagnostic::error("unknown-stage", last, message);
        match suggest::nearest(stage, names.iter().map(String::as_str)) {
            Some(near) => error.help(format!("a stage is named {near:?}")),
            None => error.help(format!("the stages are named {}", names.join(", "))),
        }
    });
    let errors: Vec<Diagnostic> = errors.collect();
    if errors.is_empty() { Ok(()) } else { Err(errors) }
}

/// The name of a stage in lower case; `stage-` and its number when it has none.
fn stage_name(file: &Dockerfile, number: usize) -> String {
    match &file.stages[number].from.name {
        Some(name) => name.text.to_lowercase(),
        None => format!("stage-{number}"),
    }
}

/// The state of planning: what was read of the file, and the vertices made so far.
pub(super) struct Planner<'a> {
    pub(super) file: &'a Dockerfile,
    pub(super) options: &'a PlanOptions,
    /// The platform that is built for now.
    pub(super) platform: &'a Platform,
    pub(super) expander: Expander,
    pub(super) globals: Globals,
    /// As it was given: stages see no word in its place.
    source_date_epoch: Option<String>,
    pub(super) vertices: Vec<Vertex>,
    pub(super) warnings: Vec<Diagnostic>,
    /// Numbers of the stages of each name, in lower case, ascending.
    pub(super) names: BTreeMap<String, Vec<usize>>,
    /// The vertices of platforms that are planned already, by parent.
    others: HashMap<Option<VertexId>, Vec<VertexId>>,
}

impl<'a> Planner<'a> {
    /// A planner for one of the platforms; `vertices` are those of the platforms before it.
    fn new(
        file: &'a Dockerfile,
        options: &'a PlanOptions,
        platform: &'a Platform,
        vertices: Vec<Vertex>,
    ) -> Result<Self, Vec<Diagnostic>> {
        let expander = Expander::new(file.directives.escape);
        let mut globals = Globals::automatic(
            &options.build_platform,
            platform,
            options.target.as_deref(),
            &options.build_args,
        );
        let mut errors = Vec::new();
        for instruction in &file.global_args {
            let InstructionKind::Arg(arguments) = &instruction.kind else { continue };
            for argument in arguments {
                if let Err(error) = globals.declare(argument, &expander, &options.build_args) {
                    errors.push(error);
                }
            }
        }
        if !errors.is_empty() {
            return Err(errors);
        }
        let source_date_epoch = globals.get("SOURCE_DATE_EPOCH").cloned();
        if source_date_epoch.as_deref() == Some("context") {
            globals.set("SOURCE_DATE_EPOCH", "");
        }
        let mut names: BTreeMap<String, Vec<usize>> = BTreeMap::new();
        for (number, stage) in file.stages.iter().enumerate() {
            if let Some(name) = &stage.from.name {
                names.entry(name.text.to_lowercase()).or_default().push(number);
            }
        }
        let mut others: HashMap<Option<VertexId>, Vec<VertexId>> = HashMap::new();
        for (index, vertex) in vertices.iter().enumerate() {
            others.entry(vertex.parent).or_default().push(VertexId(index));
        }
        let warnings = Vec::new();
        Ok(Self {
            file,
            options,
            platform,
            expander,
            globals,
            source_date_epoch,
            vertices,
            warnings,
            names,
            others,
        })
    }

    /// `stage` by name, for messages and progress; its number when it has none.
    pub(super) fn stage_name(&self, stage: usize) -> String {
        stage_name(self.file, stage)
    }

    /// The platform of a stage: `--platform`, else the one that is built for.
    pub(super) fn platform_of(&self, stage: &Stage) -> Result<Platform, Diagnostic> {
        let Some(word) = &stage.from.platform else { return Ok(self.platform.clone()) };
        let text = self.expand_global(word)?;
        text.parse().map_err(|error: registry_client::platform::PlatformError| {
            Diagnostic::error("bad-platform", word.span, error.to_string())
        })
    }

    fn expand_global(&self, word: &Word) -> Result<String, Diagnostic> {
        Ok(expand(&self.expander, word, &|name| self.globals.get(name).cloned())?.0)
    }

    /// The ONBUILD triggers that run first in stage `number`: those stored in its base image, or written in the stage
    /// it starts from. None while the image is not resolved. Their spans are those of FROM.
    pub(super) fn triggers(
        &self,
        number: usize,
        bases: &BaseImages,
    ) -> Result<Vec<Instruction>, Vec<Diagnostic>> {
        let span = self.file.stages[number].from.image.span;
        match self.base_of(number).map_err(|error| vec![error])? {
            Base::Scratch | Base::Directory(_) => Ok(Vec::new()),
            Base::Stage(parent) => Ok(self.file.stages[parent]
                .instructions
                .iter()
                .filter_map(|instruction| match &instruction.kind {
                    InstructionKind::Onbuild(onbuild) => Some((*onbuild.instruction).clone()),
                    _ => None,
                })
                .collect()),
            Base::Image(key) => {
                let stored = bases.get(&key).and_then(|base| base.config.config.on_build.as_deref());
                let mut triggers = Vec::new();
                for text in stored.unwrap_or_default() {
                    let trigger = dockerfile_parser::parse_trigger(text, '\\').map_err(|errors| {
                        let first = errors.into_iter().next();
                        let error = first.as_ref().map(|error| error.message.as_str()).unwrap_or_default();
                        let message = format!(
                            "{} has an ONBUILD trigger that cannot be read: {text:?}: {error}",
                            key.name
                        );
                        let mut diagnostic = Diagnostic::error("bad-trigger", span, message);
                        diagnostic.help = first.and_then(|error| error.help);
                        vec![diagnostic]
                    })?;
                    triggers.push(trigger);
                }
                Ok(triggers)
            }
        }
    }

    /// The images that the reachable stages need and that are not resolved.
    fn missing(
        &self,
        reachable: &BTreeSet<usize>,
        bases: &BaseImages,
    ) -> Result<BTreeMap<BaseKey, BaseRequest>, Vec<Diagnostic>> {
        let mut missing: BTreeMap<BaseKey, BaseRequest> = BTreeMap::new();
        let mut errors = Vec::new();
        for &number in reachable {
            let stage = &self.file.stages[number];
            let mut need = |key: BaseKey, span: Span, help: Option<String>| {
                if !bases.contains_key(&key) {
                    missing.entry(key.clone()).or_insert(BaseRequest { key, span, help });
                }
            };
            match self.base_of(number) {
                Ok(Base::Image(key)) => {
                    need(key, stage.from.image.span, self.near_stage(&stage.from.image.text));
                }
                Ok(_) => {}
                Err(error) => errors.push(error),
            }
            let triggers = self.triggers(number, bases)?;
            for (instruction, written) in
                triggers.iter().map(|t| (t, false)).chain(stage.instructions.iter().map(|i| (i, true)))
            {
                for (name, span) in froms(instruction) {
                    let span = if written { span } else { stage.from.image.span };
                    match self.origin_image(&name, number, span) {
                        Ok(Some(key)) => need(key, span, self.near_stage(&name)),
                        Ok(None) => {}
                        Err(error) => errors.push(error),
                    }
                }
            }
        }
        if errors.is_empty() { Ok(missing) } else { Err(errors) }
    }

    /// Adds a vertex, unless one for another platform does the same already.
    pub(super) fn push(&mut self, vertex: Vertex) -> VertexId {
        let same = |id: &&VertexId| self.vertices[id.0].is_same_step(&vertex);
        if let Some(known) = self.others.get(&vertex.parent).and_then(|known| known.iter().find(same)) {
            return *known;
        }
        self.vertices.push(vertex);
        VertexId(self.vertices.len() - 1)
    }

    /// The vertex that fetches the same already.
    pub(super) fn fetching(&self, op: &Op, ignore_cache: bool) -> Option<VertexId> {
        let same = |vertex: &Vertex| vertex.ignore_cache == ignore_cache && vertex.op == *op;
        self.vertices.iter().position(same).map(VertexId)
    }

    /// The vertex of an image's root file system, made once for each image.
    pub(super) fn image_vertex(
        &mut self,
        key: &BaseKey,
        span: Span,
        stage: &str,
        position: &str,
    ) -> VertexId {
        let found = self.vertices.iter().position(|v| matches!(&v.op, Op::Image(k) if k == key));
        if let Some(found) = found {
            return VertexId(found);
        }
        self.push(Vertex {
            op: Op::Image(key.clone()),
            parent: None,
            reads: Vec::new(),
            name: format!("{position}FROM {}", key.name),
            stage: stage.to_owned(),
            span,
            ignore_cache: false,
            platform: key.platform.clone(),
        })
    }

    /// The image of the target stage.
    fn finish(&self, mut state: StageState) -> ImagePlan {
        let options = self.options;
        if !options.labels.is_empty() {
            let labels = state.config.config.labels.get_or_insert_default();
            labels.extend(options.labels.iter().map(|(name, value)| (name.clone(), value.clone())));
        }
        if options.explicit_platform {
            let platform = self.platform;
            let same = state.config.os == platform.os && state.config.architecture == platform.architecture;
            state.config.os.clone_from(&platform.os);
            state.config.architecture.clone_from(&platform.architecture);
            if platform.variant.is_some() || !same {
                state.config.variant.clone_from(&platform.variant);
            }
            if platform.os_version.is_some() || !same {
                state.config.os_version.clone_from(&platform.os_version);
            }
        }
        let platform = state.config.platform();
        state.config.architecture.clone_from(&platform.architecture);
        state.config.variant.clone_from(&platform.variant);
        ImagePlan {
            platform,
            vertex: state.vertex,
            user: state.user(),
            base_layers: state.config.rootfs.diff_ids.clone(),
            config: state.config,
            history: state.history,
        }
    }
}

/// The `from` names of an instruction, with their places.
pub(super) fn froms(instruction: &Instruction) -> Vec<(String, Span)> {
    match &instruction.kind {
        InstructionKind::Copy(copy) => copy.from.iter().map(|word| (word.text.clone(), word.span)).collect(),
        InstructionKind::Run(run) => run
            .mounts
            .iter()
            .filter_map(|flag| Some((mount::from(&flag.spec.text)?, mount::from_span(&flag.spec))))
            .collect(),
        _ => Vec::new(),
    }
}
