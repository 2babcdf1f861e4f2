//! The history of a build: what `--explain` and `build explain` show.

use super::input::Input;
use crate::explain::BuildHistory;
use crate::progress::{Event, Progress};
use crate::request::{BuildRequest, ContextSource, NoCache};
use crate::steps::{Explaining, StepWorker};
use crate::store::Store;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::SystemTime;

/// What belongs to one Dockerfile, its context and target, wherever the build is started from.
pub(super) fn explaining(request: &BuildRequest, input: &Input) -> Explaining {
    let (context, dockerfile) = places(request, input);
    Explaining {
        name: Store::history_name(&context, &dockerfile, request.target.as_deref()),
        no_cache: match request.no_cache {
            NoCache::All => "--no-cache",
            NoCache::Nothing | NoCache::Stages(_) => "--no-cache-filter",
        },
    }
}

fn places(request: &BuildRequest, input: &Input) -> (PathBuf, String) {
    let absolute = |path: &std::path::Path| path.canonicalize().unwrap_or_else(|_| path.to_owned());
    let context = match &request.context {
        ContextSource::Directory(path) => absolute(path),
        ContextSource::Stdin => "-".into(),
        ContextSource::Remote(remote) => remote.shown().into(),
    };
    let here = matches!(request.context, ContextSource::Directory(_));
    let dockerfile = match input.path.as_deref().filter(|_| here) {
        Some(path) => absolute(path).display().to_string(),
        None => input.dockerfile.name.clone(),
    };
    (context, dockerfile)
}

/// Notes what the build did, and tells it where that is asked for.
pub(super) async fn note(
    request: &BuildRequest,
    input: &Input,
    store: &Store,
    worker: &StepWorker,
    progress: &Progress,
) {
    let when = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let (context, dockerfile) = places(request, input);
    let history: BuildHistory = worker.history(&dockerfile, &context.to_string_lossy(), when).await;
    // A build is none the worse when the next one cannot explain itself.
    let _ = store.note_history(&explaining(request, input).name, &history);
    if request.explain {
        progress.send(Event::Explained { history: Arc::new(history) });
    }
}
