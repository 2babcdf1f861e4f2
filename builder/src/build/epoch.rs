//! `SOURCE_DATE_EPOCH` that the command line leaves to the Dockerfile, or to the context.

use super::BuildError;
use crate::graph::Graph;
use crate::request::{BuildRequest, ContextSource};
use crate::timestamp::seconds;
use std::borrow::Cow;

/// The name of the build argument.
const NAME: &str = "SOURCE_DATE_EPOCH";

/// The request, with the newest time that an ARG before the first FROM sets when no build argument does.
pub(super) fn settled<'a>(
    request: &'a BuildRequest,
    graph: &Graph,
) -> Result<Cow<'a, BuildRequest>, BuildError> {
    let given = graph.source_date_epoch.as_deref().unwrap_or_default();
    let default = !request.build_args.contains_key(NAME);
    let epoch = match given {
        _ if request.epoch_of_context => of_context(request),
        _ if !default => return Ok(Cow::Borrowed(request)),
        "" => return Ok(Cow::Borrowed(request)),
        "context" => of_context(request),
        number => Some(seconds(number).ok_or_else(|| BuildError::Epoch { given: number.to_owned() })?),
    };
    let mut request = request.clone();
    request.source_date_epoch = epoch;
    Ok(Cow::Owned(request))
}

/// The time of the build context.
fn of_context(request: &BuildRequest) -> Option<std::time::SystemTime> {
    match request.context {
        // As in BuildKit: what lies on a disk has no time of its own, so that nothing is limited.
        ContextSource::Directory(_) | ContextSource::Stdin => None,
    }
}
