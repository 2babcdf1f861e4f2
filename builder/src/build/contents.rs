//! `--show-context`: what the contexts of a build hold.

use super::{BuildError, InputError, call, planning};
use crate::context::{ContextError, Listing, ignore_rules, list};
use crate::copy::IgnoreRules;
use crate::environment::Environment;
use crate::graph::context_key;
use crate::progress::Progress;
use crate::registry::Telling;
use crate::request::{BuildRequest, ContextSource, NamedContext};
use crate::store::Store;
use std::path::Path;

/// A context and what it holds.
#[derive(Debug)]
pub struct Contents {
    /// The name of a named one.
    pub name: Option<String>,
    /// Where it is: a directory, a URL, standard input.
    pub place: String,
    /// Entry by entry.
    pub listing: Listing,
}

/// Lists the build context, unless it is empty, and the named directories.
///
/// # Errors
/// When a context cannot be had or read. There need not be a Dockerfile yet.
pub async fn contents(
    request: &BuildRequest,
    environment: &Environment,
    store: &Store,
    progress: &Progress,
) -> Result<Vec<Contents>, BuildError> {
    let client = Telling::new(crate::registry::client(environment), progress);
    let (input, named) = call::read(request, environment, store, &client, progress, false).await?;
    let list = |name: Option<String>, place: String, path: &Path, rules: Option<IgnoreRules>| {
        Ok::<_, ContextError>(Contents { name, place, listing: list(path, rules.as_ref())? })
    };
    let mut all = Vec::new();
    if let Some(path) = &input.context {
        let elsewhere = request.context.from_elsewhere();
        let rules = ignore_rules(path, input.path.as_deref(), elsewhere.as_deref());
        let place = match &request.context {
            ContextSource::Directory(path) => path.display().to_string(),
            ContextSource::Stdin => "standard input".to_owned(),
            ContextSource::Remote(remote) => remote.shown(),
        };
        let listed = rules.and_then(|rules| list(None, place, path, rules));
        all.push(listed.map_err(InputError::from)?);
    }
    for (name, path) in planning::directories(request, &named) {
        let elsewhere = request.build_contexts.iter().find_map(|(given, context)| match context {
            NamedContext::Remote(remote) if context_key(given) == name => Some(remote.shown()),
            _ => None,
        });
        let place = elsewhere.unwrap_or_else(|| path.display().to_string());
        let listed = ignore_rules(&path, None, None).and_then(|rules| list(Some(name), place, &path, rules));
        all.push(listed.map_err(InputError::from)?);
    }
    Ok(all)
}
