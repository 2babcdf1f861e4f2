//! `version`.

use super::format::{Format, format};
use crate::cli::failure::Failure;
use registry_client::platform::Platform;
use std::io::Write;

/// Flags of `build version`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// table, json, or a template as in '{{.version}}'
    #[arg(long, value_parser = format, default_value = "table", value_name = "FORMAT")]
    pub format: Format,
}

/// Writes name, version and platform.
///
/// # Errors
/// When a template asks for what is not there; what `out` says.
pub fn run(args: &Args, out: &mut dyn Write) -> Result<(), Failure> {
    let (version, platform) = (env!("CARGO_PKG_VERSION"), Platform::host().to_string());
    match &args.format {
        Format::Table => writeln!(out, "Slipway {version} ({platform})")?,
        _ => {
            let object = serde_json::json!({"name": "slipway", "version": version, "platform": platform});
            args.format.write(&[object], &[], out)?;
        }
    }
    Ok(())
}
