//! `load`: an archive of `docker save`, or an OCI layout, into the store.

use std::path::PathBuf;

/// Flags of `build load`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Read this archive or layout directory [default: standard input]
    #[arg(short, long, value_name = "PATH")]
    pub input: Option<PathBuf>,

    /// Show nothing but the names of what was loaded
    #[arg(short, long)]
    pub quiet: bool,
}
