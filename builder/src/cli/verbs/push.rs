//! `push`: an image of the store to its registry.

use crate::cli::display::{self, Display};
use crate::cli::failure::Failure;
use crate::cli::style::Style;
use crate::cli::{local, remote};
use crate::environment::Environment;
use crate::export::{self, Options, Package};
use crate::image::{Dialect, Document, StoredImage};
use crate::layer::Compression;
use crate::push::push;
use crate::registry;
use crate::store::Store;
use registry_client::descriptor::Descriptor;
use registry_client::media_type::MediaType;
use registry_client::reference::Reference;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, IsTerminal, Write};
use std::num::NonZeroUsize;

/// The most that is read of a manifest, in bytes (distribution-spec, "Pushing Manifests").
const MANIFEST: u64 = 4 << 20;

/// Flags of `build push`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The image
    #[arg(value_name = "NAME[:TAG]")]
    pub reference: String,

    /// Show nothing but the image's name at the end
    #[arg(short, long)]
    pub quiet: bool,
}

/// Pushes. Layers that are not compressed yet are; the others, and a manifest that need not change, go out as they are.
///
/// # Errors
/// When the image is not there or not whole, the registry fails, or what was given is no name.
pub fn run(args: &Args, environment: &Environment, style: Style, out: &mut dyn Write) -> Result<(), Failure> {
    let reference = local::canonical(&args.reference)?;
    if reference.digest().is_some() {
        return Err(Failure::DigestAsName(args.reference.clone()));
    }
    let store = local::open(environment)?;
    let found = local::find(&store, &args.reference)?;
    let image = local::read(&store, &found.descriptor)?;
    let mode = display::mode(None, args.quiet, environment, io::stderr().is_terminal())?;
    let name = format!("pushing {}", reference.familiar());
    let digest = remote::shown_as(Display::new(mode, style), &name, async |progress, step| {
        if found.descriptor.media_type.is_index() {
            let platform = image.config.platform();
            progress.warn(format!("the image has several platforms; the one for {platform} is pushed"));
        }
        let package = package(&store, &image)?;
        let from = repositories(&store, &found.descriptor, &reference)?;
        let mount = package.layers.iter().map(|layer| (layer.descriptor.digest, from.clone())).collect();
        let client = registry::client(environment);
        let references = std::slice::from_ref(&reference);
        let pushed = push(&client, &store, &package, references, &mount, progress, step).await;
        for warning in client.take_warnings() {
            progress.warn(format!("{}: {}", warning.registry, warning.text));
        }
        Ok(pushed?.0.digest)
    })?;
    if !args.quiet {
        writeln!(out, "Digest: {digest}")?;
    }
    writeln!(out, "{reference}")?;
    Ok(())
}

/// The image with compressed layers.
fn package(store: &Store, image: &StoredImage) -> Result<Package, Failure> {
    let docker = image.manifest.media_type == MediaType::DockerManifest;
    let options = Options {
        dialect: if docker { Dialect::Docker } else { Dialect::Oci },
        compression: Compression::Gzip { level: Compression::GZIP_LEVEL },
        force: false,
        annotations: BTreeMap::new(),
        threads: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
    };
    let mut package = export::prepare(store, image, &options)?;
    let mut layers = package.layers.iter().zip(&image.layers);
    if layers.all(|(packed, layer)| packed.descriptor.digest == layer.descriptor.digest) {
        // Nothing changed, so neither does the digest: writing the manifest anew would order and indent it our way.
        let bytes = store.blobs().read(&image.manifest.digest, MANIFEST)?;
        package.manifest = Document { bytes, descriptor: image.manifest.clone() };
    }
    package.settle(store)?;
    Ok(package)
}

/// Other repositories of the same registry that the image is named after here: its layers may be there already.
fn repositories(store: &Store, image: &Descriptor, target: &Reference) -> Result<Vec<String>, Failure> {
    let names = local::names(store)?.remove(&image.digest).unwrap_or_default();
    let names = names.iter().filter_map(|name| name.parse::<Reference>().ok());
    let others =
        names.filter(|name| name.registry() == target.registry() && name.repository() != target.repository());
    let repositories: BTreeSet<_> = others.map(|name| name.repository().to_owned()).collect();
    Ok(repositories.into_iter().collect())
}
