//! `save`: images of the store as an archive for `docker load`.

use crate::cli::failure::{Failure, UsageError};
use crate::cli::local;
use crate::export::{self, Bundle, Options};
use crate::image::Dialect;
use crate::layer::Compression;
use crate::store::Store;
use registry_client::digest::Digest;
use std::collections::BTreeMap;
use std::io::{self, IsTerminal};
use std::num::NonZeroUsize;
use std::path::PathBuf;

/// Flags of `build save`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Names or IDs of images
    #[arg(value_name = "IMAGE", required = true)]
    pub images: Vec<String>,

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
    let bundles = bundles(&args.images, store)?;
    match &args.output {
        Some(path) => export::write_file(path, |out| export::docker_archive(store, &bundles, out))?,
        None => export::docker_archive(store, &bundles, &mut io::stdout().lock())?,
    }
    Ok(())
}

/// One bundle per image: an image that is given by several names goes out once, with all of them.
fn bundles(images: &[String], store: &Store) -> Result<Vec<Bundle>, Failure> {
    let mut bundles: Vec<(Digest, Bundle)> = Vec::new();
    for text in images {
        let found = local::find(store, text)?;
        let digest = found.descriptor.digest;
        if let Some((_, bundle)) = bundles.iter_mut().find(|(known, _)| *known == digest) {
            bundle.names.extend(found.name.filter(|name| !bundle.names.contains(name)));
            continue;
        }
        let image = local::read(store, &found.descriptor)?;
        let options = Options {
            dialect: Dialect::Oci,
            compression: Compression::None,
            force: true,
            annotations: BTreeMap::new(),
            threads: std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN),
        };
        let package = export::prepare(store, &image, &options)?;
        bundles.push((digest, Bundle::single(found.name.into_iter().collect(), package)));
    }
    Ok(bundles.into_iter().map(|(_, bundle)| bundle).collect())
}
