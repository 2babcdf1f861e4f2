//! `push`: an image of the store to its registry.

use crate::blocking::blocking;
use crate::cli::display::{self, Display};
use crate::cli::failure::Failure;
use crate::cli::registry_flags::RegistryFlags;
use crate::cli::style::Style;
use crate::cli::{local, remote};
use crate::environment::Environment;
use crate::export::{self, Bundle, ExportError, Options, Package};
use crate::image::{Dialect, Document, StoredImage};
use crate::layer::Compression;
use crate::push::{Destination, push};
use crate::registry;
use crate::store::Store;
use registry_client::descriptor::Descriptor;
use registry_client::media_type::MediaType;
use registry_client::platform::Platform;
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

    /// Of an image for several platforms, this one alone
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub platform: Option<Platform>,

    /// Look for every layer at the registry, though it has the manifest: to mend what it has lost
    #[arg(long)]
    pub verify: bool,

    /// Show nothing but the image's name at the end
    #[arg(short, long)]
    pub quiet: bool,

    /// About registries.
    #[command(flatten)]
    pub registries: RegistryFlags,
}

/// Pushes. Layers that are not compressed yet are; the others, and a manifest that need not change, go out as they are.
///
/// # Errors
/// When the image is not there or not whole, the registry fails, or what was given is no name.
pub fn run(args: Args, environment: &Environment, style: Style, out: &mut dyn Write) -> Result<(), Failure> {
    let environment = &args.registries.applied(environment)?;
    let reference = local::canonical(&args.reference)?;
    if reference.digest().is_some() {
        return Err(Failure::DigestAsName(args.reference.clone()));
    }
    let store = local::open(environment)?;
    let found = local::find(&store, &args.reference)?;
    let mode = display::mode(None, args.quiet, environment, io::stderr().is_terminal())?;
    let name = format!("pushing {}", reference.familiar());
    let digest = remote::shown_as(Display::new(mode, style), &name, Some(&store), async |progress, step| {
        // Compressing takes long, and must not keep the user from stopping it.
        let bundle = blocking({
            let (store, descriptor, progress) = (store.clone(), found.descriptor.clone(), progress.clone());
            let platform = args.platform.clone();
            move || bundle(&store, &descriptor, platform.as_ref(), &|text| progress.warn(text))
        });
        let bundle = bundle.await?;
        let from = repositories(&store, &found.descriptor, &reference)?;
        let layers = bundle.packages.iter().flat_map(|package| &package.layers);
        let mount = layers.map(|layer| (layer.descriptor.digest, from.clone())).collect();
        let client = registry::client(environment);
        let references = std::slice::from_ref(&reference);
        let destination = Destination { references, mount_from: &mount, convert: true, verify: args.verify };
        let pushed = push(&client, &store, &bundle, destination, progress, step).await;
        registry::tell_warnings(&client, progress);
        Ok(pushed?.0.digest)
    })?;
    if !args.quiet {
        writeln!(out, "Digest: {digest}")?;
    }
    writeln!(out, "{reference}")?;
    Ok(())
}

/// What `descriptor` points to with compressed layers: of an index, the images of all its platforms, when the store has
/// them.
fn bundle(
    store: &Store,
    descriptor: &Descriptor,
    platform: Option<&Platform>,
    warn: &dyn Fn(String),
) -> Result<Bundle, Failure> {
    let (top, images) = local::all_platforms(store, descriptor, platform)?;
    if top.digest != descriptor.digest && platform.is_none() {
        let platform = images.first().map(|image| image.config.platform().to_string()).unwrap_or_default();
        warn(format!(
            "the store has not all platforms of this image; the one for {platform} is pushed alone"
        ));
    }
    Ok(export::bundle_of(store, &top, &images, &|image| package(store, image))?)
}

/// The image with compressed layers.
fn package(store: &Store, image: &StoredImage) -> Result<Package, ExportError> {
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
