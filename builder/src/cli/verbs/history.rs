//! `history`: the layers of an image and what made them.

use super::Format;

/// Flags of `build history`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Name or ID of an image
    #[arg(value_name = "IMAGE")]
    pub image: String,

    /// Do not cut what made a layer
    #[arg(long)]
    pub no_trunc: bool,

    /// Table or JSON lines
    #[arg(long, value_enum, default_value = "table", value_name = "FORMAT")]
    pub format: Format,
}
