//! One build, from the request to the outputs.
//!
//! ```text
//! input ──▶ planning (graph ⇄ bases) ──▶ solve(steps) ──▶ image ──▶ outputs
//!                                            └─▶ layers: packed beside the steps that follow
//! ```

pub mod call;
pub mod contents;
mod elsewhere;
mod epoch;
mod error;
mod findings;
mod history;
mod image;
mod input;
mod layers;
pub mod lock;
mod outputs;
mod planning;
mod report;
mod syncing;

pub use error::{BuildError, DockerfileError, DockerfileText, StepFailure};
pub use input::InputError;
pub use report::{BuildReport, BuiltImage};

use crate::agent::Agents;
use crate::bases::Bases;
use crate::cgroup::Cgroups;
use crate::emulation::Emulators;
use crate::environment::Environment;
use crate::graph::{Graph, Op, PlanOptions, VertexId};
use crate::progress::{Event, Progress};
use crate::request::{BuildRequest, ContextSource, DockerfileSource, NamedContext, Output, OutputKind};
use crate::solve::{Outcome, Solved, solve};
use crate::steps::{Cause, Contexts, Rootfs, StepError, StepWorker, Surroundings};
use crate::store::Store;
use crate::userns::Privilege;
use dockerfile_parser::syntax;
use layers::LayerJobs;
use registry_client::client::Client;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;
use syncing::Syncing;

/// Builds what `request` asks for, with the results of earlier builds in `store`.
///
/// # Errors
/// [`BuildError::NeedsUserNamespace`] when this process may not do what is needed, and could after entering one; nothing
/// was changed then. Everything else is final.
pub async fn build(
    request: &BuildRequest,
    environment: &Environment,
    store: &Store,
    progress: &Progress,
) -> Result<BuildReport, BuildError> {
    let client = crate::registry::client(environment);
    let syncing = Syncing::beside(store, progress);
    let result = built(request, environment, store, &client, progress, &syncing).await;
    match &result {
        Err(BuildError::Cancelled) => syncing.abandon(),
        _ => syncing.finish().await,
    }
    crate::registry::tell_warnings(&client, progress);
    result
}

