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
mod forms;
mod history;
mod image;
mod input;
mod layers;
pub mod lock;
mod outputs;
mod phases;
mod planning;
mod report;
mod syncing;
mod users;

pub use error::{BuildError, DockerfileError, DockerfileText, StepFailure};
pub use input::InputError;
pub use report::{BuildReport, BuiltImage};

use crate::bases::Bases;
use crate::cgroup::Cgroups;
use crate::environment::Environment;
use crate::graph::{Graph, Op};
use crate::progress::Progress;
use crate::request::{BuildRequest, ContextSource, DockerfileSource, NamedContext, Output, OutputKind};
use crate::solve::{Budget, Outcome};
use crate::store::Store;
use crate::userns::Privilege;
use phases::{Build, SolvedSteps, Solving};
use registry_client::client::Client;
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
    if let Some(overfull) = store.take_overfull() {
        progress.warn(overfull.to_string());
    }
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
    forget_image_id(request);
    let cgroups = Cgroups::prepare(&request.resources, request.cgroup_parent.as_deref())?;
    let processors = || std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    let budget = &Budget::new(request.parallelism.unwrap_or_else(processors));
    let build = Build { request, environment, store, client, progress, privileged, budget };
    let source = build.read().await?;
    let request = &*epoch::of_commit(request, environment, store, source.time).await?;
    let build = Build { request, ..build };
    let bases = Arc::new(Bases::new(store.clone(), client.clone(), progress.clone()).within(budget));
    let planned = build.plan(&source, &bases).await?;
    let request = &*epoch::settled(request, &planned.0.graph, source.time)?;
    let build = Build { request, ..build };
    let solving = build.prepare(&source, planned, &bases, cgroups)?;
    let solved = build.solve(&source, &solving).await?;
    syncing.start();
    let left = findings::settled(&source.parsed, solving.worker.take_findings());
    findings::tell(&source.input.dockerfile, left, progress)?;

    let Solving { graph, worker, jobs, .. } = &solving;
    let made = outputs::Made { request, environment, store, client, bases: &bases, worker, jobs, progress };
    let finish = async {
        if outputs::need_layers(request) {
            users::check(graph, &solved, worker, store, &source.input.dockerfile).await?;
        }
        made.all(graph, &solved, &names).await
    };
    let image = tokio::select! {
        image = finish => image,
        () = environment.cancellation.cancelled() => Err(BuildError::Cancelled),
    };
    if !matches!(image, Err(BuildError::NeedsUserNamespace)) {
        history::note(request, &source.input, store, worker, progress).await;
    }
    let image = image?;
    worker.tell_unused_images(solved.keys().copied());
    let (steps, cached) = counts(graph, &solved);
    Ok(BuildReport { image, steps, cached, elapsed: started.elapsed() })
}

/// A build that fails leaves no ID of an earlier one. What cannot be removed cannot be written either; links and devices
/// are not ours to remove.
fn forget_image_id(request: &BuildRequest) {
    if let Some(path) = &request.iid_file
        && path.symlink_metadata().is_ok_and(|there| there.is_file())
    {
        let _ = std::fs::remove_file(path);
    }
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

/// How many steps there were, and how many of them were cached. FROM and fetching are none of them.
fn counts(graph: &Graph, solved: &SolvedSteps) -> (usize, usize) {
    let steps = solved.iter().filter(|(id, _)| {
        !matches!(graph.vertex(**id).op, Op::Scratch | Op::Image(_) | Op::Http(_) | Op::Git(_))
    });
    let cached = steps.clone().filter(|(_, solved)| solved.outcome == Outcome::Cached).count();
    (steps.count(), cached)
}
