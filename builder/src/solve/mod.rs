//! Decides for each vertex whether an earlier result serves or the step must run, and runs what is independent at once.
//!
//! Pure: what keys are made of, where results are kept and how a step runs is behind [`Worker`]. For each vertex, as soon
//! as its inputs are known:
//!
//! ```text
//! definition key = H(operation, content ids of whole inputs)      ── known ─▶ cached
//!      └ unknown ▶ content key = H(operation, content that is really read) ── known ─▶ cached, under both keys now
//!                     └ unknown ▶ execute ─▶ remembered under both keys
//! ```
//!
//! The definition key costs nothing but may miss where the content key hits: COPY --from reads two files of a stage in
//! which a third one changed. A COPY from the build context has no definition key, for the context has no id of its own.

#[cfg(test)]
mod tests;

use crate::content::ContentId;
use crate::graph::{Graph, VertexId};
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

/// The results a vertex starts from.
#[derive(Clone, Debug)]
pub struct Inputs<S> {
    /// Root file system it changes.
    pub parent: Option<S>,
    /// Others it reads from, by vertex.
    pub reads: BTreeMap<VertexId, S>,
}

/// How a result came about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// An earlier result served.
    Cached,
    /// The step ran.
    Executed,
}

/// The result of a vertex.
#[derive(Clone, Debug)]
pub struct Solved<S> {
    /// What it is.
    pub state: S,
    /// How it came about.
    pub outcome: Outcome,
}

/// What the solver needs from the world.
pub trait Worker: Send + Sync + 'static {
    /// A result: names a root file system and knows its content id.
    type State: Clone + Send + Sync + 'static;
    /// Why a step failed.
    type Error: Send + 'static;

    /// The key of a vertex by its whole inputs; `None` when not all inputs have ids.
    fn definition_key(&self, vertex: VertexId, inputs: &Inputs<Self::State>) -> Option<ContentId>;

    /// The key of a vertex by what it really reads; `None` when the definition key says it all.
    fn content_key(
        &self,
        vertex: VertexId,
        inputs: &Inputs<Self::State>,
    ) -> impl Future<Output = Result<Option<ContentId>, Self::Error>> + Send;

    /// The result remembered under `key`, when it can still be used.
    fn lookup(
        &self,
        vertex: VertexId,
        key: &ContentId,
        inputs: &Inputs<Self::State>,
    ) -> impl Future<Output = Option<Self::State>> + Send;

    /// Remembers a result under a further key.
    fn remember(
        &self,
        vertex: VertexId,
        key: &ContentId,
        state: &Self::State,
        inputs: &Inputs<Self::State>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Waits for `place`, one among the vertices that run at once, when there is none for `vertex`: a worker may see how
    /// long that takes.
    fn wait_for_place<T: Send>(
        &self,
        vertex: VertexId,
        place: impl Future<Output = T> + Send,
    ) -> impl Future<Output = T> + Send {
        let _ = vertex;
        place
    }

    /// Runs the step.
    fn execute(
        &self,
        vertex: VertexId,
        inputs: &Inputs<Self::State>,
    ) -> impl Future<Output = Result<Self::State, Self::Error>> + Send;

    /// Told once when a vertex is done, right after its result is remembered.
    fn done(&self, vertex: VertexId, solved: &Solved<Self::State>);

    /// Told once when the first vertex failed: what runs should stop.
    fn cancel(&self);
}

/// A vertex whose task has ended.
type Done<W> = (VertexId, Result<Solved<<W as Worker>::State>, <W as Worker>::Error>);

