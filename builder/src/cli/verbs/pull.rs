//! `pull`: an image from its registry into the store.

use registry_client::platform::Platform;

/// Flags of `build pull`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// The image
    #[arg(value_name = "NAME[:TAG][@DIGEST]")]
    pub reference: String,

    /// Which platform of it [default: the one of this machine]
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub platform: Option<Platform>,

    /// Show nothing but the image's name at the end
    #[arg(short, long)]
    pub quiet: bool,
}
