//! The command line: words and environment in, plain data to the library, text and an exit status out.
//!
//! This is the only module that prints and the only one that reads environment variables.

pub mod build;
pub mod display;
pub mod environment;
pub mod failure;
pub mod interrupt;
pub mod local;
pub mod password;
pub mod remote;
pub mod spec;
pub mod style;
pub mod table;
pub mod verb;
pub mod verbs;

use crate::cancel;
use failure::Failure;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::SystemTime;
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
    use verbs::{history, images, inspect, login, logout, rmi, tag, version};
    let store = || local::open(&environment);
    // Not locked: a build writes archives to it from other threads.
    let out = &mut io::stdout();
    let now = SystemTime::now();
    match command {
        Command::Build(args) => return build::run(*args, &environment, canceller),
        Command::Images(args) => images::run(&args, &store()?, out, now)?,
        Command::Inspect(args) => inspect::run(&args, &store()?, out)?,
        Command::History(args) => history::run(&args, &store()?, out, now)?,
        Command::Tag(args) => tag::run(&args, &store()?)?,
        Command::Rmi(args) => rmi::run(&args, &store()?, out)?,
        Command::Login(args) => login::run(args, &environment, out)?,
        Command::Logout(args) => logout::run(&args, &environment, out)?,
        Command::Version(args) => version::run(&args, out)?,
        _ => return Err(Failure::NotThere("this verb".to_owned())),
    }
    Ok(ExitCode::SUCCESS)
}
