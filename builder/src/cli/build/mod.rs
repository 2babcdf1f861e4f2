//! `build [OPTIONS] CONTEXT`.

pub mod args;
pub mod call;
pub mod refused;
pub mod request;
pub mod show_context;
pub mod summary;
pub mod timing;

use super::Around;
use super::display::{self, Display};
use super::failure::Failure;
use super::interrupt;
use super::spec::flag::TextFormat;
use super::style::Style;
use crate::build::{BuildError, build};
use crate::cancel::Canceller;
use crate::environment::Environment;
use crate::progress::{Progress, held::Held, log_file::LogFile, tally::Tally, tee::Tee};
use crate::request::BuildRequest;
use crate::store::Store;
use crate::userns::{Entered, Mapping, Privilege};
use args::{BuildArgs, ProgressMode};
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::SystemTime;
use timing::{Timed, Timing};

/// Builds.
///
/// # Errors
/// [`Failure`].
pub fn run(args: BuildArgs, around: &Around<'_>, canceller: Canceller) -> Result<ExitCode, Failure> {
    let style = around.style;
    let mut args = args;
    let environment = std::mem::take(&mut args.registries).applied(around.environment)?;
    let environment = &Environment { offline: args.offline, ..environment };
    let call = args.called();
    let timing = Timing::asked(&args)?;
    let mode = display::mode(args.progress, args.quiet, environment, io::stderr().is_terminal())?;
    let stdout_is_terminal = io::stdout().is_terminal();
    let explain = args.explain;
    let request = request::request(args, environment, &|name| std::env::var_os(name), stdout_is_terminal)?;
    let display = Display::new(mode, style);
    let tally = Arc::new(Tally::default());
    let store = super::local::open(environment)?;
    if let Some(call) = call {
        let answered = answer(call, &request, environment, &store, display, canceller);
        if let Err(Failure::Build(BuildError::NeedsUserNamespace)) = answered {
            drop(store);
            return Err(super::local::need_mounts(around).err().unwrap_or(Failure::Powerless));
        }
        return answered;
    }
    let (log_path, log_file) = store.logs().create(SystemTime::now())?;
    let log = Arc::new(LogFile::new(log_path, log_file));
    let mut sinks = vec![Arc::clone(&tally) as _, Arc::clone(&log) as _];
    sinks.extend(display.sink());
    let held = Arc::new(Held::new(Arc::new(Tee(sinks))));
    if Privilege::detect() != Privilege::Unprivileged {
        held.release();
    }
    let progress = match &timing {
        None => Progress::new(Arc::clone(&held) as _),
        // What is held back was noted when it happened.
        Some(timing) => Progress::measured(Arc::new(Tee(vec![timing.sink(), Arc::clone(&held) as _]))),
    };
    warn_of_single_id(around, &progress);
    interrupt::watch(canceller, progress.clone())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let result = runtime.block_on(build(&request, environment, &store, &progress));
    // What was cancelled may still be reading or downloading; nobody waits for that.
    runtime.shutdown_background();
    if let Err(BuildError::NeedsUserNamespace) = result {
        // The second start tells everything again, and would find this one's scratch directory left behind.
        drop(store);
        let _ = std::fs::remove_file(log.path());
        return Err(super::local::need_mounts(around).err().unwrap_or(super::failure::Failure::Powerless));
    }
    let timed = timing.map(|timing| timing.finish(result.as_ref().err().map(told)));
    held.release();
    display.close();
    store.clear_scratch();
    match (explain, tally.counted().history) {
        (Some(TextFormat::Text), Some(history)) => {
            write!(io::stderr(), "{}", super::explain::text(&history, style))?;
        }
        (Some(TextFormat::Json), Some(history)) => {
            writeln!(io::stdout(), "{:#}", super::explain::json(&history))?;
        }
        _ => {}
    }
    // What processes that were killed have left; the last build that did everything from the cache has seen to it, too.
    if !matches!(&result, Ok(report) if report.cached == report.steps) {
        // It costs space, nothing else.
        let _ = store.sweep();
    }
    match result {
        Ok(report) => {
            // Nothing goes into the middle of an archive.
            let mode = if request.outputs.iter().any(request::to_stdout) && mode == ProgressMode::Quiet {
                ProgressMode::None
            } else {
                mode
            };
            summary::built(&report, mode, &mut io::stderr(), &mut io::stdout())?;
            timed.as_ref().map_or(Ok(()), Timed::write)?;
            Ok(ExitCode::SUCCESS)
        }
        Err(error) => failed(error, &tally, &log, mode, style, timed.as_ref()),
    }
}

/// Tells of a build that failed.
fn failed(
    error: BuildError,
    tally: &Tally,
    log: &LogFile,
    mode: ProgressMode,
    style: Style,
    timed: Option<&Timed>,
) -> Result<ExitCode, Failure> {
    let (counted, failure) = (tally.counted(), Failure::from(error));
    let err = &mut io::stderr();
    summary::last_lines(&counted, mode, err)?;
    failure.show(style, err);
    summary::log(&counted, log.path(), mode, err)?;
    // The build has failed already, and for a better reason.
    if let Some(Err(unwritten)) = timed.map(Timed::write) {
        unwritten.show(style, err);
    }
    Ok(ExitCode::from(failure.status()))
}

/// Warns of a user namespace in which all files belong to one user.
fn warn_of_single_id(around: &Around<'_>, progress: &Progress) {
    if let Some(Entered { mapping: Mapping::Single, single_because }) = &around.entered {
        let mut text = SINGLE_ID.to_owned();
        if let Some(because) = single_because {
            text.push_str(&format!("\nhelp: {because}"));
        }
        progress.warn(text);
    }
}

/// The first line of an error, without its label.
fn told(error: &BuildError) -> String {
    let text = error.to_string();
    let line = text.lines().next().unwrap_or_default();
    line.strip_prefix("error: ").unwrap_or(line).to_owned()
}

/// Said once, before anything runs.
const SINGLE_ID: &str = "warning: only one user id can be mapped here, so every file of the build belongs to root; chown, \
USER, and packages that make users will fail";

/// `--check` and `--call`: says something of the Dockerfile instead of building it.
fn answer(
    call: call::Call,
    request: &BuildRequest,
    environment: &Environment,
    store: &Store,
    display: Display,
    canceller: Canceller,
) -> Result<ExitCode, Failure> {
    let style = Style::new(!environment.no_color && io::stdout().is_terminal());
    let sinks: Vec<_> = display.sink().into_iter().collect();
    let progress = Progress::new(Arc::new(Tee(sinks)));
    interrupt::watch(canceller, progress.clone())?;
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let result = runtime.block_on(call::run(call, request, environment, store, &progress, style));
    runtime.shutdown_background();
    display.close();
    let (text, well) = result?;
    call::write(&text, &mut io::stdout())?;
    Ok(if well { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
