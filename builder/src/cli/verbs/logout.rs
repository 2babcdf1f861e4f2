//! `logout`: forgets a password.

/// Flags of `build logout`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The registry
    #[arg(value_name = "REGISTRY", default_value = "docker.io")]
    pub registry: String,
}
