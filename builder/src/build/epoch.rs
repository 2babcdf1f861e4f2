//! `SOURCE_DATE_EPOCH` that the command line leaves to the Dockerfile, or to the context.

use super::BuildError;
use super::input::InputError;
use crate::environment::Environment;
use crate::fetch::git::{Git, GitAccess};
use crate::graph::Graph;
use crate::request::{BuildRequest, ContextSource, EpochOf};
use crate::store::Store;
use crate::timestamp::seconds;
use std::borrow::Cow;
use std::time::{SystemTime, UNIX_EPOCH};

/// The name of the build argument.
const NAME: &str = "SOURCE_DATE_EPOCH";

/// The request, with the time of the commit that its context is at, where that was asked for. The Dockerfile sees the
/// number: who gives `$(git log -1 --format=%ct)` has the same.
pub(super) async fn of_commit<'a>(
    request: &'a BuildRequest,
    environment: &Environment,
    store: &Store,
    context: Option<SystemTime>,
) -> Result<Cow<'a, BuildRequest>, BuildError> {
    if request.epoch_of != Some(EpochOf::Commit) {
        return Ok(Cow::Borrowed(request));
    }
    let epoch = match &request.context {
        ContextSource::Directory(directory) => {
            // Nothing is fetched, so no keys and no passwords.
            let variables = environment.git_variables.clone();
            let git = Git::new(store.clone(), GitAccess { variables, ..GitAccess::default() });
            let text = git.time_of_checkout(directory).await.map_err(InputError::from)?;
            Some(seconds(&text).ok_or(BuildError::EpochOfCommit { found: text })?)
        }
        // Its checkout has the time of the commit.
        ContextSource::Remote(_) | ContextSource::Stdin => context,
    };
    let number = epoch.and_then(|epoch| epoch.duration_since(UNIX_EPOCH).ok());
    let number = number.map(|since| since.as_secs().to_string()).unwrap_or_default();
    let mut request = request.clone();
    request.build_args.insert(NAME.to_owned(), number);
    (request.source_date_epoch, request.epoch_of) = (epoch, None);
    Ok(Cow::Owned(request))
}

/// The request, with the newest time that an ARG before the first FROM sets when no build argument does. `context` is
/// the time of the context: that of its commit, or what its server says of it. As in BuildKit, what lies on a disk has
/// none, so that nothing is limited.
pub(super) fn settled<'a>(
    request: &'a BuildRequest,
    graph: &Graph,
    context: Option<SystemTime>,
) -> Result<Cow<'a, BuildRequest>, BuildError> {
    let given = graph.source_date_epoch.as_deref().unwrap_or_default();
    let default = !request.build_args.contains_key(NAME);
    let epoch = match given {
        _ if request.epoch_of == Some(EpochOf::Context) => context,
        _ if !default => return Ok(Cow::Borrowed(request)),
        "" => return Ok(Cow::Borrowed(request)),
        "context" => context,
        number => Some(seconds(number).ok_or_else(|| BuildError::Epoch { given: number.to_owned() })?),
    };
    let mut request = request.clone();
    request.source_date_epoch = epoch;
    Ok(Cow::Owned(request))
}
