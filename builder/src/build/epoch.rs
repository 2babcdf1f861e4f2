//! `SOURCE_DATE_EPOCH` that the command line leaves to the Dockerfile, or to the context.

use super::BuildError;
use crate::graph::Graph;
use crate::request::BuildRequest;
use crate::timestamp::seconds;
use std::borrow::Cow;
use std::time::SystemTime;

/// The name of the build argument.
const NAME: &str = "SOURCE_DATE_EPOCH";

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
        _ if request.epoch_of_context => context,
        _ if !default => return Ok(Cow::Borrowed(request)),
        "" => return Ok(Cow::Borrowed(request)),
        "context" => context,
        number => Some(seconds(number).ok_or_else(|| BuildError::Epoch { given: number.to_owned() })?),
    };
    let mut request = request.clone();
    request.source_date_epoch = epoch;
    Ok(Cow::Owned(request))
}
