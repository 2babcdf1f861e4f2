//! The flags of `build`, under the names of `docker buildx build`.

use crate::cli::build::call;
use crate::cli::registry_flags::RegistryFlags;
use crate::cli::resource_flags::ResourceFlags;
use crate::cli::spec::{self, flag};
use crate::request::{NamedContext, NetworkMode, Output, Ulimit};
use clap::{ArgAction, Args, ValueEnum};
use registry_client::platform::Platform;
use std::ffi::OsString;
use std::path::PathBuf;

/// What the command line says, each value checked by itself.
#[derive(Args, Debug)]
pub struct BuildArgs {
    /// The directory COPY and ADD take files from; - reads a tar archive or a Dockerfile from standard input
    #[arg(value_name = "CONTEXT")]
    pub context: Option<OsString>,

    /// The Dockerfile; - reads it from standard input [default: CONTEXT/Dockerfile]
    #[arg(short, long, value_name = "PATH", help_heading = "Input")]
    pub file: Option<PathBuf>,

    /// Build this stage instead of the last one
    #[arg(long, value_name = "STAGE", help_heading = "Input")]
    pub target: Option<String>,

    /// Set a build argument; without =VALUE it is taken from the environment
    #[arg(long, value_name = "NAME[=VALUE]", value_parser = flag::assignment, help_heading = "Input")]
    pub build_arg: Vec<(String, Option<String>)>,

    /// Another context: a directory, docker-image://REFERENCE or oci-layout://PATH[:TAG]
    #[arg(long, value_name = "NAME=CONTEXT", value_parser = spec::context::parse, help_heading = "Input")]
    pub build_context: Vec<(String, NamedContext)>,

    /// A secret for RUN --mount=type=secret: id=ID[,src=PATH|,env=NAME]
    #[arg(long, value_name = "SPEC", value_parser = spec::secret::parse, help_heading = "Input")]
    pub secret: Vec<spec::secret::Secret>,

    /// An SSH agent for RUN --mount=type=ssh, or keys for one
    #[arg(long, value_name = "default|ID[=SOCKET|KEY,...]", value_parser = spec::ssh::parse, help_heading = "Input")]
    pub ssh: Vec<spec::ssh::Ssh>,

    /// Build for these platforms; several make an index of images [default: the one of this machine]
    #[arg(long, value_name = "OS/ARCH[/VARIANT],...", value_delimiter = ',', help_heading = "Input")]
    pub platform: Vec<Platform>,

    /// Ask registries for newer images even when the store has them
    #[arg(long, help_heading = "Input", action = ArgAction::Set, value_parser = flag::boolean)]
    pub pull: bool,

    /// Run all checks on the Dockerfile, and build nothing
    #[arg(long, help_heading = "Output", action = ArgAction::Set, value_parser = flag::boolean)]
    pub check: bool,

    /// List what the context holds, and what an ignore file leaves out; --show-context=json for programs
    #[arg(long, value_name = "FORMAT", value_parser = call::parse_show, num_args = 0..=1, require_equals = true, default_missing_value = "text", conflicts_with_all = ["check", "call"], help_heading = "Input")]
    pub show_context: Option<call::Call>,

    /// Ask nobody for anything: what the store lacks is an error
    #[arg(long, conflicts_with_all = ["pull", "lock"], help_heading = "Input")]
    pub offline: bool,

    /// Write down what the images, files and repositories in the Dockerfile are now: Dockerfile.lock, beside it
    #[arg(long, conflicts_with_all = ["check", "call", "show_context", "locked"], help_heading = "Input")]
    pub lock: bool,

    /// Take what Dockerfile.lock says, and nothing else
    #[arg(long, conflicts_with_all = ["pull", "check", "call", "show_context"], help_heading = "Input")]
    pub locked: bool,

    /// build, check, outline or targets: what to do with the Dockerfile
    #[arg(long, value_name = "METHOD[,format=json]", value_parser = call::parse, help_heading = "Output")]
    pub call: Option<call::Call>,

    /// Name the image; may be given several times
    #[arg(short, long, value_name = "NAME[:TAG]", help_heading = "Output")]
    pub tag: Vec<String>,

    /// What to make of the result; see below [default: an image in the store]
    #[arg(short, long, value_name = "SPEC", value_parser = spec::output::parse, help_heading = "Output")]
    pub output: Vec<Output>,

    /// Push the image to its registry: -o type=registry
    #[arg(long, help_heading = "Output", action = ArgAction::Set, value_parser = flag::boolean)]
    pub push: bool,

    /// Load the image into the Docker or podman of this machine: -o type=docker
    #[arg(long, help_heading = "Output", action = ArgAction::Set, value_parser = flag::boolean)]
    pub load: bool,

    /// Add a label to the image
    #[arg(long, value_name = "NAME[=VALUE]", value_parser = flag::assignment, help_heading = "Output")]
    pub label: Vec<(String, Option<String>)>,

    /// Annotate the manifest, or the PLACE: index, manifest-descriptor...
    #[arg(long, value_name = "[PLACE:]KEY=VALUE", value_parser = spec::annotation::parse, help_heading = "Output")]
    pub annotation: Vec<spec::annotation::Annotations>,

