//! `--show-context`: what the contexts of a build hold.

use super::{BuildError, call, planning};
use crate::context::{ContextError, Listing, ignore_rules, list};
use crate::environment::Environment;
use crate::progress::Progress;
use crate::request::BuildRequest;
use crate::store::Store;
use std::path::{Path, PathBuf};

/// A context and what it holds.
#[derive(Debug)]
pub struct Contents {
    /// The name of a named one.
    pub name: Option<String>,
    /// Where it is; where it was put, when it is elsewhere.
    pub path: PathBuf,
    /// Entry by entry.
    pub listing: Listing,
}

/// Lists the build context, unless it is empty, and the named directories.
///
/// # Errors
/// When the Dockerfile or a context cannot be had or read.
pub async fn contents(
    request: &BuildRequest,
    environment: &Environment,
    store: &Store,
    progress: &Progress,
) -> Result<Vec<Contents>, BuildError> {
    let client = crate::registry::client(environment);
    let (input, named) = call::read(request, environment, store, &client, progress).await?;
    let list = |name: Option<String>, path: &Path, dockerfile: Option<&Path>| {
        let listing = list(path, ignore_rules(path, dockerfile)?.as_ref())?;
        Ok::<_, ContextError>(Contents { name, path: path.to_owned(), listing })
    };
    let mut all = Vec::new();
    if let Some(path) = &input.context {
        all.push(list(None, path, input.path.as_deref()).map_err(super::input::InputError::from)?);
    }
    for (name, path) in planning::directories(request, &named) {
        all.push(list(Some(name), &path, None).map_err(super::input::InputError::from)?);
    }
    Ok(all)
}
