//! `images`: what is in the store.

use super::Format;

/// Flags of `build images`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Show only this repository, or this NAME:TAG
    #[arg(value_name = "NAME[:TAG]")]
    pub name: Option<String>,

    /// Show image IDs alone
    #[arg(short, long)]
    pub quiet: bool,

    /// Show image IDs in full
    #[arg(long)]
    pub no_trunc: bool,

    /// Show manifest digests
    #[arg(long)]
    pub digests: bool,

    /// Table or JSON lines
    #[arg(long, value_enum, default_value = "table", value_name = "FORMAT")]
    pub format: Format,
}