    /// Write the image ID to this file
    #[arg(long, value_name = "PATH", help_heading = "Output")]
    pub iidfile: Option<PathBuf>,

    /// Write digests and names of the result to this file, as JSON
    #[arg(long, value_name = "PATH", help_heading = "Output")]
    pub metadata_file: Option<PathBuf>,

    /// Run every step, whatever is known of earlier builds
    #[arg(long, help_heading = "Steps", action = ArgAction::Set, value_parser = flag::boolean)]
    pub no_cache: bool,

    /// Run every step of this stage, whatever is known of earlier builds
    #[arg(long, value_name = "STAGE", value_delimiter = ',', help_heading = "Steps")]
    pub no_cache_filter: Vec<String>,

    /// Run again all that depends on a step that ran, even when that one made the same as before
    #[arg(long, help_heading = "Steps", action = ArgAction::Set, value_parser = flag::boolean)]
    pub no_early_cutoff: bool,

    /// Network of RUN
    #[arg(long, value_name = "MODE", value_enum, default_value = "default", help_heading = "Steps")]
    pub network: Network,

    /// Let the Dockerfile ask for this: network.host or security.insecure
    #[arg(long, value_name = "ENTITLEMENT", value_delimiter = ',', value_parser = flag::entitlement, help_heading = "Steps")]
    pub allow: Vec<flag::Entitlement>,

    /// Add a line to /etc/hosts of RUN
    #[arg(long, value_name = "NAME:ADDRESS", value_delimiter = ',', value_parser = spec::host::parse, help_heading = "Steps")]
    pub add_host: Vec<(String, String)>,

    /// Limit a resource of RUN, as in nofile=1024:4096
    #[arg(long, value_name = "NAME=SOFT[:HARD]", value_parser = spec::ulimit::parse, help_heading = "Steps")]
    pub ulimit: Vec<Ulimit>,

    /// Size of /dev/shm of RUN, as in 64m
    #[arg(long, value_name = "SIZE", value_parser = spec::size::parse, help_heading = "Steps")]
    pub shm_size: Option<u64>,

    /// Limits.
    #[command(flatten)]
    pub resources: ResourceFlags,

    /// How many steps may run at once [default: the number of processors]
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..), help_heading = "Steps")]
    pub parallelism: Option<u16>,

    /// About registries.
    #[command(flatten)]
    pub registries: RegistryFlags,

    /// Say at the end why steps ran; =json writes it to standard output
    #[arg(long, value_enum, value_name = "FORMAT", num_args = 0..=1, require_equals = true, default_missing_value = "text", help_heading = "Display")]
    pub explain: Option<flag::TextFormat>,

    /// auto, tty, plain, quiet, rawjson or none [default: $BUILDKIT_PROGRESS, or auto]
    #[arg(long, value_name = "MODE", value_enum, hide_possible_values = true, help_heading = "Display")]
    pub progress: Option<ProgressMode>,

    /// Write a page that shows where the time went, step by step
    #[arg(long, value_name = "FILE", help_heading = "Display")]
    pub timeline: Option<PathBuf>,

    /// Write the same as trace events, for Perfetto or chrome://tracing
    #[arg(long, value_name = "FILE", help_heading = "Display")]
    pub trace: Option<PathBuf>,

    /// Show nothing but the image ID at the end
    #[arg(short, long, help_heading = "Display")]
    pub quiet: bool,
}

impl BuildArgs {
    /// What is to be done instead of building.
    pub fn called(&self) -> Option<call::Call> {
        let check = self.check.then_some(call::Call { method: call::Method::Check, json: false });
        let lock = self.lock.then_some(call::Call { method: call::Method::Lock, json: false });
        self.show_context.or(lock).or(self.call).or(check).filter(|call| call.method != call::Method::Build)
    }
}

/// `--network`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[allow(missing_docs, reason = "named after the value")]
pub enum Network {
    Default,
    Host,
    None,
}

impl From<Network> for NetworkMode {
    fn from(network: Network) -> Self {
        match network {
            Network::Default => Self::Default,
            Network::Host => Self::Host,
            Network::None => Self::None,
        }
    }
}

/// `--progress`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
#[value(rename_all = "lower")]
pub enum ProgressMode {
    /// `tty` on a terminal, else `plain`.
    Auto,
    /// Running steps redrawn in place.
    Tty,
    /// One line after the other.
    Plain,
    /// The image ID alone.
    Quiet,
    /// JSON, an object a line.
    RawJson,
    /// Nothing.
    None,
}

/// Gives truth values the forms `--pull`, `--pull=true` and `--pull=false`, as Go's flag package has them.
pub fn truth_values(command: clap::Command) -> clap::Command {
    let ids = ["pull", "push", "load", "no_cache", "no_early_cutoff", "check", "quiet"];
    ids.into_iter().fold(command, |command, id| {
        command.mut_arg(id, |arg| {
            arg.required(false)
                .num_args(0..=1)
                .require_equals(true)
                .value_name("BOOL")
                .default_value("false")
                .default_missing_value("true")
                .hide_default_value(true)
        })
    })
}
