//! `--call`: what can be said about a Dockerfile without building it.

use super::elsewhere;
use super::error::DockerfileText;
use super::{BuildError, findings, input, planning};
use crate::agent::Agents;
use crate::bases::Bases;
use crate::context::ignore_rules;
use crate::environment::Environment;
use crate::graph::{
    BaseImages, BaseKey, BaseRequest, Plan, PlanOptions, ResolvedBase, plan, reachable_stages,
};
use crate::progress::Progress;
use crate::registry::Telling;
use crate::request::BuildRequest;
use crate::store::Store;
use crate::userns::Privilege;
use dockerfile_parser::ast::{Dockerfile, Instruction, InstructionKind, MountKind, Stage};
use dockerfile_parser::diagnostic::Diagnostic;
use dockerfile_parser::span::Span;
use registry_client::config::ImageConfig;
use registry_client::digest::Digest;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// A Dockerfile and what was found in it, errors and warnings, in the order of the file.
#[derive(Debug)]
pub struct Checked {
    /// The file.
    pub file: Arc<DockerfileText>,
    /// What was found.
    pub findings: Vec<Diagnostic>,
    /// The images that could not be asked what they define, and why not.
    pub unasked: Vec<Unasked>,
}

/// An image that could not be asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unasked {
    /// Which, for which platform.
    pub image: BaseKey,
    /// Why not.
    pub why: String,
}

/// What a target takes from outside.
#[derive(Debug)]
pub struct Outline {
    /// The file.
    pub file: Arc<DockerfileText>,
    /// Name of the target, unless it is the last stage and nobody named it.
    pub name: Option<String>,
    /// Its description.
    pub description: Option<String>,
    /// Build arguments: name, description, value without `--build-arg`, place.
    pub args: Vec<Named>,
    /// Secrets that a RUN mounts.
    pub secrets: Vec<Named>,
    /// SSH agents that a RUN mounts.
    pub ssh: Vec<Named>,
    /// Cache mounts.
    pub caches: Vec<Named>,
}

/// One thing of an [`Outline`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Named {
    /// Its name or id.
    pub name: String,
    /// What the comment above says.
    pub description: Option<String>,
    /// Of an argument.
    pub value: Option<String>,
    /// Of a secret or an agent.
    pub required: bool,
    /// Where it stands.
    pub span: Span,
}

/// The stages that can be built.
#[derive(Debug)]
pub struct Targets {
    /// The file.
    pub file: Arc<DockerfileText>,
    /// They, in the order of the file.
    pub targets: Vec<Target>,
}

/// One stage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Its name, if it has one.
    pub name: Option<String>,
    /// Whether it is built when nothing else is said.
    pub default: bool,
    /// What the comment above says.
    pub description: Option<String>,
    /// What it starts from, as written.
    pub base: String,
    /// `--platform`, as written.
    pub platform: Option<String>,
    /// Where it stands.
    pub span: Span,
}

/// Runs all checks that need no build, on the target, or on every stage when there is none.
///
/// # Errors
/// When the Dockerfile or the context cannot be had. What is wrong in the file is a finding.
pub async fn check(
    request: &BuildRequest,
    environment: &Environment,
    store: &Store,
    progress: &Progress,
) -> Result<Checked, BuildError> {
    let client = Telling::new(crate::registry::client(environment), progress);
    let (input, _) = read(request, environment, store, &client, progress, true).await?;
    let file = Arc::clone(&input.dockerfile);
    let checks = request.build_args.get(findings::CHECK_ARG).map(String::as_str);
    let parsed = match dockerfile_parser::parse_with_checks(&file.source, checks) {
        Ok(parsed) => parsed,
        Err(findings) => return Ok(Checked { file, findings, unasked: Vec::new() }),
    };
    let bases = Bases::new(store.clone(), client.clone(), progress.clone());
    let targets = match &request.target {
        Some(target) => vec![target.clone()],
        None => (0..parsed.dockerfile.stages.len()).map(|number| number.to_string()).collect(),
    };
    let last_stage = parsed.dockerfile.stages.last().map(|stage| stage.span).unwrap_or_default();
    let (mut found, mut known) = (parsed.warnings.clone(), Known::default());
    let place = request.context.from_elsewhere();
    // A build says what is wrong with an ignore file.
    let rules = input
        .context
        .as_deref()
        .and_then(|context| ignore_rules(context, input.path.as_deref(), place.as_deref()).ok().flatten());
    for target in targets {
        let secrets = Some(request.secrets.keys().cloned().collect());
        let options = PlanOptions { target: Some(target), secrets, ..planning::options(request) };
        match known.graph(&parsed.dockerfile, &options, &bases).await {
            Ok(graph) => {
                let more = findings::of_graph(&graph, rules.as_ref(), request, last_stage);
                found.extend(findings::settled(&parsed, more));
            }
            Err(errors) => found.extend(errors),
        }
    }
    found.sort_by_key(|finding| finding.span);
    found.dedup();
    Ok(Checked { file, findings: found, unasked: known.unasked })
}

