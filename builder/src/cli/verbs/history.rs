//! `history`: the layers of an image and what made them.

use super::format::{Format, format};
use crate::cli::failure::Failure;
use crate::cli::{local, table};
use crate::progress::{bytes, sanitize};
use crate::store::Store;
use registry_client::platform::Platform;
use std::io::Write;
use std::time::SystemTime;

/// How much of an instruction is shown, in characters.
const SHOWN: usize = 45;

/// Flags of `build history`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Name or ID of an image
    #[arg(value_name = "IMAGE")]
    pub image: String,

    /// Of an image for several platforms, this one [default: the one of this machine, or else any]
    #[arg(long, value_name = "OS/ARCH[/VARIANT]")]
    pub platform: Option<Platform>,

    /// Do not cut what made a layer
    #[arg(long)]
    pub no_trunc: bool,

    /// table, json, or a template as in '{{.ID}} {{.Size}}'; table before a template makes columns
    #[arg(long, value_parser = format, default_value = "table", value_name = "FORMAT")]
    pub format: Format,
}

/// Writes the history, the newest first.
///
/// # Errors
/// When the image is not there or cannot be read, or standard output fails.
pub fn run(args: &Args, store: &Store, out: &mut dyn Write, now: SystemTime) -> Result<(), Failure> {
    let found = local::find(store, &args.image)?;
    let image = local::read_wanted(store, &found.descriptor, args.platform.as_ref())?;
    let mut layers = image.layers.iter().zip(local::layer_sizes(store, &image));
    let mut rows = Vec::new();
    for entry in &image.config.history {
        let layer = if entry.empty_layer { None } else { layers.next() };
        let size = layer.map_or(0, |(_, size)| size);
        // What made a layer is whatever the maker of the base image wrote there.
        let by =
            sanitize::line(entry.created_by.as_deref().unwrap_or_default().replace('\n', " ").as_bytes());
        let by = if args.no_trunc { by } else { sanitize::fit(&by, SHOWN) };
        let comment = sanitize::line(entry.comment.as_deref().unwrap_or_default().as_bytes());
        rows.push((entry, layer.map(|(layer, _)| layer.diff_id), size, by, comment));
    }
    rows.reverse();
    match &args.format {
        Format::Table => {
            let cells = rows.into_iter().enumerate().map(|(at, (entry, _, size, by, comment))| {
                let id = if at == 0 { table::id(&image.id(), args.no_trunc) } else { "<missing>".to_owned() };
                vec![id, table::ago(entry.created.as_deref(), now), by, bytes::size(size), comment]
            });
            let cells: Vec<_> = cells.collect();
            table::write(out, &["IMAGE", "CREATED", "CREATED BY", "SIZE", "COMMENT"], &cells)?;
        }
        format => {
            let rows = rows.iter().map(|(entry, diff_id, size, _, _)| {
                serde_json::json!({
                    "CreatedAt": entry.created,
                    "CreatedSince": table::ago(entry.created.as_deref(), now),
                    "CreatedBy": entry.created_by.as_deref().unwrap_or_default(),
                    "Comment": entry.comment.as_deref().unwrap_or_default(),
                    "Size": bytes::size(*size),
                    "Bytes": size,
                    "DiffID": diff_id,
                })
            });
            let heads =
                [("CreatedSince", "CREATED"), ("CreatedAt", "CREATED AT"), ("CreatedBy", "CREATED BY")];
            format.write(&rows.collect::<Vec<_>>(), &heads, out)?;
        }
    }
    Ok(())
}
