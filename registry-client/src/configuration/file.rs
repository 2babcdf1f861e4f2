//! `registries.conf`, and the files beside it.

use super::{ConfigurationError, ConfigurationFiles, Entry, Location, Mirror, Prefix, PullBy};
use crate::credentials::Keeper;
use serde::Deserialize;
use std::{
    ffi::OsStr,
    fs, io,
    path::{Path, PathBuf},
};

/// The file as it is written. Keys that only choose how short names are found are read and not used.
#[derive(Deserialize)]
struct File {
    #[serde(default, rename = "registry")]
    registries: Vec<FileRegistry>,
    /// Version 1 of the format.
    registries_v1: Option<toml::Value>,
    #[serde(rename = "unqualified-search-registries")]
    _search: Option<Vec<String>>,
    #[serde(rename = "short-name-mode")]
    _mode: Option<String>,
    #[serde(rename = "credential-helpers")]
    helpers: Option<Vec<String>>,
    #[serde(rename = "additional-layer-store-auth-helper")]
    _layer_store: Option<String>,
    #[serde(rename = "aliases")]
    _aliases: Option<toml::Table>,
    /// Keys of later versions.
    #[serde(flatten)]
    unknown: toml::Table,
}

/// What a file says.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) entries: Vec<Entry>,
    /// Where credentials are kept, if it says so.
    pub(super) keepers: Option<Vec<Keeper>>,
    /// Keys that nobody here knows, and that so have no effect.
    pub(super) unknown: Vec<String>,
}

/// The entry of `credential-helpers` that stands for the files with credentials.
const FILES: &str = "containers-auth.json";

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileRegistry {
    prefix: Option<String>,
    location: Option<String>,
    #[serde(default)]
    insecure: bool,
    #[serde(default)]
    blocked: bool,
    #[serde(default, rename = "mirror-by-digest-only")]
    mirror_by_digest_only: bool,
    #[serde(default, rename = "mirror")]
    mirrors: Vec<FileMirror>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FileMirror {
    location: String,
    #[serde(default)]
    insecure: bool,
    #[serde(rename = "pull-from-mirror")]
    pull_from: Option<String>,
}

/// The files that are there, in the order they are read.
pub(super) fn present(files: &ConfigurationFiles) -> Result<Vec<PathBuf>, ConfigurationError> {
    let mut present: Vec<PathBuf> =
        files.main.iter().find(|path| path.exists()).cloned().into_iter().collect();
    for directory in &files.drop_ins {
        let failed = |source| ConfigurationError::Read { path: directory.clone(), source };
        let entries = match fs::read_dir(directory) {
            Ok(entries) => entries,
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => {
                continue;
            }
            Err(error) => return Err(failed(error)),
        };
        let mut found = Vec::new();
        for entry in entries {
            let path = entry.map_err(failed)?.path();
            if path.extension() == Some(OsStr::new("conf")) {
                found.push(path);
            }
        }
        found.sort();
        present.extend(found);
    }
    Ok(present)
}

/// Reads one file.
pub(super) fn read(path: &Path) -> Result<Said, ConfigurationError> {
    let text = fs::read_to_string(path)
        .map_err(|source| ConfigurationError::Read { path: path.to_owned(), source })?;
    parse(&text, path)
}

/// What a file's text says; `path` is for messages.
pub(super) fn parse(text: &str, path: &Path) -> Result<Said, ConfigurationError> {
    let malformed = |why: String| ConfigurationError::Malformed { path: path.to_owned(), why };
    let mut table: toml::Table =
        text.parse().map_err(|error: toml::de::Error| malformed(one_line(&error)))?;
    // Version 1 has a table where version 2 has an array of tables of another name.
    if let Some(old) = table.remove("registries") {
        table.insert("registries_v1".to_owned(), old);
    }
    let file: File = table.try_into().map_err(|error| malformed(one_line(&error)))?;
    if file.registries_v1.is_some() {
        return Err(malformed(
            "[registries.*] is version 1 of the format; write [[registry]] entries (containers-registries.conf(5))"
                .to_owned(),
        ));
    }
    let mut entries = Vec::new();
    for registry in file.registries {
        let entry = entry(registry, path).map_err(malformed)?;
        if entries.iter().any(|other: &Entry| other.prefix == entry.prefix) {
            return Err(malformed(format!("two [[registry]] entries are about {:?}", shown(&entry.prefix))));
        }
        entries.push(entry);
    }
    let keeper = |name: String| if name == FILES { Keeper::Files } else { Keeper::Helper(name) };
    let keepers = file.helpers.map(|helpers| helpers.into_iter().map(keeper).collect());
    Ok(Said { entries, keepers, unknown: file.unknown.into_iter().map(|(key, _)| key).collect() })
}

fn one_line(error: &toml::de::Error) -> String {
    error.to_string().lines().map(str::trim).filter(|line| !line.is_empty()).collect::<Vec<_>>().join(" ")
}

pub(super) fn shown(prefix: &Prefix) -> String {
    match prefix {
        Prefix::Name(name) => name.clone(),
        Prefix::Subdomains(domain) => format!("*{domain}"),
    }
}

fn entry(registry: FileRegistry, path: &Path) -> Result<Entry, String> {
    let location = registry.location.as_deref().map(name).transpose()?;
    let prefix = match (registry.prefix.as_deref().filter(|prefix| !prefix.is_empty()), &location) {
        (Some(prefix), _) => match prefix.strip_prefix('*') {
            Some(domain) if domain.starts_with('.') && domain.len() > 1 && !domain.contains(['*', '/']) => {
                Prefix::Subdomains(domain.to_owned())
            }
            Some(_) => {
                return Err(format!("prefix {prefix:?} is no wildcard: *.domain is, without a path"));
            }
            None => Prefix::Name(name(prefix)?),
        },
        (None, Some(location)) => Prefix::Name(location.clone()),
        (None, None) => return Err("a [[registry]] has neither prefix nor location".to_owned()),
    };
    if location.is_none() && matches!(prefix, Prefix::Name(_)) {
        return Err(format!("the [[registry]] of prefix {:?} has no location", shown(&prefix)));
    }
    let mut mirrors = Vec::new();
    for mirror in registry.mirrors {
        let by = match (mirror.pull_from.as_deref(), registry.mirror_by_digest_only) {
            (None, true) => PullBy::Digest,
            (Some(_), true) => {
                return Err(format!(
                    "mirror {:?} has pull-from-mirror beside the registry's mirror-by-digest-only",
                    mirror.location
                ));
            }
            (None | Some("" | "all"), false) => PullBy::All,
            (Some("digest-only"), false) => PullBy::Digest,
            (Some("tag-only"), false) => PullBy::Tag,
            (Some(other), false) => {
                return Err(format!("pull-from-mirror is all, digest-only or tag-only, not {other:?}"));
            }
        };
        let location = Location { name: Some(name(&mirror.location)?), insecure: mirror.insecure };
        mirrors.push(Mirror { location, by });
    }
    Ok(Entry {
        prefix,
        location: Location { name: location, insecure: registry.insecure },
        mirrors,
        blocked: registry.blocked,
        path: path.to_owned(),
    })
}

/// `host[:port][/path]` without a scheme.
fn name(text: &str) -> Result<String, String> {
    let trimmed = text.trim_end_matches('/');
    if trimmed.contains("://") {
        return Err(format!("{text:?} has a scheme; host[:port][/path] is wanted"));
    }
    if trimmed.is_empty() {
        return Err("an empty location names nothing".to_owned());
    }
    Ok(trimmed.to_owned())
}
