//! From flags to a [`BuildRequest`]: what one flag alone cannot tell.

use super::args::BuildArgs;
use crate::cli::environment::Lookup;
use crate::cli::failure::UsageError;
use crate::cli::spec::{SpecError, context, output};
use crate::environment::Environment;
use crate::request::{BuildRequest, ContextSource, DockerfileSource, NoCache, Output, OutputKind};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

/// Checks the flags against each other and against the surroundings. `stdout_is_terminal` keeps archives off it.
///
/// # Errors
/// [`UsageError`]: whatever makes the command line wrong.
pub fn request(
    args: BuildArgs,
    environment: &Environment,
    variable: Lookup<'_>,
    stdout_is_terminal: bool,
) -> Result<BuildRequest, UsageError> {
    let context = context_of(args.context.as_deref())?;
    let dockerfile = dockerfile_of(args.file)?;
    if context == ContextSource::Stdin && dockerfile == DockerfileSource::Stdin {
        return Err(UsageError::TwoUsesOfStdin);
    }
    if args.platform.len() > 1 {
        return Err(UsageError::ManyPlatforms);
    }
    if args.no_cache && !args.no_cache_filter.is_empty() {
        return Err(UsageError::NoCacheTwice);
    }
    let mut build_args =
        with_values(args.build_arg, |name| variable(name).map(|value| value.to_string_lossy().into_owned()));
    // BuildKit's rule: the flag decides, and the variable stands in for it.
    if let Some(epoch) = &environment.source_date_epoch {
        build_args.entry(EPOCH.to_owned()).or_insert_with(|| epoch.clone());
    }
    let mut secrets = BTreeMap::new();
    for secret in &args.secret {
        let source = secret.resolve(variable).map_err(|why| UsageError::Value {
            flag: "--secret",
            value: format!("id={}", secret.id),
            why,
        })?;
        secrets.insert(secret.id.clone(), source);
    }
    Ok(BuildRequest {
        source_date_epoch: epoch(build_args.get(EPOCH).map(String::as_str))?,
        outputs: outputs(args.output, args.push, args.load, stdout_is_terminal)?,
        context,
        dockerfile,
        target: args.target,
        tags: args.tag,
        build_args,
        build_contexts: args.build_context.into_iter().collect(),
        labels: with_values(args.label, |_| Some(String::new())),
        platforms: args.platform,
        network: args.network.into(),
        no_cache: match args.no_cache_filter {
            _ if args.no_cache => NoCache::All,
            stages if stages.is_empty() => NoCache::Nothing,
            stages => NoCache::Stages(stages),
        },
        pull: args.pull,
        extra_hosts: args.add_host,
        ulimits: args.ulimit,
        shm_size: args.shm_size,
        iid_file: args.iidfile,
        metadata_file: args.metadata_file,
        secrets,
        parallelism: args.parallelism.map(usize::from),
    })
}

const EPOCH: &str = "SOURCE_DATE_EPOCH";

fn context_of(context: Option<&OsStr>) -> Result<ContextSource, UsageError> {
    let context = context.ok_or(UsageError::NoContext)?;
    if context == "-" {
        return Ok(ContextSource::Stdin);
    }
    let path = Path::new(context);
    // A directory that happens to be called `github.com/x` is a directory.
    match context.to_str().and_then(context::remote) {
        Some(what) if !path.is_dir() => Err(UsageError::RemoteContext { what, given: path.into() }),
        _ => Ok(ContextSource::Directory(path.into())),
    }
}

fn dockerfile_of(file: Option<PathBuf>) -> Result<DockerfileSource, UsageError> {
    let Some(file) = file else { return Ok(DockerfileSource::Default) };
    if file == Path::new("-") {
        return Ok(DockerfileSource::Stdin);
    }
    match file.to_str().and_then(context::remote) {
        Some(_) => Err(UsageError::RemoteDockerfile(file)),
        None => Ok(DockerfileSource::Path(file)),
    }
}

/// The last assignment of a name counts; a name alone is looked up, and absent when that finds nothing.
fn with_values(
    assignments: Vec<(String, Option<String>)>,
    look_up: impl Fn(&str) -> Option<String>,
) -> BTreeMap<String, String> {
    let mut values = BTreeMap::new();
    for (name, value) in assignments {
        match value.or_else(|| look_up(&name)) {
            Some(value) => values.insert(name, value),
            None => values.remove(&name),
        };
    }
    values
}

/// Seconds since 1970. An empty value is as good as none, as in BuildKit.
fn epoch(value: Option<&str>) -> Result<Option<SystemTime>, UsageError> {
    let Some(text) = value.filter(|text| !text.is_empty()) else { return Ok(None) };
    // Tar headers hold 33 bits at least; what is past them is a mistake in the unit.
    let seconds = text.parse::<u64>().ok().filter(|seconds| *seconds < 1 << 33);
    let time = seconds.and_then(|seconds| SystemTime::UNIX_EPOCH.checked_add(Duration::from_secs(seconds)));
    time.map(Some).ok_or_else(|| UsageError::Value {
        flag: EPOCH,
        value: text.to_owned(),
        why: SpecError::Shape("it is a number of seconds since 1970"),
    })
}

/// `--push` and `--load` change an output that is there, or add one.
fn outputs(
    mut outputs: Vec<Output>,
    push: bool,
    load: bool,
    stdout_is_terminal: bool,
) -> Result<Vec<Output>, UsageError> {
    if push {
        match outputs.iter_mut().find(|output| output.kind == OutputKind::Image) {
            Some(image) => image.push = true,
            None => outputs.push(output::shorthand(true)),
        }
    }
    if load && !outputs.iter().any(|output| output.load) {
        outputs.push(output::shorthand(false));
    }
    match outputs.iter().filter(|output| to_stdout(output)).count() {
        0 => Ok(outputs),
        1 if stdout_is_terminal => Err(UsageError::ArchiveOnTerminal),
        1 => Ok(outputs),
        _ => Err(UsageError::TwoUsesOfStdout),
    }
}

/// Whether an output is written to standard output.
pub fn to_stdout(output: &Output) -> bool {
    let archive = matches!(output.kind, OutputKind::Oci | OutputKind::Docker | OutputKind::Tar);
    archive && output.dest.is_none() && !output.load
}

#[cfg(test)]
mod tests;
