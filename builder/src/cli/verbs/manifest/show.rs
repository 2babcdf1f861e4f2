//! `manifest inspect`: the same as `inspect --raw`.

use crate::cli::failure::Failure;
use crate::cli::registry_flags::RegistryFlags;
use crate::cli::verbs::inspect;
use crate::environment::Environment;
use std::io::Write;

/// Flags of `build manifest inspect`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The image or index
    #[arg(value_name = "IMAGE")]
    pub image: String,

    /// About registries.
    #[command(flatten)]
    pub registries: RegistryFlags,
}

/// Prints it.
///
/// # Errors
/// As `inspect --raw`.
pub(super) fn run(args: Args, environment: &Environment, out: &mut dyn Write) -> Result<(), Failure> {
    let args = inspect::Args {
        images: vec![args.image],
        raw: true,
        registries: args.registries,
        ..inspect::Args::default()
    };
    inspect::run(args, environment, out)
}
