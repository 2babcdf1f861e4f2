//! Whose turn it is. Within a build the step with the longest way to the end goes first. Among builds of one store, and
//! stages of one build, that need the same step, one runs it, and the others take what it made.
//!
//! The right to run a step is a lock of the store, named by the step's key, which ends with its process. It is held while the
//! step has a place in the budget, and who waits for it has none: so whoever has one comes to an end, whatever others do.

use super::StepWorker;
use super::error::Cause;
use super::state::Rootfs;
use crate::content::ContentId;
use crate::graph::{Op, VertexId};
use crate::progress::measure::Wait;
use crate::progress::{Event, Stream};
use crate::solve::{Inputs, remaining};
use crate::store::KeyLock;
use crate::waiting;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// What the right to run a step is called among the locks of the store.
const LOCK: &str = "step";

/// The order of steps, and how long they waited for other builds.
#[derive(Debug, Default)]
pub(super) struct Turns {
    /// The longest way from each vertex to the end, made when not everything can run at once.
    ways: OnceLock<BTreeMap<VertexId, u64>>,
    waited: Mutex<HashMap<VertexId, Duration>>,
}

impl Turns {
    /// How long the vertex waited for others who ran the same step.
    pub(super) fn waited(&self, vertex: VertexId) -> Duration {
        let waited = self.waited.lock().unwrap_or_else(PoisonError::into_inner);
        waited.get(&vertex).copied().unwrap_or_default()
    }
}

impl StepWorker {
    /// How urgent a vertex is: the highest goes first.
    pub(super) fn urgency(&self, vertex: VertexId) -> u64 {
        let ways = self.turns.ways.get_or_init(|| {
            let targets: Vec<VertexId> = self.graph.images.iter().map(|plan| plan.vertex).collect();
            remaining(&self.graph, &targets, |id| match self.vertex(id).op {
                Op::Scratch => Some(Duration::ZERO),
                // What is fetched for an image depends on what is there.
                Op::Image(_) => None,
                _ => self.took_before(id),
            })
        });
        ways.get(&vertex).copied().unwrap_or_default()
    }

    /// Fetches the layers of images that a step starts from or reads.
    pub(super) async fn fetch_inputs(&self, vertex: VertexId, inputs: &Inputs<Rootfs>) -> Result<(), Cause> {
        if matches!(self.vertex(vertex).op, Op::Scratch | Op::Image(_)) || !self.around.privileged {
            return Ok(());
        }
        for rootfs in inputs.parent.iter().chain(inputs.reads.values()) {
            tokio::select! {
                fetched = self.fetch(rootfs) => fetched?,
                () = self.stop.cancelled() => return Err(Cause::Cancelled),
            }
        }
        Ok(())
    }

    /// The right to run the step of `key`; `None` while somebody else runs it. A process that cannot run steps takes none.
    pub(super) fn try_turn(&self, key: &ContentId) -> Result<Option<Option<KeyLock>>, Cause> {
        if !self.around.privileged {
            return Ok(Some(None));
        }
        Ok(self.around.store.try_lock(LOCK, &key.hex())?.map(Some))
    }

    /// Waits until nobody runs the step of `key`.
    pub(super) async fn await_turn(&self, vertex: VertexId, key: &ContentId) -> Result<(), Cause> {
        let (progress, step) = (&self.around.progress, Self::step(vertex));
        let tell = || {
            let line = "waiting for another build, or another stage, which is running this step";
            progress.send(Event::Log { step, stream: Stream::Stderr, line: line.into() });
        };
        let (asked, name) = (Instant::now(), key.hex());
        let turn = tokio::select! {
            turn = waiting::lock(&self.around.store, LOCK, &name, tell) => turn?,
            () = self.stop.cancelled() => return Err(Cause::Cancelled),
        };
        drop(turn);
        progress.waited(step, Wait::Lock, asked);
        let mut waited = self.turns.waited.lock().unwrap_or_else(PoisonError::into_inner);
        *waited.entry(vertex).or_default() += asked.elapsed();
        Ok(())
    }
}