/// Says what a target takes from outside.
///
/// # Errors
/// As [`check`], and for what is wrong in the file.
pub async fn outline(
    request: &BuildRequest,
    environment: &Environment,
    store: &Store,
    progress: &Progress,
) -> Result<Outline, BuildError> {
    let (file, dockerfile, known) = reached(request, environment, store, progress).await?;
    let target = known.last().map(|number| &dockerfile.stages[*number]);
    let mut outline = Outline {
        file,
        name: target.and_then(|stage| stage.from.name.as_ref()).map(|name| name.text.clone()),
        description: target.and_then(description),
        args: Vec::new(),
        secrets: Vec::new(),
        ssh: Vec::new(),
        caches: Vec::new(),
    };
    for instruction in &dockerfile.global_args {
        outline.add(instruction, request);
    }
    for number in known {
        for instruction in &dockerfile.stages[number].instructions {
            outline.add(instruction, request);
        }
    }
    Ok(outline)
}

impl Outline {
    fn add(&mut self, instruction: &Instruction, request: &BuildRequest) {
        match &instruction.kind {
            InstructionKind::Arg(declarations) => {
                for declaration in declarations {
                    let name = declaration.name.text.clone();
                    let default = declaration.default.as_ref().map(|word| word.text.clone());
                    let value = request.build_args.get(&name).cloned().or(default);
                    if self.args.iter().any(|known| known.name == name && value.is_none()) {
                        continue;
                    }
                    self.args.retain(|known| known.name != name);
                    let description = declaration.comment.clone();
                    let span = declaration.name.span;
                    self.args.push(Named { name, description, value, required: false, span });
                }
            }
            InstructionKind::Run(run) => {
                for flag in &run.mounts {
                    let text = &flag.spec.text;
                    let same = &mut |text: &str| Ok(text.to_owned());
                    let Ok(mount) = dockerfile_parser::mount::parse(text, same) else { continue };
                    let target = mount.target.as_deref().unwrap_or_default();
                    let last = || target.rsplit('/').next().unwrap_or_default().to_owned();
                    let (list, name) = match mount.kind {
                        MountKind::Secret => (&mut self.secrets, mount.id.clone().unwrap_or_else(last)),
                        MountKind::Ssh => {
                            (&mut self.ssh, mount.id.clone().unwrap_or_else(|| "default".to_owned()))
                        }
                        MountKind::Cache => {
                            (&mut self.caches, mount.id.clone().unwrap_or_else(|| target.to_owned()))
                        }
                        MountKind::Bind | MountKind::Tmpfs => continue,
                    };
                    match list.iter_mut().find(|known| known.name == name) {
                        Some(known) => known.required |= mount.required,
                        None => list.push(Named {
                            name,
                            description: None,
                            value: None,
                            required: mount.required,
                            span: flag.spec.span,
                        }),
                    }
                }
            }
            _ => {}
        }
    }
}

/// Lists the stages.
///
/// # Errors
/// As [`outline`].
pub async fn targets(
    request: &BuildRequest,
    environment: &Environment,
    store: &Store,
    progress: &Progress,
) -> Result<Targets, BuildError> {
    let client = Telling::new(crate::registry::client(environment), progress);
    let (input, _) = read(request, environment, store, &client, progress, true).await?;
    let file = Arc::clone(&input.dockerfile);
    let dockerfile = parsed(&file)?;
    let last = dockerfile.stages.len().saturating_sub(1);
    let targets = dockerfile.stages.iter().enumerate().map(|(number, stage)| Target {
        name: stage.from.name.as_ref().map(|name| name.text.to_lowercase()),
        default: number == last,
        description: description(stage),
        base: stage.from.image.text.clone(),
        platform: stage.from.platform.as_ref().map(|word| word.text.clone()),
        span: stage.span,
    });
    Ok(Targets { targets: targets.collect(), file })
}

