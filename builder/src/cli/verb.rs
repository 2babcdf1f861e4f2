//! From words to a [`Command`]: the first word may be a verb, everything else is `build`.
//!
//! Only the parser of the verb that was given is made: with clap's subcommands each start would pay for all of them.

use super::build::{args, refused};
use super::failure::UsageError;
use super::verbs::{
    copy, du, explain, fmt, history, images, inspect, load, login, logout, manifest, prune, pull, push, rmi,
    run, save, tag, version,
};
use clap::error::ErrorKind;
use clap::{Arg, ArgAction, Args, FromArgMatches};
use std::ffi::{OsStr, OsString};

/// Why there is no command to run.
#[derive(Debug)]
pub enum Stop {
    /// Help or the version was asked for; this is it.
    Show(String),
    /// The command line is wrong.
    Usage(UsageError),
}

macro_rules! verbs {
    ($($word:literal => $variant:ident($arguments:ty), $about:literal;)*) => {
        /// What to do, each value checked by itself.
        #[derive(Debug)]
        #[allow(missing_docs, reason = "named after the verb")]
        pub enum Command {
            Build(Box<args::BuildArgs>),
            $($variant($arguments),)*
        }

        const VERBS: &[(&str, &str)] = &[$(($word, $about),)*];

        fn of_verb(verb: &str, words: &[OsString]) -> Option<Result<Command, Stop>> {
            match verb {
                $($word => Some(parse_verb::<$arguments>($word, $about, words).map(Command::$variant)),)*
                _ => None,
            }
        }
    };
}

verbs! {
    "images" => Images(images::Args), "List the images of the store";
    "inspect" => Inspect(inspect::Args), "Show all that is known of images, as JSON";
    "history" => History(history::Args), "Show the layers of an image and what made them";
    "explain" => Explain(explain::Args), "Say why the steps of the last build ran";
    "tag" => Tag(tag::Args), "Give an image a further name";
    "rmi" => Rmi(rmi::Args), "Remove names of images, and images without names";
    "du" => Du(du::Args), "Show what takes space in the store, and why it is kept";
    "prune" => Prune(prune::Args), "Remove what is in the store for the next builds";
    "pull" => Pull(pull::Args), "Fetch an image from its registry";
    "push" => Push(push::Args), "Send an image to its registry";
    "copy" => Copy(copy::Args), "Copy an image from registry to registry";
    "manifest" => Manifest(manifest::Args), "Make and change indexes in registries";
    "save" => Save(save::Args), "Write images to an archive";
    "load" => Load(load::Args), "Read images from an archive";
    "login" => Login(login::Args), "Keep the password of a registry";
    "logout" => Logout(logout::Args), "Forget the password of a registry";
    "run" => Run(run::Args), "Try an image: run a program of it in the foreground";
    "fmt" => Fmt(fmt::Args), "Print Dockerfiles in canonical layout, or check that they are in it";
    "version" => Version(version::Args), "Show the version of this program";
}

/// Reads the words of a command line, the program's name first.
///
/// # Errors
/// [`Stop`].
pub fn parse(words: &[OsString]) -> Result<Command, Stop> {
    let words = words.get(1..).unwrap_or_default();
    match words.split_first() {
        // `alias docker=build` makes `docker build .` this.
        Some((first, rest)) if first == "build" => parse_build(rest),
        Some((first, rest)) => {
            first.to_str().and_then(|verb| of_verb(verb, rest)).unwrap_or_else(|| parse_build(words))
        }
        None => parse_build(words),
    }
}

fn parse_build(words: &[OsString]) -> Result<Command, Stop> {
    let command = args::truth_values(args::BuildArgs::augment_args(clap::Command::new("build")))
        .about("Build a container image from a Dockerfile")
        .version(env!("CARGO_PKG_VERSION"))
        .override_usage("build [OPTIONS] CONTEXT\n       build VERB [OPTIONS] ...");
    let command = refused::declare(command);
    let matches = matches(command, words, Some(more_help))?;
    if let Some((flag, why)) = refused::find(&matches) {
        return Err(Stop::Usage(UsageError::Refused { flag, why }));
    }
    let arguments = args::BuildArgs::from_arg_matches(&matches).map_err(stop)?;
    Ok(Command::Build(Box::new(arguments)))
}

