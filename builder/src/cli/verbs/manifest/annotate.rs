//! `manifest annotate`: what an index says of itself, or of one of its images.

use super::{key_value, push, target};
use crate::cli::display::{self, Display};
use crate::cli::failure::{Failure, UsageError};
use crate::cli::registry_flags::RegistryFlags;
use crate::cli::style::Style;
use crate::cli::{local, remote};
use crate::environment::Environment;
use crate::registry;
use registry_client::client::Client;
use registry_client::descriptor::Descriptor;
use registry_client::manifest::{ComposeError, EntryName, ParsedManifest};
use registry_client::platform::Platform;
use registry_client::reference::Reference;
use std::io::{self, IsTerminal, Write};

/// Flags of `build manifest annotate`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The index, by a tag
    #[arg(value_name = "INDEX")]
    pub target: String,

    /// One of its images, by platform (linux/arm64), digest, or the name that it has in a registry
    #[arg(value_name = "IMAGE")]
    pub image: Option<String>,

    /// Its architecture
    #[arg(long, value_name = "ARCH", requires = "image")]
    pub arch: Option<String>,

    /// Its operating system
    #[arg(long, value_name = "OS", requires = "image")]
    pub os: Option<String>,

    /// The variant of its architecture
    #[arg(long, value_name = "VARIANT", requires = "image")]
    pub variant: Option<String>,

    /// The version of its operating system
    #[arg(long, value_name = "VERSION", requires = "image")]
    pub os_version: Option<String>,

    /// A feature that its operating system must have
    #[arg(long, value_name = "FEATURE", value_delimiter = ',', requires = "image")]
    pub os_features: Vec<String>,

    /// An annotation of the image; without IMAGE, of the index
    #[arg(long, value_name = "KEY=VALUE", value_parser = key_value)]
    pub annotation: Vec<(String, String)>,

    /// Show nothing but the index's name at the end
    #[arg(short, long)]
    pub quiet: bool,

    /// About registries.
    #[command(flatten)]
    pub registries: RegistryFlags,
}

/// Changes the index: the tag names a new one then.
///
/// # Errors
/// When there is no such index or image in it, there is nothing to change, or the registry fails.
pub(super) fn run(
    mut args: Args,
    environment: &Environment,
    style: Style,
    out: &mut dyn Write,
) -> Result<(), Failure> {
    let environment = &std::mem::take(&mut args.registries).applied(environment)?;
    let target = target(&args.target)?;
    if !args.changes_platform() && args.annotation.is_empty() {
        return Err(UsageError::NothingToChange.into());
    }
    let mode = display::mode(None, args.quiet, environment, io::stderr().is_terminal())?;
    let name = format!("annotating {}", target.familiar());
    let digest = remote::shown_as(Display::new(mode, style), &name, None, async |progress, _| {
        let client = registry::client(environment);
        let ParsedManifest::Index(mut index) = client.manifest(&target).await?.parse()? else {
            return Err(Failure::NoIndex(target.familiar()));
        };
        match &args.image {
            None => index.annotate(&args.annotation.iter().cloned().collect())?,
            Some(image) => {
                if index.is_of_docker() && !args.annotation.is_empty() {
                    return Err(ComposeError::DockerAnnotations.into());
                }
                let wanted = entry_name(&client, image).await?;
                args.change(index.entry_mut(&wanted)?);
            }
        }
        let pushed = push(&client, &target, &index).await?;
        registry::tell_warnings(&client, progress);
        Ok(pushed.digest)
    })?;
    if !args.quiet {
        writeln!(out, "Digest: {digest}")?;
    }
    writeln!(out, "{target}")?;
    Ok(())
}

impl Args {
    fn changes_platform(&self) -> bool {
        let texts = [&self.arch, &self.os, &self.variant, &self.os_version];
        texts.iter().any(|text| text.is_some()) || !self.os_features.is_empty()
    }

    fn change(&self, entry: &mut Descriptor) {
        entry.annotations.extend(self.annotation.iter().cloned());
        if !self.changes_platform() {
            return;
        }
        let platform = entry.platform.get_or_insert_with(Platform::host);
        let set = |field: &mut String, value: &Option<String>| {
            if let Some(value) = value {
                field.clone_from(value);
            }
        };
        let set_or_clear = |field: &mut Option<String>, value: &Option<String>| {
            if let Some(value) = value {
                *field = (!value.is_empty()).then(|| value.clone());
            }
        };
        set(&mut platform.architecture, &self.arch);
        set(&mut platform.os, &self.os);
        set_or_clear(&mut platform.variant, &self.variant);
        set_or_clear(&mut platform.os_version, &self.os_version);
        if !self.os_features.is_empty() {
            platform.os_features.clone_from(&self.os_features);
        }
    }
}

/// A digest or platform as it is; a name for the digest that it stands for.
async fn entry_name(client: &Client, text: &str) -> Result<EntryName, Failure> {
    // An image may be called like a platform; one that has a slash and no colon is more likely one.
    let name = text.contains([':', '@']) && !text.starts_with("sha");
    if !name && let Ok(name) = text.parse::<EntryName>() {
        return Ok(name);
    }
    let reference: Reference = local::canonical(text)?;
    Ok(EntryName::Digest(client.resolve(&reference).await?.digest))
}
