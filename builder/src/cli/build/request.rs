//! From flags to a [`BuildRequest`]: what one flag alone cannot tell.

use super::args::BuildArgs;
use crate::cli::environment::Lookup;
use crate::cli::failure::UsageError;
use crate::cli::spec::{SpecError, flag, output};
use crate::environment::Environment;
use crate::remote::{self, Remote};
use crate::request::{
    Annotation, AnnotationPlace, BuildRequest, ContextSource, DockerfileSource, EpochOf, NoCache, Output,
    OutputKind, SecretSource,
};
use crate::timestamp::seconds;
use registry_client::platform::Platform;
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::time::SystemTime;

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
    if args.called().is_some() {
        nothing_is_made(&args)?;
    }
    let context = context_of(args.context.as_deref())?;
    let dockerfile = dockerfile_of(args.file)?;
    if context == ContextSource::Stdin && dockerfile == DockerfileSource::Stdin {
        return Err(UsageError::TwoUsesOfStdin);
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
    let platforms = platforms(args.platform);
    let multi_platform = multi_platform(&platforms, build_args.get(MULTI_PLATFORM).map(String::as_str))?;
    let epoch_of = epoch_of(build_args.get(EPOCH).map(String::as_str), &context)?;
    if epoch_of.is_some() {
        // What a word stands for is known later; the Dockerfile never sees the word.
        build_args.insert(EPOCH.to_owned(), String::new());
    }
    let epoch = epoch(build_args.get(EPOCH).map(String::as_str))?;
    let mut outputs = outputs(args.output, args.push, args.load, stdout_is_terminal)?;
    if args.explain == Some(flag::TextFormat::Json) {
        if args.quiet {
            return Err(UsageError::ExplainBeside("-q"));
        }
        if outputs.iter().any(to_stdout) {
            return Err(UsageError::ExplainBeside("an output with dest=-"));
        }
    }
    annotate(&mut outputs, args.annotation.into_iter().flatten().collect())?;
    let has_image = outputs.is_empty() || outputs.iter().any(Output::has_layers);
    if args.tag.is_empty() && outputs.iter().any(|output| output.push && output.names.is_empty()) {
        return Err(UsageError::PushUnnamed);
    }
    if let (Some(name), false) = (args.tag.first(), has_image) {
        return Err(UsageError::NothingToName(name.clone()));
    }
    if args.iidfile.is_some() && !has_image {
        return Err(UsageError::NoImageId);
    }
    if args.offline && outputs.iter().any(|output| output.push) {
        return Err(UsageError::OfflinePush);
    }
    for output in &outputs {
        check(output, &platforms, multi_platform, epoch.is_some() || epoch_of == Some(EpochOf::Commit))?;
    }
    let mut secrets = BTreeMap::new();
    for secret in &args.secret {
        let source = secret.resolve(variable).and_then(readable).map_err(|why| UsageError::Value {
            flag: "--secret",
            value: format!("id={}", secret.id),
            why,
        })?;
        secrets.insert(secret.id.clone(), source);
    }
    let mut ssh = BTreeMap::new();
    for agent in &args.ssh {
        let value = agent.id.clone();
        let source =
            agent.resolve(variable).map_err(|why| UsageError::Value { flag: "--ssh", value, why })?;
        ssh.insert(agent.id.clone(), source);
    }
    Ok(BuildRequest {
        ssh,
        allowed: flag::entitlements(&args.allow),
        source_date_epoch: epoch,
        epoch_of,
        outputs,
        context,
        dockerfile,
        target: args.target,
        tags: args.tag,
        build_args,
        build_contexts: args.build_context.into_iter().collect(),
        labels: with_values(args.label, |_| Some(String::new())),
        platforms,
        multi_platform,
        network: args.network.into(),
        no_cache: match args.no_cache_filter {
            _ if args.no_cache => NoCache::All,
            stages if stages.is_empty() => NoCache::Nothing,
            stages => NoCache::Stages(stages),
        },
        early_cutoff: !args.no_early_cutoff,
        pull: args.pull,
        locked: args.locked,
        explain: args.explain.is_some(),
        extra_hosts: args.add_host,
        ulimits: args.ulimit,
        shm_size: args.shm_size,
        resources: args.resources.limits()?,
        cgroup_parent: args.resources.cgroup_parent,
        iid_file: args.iidfile,
        metadata_file: args.metadata_file,
        secrets,
        parallelism: args.parallelism.map(usize::from),
    })
}

/// Refuses what only a build can do. Names are checked, so they may stay.
fn nothing_is_made(args: &BuildArgs) -> Result<(), UsageError> {
    let about_the_result = [
        ("--push", args.push),
        ("--load", args.load),
        ("--output", !args.output.is_empty()),
        ("--iidfile", args.iidfile.is_some()),
        ("--metadata-file", args.metadata_file.is_some()),
        ("--explain", args.explain.is_some()),
    ];
    match about_the_result.into_iter().find(|(_, given)| *given) {
        Some((flag, _)) => Err(UsageError::NothingBuilt(flag)),
        None => Ok(()),
    }
}

/// A secret that is a file must be there before anything is built. It is not opened: a pipe can be read once only.
fn readable(source: SecretSource) -> Result<SecretSource, SpecError> {
    if let SecretSource::File(path) = &source {
        let unreadable =
            |why: &dyn std::fmt::Display| Err(SpecError::Unreadable(format!("{}: {why}", path.display())));
        match std::fs::metadata(path) {
            Err(error) => return unreadable(&error),
            Ok(found) if found.is_dir() => return unreadable(&"it is a directory"),
            Ok(_) => {}
        }
        if let Err(error) = rustix::fs::access(path, rustix::fs::Access::READ_OK) {
            return unreadable(&std::io::Error::from(error));
        }
    }
    Ok(source)
}

