//! `rmi`: takes names away, and images that have none left.

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
