//! `copy`: from registry to registry, without the store.

use crate::cli::display::{self, Display};
use crate::cli::failure::Failure;
use crate::cli::registry_flags::RegistryFlags;
use crate::cli::style::Style;
use crate::cli::{local, remote};
use crate::environment::Environment;
use crate::progress::Event;
use crate::registry;
use registry_client::copy::CopyOptions;
use registry_client::descriptor::Descriptor;
use registry_client::platform::Platform;
use registry_client::push::{BlobOutcome, OnStep, PushStep};
use registry_client::reference::Reference;
use std::io::{self, IsTerminal, Write};
use std::sync::{Arc, Mutex, PoisonError};

/// Flags of `build copy`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// What is copied
    #[arg(value_name = "SOURCE")]
    pub source: String,

    /// The names it gets
    #[arg(value_name = "TARGET", required = true)]
    pub targets: Vec<String>,

    /// Of an image for several platforms, this one alone
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub platform: Option<Platform>,

    /// Copy what refers to the image, too: signatures, SBOMs
    #[arg(long)]
    pub referrers: bool,

    /// Look for every layer at the registry, though it has the manifest: to mend what it has lost
    #[arg(long)]
    pub verify: bool,

    /// Show nothing but the targets at the end
    #[arg(short, long)]
    pub quiet: bool,

    /// About registries.
    #[command(flatten)]
    pub registries: RegistryFlags,
}

/// How the blobs got there.
#[derive(Clone, Copy, Debug, Default)]
struct Moved {
    sent: usize,
    bytes: u64,
    mounted: usize,
    there: usize,
}

/// Copies.
///
/// # Errors
/// When a registry fails, or what was given is no name.
pub fn run(args: Args, environment: &Environment, style: Style, out: &mut dyn Write) -> Result<(), Failure> {
    let environment = &args.registries.applied(environment)?;
    let source = local::canonical(&args.source)?;
    let targets: Vec<Reference> =
        args.targets.iter().map(|name| local::canonical(name)).collect::<Result<_, _>>()?;
    if let Some(given) = args.targets.iter().zip(&targets).find(|(_, target)| target.digest().is_some()) {
        return Err(Failure::DigestAsName(given.0.clone()));
    }
    let options = CopyOptions { platform: args.platform, referrers: args.referrers, verify: args.verify };
    let mode = display::mode(None, args.quiet, environment, io::stderr().is_terminal())?;
    let name = format!("copying {}", source.familiar());
    let moved: Arc<Mutex<Moved>> = Arc::default();
    let copied = remote::shown_as(Display::new(mode, style), &name, None, async |progress, step| {
        let client = registry::client(environment);
        let on_step: OnStep = {
            let (progress, moved) = (progress.clone(), moved.clone());
            Arc::new(move |descriptor: &Descriptor, state| match state {
                PushStep::Sent(current) => {
                    let (item, total) = (descriptor.digest.short(), Some(descriptor.size));
                    progress.send(Event::Transfer { step, item, current, total });
                }
                PushStep::Done(outcome) => {
                    let mut moved = moved.lock().unwrap_or_else(PoisonError::into_inner);
                    match outcome {
                        BlobOutcome::Uploaded => {
                            moved.sent += 1;
                            moved.bytes += descriptor.size;
                        }
                        BlobOutcome::Mounted => moved.mounted += 1,
                        BlobOutcome::Existed => moved.there += 1,
                    }
                }
            })
        };
        let copied = client.copy(&source, &targets, &options, on_step).await;
        registry::tell_warnings(&client, progress);
        Ok(copied?)
    })?;
    if !args.quiet {
        let Moved { sent, bytes, mounted, there } = *moved.lock().unwrap_or_else(PoisonError::into_inner);
        writeln!(out, "Digest: {}", copied.digest)?;
        writeln!(out, "Blobs: {sent} sent ({bytes} bytes), {mounted} mounted, {there} there already")?;
    }
    for target in &targets {
        writeln!(out, "{target}")?;
    }
    Ok(())
}
