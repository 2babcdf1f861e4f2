//! `save`: images of the store as an archive for `docker load`.

use crate::cli::failure::{Failure, UsageError};
use crate::cli::local::{self, Found};
use crate::export::{self, Bundle, Options};
use crate::image::{Dialect, StoredImage};
use crate::layer::Compression;
use crate::store::Store;
use registry_client::digest::Digest;
use registry_client::platform::Platform;
use registry_client::reference::Reference;
use std::collections::BTreeMap;
use std::io::{self, IsTerminal};
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// Flags of `build save`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Names or IDs of images; a name without a tag means all tags of it
    #[arg(value_name = "IMAGE", required = true)]
    pub images: Vec<String>,

    /// Of an image for several platforms, this one alone
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub platform: Option<Platform>,

    /// Write to this file [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// Writes the archive.
///
/// # Errors
/// When an image is not there or not whole, or the archive cannot be written.
pub fn run(args: &Args, store: &Store) -> Result<(), Failure> {
    if args.output.is_none() && io::stdout().is_terminal() {
        return Err(UsageError::SaveOnTerminal.into());
    }
    let bundles = bundles(&args.images, args.platform.as_ref(), store)?;
    match &args.output {
        Some(path) => export::write_file(path, |out| export::docker_archive(store, &bundles, out))?,
        None => export::docker_archive(store, &bundles, &mut io::stdout().lock())?,
    }
    Ok(())
}

/// One bundle per image: an image that is given by several names goes out once, with all of them.
fn bundles(images: &[String], platform: Option<&Platform>, store: &Store) -> Result<Vec<Bundle>, Failure> {
    let mut bundles: Vec<(Digest, Bundle)> = Vec::new();
    for text in images {
        for found in meant(text, store)? {
            let digest = found.descriptor.digest;
            if let Some((_, bundle)) = bundles.iter_mut().find(|(known, _)| *known == digest) {
                bundle.names.extend(found.name.filter(|name| !bundle.names.contains(name)));
                continue;
            }
            let options = Options {
                dialect: Dialect::Oci,
                compression: Compression::None,
                force: true,
                annotations: BTreeMap::new(),
                threads: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
            };
            let (top, images) = local::all_platforms(store, &found.descriptor, platform)?;
            let package = |image: &StoredImage| export::prepare(store, image, &options);
            let mut bundle = export::bundle_of(store, &top, &images, &package)?;
            bundle.names.extend(found.name);
            bundles.push((digest, bundle));
        }
    }
    Ok(bundles.into_iter().map(|(_, bundle)| bundle).collect())
}

/// As docker: a repository alone means all its tags.
fn meant(text: &str, store: &Store) -> Result<Vec<Found>, Failure> {
    if let Ok(wanted) = text.parse::<Reference>()
        && wanted.tag().is_none()
        && wanted.digest().is_none()
    {
        let mut all = Vec::new();
        for image in store.images().list()? {
            let name = image.name.as_deref().and_then(|name| name.parse::<Reference>().ok());
            if name.is_some_and(|name| name.name() == wanted.name() && name.tag().is_some()) {
                all.push(Found { name: image.name, descriptor: image.descriptor });
            }
        }
        if !all.is_empty() {
            return Ok(all);
        }
    }
    Ok(vec![local::find(store, text)?])
}
