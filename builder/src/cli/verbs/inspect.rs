//! `inspect`: all that is known of images, as a JSON array in the shape of `docker inspect`.

mod remote;

use super::format::{Format, format};
use crate::cli::failure::{Failure, UsageError};
use crate::cli::local;
use crate::cli::registry_flags::RegistryFlags;
use crate::environment::Environment;
use crate::image::StoredImage;
use crate::store::Store;
use registry_client::descriptor::Descriptor;
use registry_client::platform::Platform;
use registry_client::reference::Reference;
use serde_json::{Value, json};
use std::io::Write;

/// Flags of `build inspect`.
#[derive(clap::Args, Debug, Default)]
pub struct Args {
    /// Names or IDs of images of the store; names of images in registries with the flags that ask them
    #[arg(value_name = "IMAGE", required = true)]
    pub images: Vec<String>,

    /// What of each image: json, or a template as in '{{json .Config.Labels}}'
    #[arg(short, long, value_name = "TEMPLATE", value_parser = format)]
    pub format: Option<Format>,

    /// Of an image for several platforms, this one [default: the one of this machine, or else any]
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub platform: Option<Platform>,

    /// Ask the registry and not the store, without pulling the image
    #[arg(long)]
    pub remote: bool,

    /// Print the manifest or index as the registry has it, byte for byte; with --platform that of an image in it
    #[arg(long, conflicts_with_all = ["format", "referrers"])]
    pub raw: bool,

    /// Print the image's config as the registry has it, byte for byte
    #[arg(long, conflicts_with_all = ["format", "referrers", "raw"])]
    pub config: bool,

    /// List what refers to the image in its registry, too: signatures, SBOMs
    #[arg(long, requires = "remote")]
    pub referrers: bool,

    /// About registries.
    #[command(flatten)]
    pub registries: RegistryFlags,
}

/// Writes what is found, in the store or in registries.
///
/// # Errors
/// When an image is not there or cannot be read, or standard output fails.
pub fn run(args: Args, environment: &Environment, out: &mut dyn Write) -> Result<(), Failure> {
    if args.remote || args.raw || args.config {
        return remote::run(args, environment, out);
    }
    if !args.registries.is_empty() {
        return Err(UsageError::NoRegistryAsked.into());
    }
    of_store(&args, &local::open(environment)?, out)
}

/// Writes what is found; nothing when one is not found, so that no half answer is taken for a whole one.
///
/// # Errors
/// When an image is not there or cannot be read, or standard output fails.
pub fn of_store(args: &Args, store: &Store, out: &mut dyn Write) -> Result<(), Failure> {
    let names = local::names(store)?;
    let mut objects = Vec::new();
    for text in &args.images {
        let found = local::find(store, text)?;
        let image = local::read_wanted(store, &found.descriptor, args.platform.as_ref())?;
        let names = names.get(&found.descriptor.digest).map_or(&[][..], Vec::as_slice);
        let mut object = object(store, &found.descriptor, &image, names);
        if found.descriptor.media_type.is_index() && args.platform.is_none() {
            // As the list of images and the build that made it say.
            object["Id"] = json!(found.descriptor.digest);
        }
        objects.push(object);
    }
    match &args.format {
        None | Some(Format::Table) => writeln!(out, "{:#}", Value::Array(objects))?,
        Some(format) => format.write(&objects, &[], out)?,
    }
    Ok(())
}

fn object(store: &Store, descriptor: &Descriptor, image: &StoredImage, names: &[String]) -> Value {
    let config = &image.config;
    let digests: Vec<String> = names
        .iter()
        .filter_map(|name| name.parse::<Reference>().ok())
        .map(|name| name.without_identifier().with_digest(descriptor.digest).familiar())
        .collect();
    let comment = config.history.last().and_then(|entry| entry.comment.as_deref()).unwrap_or_default();
    let platforms = local::platforms(store, descriptor);
    let platforms: Vec<String> = match platforms.is_empty() {
        true => vec![config.platform().to_string()],
        false => platforms.into_iter().map(|(platform, _)| platform.to_string()).collect(),
    };
    json!({
        "Id": image.id(),
        "RepoTags": names,
        "RepoDigests": digests,
        "Comment": comment,
        "Created": config.created,
        "Author": config.author.as_deref().unwrap_or_default(),
        "Architecture": config.architecture,
        "Variant": config.variant.as_deref().unwrap_or_default(),
        "Os": config.os,
        "Platforms": platforms,
        "Size": local::size(store, image),
        "Config": config.config,
        "RootFS": {"Type": config.rootfs.kind, "Layers": config.rootfs.diff_ids},
        "Descriptor": descriptor,
        "Manifest": image.manifest,
        "Annotations": image.annotations,
    })
}
