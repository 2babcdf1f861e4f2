//! `pull`: an image from its registry into the store.

use crate::bases::Bases;
use crate::cli::display::{self, Display};
use crate::cli::failure::Failure;
use crate::cli::registry_flags::RegistryFlags;
use crate::cli::style::Style;
use crate::cli::{local, remote};
use crate::environment::Environment;
use crate::pull::pull;
use crate::registry;
use registry_client::platform::Platform;
use std::io::{self, IsTerminal, Write};

/// Flags of `build pull`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The image
    #[arg(value_name = "NAME[:TAG][@DIGEST]")]
    pub reference: String,

    /// Which platform of it [default: the one of this machine]
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub platform: Option<Platform>,

    /// Show nothing but the image's name at the end
    #[arg(short, long)]
    pub quiet: bool,

    /// About registries.
    #[command(flatten)]
    pub registries: RegistryFlags,
}

/// Pulls.
///
/// # Errors
/// When the registry or the store fails, or what was given is no reference.
pub fn run(args: Args, environment: &Environment, style: Style, out: &mut dyn Write) -> Result<(), Failure> {
    let environment = &args.registries.applied(environment)?;
    let reference = local::canonical(&args.reference)?;
    let store = local::open(environment)?;
    // What a pull that was killed has left takes the space of this one; that it cannot be removed is no reason to fail.
    let _ = store.sweep();
    let platform = args.platform.unwrap_or_else(Platform::host);
    let mode = display::mode(None, args.quiet, environment, io::stderr().is_terminal())?;
    let name = format!("pulling {}", reference.familiar());
    let image = remote::shown_as(Display::new(mode, style), &name, Some(&store), async |progress, step| {
        let client = registry::client(environment);
        let bases = Bases::new(store.clone(), client.clone(), progress.clone());
        let pulled = pull(&store, &client, &bases, &reference, &platform, progress, step).await;
        registry::tell_warnings(&client, progress);
        Ok(pulled?)
    })?;
    if !args.quiet {
        writeln!(out, "Digest: {}", image.descriptor.digest)?;
    }
    writeln!(out, "{reference}")?;
    Ok(())
}
