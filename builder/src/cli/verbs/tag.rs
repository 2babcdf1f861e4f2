//! `tag`: a further name for an image.

use crate::cli::failure::Failure;
use crate::cli::local;
use crate::store::Store;
use registry_client::reference::Reference;

/// Flags of `build tag`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Name or ID of an image
    #[arg(value_name = "IMAGE")]
    pub source: String,

    /// The new name
    #[arg(value_name = "NAME[:TAG]")]
    pub target: String,
}

/// Names.
///
/// # Errors
/// When the image is not there, or the new name is none.
pub fn run(args: &Args, store: &Store) -> Result<(), Failure> {
    let target: Reference =
        args.target.parse().map_err(|source| Failure::Reference { given: args.target.clone(), source })?;
    if target.digest().is_some() {
        return Err(Failure::DigestAsName(args.target.clone()));
    }
    let found = local::find(store, &args.source)?;
    store.images().tag(&target.with_default_tag().to_string(), &found.descriptor)?;
    Ok(())
}
