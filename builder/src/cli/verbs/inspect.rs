//! `inspect`: all that is known of images, as a JSON array.

/// Flags of `build inspect`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Names or IDs of images
    #[arg(value_name = "IMAGE", required = true)]
    pub images: Vec<String>,
}
