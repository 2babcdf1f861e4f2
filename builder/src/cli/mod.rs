//! The command line: words and environment in, plain data to the library, text and an exit status out.
//!
//! This is the only module that prints and the only one that reads environment variables.

pub mod build;
pub mod display;
pub mod environment;
pub mod failure;
pub mod interrupt;
pub mod spec;
pub mod style;
pub mod verb;
pub mod verbs;

use crate::cancel;
use failure::Failure;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use style::Style;
use verb::{Command, Stop};

/// The whole program.
pub fn main() -> ExitCode {
    let words: Vec<_> = std::env::args_os().collect();
    let (canceller, cancellation) = cancel::channel();
    let uid = rustix::process::geteuid().as_raw();
    let environment = environment::resolve(&|name| std::env::var_os(name), uid, cancellation);
    let plain = environment.as_ref().map_or(true, |environment| environment.no_color);
    let style = Style::new(!plain && io::stderr().is_terminal());
    let failure = match verb::parse(&words) {
        Err(Stop::Show(text)) => match io::stdout().write_all(text.as_bytes()) {
            Ok(()) => return ExitCode::SUCCESS,
            Err(error) => error.into(),
        },
        Err(Stop::Usage(error)) => error.into(),
        Ok(command) => match environment
            .map_err(Failure::from)
            .and_then(|environment| run(command, environment, canceller))
        {
            Ok(code) => return code,
            Err(failure) => failure,
        },
    };
    failure.show(style, &mut io::stderr());
    ExitCode::from(failure.status())
}

fn run(
    command: Command,
    environment: crate::environment::Environment,
    canceller: cancel::Canceller,
) -> Result<ExitCode, Failure> {
    match command {
        Command::Build(args) => build::run(*args, &environment, canceller),
        Command::Version(args) => {
            verbs::version::run(&args, &mut io::stdout())?;
            Ok(ExitCode::SUCCESS)
        }
        _ => Err(Failure::NotThere("this verb".to_owned())),
    }
}