/// Solves everything that `targets` need, running at most `limit` steps at once.
///
/// # Errors
/// The first failure, after everything that was running has stopped.
pub async fn solve<W: Worker>(
    graph: &Graph,
    targets: &[VertexId],
    worker: &Arc<W>,
    limit: usize,
) -> Result<BTreeMap<VertexId, Solved<W::State>>, W::Error> {
    let needed = needed(graph, targets);
    let budget = Arc::new(Semaphore::new(limit.max(1)));
    let mut solved: BTreeMap<VertexId, Solved<W::State>> = BTreeMap::new();
    let mut waiting: BTreeMap<VertexId, usize> = BTreeMap::new();
    let mut readers: BTreeMap<VertexId, Vec<VertexId>> = BTreeMap::new();
    let mut running = JoinSet::new();
    let mut failure = None;

    let start =
        |id: VertexId, solved: &BTreeMap<VertexId, Solved<W::State>>, running: &mut JoinSet<Done<W>>| {
            let vertex = graph.vertex(id);
            let state = |id: &VertexId| solved.get(id).map(|solved| solved.state.clone());
            let inputs = Inputs {
                parent: vertex.parent.as_ref().and_then(state),
                reads: vertex.reads.iter().filter_map(|id| Some((*id, state(id)?))).collect(),
            };
            let ignore_cache = vertex.ignore_cache;
            let (worker, budget) = (Arc::clone(worker), Arc::clone(&budget));
            running.spawn(async move { (id, one(&*worker, id, &inputs, ignore_cache, &budget).await) });
        };

    for &id in &needed {
        let inputs: BTreeSet<VertexId> = graph.vertex(id).inputs().collect();
        for input in &inputs {
            readers.entry(*input).or_default().push(id);
        }
        if inputs.is_empty() {
            start(id, &solved, &mut running);
        } else {
            waiting.insert(id, inputs.len());
        }
    }
    while let Some(joined) = running.join_next().await {
        let (id, result) = match joined {
            Ok(finished) => finished,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        };
        match result {
            Ok(result) => {
                worker.done(id, &result);
                solved.insert(id, result);
            }
            Err(error) => {
                if failure.is_none() {
                    failure = Some(error);
                    worker.cancel();
                }
                continue;
            }
        }
        if failure.is_some() {
            continue;
        }
        for reader in readers.remove(&id).unwrap_or_default() {
            let Some(left) = waiting.get_mut(&reader) else { continue };
            *left -= 1;
            if *left == 0 {
                waiting.remove(&reader);
                start(reader, &solved, &mut running);
            }
        }
    }
    match failure {
        Some(error) => Err(error),
        None => Ok(solved),
    }
}

/// The vertices that `targets` depend on, themselves included.
fn needed(graph: &Graph, targets: &[VertexId]) -> BTreeSet<VertexId> {
    let mut needed = BTreeSet::new();
    let mut open = targets.to_vec();
    while let Some(id) = open.pop() {
        if needed.insert(id) {
            open.extend(graph.vertex(id).inputs());
        }
    }
    needed
}

/// Finds or makes the result of one vertex.
async fn one<W: Worker>(
    worker: &W,
    id: VertexId,
    inputs: &Inputs<W::State>,
    ignore_cache: bool,
    budget: &Semaphore,
) -> Result<Solved<W::State>, W::Error> {
    let definition = worker.definition_key(id, inputs);
    if let Some(key) = definition.filter(|_| !ignore_cache)
        && let Some(state) = worker.lookup(id, &key, inputs).await
    {
        return Ok(Solved { state, outcome: Outcome::Cached });
    }
    let content = worker.content_key(id, inputs).await?;
    if let Some(key) = content.filter(|_| !ignore_cache)
        && let Some(state) = worker.lookup(id, &key, inputs).await
    {
        if let Some(key) = definition {
            worker.remember(id, &key, &state, inputs).await?;
        }
        return Ok(Solved { state, outcome: Outcome::Cached });
    }
    let state = {
        let _permit = match budget.try_acquire() {
            Ok(permit) => Some(permit),
            // The semaphore is never closed, so there is always a permit to wait for.
            Err(_) => worker.wait_for_place(id, budget.acquire()).await.ok(),
        };
        worker.execute(id, inputs).await?
    };
    for key in [definition, content].into_iter().flatten() {
        worker.remember(id, &key, &state, inputs).await?;
    }
    Ok(Solved { state, outcome: Outcome::Executed })
}
