//! `explain`: why the steps of the last build ran.

use crate::cli::explain;
use crate::cli::failure::Failure;
use crate::cli::spec::flag::TextFormat;
use crate::cli::style::Style;
use crate::store::Store;
use std::io::Write;

/// Flags of `build explain`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// text, or json with all there is to know
    #[arg(long, value_enum, default_value = "text", value_name = "FORMAT")]
    pub format: TextFormat,
}

/// Writes it.
///
/// # Errors
/// There was no build, or standard output fails.
pub fn run(args: &Args, store: &Store, out: &mut dyn Write, style: Style) -> Result<(), Failure> {
    let history = store.last_history().ok_or(Failure::NoHistory)?;
    match args.format {
        TextFormat::Text => {
            writeln!(out, "{} with {}", history.dockerfile, history.context)?;
            out.write_all(explain::text(&history, style).as_bytes())?;
        }
        TextFormat::Json => writeln!(out, "{:#}", explain::json(&history))?,
    }
    Ok(())
}
