//! From the Dockerfile to the graph: plan, resolve the base images that are asked for, plan again.

use super::BuildError;
use super::error::{DockerfileError, DockerfileText};
use crate::bases::{BaseError, Bases, Resolved};
use crate::graph::{BaseImages, BaseName, ContextKind, Graph, Plan, PlanOptions, context_key, plan};
use crate::progress::measure::Wait;
use crate::progress::{Event, Progress, StepId};
use crate::request::{BuildRequest, NamedContext};
use dockerfile_parser::ast::Dockerfile;
use dockerfile_parser::diagnostic::Diagnostic;
use registry_client::client::RequestError;
use registry_client::platform::Platform;
use registry_client::pull::PullError;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

/// Steps of resolving are numbered from here, far above those of the graph.
static NEXT_STEP: AtomicU32 = AtomicU32::new(1 << 24);

/// A number for a step that is no vertex.
pub(super) fn extra_step() -> StepId {
    StepId(NEXT_STEP.fetch_add(1, Ordering::Relaxed))
}

/// What the planner is told.
pub(super) fn options(request: &BuildRequest) -> PlanOptions {
    let host = Platform::host();
    let contexts = request.build_contexts.iter().map(|(name, context)| {
        let kind = match context {
            NamedContext::Directory(_) | NamedContext::Remote(_) => ContextKind::Directory,
            NamedContext::Image(reference) => ContextKind::Image(reference.clone()),
            NamedContext::OciLayout { path, reference } => {
                ContextKind::OciLayout { path: path.clone(), reference: reference.clone() }
            }
            NamedContext::Target(stage) => ContextKind::Target(stage.clone()),
        };
        (context_key(name), kind)
    });
    PlanOptions {
        target: request.target.clone(),
        build_args: request.build_args.clone(),
        labels: request.labels.clone(),
        platforms: if request.platforms.is_empty() { vec![host.clone()] } else { request.platforms.clone() },
        explicit_platform: !request.platforms.is_empty(),
        multi_platform: request.multi_platform,
        build_platform: host,
        contexts: contexts.collect(),
        network: request.network,
        allowed: request.allowed,
        ssh: request.ssh.keys().cloned().collect(),
        secrets: None,
        no_cache: request.no_cache.clone(),
        offline: false,
        locked: None,
    }
}

/// The directories among the named contexts, by the name they are compared by; `fetched` has those of remote ones.
pub(super) fn directories(
    request: &BuildRequest,
    fetched: &BTreeMap<String, PathBuf>,
) -> BTreeMap<String, PathBuf> {
    let directories = request.build_contexts.iter().filter_map(|(name, context)| match context {
        NamedContext::Directory(path) => Some((context_key(name), path.clone())),
        NamedContext::Remote(_) => Some((context_key(name), fetched.get(name)?.clone())),
        _ => None,
    });
    directories.collect()
}

/// A finished plan.
pub(super) struct Planned {
    pub(super) graph: Graph,
    pub(super) images: BaseImages,
}

/// Plans until all base images are known. `privileged` is whether images may be fetched in this process.
pub(super) async fn planned(
    file: &Arc<DockerfileText>,
    dockerfile: &Dockerfile,
    request: &BuildRequest,
    options: &PlanOptions,
    bases: &Arc<Bases>,
    progress: &Progress,
    privileged: bool,
) -> Result<Planned, BuildError> {
    let mut images = BaseImages::new();
    let refused =
        |diagnostics| BuildError::Dockerfile(DockerfileError { file: Arc::clone(file), diagnostics });
    loop {
        let requests = match plan(dockerfile, options, &images).map_err(refused)? {
            Plan::Ready(graph) => return Ok(Planned { graph: *graph, images }),
            Plan::Needs(requests) => requests,
        };
        let mut tasks = tokio::task::JoinSet::new();
        for wanted in requests {
            let (bases, progress, refresh) = (Arc::clone(bases), progress.clone(), request.pull);
            tasks.spawn(async move {
                let result = resolve(&bases, &wanted.key, refresh, privileged, &progress).await;
                (wanted, result)
            });
        }
        let mut failed = Vec::new();
        while let Some(joined) = tasks.join_next().await {
            let (wanted, result) = match joined {
                Ok(done) => done,
                Err(error) => std::panic::resume_unwind(error.into_panic()),
            };
            match result {
                Ok(resolved) => {
                    images.insert(wanted.key, resolved.base);
                }
                Err(BaseError::NeedsUserNamespace) => return Err(BuildError::NeedsUserNamespace),
                Err(error) => {
                    let mut diagnostic = Diagnostic::error("no-base", wanted.span, chain(&error));
                    diagnostic.help = wanted.help.or_else(|| login_help(&error));
                    failed.push(diagnostic);
                }
            }
        }
        if !failed.is_empty() {
            failed.sort_by_key(|diagnostic| diagnostic.span);
            return Err(refused(failed));
        }
    }
}

async fn resolve(
    bases: &Bases,
    key: &crate::graph::BaseKey,
    refresh: bool,
    privileged: bool,
    progress: &Progress,
) -> Result<Resolved, BaseError> {
    if let (BaseName::Reference(name), false) = (&key.name, refresh)
        && let Some(known) = bases.in_store(name, &key.platform).await?
    {
        bases.learn_of(&known);
        return Ok(known);
    }
    if !privileged {
        // Its layers will have to be unpacked, which this process cannot do.
        return Err(BaseError::NeedsUserNamespace);
    }
    let step = extra_step();
    let started = Instant::now();
    progress.send(Event::Announced { step, name: format!("[internal] load metadata for {}", key.name) });
    progress.send(Event::Started { step });
    let result = bases.resolve(key, refresh).await;
    let elapsed = started.elapsed();
    if matches!(key.name, BaseName::Reference(_)) {
        progress.waited(step, Wait::Network, started);
    }
    progress.send(match &result {
        Ok(_) => Event::Finished { step, elapsed },
        Err(error) => Event::Failed { step, elapsed, error: chain(error) },
    });
    result
}

/// What to do when a registry does not let us in.
fn login_help(error: &BaseError) -> Option<String> {
    let BaseError::Registry(PullError::Request(request @ RequestError::Unauthorized { .. })) = error else {
        return None;
    };
    Some(format!("if the name is right, log in with: build login {}", request.asked().registry))
}

/// An error and its causes in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let more = cause.to_string();
        if !text.contains(&more) {
            text = format!("{text}: {more}");
        }
        source = cause.source();
    }
    text
}
