//! How a run of the program ends when it does not end well.

use super::environment::EnvironmentError;
use super::spec::SpecError;
use super::style::Style;
use super::verbs::fmt::FmtError;
use super::verbs::run::RunError;
use crate::bases::BaseError;
use crate::export::ExportError;
use crate::image::ImageError;
use crate::import::ImportError;
use crate::remote::RemoteError;
use crate::store::StoreError;
use crate::userns::UsernsError;
use registry_client::client::RequestError;
use registry_client::configuration::ConfigurationError;
use registry_client::copy::CopyError;
use registry_client::credentials::CredentialsError;
use registry_client::manifest::{ComposeError, ManifestError};
use registry_client::pull::PullError;
use registry_client::push::PushError;
use registry_client::reference::ReferenceError;
use std::io::{self, Write};
use std::path::PathBuf;

/// What is wrong with the command line. The exit status is 2.
#[derive(Debug, thiserror::Error)]
pub enum UsageError {
    /// What the parser of flags says, rendered by it.
    #[error("{0}")]
    Parser(String),
    /// A value that does not do.
    #[error("{flag} {value:?}: {why}")]
    Value {
        /// The flag or variable.
        flag: &'static str,
        /// Its value.
        value: String,
        /// What is wrong.
        why: SpecError,
    },
    /// `--offline` and a push.
    #[error("--offline: the image cannot be pushed without asking its registry")]
    OfflinePush,
    /// Limits of RUN steps that contradict each other.
    #[error("--resource: {0}")]
    Resources(SpecError),
    /// A flag of other builders.
    #[error("--{flag} is not supported: {why}")]
    Refused {
        /// Its long name.
        flag: &'static str,
        /// Why, or what to do instead.
        why: &'static str,
    },
    /// No context.
    #[error("the build context is missing; for the current directory write: build .")]
    NoContext,
    /// A URL of a context or Dockerfile that cannot be used.
    #[error(transparent)]
    RemoteContext(RemoteError),
    /// A Dockerfile in a repository that is not the context.
    #[error("-f {} is a git repository; make it the context, and name the file in it with -f", .0.display())]
    RemoteDockerfile(PathBuf),
    /// `-f -` and the context `-`.
    #[error("standard input cannot be both the build context and the Dockerfile")]
    TwoUsesOfStdin,
    /// Several outputs without a destination.
    #[error("only one output can go to standard output; give the others a dest=")]
    TwoUsesOfStdout,
    /// The JSON of `--explain` beside something else.
    #[error("--explain=json writes to standard output, and so does {0}; leave out one of them")]
    ExplainBeside(&'static str),
    /// An archive for the eyes.
    #[error("an archive is not written to a terminal; add dest=FILE to the output, or redirect it")]
    ArchiveOnTerminal,
    /// `save` without a file.
    #[error("an archive is not written to a terminal; write -o FILE, or redirect it")]
    SaveOnTerminal,
    /// `prune` without a terminal to ask on.
    #[error("nobody can be asked here whether to remove this; write -f")]
    PruneUnasked,
    /// `load` without a file.
    #[error("an archive is not typed; write -i FILE, or pipe it in")]
    LoadFromTerminal,
    /// All stages, and some of them.
    #[error("--no-cache runs every step already; leave out --no-cache-filter, or it")]
    NoCacheTwice,
    /// Docker's archive of several platforms.
    #[error(
        "type=docker and --load take an image of one platform: name one by --platform, or write type=oci or type=image"
    )]
    DockerOfSeveral,
    /// `--annotation` without an image.
    #[error("--annotation: no output of this build holds an image")]
    NothingToAnnotate,
    /// `--push` without a name.
    #[error("an image that is pushed needs a name: give it one with -t")]
    PushUnnamed,
    /// `-t` without an image.
    #[error("-t {0}: no output of this build holds an image that could have a name")]
    NothingToName(String),
    /// An output, or a file about the result, and nothing is built.
    #[error(
        "{0} is about what a build makes, and with --check, --call, --show-context or --lock nothing is built"
    )]
    NothingBuilt(&'static str),
    /// `--iidfile` without an image.
    #[error("--iidfile: no output of this build holds an image")]
    NoImageId,
    /// An annotation that has no place in the result.
    #[error("annotation {key:?}: {why}")]
    Annotation {
        /// Its key.
        key: String,
        /// Why not.
        why: String,
    },
    /// `rewrite-timestamp=false` with an epoch.
    #[error(
        "rewrite-timestamp=false: with SOURCE_DATE_EPOCH no file that the build makes is newer than that; leave one of \
         both out"
    )]
    KeepsTimestamps,
    /// `login` to something that is no registry.
    #[error("{0:?} is no registry; write its host name, with a port or without")]
    Registry(String),
    /// `--password-stdin` alone.
    #[error("--password-stdin needs -u NAME: standard input is the password's")]
    NoUserName,
    /// `inspect --raw` of several images.
    #[error("--raw and --config print one document; name one image")]
    RawOfSeveral,
    /// Flags about registries for `inspect` of the store.
    #[error("no registry is asked; add --remote or --raw, or leave out the flags about registries")]
    NoRegistryAsked,
    /// `manifest push`.
    #[error("manifest push is not needed: manifest create and manifest annotate write to the registry")]
    ManifestPush,
    /// `manifest annotate` without a change.
    #[error(
        "there is nothing to change; write --annotation KEY=VALUE, or IMAGE and --os, --arch, --variant, --os-version or \
         --os-features"
    )]
    NothingToChange,
    /// A live display without a terminal.
    #[error("--progress=tty needs a terminal on standard error; write --progress=plain")]
    NoTerminal,
    /// One file for two things.
    #[error("--timeline and --trace are two files; give each its own name")]
    TimelineIsTrace,
    /// `--timeline` or `--trace` without a build.
    #[error(
        "--timeline and --trace show a build, and with --check, --call, --show-context or --lock nothing is built"
    )]
    NothingToTime,
    /// A value of `$BUILDKIT_PROGRESS` that is no mode.
    #[error("BUILDKIT_PROGRESS={0:?} is not understood: write auto, tty, plain, quiet, rawjson or none")]
    ProgressVariable(String),
}

