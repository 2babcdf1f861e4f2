//! `load`: an archive of `docker save`, or an OCI layout, into the store.

use crate::cli::failure::{Failure, UsageError};
use crate::cli::local;
use crate::import;
use crate::store::Store;
use std::io::{self, IsTerminal, Write};
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

/// Reads the archive and tells what was in it.
///
/// # Errors
/// When it cannot be read, or is not what it should be.
pub fn run(args: &Args, store: &Store, out: &mut dyn Write) -> Result<(), Failure> {
    let loaded = match &args.input {
        Some(path) => import::load_path(store, path)?,
        None if io::stdin().is_terminal() => return Err(UsageError::LoadFromTerminal.into()),
        None => import::load_archive(store, io::stdin().lock())?,
    };
    for image in loaded {
        let names: Vec<_> = image.names.iter().map(|name| local::familiar(name)).collect();
        match names.as_slice() {
            [] if args.quiet => writeln!(out, "{}", image.id)?,
            [] => writeln!(out, "Loaded image ID: {}", image.id)?,
            names => {
                for name in names {
                    writeln!(out, "{}{name}", if args.quiet { "" } else { "Loaded image: " })?;
                }
            }
        }
    }
    Ok(())
}
