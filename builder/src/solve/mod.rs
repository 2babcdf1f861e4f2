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
//!
//! **Before a step runs** it is prepared, then waits for its place in the budget, the one with the longest way to the end of
//! the build first, and then claims its key. While another build has the claim, the place is given up, and the result is looked up
//! again when that build is done. So a claim is held only by a step that runs, and nobody waits for one who waits.

mod budget;
mod paths;
#[cfg(test)]
mod tests;

pub use budget::{Budget, Place, STEP, TRANSFER};
pub use paths::remaining;

use crate::content::ContentId;
use crate::graph::{Graph, VertexId};
use std::collections::{BTreeMap, BTreeSet};
use std::future::Future;
use std::sync::Arc;
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
    /// The sole right to make a result, given back when it is dropped.
    type Claim: Send;

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

    /// How urgent a vertex is: the highest goes first. Asked only when not all can run at once.
    fn priority(&self, vertex: VertexId) -> u64;

    /// Whether looking a vertex up and [preparing](Self::prepare) it takes nothing that has to be fetched.
    fn is_prepared(&self, vertex: VertexId, inputs: &Inputs<Self::State>) -> bool;

    /// Fetches what a step needs, within the budget: the step has no place in it yet.
    fn prepare(
        &self,
        vertex: VertexId,
        inputs: &Inputs<Self::State>,
    ) -> impl Future<Output = Result<(), Self::Error>> + Send;

    /// Asks for the sole right to make what is remembered under `key`, without waiting: `None` while somebody has it,
    /// another vertex or another build.
    fn claim(
        &self,
        vertex: VertexId,
        key: &ContentId,
    ) -> impl Future<Output = Result<Option<Self::Claim>, Self::Error>> + Send;

    /// Waits until nobody has that right.
    fn wait_for_other(
        &self,
        vertex: VertexId,
        key: &ContentId,
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
type Done<W> = (VertexId, Result<Made<<W as Worker>::State>, <W as Worker>::Error>);

/// A result, and the place of the step that made it.
struct Made<S> {
    solved: Solved<S>,
    place: Option<Place>,
}

impl<S> Made<S> {
    fn cached(solved: Solved<S>) -> Self {
        Self { solved, place: None }
    }
}

/// Solves everything that `targets` need, running as many steps at once as `budget` has places.
///
/// # Errors
/// The first failure, after everything that was running has stopped.
pub async fn solve<W: Worker>(
    graph: &Graph,
    targets: &[VertexId],
    worker: &Arc<W>,
    budget: &Arc<Budget>,
) -> Result<BTreeMap<VertexId, Solved<W::State>>, W::Error> {
    let needed = needed(graph, targets);
    let mut solved: BTreeMap<VertexId, Solved<W::State>> = BTreeMap::new();
    let mut waiting: BTreeMap<VertexId, usize> = BTreeMap::new();
    let mut readers: BTreeMap<VertexId, Vec<VertexId>> = BTreeMap::new();
    let mut running = JoinSet::new();
    let mut failure = None;

    let start = |id: VertexId,
                 solved: &BTreeMap<VertexId, Solved<W::State>>,
                 running: &mut JoinSet<Done<W>>,
                 place: Option<Place>| {
        let vertex = graph.vertex(id);
        let state = |id: &VertexId| solved.get(id).map(|solved| solved.state.clone());
        let inputs = Inputs {
            parent: vertex.parent.as_ref().and_then(state),
            reads: vertex.reads.iter().filter_map(|id| Some((*id, state(id)?))).collect(),
        };
        let ignore_cache = vertex.ignore_cache;
        let (worker, budget) = (Arc::clone(worker), Arc::clone(budget));
        running.spawn(async move { (id, one(&*worker, id, &inputs, ignore_cache, &budget, place).await) });
    };

    for &id in &needed {
        let inputs: BTreeSet<VertexId> = graph.vertex(id).inputs().collect();
        for input in &inputs {
            readers.entry(*input).or_default().push(id);
        }
        if inputs.is_empty() {
            start(id, &solved, &mut running, None);
        } else {
            waiting.insert(id, inputs.len());
        }
    }
    while let Some(joined) = running.join_next().await {
        let (id, result) = match joined {
            Ok(finished) => finished,
            Err(error) => std::panic::resume_unwind(error.into_panic()),
        };
        let place = match result {
            Ok(Made { solved: result, place }) => {
                worker.done(id, &result);
                solved.insert(id, result);
                place
            }
            Err(error) => {
                if failure.is_none() {
                    failure = Some(error);
                    worker.cancel();
                }
                continue;
            }
        };
        if failure.is_some() {
            continue;
        }
        let mut ready = Vec::new();
        for reader in readers.remove(&id).unwrap_or_default() {
            let Some(left) = waiting.get_mut(&reader) else { continue };
            *left -= 1;
            if *left == 0 {
                waiting.remove(&reader);
                ready.push(reader);
            }
        }
        // What goes on with the longest way keeps the place, which others would take before it can ask for one.
        let mut heir = place.zip(budget.most_urgent()).and_then(|(place, others)| {
            let next = *ready.iter().max_by_key(|id| worker.priority(**id))?;
            (worker.priority(next) >= others).then_some((next, place))
        });
        for reader in ready {
            let place = heir.take_if(|(heir, _)| *heir == reader).map(|(_, place)| place);
            start(reader, &solved, &mut running, place);
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

/// The keys of one vertex.
struct Keys {
    definition: Option<ContentId>,
    content: Option<ContentId>,
}

impl Keys {
    /// What is remembered under one of them.
    async fn known<W: Worker>(
        &self,
        worker: &W,
        id: VertexId,
        inputs: &Inputs<W::State>,
    ) -> Result<Option<Solved<W::State>>, W::Error> {
        if let Some(key) = &self.definition
            && let Some(state) = worker.lookup(id, key, inputs).await
        {
            return Ok(Some(Solved { state, outcome: Outcome::Cached }));
        }
        let Some(key) = &self.content else { return Ok(None) };
        let Some(state) = worker.lookup(id, key, inputs).await else { return Ok(None) };
        if let Some(key) = &self.definition {
            worker.remember(id, key, &state, inputs).await?;
        }
        Ok(Some(Solved { state, outcome: Outcome::Cached }))
    }

    /// The one that most others who make the same have, too.
    fn claimed(&self) -> Option<&ContentId> {
        self.content.as_ref().or(self.definition.as_ref())
    }
}

/// Finds or makes the result of one vertex. It may have got a `place` already.
async fn one<W: Worker>(
    worker: &W,
    id: VertexId,
    inputs: &Inputs<W::State>,
    ignore_cache: bool,
    budget: &Arc<Budget>,
    place: Option<Place>,
) -> Result<Made<W::State>, W::Error> {
    // What is fetched takes places itself, so nobody may hold one meanwhile.
    let mut place = place.filter(|_| worker.is_prepared(id, inputs));
    let mut keys = Keys { definition: worker.definition_key(id, inputs), content: None };
    if !ignore_cache && let Some(known) = keys.known(worker, id, inputs).await? {
        return Ok(Made::cached(known));
    }
    keys.content = worker.content_key(id, inputs).await?;
    if !ignore_cache
        && keys.content.is_some()
        && let Some(known) = keys.known(worker, id, inputs).await?
    {
        return Ok(Made::cached(known));
    }
    if place.is_none() {
        worker.prepare(id, inputs).await?;
    }
    loop {
        let place = match place.take().or_else(|| budget.try_take(STEP)) {
            Some(place) => place,
            None => worker.wait_for_place(id, budget.take(STEP, worker.priority(id))).await,
        };
        let mut claim = None;
        if let Some(key) = keys.claimed() {
            claim = worker.claim(id, key).await?;
            if claim.is_none() && !ignore_cache {
                drop(place);
                worker.wait_for_other(id, key).await?;
                if let Some(known) = keys.known(worker, id, inputs).await? {
                    return Ok(Made::cached(known));
                }
                continue;
            }
            // Somebody may have been done with it just before it was claimed.
            if !ignore_cache && let Some(known) = keys.known(worker, id, inputs).await? {
                return Ok(Made::cached(known));
            }
        }
        let state = worker.execute(id, inputs).await?;
        for key in [keys.definition, keys.content].into_iter().flatten() {
            worker.remember(id, &key, &state, inputs).await?;
        }
        drop(claim);
        return Ok(Made { solved: Solved { state, outcome: Outcome::Executed }, place: Some(place) });
    }
}
