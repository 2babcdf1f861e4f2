//! `logout`: forgets a password.

use crate::cli::failure::Failure;
use crate::cli::remote;
use crate::environment::Environment;
use crate::registry;
use registry_client::credentials::Kept;
use std::io::Write;

/// Flags of `build logout`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The registry
    #[arg(value_name = "REGISTRY", default_value = "docker.io")]
    pub registry: String,
}

/// Logs out. That there was nothing to forget is no failure.
///
/// # Errors
/// When a file cannot be written or a helper fails.
pub fn run(args: &Args, environment: &Environment, out: &mut dyn Write) -> Result<(), Failure> {
    let name = remote::registry_name(&args.registry)?;
    let store = registry::client(environment).credentials()?;
    let places = remote::block_on(async { Ok(store.erase(&name).await?) })?;
    if places.is_empty() {
        writeln!(out, "Not logged in to {name}.")?;
    }
    for place in places {
        match place {
            Kept::File(path) => writeln!(out, "Removed the password of {name} from {}.", path.display())?,
            Kept::Helper(name) => {
                writeln!(out, "Removed the password of {name} from docker-credential-{name}.")?;
            }
        }
    }
    Ok(())
}
