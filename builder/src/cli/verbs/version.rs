//! `version`.

use super::Format;
use registry_client::platform::Platform;
use std::io::{self, Write};

/// Flags of `build version`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Table or JSON
    #[arg(long, value_enum, default_value = "table", value_name = "FORMAT")]
    pub format: Format,
}

/// Writes name, version and platform.
///
/// # Errors
/// What `out` says.
pub fn run(args: &Args, out: &mut dyn Write) -> io::Result<()> {
    let (version, platform) = (env!("CARGO_PKG_VERSION"), Platform::host().to_string());
    match args.format {
        Format::Table => writeln!(out, "Slipway {version} ({platform})"),
        Format::Json => {
            let object = serde_json::json!({"name": "slipway", "version": version, "platform": platform});
            writeln!(out, "{object}")
        }
    }
}
