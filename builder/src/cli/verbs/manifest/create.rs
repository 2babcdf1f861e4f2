//! `manifest create`: an index of images, wherever they are.

use super::{key_value, push, target};
use crate::cli::display::{self, Display};
use crate::cli::failure::Failure;
use crate::cli::registry_flags::RegistryFlags;
use crate::cli::style::Style;
use crate::cli::{local, remote};
use crate::environment::Environment;
use crate::registry;
use registry_client::client::{Client, RequestError};
use registry_client::copy::CopyOptions;
use registry_client::manifest::{Contribution, Index, ParsedManifest};
use registry_client::pull::PullError;
use registry_client::reference::Reference;
use std::collections::BTreeMap;
use std::io::{self, IsTerminal, Write};
use std::sync::Arc;

/// Flags of `build manifest create`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The name of the index
    #[arg(value_name = "INDEX")]
    pub target: String,

    /// Images, or indexes with all their images; what is in other repositories is copied
    #[arg(value_name = "IMAGE", required = true)]
    pub sources: Vec<String>,

    /// Keep what the index has now; an image for the same platform is replaced
    #[arg(short, long, visible_alias = "append")]
    pub amend: bool,

    /// An annotation of the index
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    pub annotation: Vec<(String, String)>,

    /// Make an OCI index even of images in Docker's format
    #[arg(long)]
    pub oci: bool,

    /// Print the index and push nothing
    #[arg(long)]
    pub dry_run: bool,

    /// Show nothing but the index's name at the end
    #[arg(short, long)]
    pub quiet: bool,

    /// About registries.
    #[command(flatten)]
    pub registries: RegistryFlags,
}

/// Makes the index.
///
/// # Errors
/// When an image is not there, two are for one platform, or a registry fails.
pub(super) fn run(
    args: Args,
    environment: &Environment,
    style: Style,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let environment = &args.registries.applied(environment)?;
    let target = target(&args.target)?;
    let sources: Vec<Reference> =
        args.sources.iter().map(|name| local::canonical(name)).collect::<Result<_, _>>()?;
    let quiet = args.quiet || args.dry_run;
    let mode = display::mode(None, quiet, environment, io::stderr().is_terminal())?;
    let name = format!("making {}", target.familiar());
    let annotations: BTreeMap<String, String> = args.annotation.into_iter().collect();
    let (index, pushed) = remote::shown_as(Display::new(mode, style), &name, None, async |progress, _| {
        let client = registry::client(environment);
        let base = if args.amend { existing(&client, &target).await? } else { None };
        let mut contributions = Vec::new();
        for source in &sources {
            let entries = client.index_entries(source).await?;
            contributions.push(Contribution { name: source.familiar(), entries });
        }
        let mut index = Index::compose(base, &contributions, args.oci)?;
        index.annotate(&annotations)?;
        let mut pushed = None;
        if !args.dry_run {
            for (source, contribution) in sources.iter().zip(&contributions) {
                bring(&client, source, contribution, &target).await?;
            }
            pushed = Some(push(&client, &target, &index).await?);
        }
        registry::tell_warnings(&client, progress);
        Ok((index, pushed))
    })?;
    match pushed {
        None => writeln!(out, "{}", serde_json::to_string_pretty(&index).map_err(io::Error::from)?)?,
        Some(pushed) => {
            if !args.quiet {
                writeln!(out, "Digest: {}", pushed.digest)?;
            }
            writeln!(out, "{target}")?;
        }
    }
    Ok(())
}

/// The index that has the name now, if there is one.
async fn existing(client: &Client, target: &Reference) -> Result<Option<Index>, Failure> {
    let received = match client.manifest(target).await {
        Ok(received) => received,
        Err(PullError::Request(RequestError::NotFound { .. })) => return Ok(None),
        Err(error) => return Err(error.into()),
    };
    match received.parse()? {
        ParsedManifest::Index(index) => Ok(Some(*index)),
        // As if it had been named first.
        ParsedManifest::Manifest(_) => {
            let manifests = client.index_entries(target).await?;
            Ok(Some(Index { manifests, ..Index::empty() }))
        }
    }
}

/// Gets the images of a source into the repository of the index.
async fn bring(
    client: &Client,
    source: &Reference,
    contribution: &Contribution,
    target: &Reference,
) -> Result<(), Failure> {
    let place = target.without_identifier();
    if source.without_identifier() == place {
        return Ok(());
    }
    for entry in &contribution.entries {
        let from = source.without_identifier().with_digest(entry.digest);
        client
            .copy(&from, std::slice::from_ref(&place), &CopyOptions::default(), Arc::new(|_, _| {}))
            .await?;
    }
    Ok(())
}
