//! Checks that need more than the Dockerfile's text, and the settings that hold for all of them.

use super::error::{DockerfileError, DockerfileText};
use crate::copy::IgnoreRules;
use crate::graph::{CopySource, Graph, ImagePlan, Op, Origin};
use crate::progress::Progress;
use crate::request::BuildRequest;
use crate::steps::read_secret;
use dockerfile_parser::Parsed;
use dockerfile_parser::ast::{Dockerfile, InstructionKind};
use dockerfile_parser::diagnostic::{Diagnostic, Severity, render};
use dockerfile_parser::span::Span;
use dockerfile_parser::suggest;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// The build argument that replaces `# check=`, as in BuildKit.
pub(super) const CHECK_ARG: &str = "BUILDKIT_DOCKERFILE_CHECK";
/// Shorter secrets are found in places that have nothing to do with them.
const SHORTEST_SECRET: usize = 6;
/// Build arguments that are settings of the builder.
const SETTINGS: [&str; 8] = [
    "BUILDKIT_CACHE_MOUNT_NS",
    "BUILDKIT_CONTEXT_KEEP_GIT_DIR",
    CHECK_ARG,
    "BUILDKIT_MULTI_PLATFORM",
    "BUILDKIT_SANDBOX_HOSTNAME",
    "BUILDKIT_SBOM_SCAN_CONTEXT",
    "BUILDKIT_SBOM_SCAN_STAGE",
    "BUILDKIT_SYNTAX",
];

/// Build arguments that count without any ARG.
const NEVER_DECLARED: [&str; 4] = ["SOURCE_DATE_EPOCH", "http_proxy", "https_proxy", "no_proxy"];

/// The findings that are on where they are, with the severity that the settings give them.
pub(super) fn settled(parsed: &Parsed, findings: Vec<Diagnostic>) -> Vec<Diagnostic> {
    let on = |finding: &Diagnostic| {
        let comments = parsed.dockerfile.comments_at(finding.span.start);
        parsed.checks.is_on(finding.code, comments)
    };
    let severity = if parsed.checks.error { Severity::Error } else { Severity::Warning };
    findings.into_iter().filter(on).map(|finding| Diagnostic { severity, ..finding }).collect()
}

/// Tells findings that are settled; an error when they are errors.
pub(super) fn tell(
    file: &Arc<DockerfileText>,
    findings: Vec<Diagnostic>,
    progress: &Progress,
) -> Result<(), DockerfileError> {
    if findings.iter().any(|finding| finding.severity == Severity::Error) {
        return Err(DockerfileError { file: Arc::clone(file), diagnostics: findings });
    }
    for finding in &findings {
        progress.warn(render(&file.name, &file.source, finding));
    }
    Ok(())
}

/// What can be found once the graph is there: its own findings, sources that are ignored, secrets in what every image says
/// of itself. In the order of the file.
pub(super) fn of_graph(
    graph: &Graph,
    rules: Option<&IgnoreRules>,
    request: &BuildRequest,
    last_stage: Span,
) -> Vec<Diagnostic> {
    let mut findings = graph.warnings.clone();
    if let Some(rules) = rules {
        findings.extend(ignored(graph, rules));
    }
    let secrets: Vec<(String, String)> = request
        .secrets
        .iter()
        .filter_map(|(id, source)| {
            let value = String::from_utf8(read_secret(source).ok()?).ok()?.trim().to_owned();
            (value.len() >= SHORTEST_SECRET).then(|| (id.clone(), value))
        })
        .collect();
    for image in graph.images.iter().filter(|_| !secrets.is_empty()) {
        findings.extend(told_secrets(graph, image, &secrets, &request.labels, last_stage));
    }
    findings.sort_by_key(|finding| finding.span);
    findings.dedup();
    findings
}

/// CopyIgnoredFile.
fn ignored(graph: &Graph, rules: &IgnoreRules) -> Vec<Diagnostic> {
    let mut findings = Vec::new();
    for vertex in &graph.vertices {
        let Op::Copy(copy) = &vertex.op else { continue };
        if copy.origin != Origin::Context {
            continue;
        }
        for source in &copy.sources {
            let CopySource::Path(path, span) = source else { continue };
            let clean =
                path.split('/').filter(|part| !matches!(*part, "" | ".")).collect::<Vec<_>>().join("/");
            let Some(by) = rules.rule(clean.as_bytes()).filter(|_| rules.hides_all_of(clean.as_bytes()))
            else {
                continue;
            };
            let keyword = if copy.add { "ADD" } else { "COPY" };
            let message =
                format!("{keyword} of {path:?}, which {}:{} ignores ({})", by.file, by.line, by.rule);
            findings.push(
                Diagnostic::warning("CopyIgnoredFile", *span, message)
                    .help(format!("make an exception, !{clean}, or leave it out here")),
            );
        }
    }
    findings
}

