//! `du`: what takes space in the store, and why.

use super::format::{Format, format};
use crate::cli::failure::Failure;
use crate::cli::table;
use crate::progress::{bytes, sanitize};
use crate::store::{Item, Kept, Store};
use crate::timestamp;
use registry_client::reference::Reference;
use std::io::Write;
use std::time::SystemTime;

/// How much of what made something is shown, in characters.
const SHOWN: usize = 45;

/// Flags of `build du`.
#[derive(clap::Args, Debug)]
pub struct Args {
    /// Do not cut IDs and what made things
    #[arg(long)]
    pub no_trunc: bool,

    /// table, json, or a template as in '{{.ID}} {{.Size}}'; table before a template makes columns
    #[arg(long, value_parser = format, default_value = "table", value_name = "FORMAT")]
    pub format: Format,
}

/// Lists, the largest first; below the table, what there is in all and what `build prune` would free.
///
/// # Errors
/// When the store or standard output fails.
pub fn run(args: &Args, store: &Store, out: &mut dyn Write, now: SystemTime) -> Result<(), Failure> {
    let items = store.space()?;
    if args.format != Format::Table {
        let rows: Vec<_> = items.iter().map(|item| json(item, args.no_trunc, now)).collect();
        return args.format.write(&rows, &[("LastUsedSince", "LAST USED"), ("Kept", "KEPT FOR")], out);
    }
    let cells: Vec<_> = items.iter().map(|item| cells(item, args.no_trunc, now)).collect();
    table::write(out, &["ID", "TYPE", "SIZE", "SHARED", "LAST USED", "KEPT FOR", "WHAT"], &cells)?;
    let sum = |wanted: &dyn Fn(&Kept) -> bool| {
        bytes::size(items.iter().filter(|item| wanted(&item.kept)).map(|item| item.size).sum())
    };
    writeln!(out, "\nTotal:         {}", sum(&|_| true))?;
    writeln!(out, "Of images:     {}", sum(&|kept| matches!(kept, Kept::Named(_) | Kept::Unnamed(_))))?;
    writeln!(out, "Reclaimable:   {}", sum(&|kept| matches!(kept, Kept::Cache | Kept::Nothing)))?;
    Ok(())
}

/// The line of one item.
pub(super) fn cells(item: &Item, full: bool, now: SystemTime) -> Vec<String> {
    let what = sanitize::line(familiar(&item.description).replace('\n', " ").as_bytes());
    vec![
        id(item, full),
        item.kind.name().to_owned(),
        bytes::size(item.size),
        if item.shared { "yes" } else { "no" }.to_owned(),
        since(item, now),
        reason(&item.kept),
        if full { what } else { sanitize::fit(&what, SHOWN) },
    ]
}

fn json(item: &Item, full: bool, now: SystemTime) -> serde_json::Value {
    serde_json::json!({
        "ID": id(item, full),
        "Type": item.kind.name(),
        "Size": bytes::size(item.size),
        "Bytes": item.size,
        "Shared": item.shared,
        "LastUsedAt": item.last_used.map(timestamp::rfc3339),
        "LastUsedSince": since(item, now),
        "Seconds": item.took.map(|took| took.as_secs_f64()),
        "Kept": reason(&item.kept),
        "Reclaimable": matches!(item.kept, Kept::Cache | Kept::Nothing),
        "Description": item.description,
    })
}

fn id(item: &Item, full: bool) -> String {
    if full { item.id.clone() } else { item.id.chars().take(12).collect() }
}

fn since(item: &Item, now: SystemTime) -> String {
    table::ago(item.last_used.map(timestamp::rfc3339).as_deref(), now)
}

fn familiar(name: &str) -> String {
    name.parse::<Reference>().map_or_else(|_| name.to_owned(), |reference| reference.familiar())
}

fn reason(kept: &Kept) -> String {
    let and_more = |first: String, count: usize| match count {
        0 | 1 => first,
        _ => format!("{first} and {} more", count - 1),
    };
    match kept {
        Kept::Named(names) => and_more(names.first().map(|n| familiar(n)).unwrap_or_default(), names.len()),
        Kept::Unnamed(digests) => {
            let first = digests.first().map(|digest| table::id(digest, false)).unwrap_or_default();
            and_more(format!("image {first}"), digests.len())
        }
        Kept::Cache => "next builds".to_owned(),
        Kept::Nothing => "nothing".to_owned(),
    }
}