fn parse_verb<A: Args>(verb: &'static str, about: &'static str, words: &[OsString]) -> Result<A, Stop> {
    let command = clap::Command::new(verb).bin_name(format!("build {verb}")).disable_help_subcommand(true);
    let matches = matches(A::augment_args(command).about(about), words, None)?;
    A::from_arg_matches(&matches).map_err(stop)
}

fn matches(
    command: clap::Command,
    words: &[OsString],
    more_help: Option<fn() -> String>,
) -> Result<clap::ArgMatches, Stop> {
    let program = OsStr::new("build").to_owned();
    // The last of a repeated flag counts, as in docker: scripts append flags to those they were given.
    // One form of help, the compact one, whichever way it is asked for.
    let help =
        Arg::new("help").short('h').long("help").help("Show this").action(ArgAction::HelpShort).global(true);
    let command = command.disable_help_flag(true).arg(help).args_override_self(true);
    let words = std::iter::once(program).chain(words.iter().cloned());
    command.try_get_matches_from(words).map_err(|error| {
        let help = error.kind() == ErrorKind::DisplayHelp;
        match (stop(error), more_help) {
            // Made only when it is shown: this is the path of every build.
            (Stop::Show(text), Some(more)) if help => Stop::Show(text + &more()),
            (stop, _) => stop,
        }
    })
}

fn stop(error: clap::Error) -> Stop {
    let text = error.render().to_string();
    // Nobody who mistypes a flag means a file of that name.
    let is_wrong_advice = |part: &&str| part.trim_start().starts_with("tip: to pass ");
    let text = text.split("\n\n").filter(|part| !is_wrong_advice(part)).collect::<Vec<_>>().join("\n\n");
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => Stop::Show(text),
        _ => Stop::Usage(UsageError::Parser(text)),
    }
}

const OUTPUTS: &str = "
Outputs (-o, may be given several times):
  DIRECTORY                      The files of the result, copied there
  -                              The files as a tar on standard output
  type=image[,push=true]         An image in the store, and in its registry
  type=registry                  The same as type=image,push=true
  type=oci[,dest=FILE]           An archive of an OCI layout; with tar=false a directory
  type=docker[,dest=FILE]        An archive for docker load; without dest= it is loaded
  type=tar[,dest=FILE]           The files as a tar
  type=local,dest=DIRECTORY      The files, copied there
  type=cacheonly                 Nothing but the cache
  Images take name=, compression=uncompressed|gzip|zstd, compression-level=, force-compression=, oci-mediatypes=,
  rewrite-timestamp= and annotation[-PLACE][[PLATFORM]].KEY=, and those of the store also push-by-digest=, store=,
  name-canonical= and dangling-name-prefix=; files take platform-split= and mode=copy|delete (type=local).
";

fn more_help() -> String {
    let mut text = OUTPUTS.to_owned();
    text.push_str("\nVerbs:\n");
    for (verb, about) in VERBS {
        text.push_str(&format!("  {verb:<10}{about}\n"));
    }
    text.push_str("\nbuild VERB --help tells more. A context called like a verb is written ./VERB.\n");
    text.push_str("\nFlags of docker buildx build that are not there yet, and refused:\n");
    let mut line = " ".to_owned();
    for name in refused::names() {
        if line.len() + name.len() > 90 {
            text.push_str(&format!("{line}\n"));
            line = " ".to_owned();
        }
        line.push_str(&format!(" --{name}"));
    }
    text.push_str(&format!("{line}\n"));
    text.push_str(
        "\nEnvironment: SLIPWAY_ROOT (the store), SOURCE_DATE_EPOCH, BUILDKIT_PROGRESS, DOCKER_CONFIG, NO_COLOR.\n\
         Exit status: 0 built, 1 the build failed, 2 the command line is wrong; that of the program for run.\n",
    );
    text
}

#[cfg(test)]
mod tests;
