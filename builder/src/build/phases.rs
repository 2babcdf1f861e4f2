//! The phases of a build: read, plan, prepare, solve.

use super::error::{BuildError, DockerfileError, DockerfileText, StepFailure};
use super::forms::Forms;
use super::input::{self, Input, InputError};
use super::layers::{How, LayerJobs};
use super::planning::{self, Planned};
use super::{elsewhere, findings, history, lock, outputs};
use crate::agent::Agents;
use crate::bases::Bases;
use crate::cgroup::Cgroups;
use crate::context::ignore_rules;
use crate::copy::IgnoreRules;
use crate::emulation::Emulators;
use crate::environment::Environment;
use crate::graph::{Graph, PlanOptions, Vertex, VertexId};
use crate::progress::measure::Measure;
use crate::progress::{Event, Progress};
use crate::request::BuildRequest;
use crate::solve::{Budget, Solved, solve};
use crate::steps::{Cause, Contexts, Named, Rootfs, StepError, StepWorker, Surroundings};
use crate::store::Store;
use dockerfile_parser::{Parsed, syntax};
use registry_client::client::Client;
use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

/// What all phases of a build know.
#[derive(Clone, Copy)]
pub(super) struct Build<'a> {
    pub(super) request: &'a BuildRequest,
    pub(super) environment: &'a Environment,
    pub(super) store: &'a Store,
    pub(super) client: &'a Client,
    pub(super) progress: &'a Progress,
    /// Whether this process may mount, chown and make namespaces.
    pub(super) privileged: bool,
    /// What may be done at once.
    pub(super) budget: &'a Arc<Budget>,
}

/// What is built, and from what.
pub(super) struct Source {
    pub(super) input: Input,
    pub(super) parsed: Parsed,
    /// When a context that was elsewhere was made.
    pub(super) time: Option<SystemTime>,
    /// Named contexts that were elsewhere.
    pub(super) named: BTreeMap<String, PathBuf>,
    pub(super) agents: Arc<Agents>,
}

/// What the solver works with.
pub(super) struct Solving {
    pub(super) graph: Arc<Graph>,
    pub(super) targets: Vec<VertexId>,
    pub(super) worker: Arc<StepWorker>,
    pub(super) jobs: LayerJobs,
}

