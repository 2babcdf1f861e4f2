//! The command line: words and environment in, plain data to the library, text and an exit status out.
//!
//! This is the only module that prints and the only one that reads environment variables.

pub mod build;
pub mod diff;
pub mod display;
pub mod environment;
pub mod explain;
pub mod failure;
pub mod interrupt;
pub mod local;
pub mod password;
pub mod registry_flags;
pub mod remote;
pub mod resource_flags;
pub mod spec;
pub mod style;
pub mod table;
pub mod template;
pub mod verb;
pub mod verbs;

use crate::cancel;
use crate::environment::Environment;
use crate::userns::{self, Entered};
use failure::Failure;
use std::io::{self, IsTerminal, Write};
use std::process::ExitCode;
use std::time::SystemTime;
use style::Style;
use verb::{Command, Stop};

/// The whole program.
pub fn main() -> ExitCode {
    // Who the user is, before a user namespace makes everybody root.
    let uid = rustix::process::geteuid().as_raw();
    // Before anything else: a process with threads cannot enter.
    let entered = userns::enter_if_asked(std::env::var_os(userns::MARKER).as_deref());
    let words: Vec<_> = std::env::args_os().collect();
    let (canceller, cancellation) = cancel::channel();
    let environment = environment::resolve(&|name| std::env::var_os(name), uid, cancellation);
    let plain = environment.as_ref().map_or(true, |environment| environment.no_color);
    let style = Style::new(!plain && io::stderr().is_terminal());
    let failure = match verb::parse(&words) {
        Err(Stop::Show(text)) => match io::stdout().write_all(text.as_bytes()) {
            Ok(()) => return ExitCode::SUCCESS,
            Err(error) => error.into(),
        },
        Err(Stop::Usage(error)) => error.into(),
        Ok(command) => {
            let done = entered.map_err(Failure::from).and_then(|entered| {
                let around = Around { environment: &environment?, style, entered };
                run(command, &around, canceller)
            });
            match done {
                Ok(code) => return code,
                Err(failure) => failure,
            }
        }
    };
    failure.show(style, &mut io::stderr());
    ExitCode::from(failure.status())
}

/// What every verb may need.
#[derive(Debug)]
pub struct Around<'a> {
    /// The surroundings.
    pub environment: &'a Environment,
    /// How messages look.
    pub style: Style,
    /// The user namespace this process has entered, after it was started again for that.
    pub entered: Option<Entered>,
}

fn run(command: Command, around: &Around<'_>, canceller: cancel::Canceller) -> Result<ExitCode, Failure> {
    let environment = around.environment;
    use verbs::{
        copy, du, explain, fmt, history, images, inspect, load, login, logout, manifest, prune, pull, push,
        rmi, save, tag, version,
    };
    let store = || local::open(environment);
    // Not locked: a build writes archives to it from other threads.
    let out = &mut io::stdout();
    let now = SystemTime::now();
    match command {
        Command::Build(args) => return build::run(*args, around, canceller),
        Command::Run(args) => {
            let variable = |name: &str| std::env::var_os(name);
            return verbs::run::run(&args, around, &variable).map_err(Failure::before_program);
        }
        Command::Fmt(args) => {
            let terminal = io::stdout().is_terminal();
            let mut report = |failure: Failure| failure.show(around.style, &mut io::stderr());
            let good = fmt::run(&args, &mut io::stdin().lock(), out, terminal, &mut report)?;
            return Ok(if good { ExitCode::SUCCESS } else { ExitCode::FAILURE });
        }
        Command::Images(args) => images::run(&args, &store()?, out, now)?,
        Command::Inspect(args) => inspect::run(args, environment, out)?,
        Command::History(args) => history::run(&args, &store()?, out, now)?,
        Command::Explain(args) => {
            let style = Style::new(around.style.colours() && io::stdout().is_terminal());
            explain::run(&args, &store()?, out, style)?;
        }
        Command::Tag(args) => tag::run(&args, &store()?)?,
        Command::Rmi(args) => {
            let store = store()?;
            // Files in unpacked layers belong to ids that only a user namespace can delete them with.
            if !store.layers().list()?.is_empty() {
                local::need_mounts(around)?;
            }
            rmi::run(&args, &store, out)?;
        }
        Command::Du(args) => {
            let store = store()?;
            // What is in cache mounts belongs to ids that only a user namespace can read.
            if store.has_cache_mounts() {
                local::need_mounts(around)?;
            }
            du::run(&args, &store, out, now)?;
        }
        Command::Prune(args) => {
            local::need_mounts(around)?;
            let terminal = io::stdin().is_terminal();
            prune::run(&args, &store()?, out, now, terminal.then_some(&prune::ask as _))?;
        }
        Command::Login(args) => login::run(args, environment, out)?,
        Command::Logout(args) => logout::run(&args, environment, out)?,
        Command::Save(args) => save::run(&args, &store()?)?,
        Command::Load(args) => load::run(&args, &store()?, out)?,
        Command::Pull(args) => pull::run(args, environment, around.style, out)?,
        Command::Push(args) => push::run(args, environment, around.style, out)?,
        Command::Copy(args) => copy::run(args, environment, around.style, out)?,
        Command::Manifest(args) => manifest::run(args, environment, around.style, out)?,
        Command::Version(args) => version::run(&args, out)?,
    }
    Ok(ExitCode::SUCCESS)
}