async fn built(
    request: &BuildRequest,
    environment: &Environment,
    store: &Store,
    client: &Client,
    progress: &Progress,
    syncing: &Syncing,
) -> Result<BuildReport, BuildError> {
    let started = Instant::now();
    let privileged = Privilege::detect() != Privilege::Unprivileged;
    if !privileged && needs_files(request) {
        return Err(BuildError::NeedsUserNamespace);
    }
    let names = outputs::names(request)?;
    if let Some(path) = &request.iid_file
        && path.symlink_metadata().is_ok_and(|there| there.is_file())
    {
        // A build that fails leaves no ID of an earlier one. What cannot be removed cannot be written either; links and
        // devices are not ours to remove.
        let _ = std::fs::remove_file(path);
    }
    let cgroups = Cgroups::prepare(&request.resources, request.cgroup_parent.as_deref())?;
    let agents = Arc::new(Agents::new(request.ssh.clone(), environment.path.clone()));
    let elsewhere = elsewhere::contexts(request, environment, store, client, &agents, progress).await?;
    let stop = &environment.cancellation;
    let input = input::read(request, elsewhere.context, elsewhere.dockerfile, store, stop).await?;
    let refused = |diagnostics| DockerfileError { file: Arc::clone(&input.dockerfile), diagnostics };
    let checks = request.build_args.get(findings::CHECK_ARG).map(String::as_str);
    let parsed = dockerfile_parser::parse_with_checks(&input.dockerfile.source, checks).map_err(refused)?;
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
            let others: Vec<_> = parsed.warnings.iter().filter(|w| w.code != syntax::CODE).cloned().collect();
            findings::tell(&input.dockerfile, others, progress)?;
            if let Err(unsupported) = syntax::check(syntax) {
                let help = unsupported.help();
                progress.warn(format!("warning: BUILDKIT_SYNTAX: {unsupported}\nhelp: {help}\n"));
            }
        }
    }

    let bases = Arc::new(Bases::new(store.clone(), client.clone(), progress.clone()));
    let options = planning::options(request);
    let locked = request.locked.then(|| lock::read(input.path.as_deref())).transpose()?;
    let options = PlanOptions { locked, ..options };
    let planned = planning::planned(
        &input.dockerfile,
        &parsed.dockerfile,
        request,
        &options,
        &bases,
        progress,
        privileged,
    );
    let planned = tokio::select! {
        planned = planned => planned?,
        () = environment.cancellation.cancelled() => return Err(BuildError::Cancelled),
    };
    let (context, path) = (input.context.as_deref(), input.path.as_deref());
    let last_stage = parsed.dockerfile.stages.last().map(|stage| stage.span).unwrap_or_default();
    let found = findings::of_graph(&planned.graph, context, path, request, last_stage);
    findings::tell(&input.dockerfile, findings::settled(&parsed, found), progress)?;
    let request = &*epoch::settled(request, &planned.graph, elsewhere.time)?;
    let directories = planning::directories(request, &elsewhere.named);
    let contexts = Contexts::open(store, input.context.as_deref(), input.path.as_deref(), &directories)
        .map_err(InputError::from)?;

    let graph = Arc::new(planned.graph);
    let targets: Vec<VertexId> = graph.images.iter().map(|plan| plan.vertex).collect();
    let packed = if outputs::need_layers(request) { &targets[..] } else { &[] };
    let jobs = LayerJobs::new(store.clone(), request.source_date_epoch, privileged, &graph, packed);
    let around = Surroundings {
        store: store.clone(),
        bases: Arc::clone(&bases),
        images: planned.images,
        contexts,
        progress: progress.clone(),
        client: client.clone(),
        git: elsewhere::git_access(request, environment, &agents)?,
        agents: Arc::clone(&agents),
        emulators: Arc::new(Emulators::new(environment.path.clone())),
        cancellation: environment.cancellation.clone(),
        privileged,
        secrets: request.secrets.clone(),
        extra_hosts: request.extra_hosts.clone(),
        ulimits: request.ulimits.clone(),
        shm_size: request.shm_size,
        cgroups: cgroups.map(Arc::new),
        explaining: history::explaining(request, &input),
    };
    announce(&graph, &targets, progress);
    let worker = Arc::new(StepWorker::new(Arc::clone(&graph), around, Box::new(jobs.clone())));
    let limit = request
        .parallelism
        .unwrap_or_else(|| std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get));
    let solved = solve(&graph, &targets, &worker, limit).await;
    if let Err(error) = &solved
        && !matches!(error.cause, Cause::NeedsUserNamespace)
    {
        history::note(request, &input, store, &worker, progress).await;
    }
    worker.save_contexts();
    let solved = solved.map_err(|error| step_failed(error, &graph, &input.dockerfile))?;
    syncing.start();
    let left = findings::settled(&parsed, worker.take_findings());
    findings::tell(&input.dockerfile, left, progress)?;

    let made = outputs::Made {
        request,
        environment,
        store,
        client,
        bases: &bases,
        worker: &worker,
        jobs: &jobs,
        progress,
    };
    let finish = made.all(&graph, &solved, &names);
    let image = tokio::select! {
        image = finish => image,
        () = environment.cancellation.cancelled() => Err(BuildError::Cancelled),
    };
    if !matches!(image, Err(BuildError::NeedsUserNamespace)) {
        history::note(request, &input, store, &worker, progress).await;
    }
    let image = image?;
    worker.tell_unused_images(solved.keys().copied());
    let (steps, cached) = counts(&graph, &solved);
    Ok(BuildReport { image, steps, cached, elapsed: started.elapsed() })
}

/// Whether the request certainly takes reading files of images, or something that should be taken once only.
fn needs_files(request: &BuildRequest) -> bool {
    let files = |output: &Output| matches!(output.kind, OutputKind::Local | OutputKind::Tar);
    takes_once(request) || request.outputs.iter().any(files)
}

/// Whether the Dockerfile or a context come from standard input or a pipe, which cannot be read twice, or from
/// elsewhere, which should not be fetched twice.
fn takes_once(request: &BuildRequest) -> bool {
    let dockerfile = match &request.dockerfile {
        DockerfileSource::Default => false,
        DockerfileSource::Path(path) => path.metadata().is_ok_and(|found| !found.is_file()),
        DockerfileSource::Stdin | DockerfileSource::Remote(_) => true,
    };
    dockerfile
        || matches!(request.context, ContextSource::Stdin | ContextSource::Remote(_))
        || request.build_contexts.values().any(|context| matches!(context, NamedContext::Remote(_)))
}

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
        }
    }
}

/// How many steps there were, and how many of them were cached. FROM and fetching are none of them.
fn counts(graph: &Graph, solved: &BTreeMap<VertexId, Solved<Rootfs>>) -> (usize, usize) {
    let steps = solved.iter().filter(|(id, _)| {
        !matches!(graph.vertex(**id).op, Op::Scratch | Op::Image(_) | Op::Http(_) | Op::Git(_))
    });
    let cached = steps.clone().filter(|(_, solved)| solved.outcome == Outcome::Cached).count();
    (steps.count(), cached)
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
