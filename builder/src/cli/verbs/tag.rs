//! `tag`: a further name for an image.

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
