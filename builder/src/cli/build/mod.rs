//! `build [OPTIONS] CONTEXT`.

pub mod args;
pub mod refused;
pub mod request;

use super::Around;
use super::display::{self, Display};
use super::failure::Failure;
use super::interrupt;
use crate::cancel::Canceller;
use crate::progress::{Progress, tally::Tally, tee::Tee};
use args::BuildArgs;
use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::sync::Arc;

/// Builds.
///
/// # Errors
/// [`Failure`].
pub fn run(args: BuildArgs, around: &Around<'_>, canceller: Canceller) -> Result<ExitCode, Failure> {
    let (environment, style) = (around.environment, around.style);
    let mode = display::mode(args.progress, args.quiet, environment, io::stderr().is_terminal())?;
    let stdout_is_terminal = io::stdout().is_terminal();
    let request = request::request(args, environment, &|name| std::env::var_os(name), stdout_is_terminal)?;
    let display = Display::new(mode, style);
    let tally = Arc::new(Tally::default());
    let mut sinks = vec![Arc::clone(&tally) as _];
    sinks.extend(display.sink());
    let progress = Progress::new(Arc::new(Tee(sinks)));
    interrupt::watch(canceller, progress)?;
    display.close();
    let outputs = request.outputs.len();
    Err(Failure::NotThere(format!("building, and {outputs} outputs")))
}
