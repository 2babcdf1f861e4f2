//! `save`: images of the store as an archive for `docker load`.

use std::path::PathBuf;

/// Flags of `build save`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Names or IDs of images
    #[arg(value_name = "IMAGE", required = true)]
    pub images: Vec<String>,

    /// Write to this file [default: standard output]
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}
