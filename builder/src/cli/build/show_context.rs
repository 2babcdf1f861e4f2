//! `--show-context`, for people and as JSON.

use crate::build::contents::Contents;
use crate::context::{LeftOut, Listed, ListedKind};
use crate::progress::{bytes, sanitize};
use serde_json::{Value, json};

/// Sizes in front, rules behind.
pub fn text(all: &[Contents]) -> String {
    let mut text = String::new();
    for contents in all {
        if !text.is_empty() {
            text.push('\n');
        }
        text.push_str(&match &contents.name {
            None => format!("build context {}\n", contents.place),
            Some(name) => format!("context {name:?} {}\n", contents.place),
        });
        for entry in &contents.listing.entries {
            text.push_str(&format!("{:>10}  {}\n", size(entry), name(entry)));
        }
        let left_out = &contents.listing.left_out;
        if !left_out.is_empty() {
            text.push_str("left out:\n");
        }
        let width =
            left_out.iter().map(|out| name(&out.entry).chars().count()).max().unwrap_or_default().min(60);
        for out in left_out {
            let (entry, rule) = (&out.entry, &out.rule);
            let place = format!("{}:{}", rule.file, rule.line);
            text.push_str(&format!(
                "{:>10}  {:width$}  {place}  {}\n",
                bytes::size(entry.size),
                name(entry),
                sanitize::line(rule.text.as_bytes())
            ));
        }
        let (files, total) = sums(&contents.listing.entries);
        let counted = |files: u64| format!("{files} {}", if files == 1 { "file" } else { "files" });
        text.push_str(&format!("{}, {}", counted(files), bytes::size(total)));
        if !left_out.is_empty() {
            let (files, total) = left_sums(left_out);
            text.push_str(&format!("; left out: {}, {}", counted(files), bytes::size(total)));
        }
        text.push('\n');
    }
    if all.is_empty() {
        text.push_str("the build context is empty\n");
    }
    text
}

/// The same with exact sizes.
pub fn json(all: &[Contents]) -> Value {
    let contexts = all.iter().map(|contents| {
        let entries = contents.listing.entries.iter().map(entry_json);
        let left_out = contents.listing.left_out.iter().map(|out| {
            let mut value = entry_json(&out.entry);
            value["files"] = out.files.into();
            value["rule"] = json!({ "file": out.rule.file, "line": out.rule.line, "pattern": out.rule.text });
            value
        });
        let (files, size) = sums(&contents.listing.entries);
        let (left_files, left_size) = left_sums(&contents.listing.left_out);
        json!({
            "name": contents.name,
            "path": contents.place,
            "files": files,
            "size": size,
            "leftOutFiles": left_files,
            "leftOutSize": left_size,
            "entries": entries.collect::<Vec<_>>(),
            "leftOut": left_out.collect::<Vec<_>>(),
        })
    });
    json!({ "contexts": contexts.collect::<Vec<_>>() })
}

fn entry_json(entry: &Listed) -> Value {
    json!({ "path": String::from_utf8_lossy(&entry.path), "type": kind(entry.kind), "size": entry.size })
}

fn kind(kind: ListedKind) -> &'static str {
    match kind {
        ListedKind::File => "file",
        ListedKind::Directory => "directory",
        ListedKind::Symlink => "symlink",
        ListedKind::Special => "special",
        ListedKind::Socket => "socket",
    }
}

fn name(entry: &Listed) -> String {
    let slash = if entry.kind == ListedKind::Directory { "/" } else { "" };
    format!("{}{slash}", sanitize::line(&entry.path))
}

fn size(entry: &Listed) -> String {
    match entry.kind {
        ListedKind::File => bytes::size(entry.size),
        ListedKind::Directory => String::new(),
        other => kind(other).to_owned(),
    }
}

/// How many there are that are no directories, and their bytes.
fn sums(entries: &[Listed]) -> (u64, u64) {
    let files = entries.iter().filter(|entry| entry.kind != ListedKind::Directory).count();
    (files as u64, entries.iter().map(|entry| entry.size).sum())
}

fn left_sums(left_out: &[LeftOut]) -> (u64, u64) {
    (left_out.iter().map(|out| out.files).sum(), left_out.iter().map(|out| out.entry.size).sum())
}
