//! `rmi`: takes names away, and images that have none left, with what only they needed.

use crate::cli::failure::Failure;
use crate::cli::local;
use crate::store::{Keep, Store, StoreError};
use std::io::Write;

/// Flags of `build rmi`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Names or IDs of images
    #[arg(value_name = "IMAGE", required = true)]
    pub images: Vec<String>,

    /// Remove an image by its ID although it has several names; do not mind images that are not there
    #[arg(short, long)]
    pub force: bool,
}

/// Takes away one after the other; those after one that fails stay.
///
/// # Errors
/// When an image is not there or has several names (not with `force`), or the store or standard output fails.
pub fn run(args: &Args, store: &Store, out: &mut dyn Write) -> Result<(), Failure> {
    for text in &args.images {
        match remove(text, args.force, store, out) {
            Err(Failure::NoImage(_)) if args.force => {}
            other => other?,
        }
    }
    match store.collect(Keep::Cache) {
        // Its files go with the next one that is removed while nothing is built.
        Ok(_) | Err(StoreError::InUse { .. }) => Ok(()),
        Err(error) => Err(error.into()),
    }
}

fn remove(text: &str, force: bool, store: &Store, out: &mut dyn Write) -> Result<(), Failure> {
    let images = store.images();
    let found = local::find(store, text)?;
    let id = images.id(&found.descriptor).unwrap_or(found.descriptor.digest);
    // An id means all manifests with that config, the digest of a manifest this one.
    let hex = text.rsplit(':').next().unwrap_or(text);
    let meant = match &found.name {
        None if id.hex().starts_with(&hex.to_ascii_lowercase()) => images.of_id(&id)?,
        _ => Vec::new(),
    };
    let meant = if meant.is_empty() { vec![found.descriptor] } else { meant };
    let mut all = local::names(store)?;
    let names: Vec<String> = meant.iter().filter_map(|image| all.remove(&image.digest)).flatten().collect();
    match found.name {
        Some(name) => {
            images.untag(&name)?;
            writeln!(out, "Untagged: {}", local::familiar(&name))?;
            if names.len() > 1 {
                return Ok(());
            }
        }
        None if names.len() > 1 && !force => {
            return Err(Failure::SeveralNames { given: text.to_owned(), names });
        }
        None => {
            for image in &meant {
                images.remove(&image.digest)?;
            }
            for name in &names {
                writeln!(out, "Untagged: {name}")?;
            }
        }
    }
    writeln!(out, "Deleted: {id}")?;
    Ok(())
}
