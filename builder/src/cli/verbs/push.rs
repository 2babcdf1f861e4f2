//! `push`: an image of the store to its registry.

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