/// How a run of the program fails.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// A template does not fit what is shown.
    #[error(transparent)]
    Template(#[from] crate::cli::template::TemplateError),
    /// An image of one platform, which is not the wanted one.
    #[error("the image is for {found}, not for {wanted}")]
    OtherPlatform {
        /// What was asked for.
        wanted: String,
        /// What it is for.
        found: String,
    },
    /// The command line is wrong.
    #[error(transparent)]
    Usage(#[from] UsageError),
    /// The surroundings do not do.
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    /// Ctrl-C.
    #[error("stopped")]
    Stopped,
    /// Standard output or the runtime.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// What was given is no reference.
    #[error("{given:?} is no image name")]
    Reference {
        /// What was given.
        given: String,
        /// What is wrong with it.
        source: ReferenceError,
    },
    /// A name with a digest where a name is given.
    #[error("{0:?} has a digest; an image is named by NAME[:TAG]")]
    DigestAsName(String),
    /// The store has no such image.
    #[error("there is no image {0:?} in the store; build images lists those there are")]
    NoImage(String),
    /// Nothing was built.
    #[error("no build of this store is remembered; build something first")]
    NoHistory,
    /// An image that goes by several names.
    #[error("{given} has several names: {}; name the one to remove, or write -f to remove all", names.join(", "))]
    SeveralNames {
        /// What was given.
        given: String,
        /// Its names.
        names: Vec<String>,
    },
    /// Nobody answered.
    #[error("cannot ask for {what} on the terminal; -u NAME --password-stdin reads the password from a pipe")]
    Ask {
        /// What.
        what: &'static str,
        /// Why not.
        source: io::Error,
    },
    /// A registry.
    #[error(transparent)]
    Registry(#[from] RequestError),
    /// What the machine says about registries.
    #[error(transparent)]
    Registries(#[from] ConfigurationError),
    /// Files and helpers with credentials.
    #[error(transparent)]
    Credentials(#[from] CredentialsError),
    /// An image that is fetched.
    #[error(transparent)]
    Base(Box<BaseError>),
    /// An image cannot be written.
    #[error(transparent)]
    Export(#[from] ExportError),
    /// An archive cannot be read.
    #[error(transparent)]
    Import(#[from] ImportError),
    /// A Dockerfile cannot be formatted.
    #[error(transparent)]
    Fmt(#[from] FmtError),
    /// A program cannot be run.
    #[error(transparent)]
    Run(#[from] RunError),
    /// `run` has not come to the program.
    #[error(transparent)]
    BeforeProgram(Box<Failure>),
    /// A user namespace is needed, and cannot be had.
    #[error(transparent)]
    UserNamespace(#[from] UsernsError),
    /// A user namespace that gives no rights.
    #[error("a user namespace was entered, and this process may still not mount")]
    Powerless,
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// An image of the store.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The file of `--timeline` or `--trace`.
    #[error("cannot write {}", path.display())]
    Timing {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A build.
    #[error(transparent)]
    Build(#[from] crate::build::BuildError),
    /// A push.
    #[error(transparent)]
    Push(#[from] PushError),
    /// What a registry has.
    #[error(transparent)]
    Pull(#[from] PullError),
    /// A manifest of a registry.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// A copy.
    #[error(transparent)]
    Copy(#[from] CopyError),
    /// An index that cannot be made.
    #[error(transparent)]
    Compose(#[from] ComposeError),
    /// An image where an index is needed.
    #[error("{0} is an image, and no index; build manifest create makes one of it")]
    NoIndex(String),
}

impl From<BaseError> for Failure {
    fn from(error: BaseError) -> Self {
        Self::Base(Box::new(error))
    }
}

impl Failure {
    /// The failure as one of `run`, whose status must not be taken for that of the program.
    #[must_use]
    pub fn before_program(self) -> Self {
        match self {
            Self::Usage(_) | Self::Run(_) => self,
            other => Self::BeforeProgram(Box::new(other)),
        }
    }

    /// The exit status.
    pub fn status(&self) -> u8 {
        match self {
            Self::Usage(_) | Self::Build(crate::build::BuildError::Name { .. }) => 2,
            Self::Run(error) => error.status(),
            // As docker run has it: no program is likely to end with it.
            Self::BeforeProgram(_) => 125,
            _ => 1,
        }
    }

    /// Writes the message, and what caused it.
    pub fn show(&self, style: Style, out: &mut dyn Write) {
        // Whoever closed the other end of a pipe knows.
        if matches!(self, Self::Io(error) if error.kind() == io::ErrorKind::BrokenPipe) {
            return;
        }
        let mut text = match self {
            // It has its label already.
            Self::Usage(UsageError::Parser(text)) => text.clone(),
            // Diagnostics of a Dockerfile are labelled, too.
            _ => {
                let text = self.to_string();
                let labelled = ["error", "warning"]
                    .iter()
                    .any(|label| text.strip_prefix(label).is_some_and(|rest| rest.starts_with([':', '['])));
                if labelled { text } else { format!("error: {text}") }
            }
        };
        let causes: Vec<String> =
            std::iter::successors(std::error::Error::source(self), |error| error.source())
                .map(ToString::to_string)
                .collect();
        // Some errors say in their own text what is at the bottom of it; what lies between is of no use then.
        if causes.last().is_some_and(|root| !text.contains(root.as_str())) {
            for cause in causes {
                text.push_str(&format!(": {cause}"));
            }
        }
        if !text.ends_with('\n') {
            text.push('\n');
        }
        if let Self::Build(crate::build::BuildError::Cgroup(error)) = self
            && let Some(help) = error.help()
        {
            text.push_str(&format!("help: {help}\n"));
        }
        // There is nobody left to tell that standard error is closed.
        let _ = out.write_all(style.diagnostic(&text).as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use registry_client::reference::Reference;

    fn shown(failure: &Failure) -> String {
        let mut out = Vec::new();
        failure.show(Style::new(false), &mut out);
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn messages() {
        let denied = || io::Error::from(io::ErrorKind::PermissionDenied);
        for (failure, want) in [
            (
                Failure::Usage(UsageError::NoContext),
                "error: the build context is missing; for the current directory write: build .\n",
            ),
            (
                Failure::Usage(UsageError::Parser("error: x\n\nUsage: y\n".to_owned())),
                "error: x\n\nUsage: y\n",
            ),
            (
                Failure::Ask { what: "the password", source: denied() },
                "error: cannot ask for the password on the terminal; -u NAME --password-stdin reads the password \
                 from a pipe: permission denied\n",
            ),
            (
                Failure::Reference { given: "A".to_owned(), source: "A".parse::<Reference>().unwrap_err() },
                "error: \"A\" is no image name: ",
            ),
            (Failure::Io(io::ErrorKind::BrokenPipe.into()), ""),
        ] {
            let text = shown(&failure);
            assert!(text.starts_with(want), "{text}");
            assert_eq!(text.matches("error:").count(), usize::from(!want.is_empty()), "{text}");
        }
    }

    #[test]
    fn findings_keep_their_labels() {
        use dockerfile_parser::diagnostic::Diagnostic;
        let source = b"FROM scratch\nCOPY a b\n".to_vec();
        let file =
            std::sync::Arc::new(crate::build::DockerfileText { name: "Dockerfile".to_owned(), source });
        let place = |at: usize| dockerfile_parser::span::Span::new(at, at + 4);
        let diagnostics = vec![
            Diagnostic::warning("SomeRule", place(0), "first"),
            Diagnostic::error("x", place(13), "second"),
        ];
        let text = shown(&Failure::Build(crate::build::DockerfileError { file, diagnostics }.into()));
        assert!(text.starts_with("warning: first"), "{text}");
        assert_eq!(text.matches("error:").count(), 1, "{text}");
    }

    #[test]
    fn a_cause_is_said_once() {
        #[derive(Debug, thiserror::Error)]
        #[error("cannot connect: {0}; check the address")]
        struct Whole(#[source] io::Error);
        let failure = Failure::Io(io::Error::other(Whole(io::Error::other("refused"))));
        assert_eq!(shown(&failure), "error: cannot connect: refused; check the address\n");
    }
}