/// SecretInImage, as far as an image's config can have it: in what instructions set, in the rest of its history, in the
/// `labels` of the command line and in what it has of its base image, for which `last_stage` is the place.
fn told_secrets(
    graph: &Graph,
    image: &ImagePlan,
    secrets: &[(String, String)],
    labels: &BTreeMap<String, String>,
    last_stage: Span,
) -> Vec<Diagnostic> {
    let found =
        |text: &str| secrets.iter().find(|(_, value)| text.contains(value)).map(|(id, _)| id.as_str());
    let mut findings = Vec::new();
    let mut add = |place: String, span: Span, text: &str| {
        let Some(id) = found(text) else { return false };
        let message = format!("{place} has the value of the secret {id:?}, for everybody to read");
        findings
            .push(Diagnostic::warning("SecretInImage", span, message).help("use RUN --mount=type=secret"));
        true
    };
    let mut set = BTreeSet::new();
    for entry in &image.history {
        let text = entry.history.created_by.as_deref().unwrap_or_default();
        let keyword = text.split(' ').next().unwrap_or_default();
        let mut is_told = false;
        for value in &entry.values {
            set.insert((keyword, value.name.as_str()));
            is_told |= add(format!("{keyword} {}", value.name), value.span, &value.value);
        }
        // That of a RUN has all arguments in front, which were told of where they are declared.
        let text = match entry.vertex.map(|vertex| &graph.vertex(vertex).op) {
            Some(Op::Run(run)) => &run.args.join(" "),
            _ => text,
        };
        if !is_told {
            add(format!("the history of {keyword}"), entry.span, text);
        }
    }
    let config = &image.config.config;
    for (name, value) in config.env.iter().flatten().filter_map(|entry| entry.split_once('=')) {
        if !set.contains(&("ENV", name)) {
            add(format!("ENV {name} of the base image"), last_stage, value);
        }
    }
    for (name, value) in config.labels.iter().flatten() {
        if labels.contains_key(name) {
            add(format!("--label {name}"), last_stage, value);
        } else if !set.contains(&("LABEL", name)) {
            add(format!("LABEL {name} of the base image"), last_stage, value);
        }
    }
    findings
}

/// Whether this is one of the arguments that are there by themselves, and that `--build-arg` overrides.
fn is_automatic(name: &str) -> bool {
    let parts = ["PLATFORM", "OS", "ARCH", "VARIANT", "OSVERSION", "STAGE"];
    ["TARGET", "BUILD"].iter().any(|side| name.strip_prefix(side).is_some_and(|part| parts.contains(&part)))
}

/// Build arguments that no ARG declares, which do nothing; with the name that may have been meant.
pub(super) fn unused_build_args(file: &Dockerfile, request: &BuildRequest) -> Vec<String> {
    let stages = file.stages.iter().flat_map(|stage| &stage.instructions);
    let declared: BTreeSet<&str> = file
        .global_args
        .iter()
        .chain(stages)
        .filter_map(|instruction| match &instruction.kind {
            InstructionKind::Arg(declarations) => Some(declarations),
            _ => None,
        })
        .flatten()
        .map(|declaration| declaration.name.text.as_str())
        .collect();
    let known = |name: &str| {
        declared.contains(name)
            || NEVER_DECLARED.iter().any(|known| known.eq_ignore_ascii_case(name))
            || ["ftp_proxy", "all_proxy"].iter().any(|known| known.eq_ignore_ascii_case(name))
            || SETTINGS.contains(&name)
            || is_automatic(name)
    };
    let unused = request.build_args.keys().filter(|name| !known(name));
    unused
        .map(|name| {
            let near = suggest::nearest(name, declared.iter().copied());
            let hint = near.map(|near| format!("; did you mean {near}?")).unwrap_or_default();
            format!("--build-arg {name} has no effect: no ARG declares it{hint}")
        })
        .collect()
}