const EPOCH: &str = "SOURCE_DATE_EPOCH";

fn context_of(context: Option<&OsStr>) -> Result<ContextSource, UsageError> {
    let context = context.ok_or(UsageError::NoContext)?;
    if context == "-" {
        return Ok(ContextSource::Stdin);
    }
    let path = Path::new(context);
    // A directory that happens to be called `github.com/x` is a directory.
    let text = context.to_str().filter(|_| !path.is_dir());
    match text.map(remote::of_context).transpose().map_err(UsageError::RemoteContext)?.flatten() {
        Some(remote) => Ok(ContextSource::Remote(remote)),
        None => Ok(ContextSource::Directory(path.into())),
    }
}

fn dockerfile_of(file: Option<PathBuf>) -> Result<DockerfileSource, UsageError> {
    let Some(file) = file else { return Ok(DockerfileSource::Default) };
    if file == Path::new("-") {
        return Ok(DockerfileSource::Stdin);
    }
    match file.to_str().map(remote::of_add).transpose().map_err(UsageError::RemoteContext)?.flatten() {
        Some(Remote::Http(url)) => Ok(DockerfileSource::Remote(url)),
        Some(Remote::Git(_)) => Err(UsageError::RemoteDockerfile(file)),
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

/// Each platform once, in the order given: `linux/arm64` and `linux/arm64/v8` are the same.
fn platforms(given: Vec<Platform>) -> Vec<Platform> {
    let mut platforms = Vec::with_capacity(given.len());
    for platform in given {
        if !platforms.contains(&platform) {
            platforms.push(platform);
        }
    }
    platforms
}

const MULTI_PLATFORM: &str = "BUILDKIT_MULTI_PLATFORM";

/// Whether the result is an index. The build argument asks for one around a single platform.
fn multi_platform(platforms: &[Platform], asked: Option<&str>) -> Result<bool, UsageError> {
    let several = platforms.len() > 1;
    let Some(text) = asked.filter(|text| !text.is_empty()) else { return Ok(several) };
    let wrong = |why| UsageError::Value { flag: MULTI_PLATFORM, value: text.to_owned(), why };
    match flag::boolean(text) {
        Ok(false) if several => Err(wrong(SpecError::Shape("several platforms are one index"))),
        Ok(asked) => Ok(asked),
        Err(why) => Err(wrong(why)),
    }
}

/// Gives `--annotation` to every output that has a place for it.
fn annotate(outputs: &mut Vec<Output>, annotations: Vec<Annotation>) -> Result<(), UsageError> {
    if annotations.is_empty() {
        return Ok(());
    }
    if outputs.is_empty() {
        outputs.push(Output::new(OutputKind::Image));
    }
    if !outputs.iter().any(Output::has_layers) {
        return Err(UsageError::NothingToAnnotate);
    }
    // Docker's format has no place for them; alone it is refused, beside another it goes without.
    let takes_them = outputs.iter().any(|output| output.has_layers() && output.is_oci());
    for output in outputs.iter_mut().filter(|o| o.has_layers() && (o.is_oci() || !takes_them)) {
        output.annotations.extend(annotations.iter().cloned());
    }
    Ok(())
}

/// What an output alone cannot tell.
fn check(output: &Output, platforms: &[Platform], several: bool, epoch: bool) -> Result<(), UsageError> {
    if several && output.kind == OutputKind::Docker {
        return Err(UsageError::DockerOfSeveral);
    }
    if epoch && output.rewrite_timestamp == Some(false) {
        return Err(UsageError::KeepsTimestamps);
    }
    let host = [Platform::host()];
    let platforms = if platforms.is_empty() { &host } else { platforms };
    for annotation in &output.annotations {
        let refuse = |why: String| UsageError::Annotation { key: annotation.key.clone(), why };
        let of_index = matches!(annotation.place, AnnotationPlace::Index | AnnotationPlace::IndexDescriptor);
        if of_index && !several {
            return Err(refuse("an image of one platform has no index".to_owned()));
        }
        if let Some(platform) = annotation.platform.as_ref().filter(|p| !platforms.contains(p)) {
            return Err(refuse(format!("the image is not built for {platform}")));
        }
        if !output.is_oci() {
            return Err(refuse(
                "Docker's media types have no annotations: use oci-mediatypes=true".to_owned(),
            ));
        }
    }
    Ok(())
}

/// The word in place of a number, when it is one.
fn epoch_of(value: Option<&str>, context: &ContextSource) -> Result<Option<EpochOf>, UsageError> {
    match value {
        Some("context") => Ok(Some(EpochOf::Context)),
        Some("git") => match context {
            ContextSource::Directory(_) | ContextSource::Remote(Remote::Git(_)) => Ok(Some(EpochOf::Commit)),
            ContextSource::Stdin | ContextSource::Remote(Remote::Http(_)) => Err(UsageError::Value {
                flag: EPOCH,
                value: "git".to_owned(),
                why: SpecError::Shape("the context is no git repository, and no directory of one"),
            }),
        },
        _ => Ok(None),
    }
}

/// Seconds since 1970. An empty value is as good as none, as in BuildKit.
fn epoch(value: Option<&str>) -> Result<Option<SystemTime>, UsageError> {
    let Some(text) = value.filter(|text| !text.is_empty()) else { return Ok(None) };
    seconds(text).map(Some).ok_or_else(|| UsageError::Value {
        flag: EPOCH,
        value: text.to_owned(),
        why: SpecError::Shape("it is a number of seconds since 1970, or git, or context"),
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
