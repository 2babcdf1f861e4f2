//! `run`: tries an image: one program in the foreground, on a file system that is thrown away.

mod command;
mod console;
pub mod volume;

use crate::bases;
use crate::cli::Around;
use crate::cli::build::args::Network as Flag;
use crate::cli::environment::Lookup;
use crate::cli::failure::Failure;
use crate::cli::spec::flag;
use crate::cli::style::Style;
use crate::cli::{local, remote};
use crate::emulation::{EmulationError, Emulators};
use crate::environment::Environment;
use crate::image::StoredImage;
use crate::rootfs::RootAttributes;
use crate::rootfs::overlay::overlay_view;
use crate::rootfs::user::{UserError, resolve_user};
use crate::sandbox::net::resolv_conf;
use crate::sandbox::{
    BindSource, DEFAULT_SHM_SIZE, Mount, MountKind, Network, RootFs, Sandbox, SandboxError, Security, Stdio,
};
use crate::store::Store;
use registry_client::descriptor::Descriptor;
use registry_client::platform::Platform;
use std::ffi::OsString;
use std::io::{self, IsTerminal, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use volume::{Volume, volume};

/// Flags of `build run`.
#[derive(clap::Args, Debug)]
#[command(override_usage = "build run [OPTIONS] IMAGE [COMMAND...]")]
pub struct Args {
    /// Set a variable; without =VALUE it is taken from the environment
    #[arg(short, long, value_name = "NAME[=VALUE]", value_parser = flag::assignment)]
    pub env: Vec<(String, Option<String>)>,

    /// Show a directory or file of this machine in the container
    #[arg(short, long, value_name = "PATH:PATH[:ro]", value_parser = volume)]
    pub volume: Vec<Volume>,

    /// Start in this directory
    #[arg(short, long, value_name = "PATH")]
    pub workdir: Option<PathBuf>,

    /// Run as this user
    #[arg(short, long, value_name = "USER[:GROUP]")]
    pub user: Option<String>,

    /// Hand standard input to the program
    #[arg(short, long)]
    pub interactive: bool,

    /// Give the program a terminal
    #[arg(short, long)]
    pub tty: bool,

    /// Run this program instead of the image's ENTRYPOINT
    #[arg(long, value_name = "PROGRAM")]
    pub entrypoint: Option<String>,

    /// Network of the program
    #[arg(long, value_name = "MODE", value_enum, default_value = "default")]
    pub network: Flag,

    /// Run the image for this platform [default: the one of this machine, or else any]
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub platform: Option<Platform>,

    /// Throw away what the program writes: always so
    #[arg(long)]
    pub rm: bool,

    /// Let the program write to no file of the image
    #[arg(long)]
    pub read_only: bool,

    /// The image, and what to run instead of its CMD
    // One list, so that whatever follows the image belongs to the program, dashes or not.
    #[arg(value_name = "IMAGE", required = true, trailing_var_arg = true)]
    pub words: Vec<OsString>,
}

/// Why a program cannot be run.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// Neither the image nor the command line names a program.
    #[error("the image has neither ENTRYPOINT nor CMD: write what to run behind its name")]
    NoProgram,
    /// `-t` with an input that nobody types.
    #[error("-i -t needs a terminal on standard input; write -i alone for a pipe")]
    NoTerminal,
    /// The source of `-v` is not there.
    #[error("-v: cannot use {}", path.display())]
    Volume {
        /// The source.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The image's file system cannot be put together.
    #[error("cannot mount the image's file system")]
    Mount(#[source] io::Error),
    /// The user is not known in the image.
    #[error(transparent)]
    User(#[from] UserError),
    /// The image is for another processor.
    #[error("{error}{help}", error = .0, help = .0.help().map(|help| format!("\nhelp: {help}")).unwrap_or_default())]
    Emulation(#[from] EmulationError),
    /// The sandbox.
    #[error(transparent)]
    Sandbox(#[from] SandboxError),
}

impl RunError {
    /// The exit status, as `docker run` has it: 127 and 126 when the program is not there or not executable, else 125,
    /// which no failing of the program itself is mistaken for.
    pub fn status(&self) -> u8 {
        let code = match self {
            Self::Sandbox(error) => error.exit_code(),
            Self::Emulation(_) => Some(126),
            _ => None,
        };
        code.and_then(|code| u8::try_from(code).ok()).unwrap_or(125)
    }
}

/// Runs the program; the exit status is its own.
///
/// # Errors
/// When it cannot be run.
pub fn run(args: &Args, around: &Around<'_>, variable: Lookup<'_>) -> Result<ExitCode, Failure> {
    // Before standard input is read or anything is fetched: the program starts anew.
    local::need_mounts(around)?;
    let (environment, style) = (around.environment, around.style);
    if args.interactive && args.tty && !io::stdin().is_terminal() {
        return Err(RunError::NoTerminal.into());
    }
    let store = local::open(environment)?;
    let name = args.words.first().map(|word| word.to_string_lossy()).unwrap_or_default();
    let (image, lowers) = files(&name, args.platform.as_ref(), &store, environment, style)?;
    // What was unpacked for this gets on the disk beside the program. If it does not, it is unpacked again one day.
    let syncing = store.needs_sync().then(|| {
        let store = store.clone();
        std::thread::spawn(move || store.sync())
    });
    let config = &image.config.config;
    let program = command::arguments(args, config);
    if program.is_empty() {
        return Err(RunError::NoProgram.into());
    }
    let user = {
        let root = overlay_view(&lowers).map_err(RunError::Mount)?;
        let user = args.user.as_deref().unwrap_or(&config.user);
        resolve_user(&root, if user.is_empty() { "0" } else { user }).map_err(RunError::User)?
    };
    let probes = || store.scratch_dir().map_err(io::Error::other);
    let emulators = Emulators::new(environment.path.clone());
    let emulator = emulators.for_platform(&image.config.platform(), &probes).map_err(RunError::Emulation)?;
    let scratch = store.scratch_dir()?;
    let rootfs = if args.read_only {
        RootFs::ReadOnly { lowers }
    } else {
        let (upper, work) = (scratch.join("upper"), scratch.join("work"));
        for directory in [&upper, &work] {
            std::fs::create_dir(directory).map_err(RunError::Mount)?;
        }
        // The upper directory is `/` of the mount.
        let root = lowers.first().map_or(Ok(RootAttributes::DEFAULT), |top| RootAttributes::of(top));
        root.and_then(|root| root.give(&upper)).map_err(RunError::Mount)?;
        RootFs::Writable { lowers, upper, work }
    };
    let network = match args.network {
        Flag::None => Network::None,
        Flag::Default | Flag::Host => Network::Host,
    };
    let hostname = image.id().hex().chars().take(12).collect::<String>();
    let sandbox = Sandbox {
        rootfs,
        scratch,
        args: program,
        env: command::environment(args, config, &user.home, &hostname, variable),
        cwd: command::directory(args, config),
        user,
        hostname,
        network,
        mounts: args.volume.iter().map(mount).collect::<Result<_, _>>()?,
        extra_hosts: Vec::new(),
        resolv_conf: resolv_conf(network).map_err(RunError::Mount)?,
        rlimits: Vec::new(),
        shm_size: DEFAULT_SHM_SIZE,
        cgroup: None,
        security: Security::Sandboxed,
        user_namespace: emulator.map(|found| found.namespace()).transpose().map_err(RunError::Mount)?,
        stdio: if args.tty {
            Stdio::Terminal(console::window_size())
        } else {
            Stdio::Inherit { stdin: args.interactive }
        },
    };
    let mut child = sandbox.spawn().map_err(RunError::Sandbox)?;
    let status = console::attend(&mut child, args.interactive).map_err(RunError::Sandbox)?;
    if let Some(syncing) = syncing {
        let _ = syncing.join();
    }
    if status.out_of_memory {
        let note = style.diagnostic("note: a program was killed for want of memory\n");
        // There is nobody left to tell that standard error is closed.
        let _ = io::stderr().write_all(note.as_bytes());
    }
    // A status is one byte; the kernel has cut it already.
    Ok(ExitCode::from(u8::try_from(status.code()).unwrap_or(u8::MAX)))
}

/// The image and the directories of its layers, the top one first. What is missing is fetched.
fn files(
    name: &str,
    platform: Option<&Platform>,
    store: &Store,
    environment: &Environment,
    style: Style,
) -> Result<(StoredImage, Vec<PathBuf>), Failure> {
    let found = match local::find(store, name) {
        Err(Failure::NoImage(_)) => None,
        other => Some(other?),
    };
    let read = |descriptor: &Descriptor| local::read_wanted(store, descriptor, platform);
    let there = found.as_ref().and_then(|found| read(&found.descriptor).ok());
    let mut wanted = platform.cloned().unwrap_or_else(Platform::host);
    if let Some(image) = there {
        wanted = image.config.platform();
        let diff_ids = &image.config.rootfs.diff_ids;
        if diff_ids.iter().all(|layer| store.layers().get(*layer).is_some()) {
            let lowers = bases::stack(store, diff_ids)?;
            return Ok((image, lowers.into_iter().rev().collect()));
        }
    }
    let canonical = match &found {
        Some(found) => found.name.clone(),
        None => Some(local::canonical(name)?.to_string()),
    };
    let fetched = remote::fetch(store, environment, found.as_ref(), canonical.as_deref(), &wanted, style)?;
    let image = read(&fetched.descriptor)?;
    Ok((image, fetched.layers.into_iter().rev().collect()))
}

fn mount(volume: &Volume) -> Result<Mount, RunError> {
    // Said here, the message names the flag; in the sandbox it would name a step of mounting.
    let source = std::fs::canonicalize(&volume.source)
        .map_err(|source| RunError::Volume { path: volume.source.clone(), source })?;
    Ok(Mount {
        target: volume.target.clone(),
        kind: MountKind::Bind {
            source: BindSource::Path(source),
            read_only: volume.read_only,
            recursive: true,
        },
    })
}
