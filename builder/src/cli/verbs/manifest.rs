//! `manifest`: indexes, made and changed in their registry.

mod annotate;
mod create;
mod show;

use crate::cli::failure::{Failure, UsageError};
use crate::cli::local;
use crate::cli::style::Style;
use crate::environment::Environment;
use registry_client::client::Client;
use registry_client::descriptor::Descriptor;
use registry_client::manifest::Index;
use registry_client::media_type::MediaType;
use registry_client::reference::Reference;
use std::io::Write;

/// What is done to an index.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// What is done.
    #[command(subcommand)]
    pub verb: Verb,
}

/// The verbs below `manifest`.
#[derive(clap::Subcommand, Debug)]
pub enum Verb {
    /// Make an index of images that are in registries, and push it
    Create(create::Args),
    /// Change what an index in its registry says of itself or of one of its images
    Annotate(annotate::Args),
    /// Print a manifest or index as its registry has it
    Inspect(show::Args),
    /// Refused: create and annotate push already
    #[command(hide = true)]
    Push(Anything),
}

/// Words that are not looked at.
#[derive(clap::Args, Debug)]
pub struct Anything {
    /// Whatever comes.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "INDEX")]
    pub words: Vec<String>,
}

/// Does it.
///
/// # Errors
/// When a registry fails, or what was given makes no sense.
pub fn run(args: Args, environment: &Environment, style: Style, out: &mut dyn Write) -> Result<(), Failure> {
    match args.verb {
        Verb::Create(args) => create::run(args, environment, style, out),
        Verb::Annotate(args) => annotate::run(args, environment, style, out),
        Verb::Inspect(args) => show::run(args, environment, out),
        Verb::Push(_) => Err(UsageError::ManifestPush.into()),
    }
}

/// Reads `KEY=VALUE`.
fn key_value(text: &str) -> Result<(String, String), &'static str> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write KEY=VALUE"),
    }
}

/// The name an index gets; a digest would be that of another one.
fn target(text: &str) -> Result<Reference, Failure> {
    let reference = local::canonical(text)?;
    if reference.digest().is_some() { Err(Failure::DigestAsName(text.to_owned())) } else { Ok(reference) }
}

/// Pushes an index under its name.
async fn push(client: &Client, target: &Reference, index: &Index) -> Result<Descriptor, Failure> {
    let media_type = index.media_type.clone().unwrap_or(MediaType::OciIndex);
    let bytes = serde_json::to_vec(index).map_err(std::io::Error::from)?;
    Ok(client.push_manifest(target, &media_type, bytes.into()).await?.descriptor)
}
