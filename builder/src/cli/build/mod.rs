//! `build [OPTIONS] CONTEXT`.

pub mod args;
pub mod refused;
pub mod request;

use super::display::{self, Display};
use super::failure::Failure;
use super::interrupt;
use super::style::Style;
use crate::cancel::Canceller;
use crate::environment::Environment;
use crate::progress::{Progress, log_file::LogFile, tally::Tally, tee::Tee};
use args::BuildArgs;
use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::SystemTime;

/// Builds.
///
/// # Errors
/// [`Failure`].
pub fn run(args: BuildArgs, environment: &Environment, canceller: Canceller) -> Result<ExitCode, Failure> {
    let mode = display::mode(args.progress, args.quiet, environment, io::stderr().is_terminal())?;
    let stdout_is_terminal = io::stdout().is_terminal();
    let request = request::request(args, environment, &|name| std::env::var_os(name), stdout_is_terminal)?;
    let style = Style::new(!environment.no_color && io::stderr().is_terminal());
    let display = Display::new(mode, style);
    let tally = Arc::new(Tally::default());
    let mut sinks = vec![Arc::clone(&tally) as _];
    sinks.extend(display.sink());
    let log = LogFile::create(&environment.store_root.join("logs"), &log_name()).map(Arc::new);
    if let Ok(log) = &log {
        sinks.push(Arc::clone(log) as _);
    }
    let progress = Progress::new(Arc::new(Tee(sinks)));
    interrupt::watch(canceller, progress)?;
    let outputs = request.outputs.len();
    display.close();
    Err(Failure::NotThere(format!("building, and {outputs} outputs")))
}

/// Sorts by time, and tells apart the builds of one moment.
fn log_name() -> String {
    let now = humantime::format_rfc3339_millis(SystemTime::now()).to_string();
    format!("{}-{}", now.replace(':', ""), std::process::id())
}