/// The last comment above a stage, when it begins with its name (Dockerfile reference, "InvalidDefinitionDescription").
fn description(stage: &Stage) -> Option<String> {
    let name = &stage.from.name.as_ref()?.text;
    let (first, rest) = stage.comments.last()?.split_once(' ')?;
    first.eq_ignore_ascii_case(name).then(|| rest.trim().to_owned())
}

pub(super) fn parsed(file: &Arc<DockerfileText>) -> Result<Dockerfile, BuildError> {
    let parsed = dockerfile_parser::parse_with_checks(&file.source, Some("skip=all"));
    parsed
        .map(|parsed| parsed.dockerfile)
        .map_err(|diagnostics| super::error::DockerfileError { file: Arc::clone(file), diagnostics }.into())
}

/// The Dockerfile and the contexts; the named ones that are elsewhere by name.
pub(super) async fn read(
    request: &BuildRequest,
    environment: &Environment,
    store: &Store,
    client: &registry_client::client::Client,
    progress: &Progress,
    required: bool,
) -> Result<(input::Input, BTreeMap<String, PathBuf>), BuildError> {
    if Privilege::detect() == Privilege::Unprivileged && super::takes_once(request) {
        return Err(BuildError::NeedsUserNamespace);
    }
    let agents = Arc::new(Agents::new(request.ssh.clone(), environment.path.clone()));
    let elsewhere = elsewhere::contexts(request, environment, store, client, &agents, progress).await?;
    let stop = &environment.cancellation;
    let input = input::read(request, elsewhere.context, elsewhere.dockerfile, required, store, stop).await?;
    Ok((input, elsewhere.named))
}

/// The file and the stages that the target needs, the target last.
async fn reached(
    request: &BuildRequest,
    environment: &Environment,
    store: &Store,
    progress: &Progress,
) -> Result<(Arc<DockerfileText>, Dockerfile, Vec<usize>), BuildError> {
    let client = Telling::new(crate::registry::client(environment), progress);
    let (input, _) = read(request, environment, store, &client, progress, true).await?;
    let file = Arc::clone(&input.dockerfile);
    let dockerfile = parsed(&file)?;
    let bases = Bases::new(store.clone(), client.clone(), progress.clone());
    let refused = |diagnostics| super::error::DockerfileError { file: Arc::clone(&file), diagnostics };
    let (options, mut known) = (planning::options(request), Known::default());
    known.graph(&dockerfile, &options, &bases).await.map_err(refused)?;
    let stages = reachable_stages(&dockerfile, &options, &known.images).map_err(refused)?;
    Ok((file, dockerfile, stages))
}

/// The base images that were asked about.
#[derive(Default)]
struct Known {
    images: BaseImages,
    /// Those that could not be had: an empty one stands in their place.
    unasked: Vec<Unasked>,
}

impl Known {
    async fn graph(
        &mut self,
        dockerfile: &Dockerfile,
        options: &PlanOptions,
        bases: &Bases,
    ) -> Result<crate::graph::Graph, Vec<Diagnostic>> {
        loop {
            let wanted = match plan(dockerfile, options, &self.images)? {
                Plan::Ready(graph) => return Ok(*graph),
                Plan::Needs(wanted) => wanted,
            };
            let asked = wanted.into_iter().map(|request| async move {
                let BaseRequest { key, .. } = request;
                let resolved = bases.resolve(&key, false).await.map(|resolved| resolved.base);
                (key, resolved.map_err(|error| planning::chain(&error)))
            });
            let answers: BTreeMap<_, _> = futures_util::future::join_all(asked).await.into_iter().collect();
            for (key, answer) in answers {
                let base = answer.unwrap_or_else(|why| {
                    self.unasked.push(Unasked { image: key.clone(), why });
                    let config = ImageConfig::empty(&key.platform);
                    ResolvedBase { digest: Digest::of(b""), config, guessed: true }
                });
                self.images.insert(key, base);
            }
        }
    }
}