impl Build<'_> {
    /// Fetches what is elsewhere, reads the Dockerfile, and tells what its text gives to warn about.
    pub(super) async fn read(&self) -> Result<Source, BuildError> {
        let Self { request, environment, store, client, progress, .. } = *self;
        let agents = Arc::new(Agents::new(request.ssh.clone(), environment.path.clone()));
        let elsewhere = elsewhere::contexts(request, environment, store, client, &agents, progress).await?;
        let stop = &environment.cancellation;
        let input = input::read(request, elsewhere.context, elsewhere.dockerfile, true, store, stop).await?;
        let refused = |diagnostics| DockerfileError { file: Arc::clone(&input.dockerfile), diagnostics };
        let checks = request.build_args.get(findings::CHECK_ARG).map(String::as_str);
        let parsed =
            dockerfile_parser::parse_with_checks(&input.dockerfile.source, checks).map_err(refused)?;
        for warning in findings::unused_build_args(&parsed.dockerfile, request) {
            progress.warn(warning);
        }
        for warning in &input.warnings {
            progress.warn(warning.to_string());
        }
        match request.build_args.get("BUILDKIT_SYNTAX") {
            None => findings::tell(&input.dockerfile, parsed.warnings.clone(), progress)?,
            // It takes the place of the file's `# syntax=`.
            Some(syntax) => {
                let others = parsed.warnings.iter().filter(|w| w.code != syntax::CODE).cloned().collect();
                findings::tell(&input.dockerfile, others, progress)?;
                if let Err(unsupported) = syntax::check(syntax) {
                    let help = unsupported.help();
                    progress.warn(format!("warning: BUILDKIT_SYNTAX: {unsupported}\nhelp: {help}\n"));
                }
            }
        }
        Ok(Source { input, parsed, time: elsewhere.time, named: elsewhere.named, agents })
    }

    /// Makes the graph, and tells what it gives to warn about.
    /// The rules of the ignore file come along: it is read once.
    pub(super) async fn plan(
        &self,
        source: &Source,
        bases: &Arc<Bases>,
    ) -> Result<(Planned, Option<IgnoreRules>), BuildError> {
        let Self { request, progress, privileged, .. } = *self;
        let Source { input, parsed, .. } = source;
        let locked = request.locked.then(|| lock::read(input.path.as_deref())).transpose()?;
        let options = PlanOptions { locked, offline: self.environment.offline, ..planning::options(request) };
        let (file, dockerfile) = (&input.dockerfile, &parsed.dockerfile);
        let planned = planning::planned(file, dockerfile, request, &options, bases, progress, privileged);
        let planned = tokio::select! {
            planned = planned => planned?,
            () = self.environment.cancellation.cancelled() => return Err(BuildError::Cancelled),
        };
        let (context, path) = (input.context.as_deref(), input.path.as_deref());
        let last_stage = dockerfile.stages.last().map(|stage| stage.span).unwrap_or_default();
        let place = request.context.from_elsewhere();
        let rules = context.map_or(Ok(None), |context| ignore_rules(context, path, place.as_deref()));
        let known = rules.as_ref().ok().and_then(Option::as_ref);
        let found = findings::of_graph(&planned.graph, known, request, last_stage);
        findings::tell(file, findings::settled(parsed, found), progress)?;
        Ok((planned, rules.map_err(InputError::from)?))
    }

    /// Makes the worker for the graph.
    pub(super) fn prepare(
        &self,
        source: &Source,
        (planned, rules): (Planned, Option<IgnoreRules>),
        bases: &Arc<Bases>,
        cgroups: Option<Cgroups>,
    ) -> Result<Solving, BuildError> {
        let Self { request, environment, store, client, progress, privileged, .. } = *self;
        let Source { input, named, agents, .. } = source;
        let directories = planning::directories(request, named);
        let place = request.context.from_elsewhere();
        let context = input.context.as_deref().map(|context| (context, rules));
        let contexts =
            Contexts::open(store, context, place.as_deref(), &directories).map_err(InputError::from)?;
        let graph = Arc::new(planned.graph);
        let targets: Vec<VertexId> = graph.images.iter().map(|plan| plan.vertex).collect();
        let packed = if outputs::need_layers(request) { &targets[..] } else { &[] };
        let how = How { epoch: request.source_date_epoch, privileged, forms: Forms::of(&request.outputs)? };
        let jobs = LayerJobs::new(store.clone(), how, &graph, packed);
        let around = Surroundings {
            store: store.clone(),
            bases: Arc::clone(bases),
            images: planned.images,
            contexts,
            progress: progress.clone(),
            client: client.clone(),
            git: elsewhere::git_access(request, environment, agents)?,
            agents: Arc::clone(agents),
            emulators: Arc::new(Emulators::new(environment.path.clone())),
            cancellation: environment.cancellation.clone(),
            privileged,
            secrets: request.secrets.clone(),
            extra_hosts: request.extra_hosts.clone(),
            ulimits: request.ulimits.clone(),
            shm_size: request.shm_size,
            cgroups: cgroups.map(Arc::new),
            budget: Arc::clone(self.budget),
            named: if request.early_cutoff { Named::ByContent } else { Named::ByRun },
            explaining: history::explaining(request, input),
        };
        announce(&graph, &targets, progress);
        let worker = Arc::new(StepWorker::new(Arc::clone(&graph), around, Box::new(jobs.clone())));
        Ok(Solving { graph, targets, worker, jobs })
    }

    /// Runs what must run.
    pub(super) async fn solve(&self, source: &Source, solving: &Solving) -> Result<SolvedSteps, BuildError> {
        let Self { request, store, progress, budget, .. } = *self;
        let Solving { graph, targets, worker, .. } = solving;
        let solved = solve(graph, targets, worker, budget).await;
        if let Err(error) = &solved
            && !matches!(error.cause, Cause::NeedsUserNamespace)
        {
            history::note(request, &source.input, store, worker, progress).await;
        }
        worker.save_contexts();
        worker.counted().await;
        solved.map_err(|error| step_failed(error, graph, &source.input.dockerfile))
    }
}

/// The results of the vertices that were needed.
pub(super) type SolvedSteps = BTreeMap<VertexId, Solved<Rootfs>>;

/// Tells progress about the steps that the targets need, in order.
fn announce(graph: &Graph, targets: &[VertexId], progress: &Progress) {
    let mut needed = vec![false; graph.vertices.len()];
    let mut open = targets.to_vec();
    while let Some(id) = open.pop() {
        if !std::mem::replace(&mut needed[id.0], true) {
            open.extend(graph.vertex(id).inputs());
        }
    }
    for (index, vertex) in graph.vertices.iter().enumerate() {
        if needed[index] && !vertex.name.is_empty() {
            let step = StepWorker::step(VertexId(index));
            progress.send(Event::Announced { step, name: vertex.name.clone() });
            if progress.is_measured() {
                progress.measure(step, place(graph, vertex));
            }
        }
    }
}

/// Where a step stands in the graph. Vertices without a name are no steps: what they take stands for them.
fn place(graph: &Graph, vertex: &Vertex) -> Measure {
    let mut inputs = BTreeSet::new();
    let mut open: Vec<VertexId> = vertex.inputs().collect();
    while let Some(id) = open.pop() {
        match graph.vertex(id) {
            unnamed if unnamed.name.is_empty() => open.extend(unnamed.inputs()),
            _ => drop(inputs.insert(StepWorker::step(id))),
        }
    }
    let stage = match graph.images.len() {
        0 | 1 => vertex.stage.clone(),
        _ => format!("{} {}", vertex.stage, vertex.platform),
    };
    Measure::Place { stage, inputs: inputs.into_iter().collect() }
}

fn step_failed(error: StepError, graph: &Graph, file: &Arc<DockerfileText>) -> BuildError {
    match error.cause {
        Cause::NeedsUserNamespace => BuildError::NeedsUserNamespace,
        Cause::Cancelled => BuildError::Cancelled,
        _ => {
            let vertex = graph.vertex(error.vertex);
            let diagnostic = error.diagnostic(vertex);
            let step = vertex.name.clone();
            BuildError::Step(Box::new(StepFailure { file: Arc::clone(file), step, diagnostic }))
        }
    }
}
