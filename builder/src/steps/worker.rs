//! The solver's worker.

use super::error::{Cause, StepError};
use super::explained::{Explained, Explaining};
use super::fetch::Fetched;
use super::key::{self, FILES, How};
use super::mounts::{Copies, Renewed};
use super::state::{Layer, Named, Rootfs};
use super::taken::Taken;
use super::turns::Turns;
use super::{Contexts, commit, leftovers};
use crate::agent::Agents;
use crate::bases::Bases;
use crate::cancel::{self, Cancellation, Canceller};
use crate::cgroup::Cgroups;
use crate::content::ContentId;
use crate::emulation::Emulators;
use crate::fetch::git::GitAccess;
use crate::graph::{BaseImages, Graph, Op, Origin, Vertex, VertexId};
use crate::progress::measure::{Measure, Wait};
use crate::progress::{Event, Progress, StepId};
use crate::request::{SecretSource, Ulimit};
use crate::solve::{Budget, Inputs, Outcome, Solved, Worker};
use crate::store::{KeyLock, SnapshotId, StepRecord, Store};
use dockerfile_parser::diagnostic::Diagnostic;
use registry_client::client::Client;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// What steps of one build share.
#[derive(Debug)]
pub struct Surroundings {
    /// Where results are kept.
    pub store: Store,
    /// Base images.
    pub bases: Arc<Bases>,
    /// Configs of the base images of the graph.
    pub images: BaseImages,
    /// The build context and the named ones.
    pub contexts: Contexts,
    /// Where events go.
    pub progress: Progress,
    /// Emulators of other processors.
    pub emulators: Arc<Emulators>,
    /// Tells when the user wants to stop.
    pub cancellation: Cancellation,
    /// Reaches what is elsewhere.
    pub client: Client,
    /// How git reaches servers.
    pub git: GitAccess,
    /// Whether this process may mount, chown and make namespaces.
    pub privileged: bool,
    /// `--secret`.
    pub secrets: BTreeMap<String, SecretSource>,
    /// `--ssh`.
    pub agents: Arc<Agents>,
    /// `--add-host`.
    pub extra_hosts: Vec<(String, String)>,
    /// `--ulimit`.
    pub ulimits: Vec<Ulimit>,
    /// `--shm-size`.
    pub shm_size: Option<u64>,
    /// Where the control groups of RUN steps are made, when they have any.
    pub cgroups: Option<Arc<Cgroups>>,
    /// What may be done at once.
    pub budget: Arc<Budget>,
    /// What keys of steps take from the steps below.
    pub named: Named,
    /// What the history of the build needs.
    pub explaining: Explaining,
}

/// Makes the results of the vertices of one graph.
#[derive(Debug)]
pub struct StepWorker {
    pub(super) graph: Arc<Graph>,
    pub(super) around: Surroundings,
    /// Asks what runs to stop, because something failed.
    stopping: Canceller,
    /// Comes when something failed, and when the user wants to stop.
    pub(super) stop: Cancellation,
    /// Image vertices whose layers were fetched, so that progress tells it once.
    pub(super) unpacked: Mutex<HashSet<VertexId>>,
    findings: Mutex<Vec<Diagnostic>>,
    /// How long steps ran.
    times: Mutex<HashMap<VertexId, Duration>>,
    /// What steps take from contexts, as it was when they were looked up.
    pub(super) taken: Taken,
    /// Cache mounts that this build began anew.
    pub(super) renewed: Renewed,
    /// What bind mounts show of contexts.
    pub(super) copies: Copies,
    /// What becomes of each step, and why.
    pub(super) explained: Explained,
    /// Which step goes first, and how long each has waited for other builds.
    pub(super) turns: Turns,
    /// Looks at cache mounts that RUNs used.
    measuring: Mutex<Vec<JoinHandle<()>>>,
    /// What was asked of servers.
    pub(super) fetched: Fetched,
    /// What a finished vertex is told to.
    on_done: Box<dyn OnDone>,
}

/// Told about finished steps, for work that overlaps with the next ones.
pub trait OnDone: Send + Sync + std::fmt::Debug {
    /// `vertex` has this root file system.
    fn done(&self, vertex: VertexId, rootfs: &Rootfs);
}

impl StepWorker {
    /// A worker for `graph`.
    pub fn new(graph: Arc<Graph>, around: Surroundings, on_done: Box<dyn OnDone>) -> Self {
        let (stopping, stop) = cancel::channel();
        let stop = stop.or(&around.cancellation);
        let unpacked = Mutex::default();
        let (fetched, findings, taken) = (Fetched::default(), Mutex::default(), Taken::default());
        let (renewed, copies, explained) = (Renewed::default(), Copies::default(), Explained::default());
        Self {
            graph,
            around,
            stopping,
            stop,
            unpacked,
            findings,
            times: Mutex::default(),
            taken,
            renewed,
            copies,
            explained,
            turns: Turns::default(),
            measuring: Mutex::default(),
            fetched,
            on_done,
        }
    }

    pub(super) fn vertex(&self, id: VertexId) -> &Vertex {
        self.graph.vertex(id)
    }

    /// The number that progress knows a vertex by.
    pub fn step(id: VertexId) -> StepId {
        StepId(u32::try_from(id.0).unwrap_or(u32::MAX))
    }

    /// Notes what should be told at the end.
    pub(super) fn found(&self, findings: Vec<Diagnostic>) {
        self.findings.lock().unwrap_or_else(PoisonError::into_inner).extend(findings);
    }

    /// What was found in the layers of steps that ran, in the order of the file.
    pub fn take_findings(&self) -> Vec<Diagnostic> {
        let mut findings = std::mem::take(&mut *self.findings.lock().unwrap_or_else(PoisonError::into_inner));
        findings.sort_by_key(|finding| finding.span);
        findings
    }

    /// Whether the user wants to stop, or another step has failed.
    pub(super) fn is_stopped(&self) -> bool {
        self.stop.is_cancelled()
    }

    /// Looks how large these cache mounts are now, beside the build.
    pub(super) fn measure_caches(&self, names: Vec<String>) {
        let store = self.around.store.clone();
        let measuring = tokio::task::spawn_blocking(move || {
            for name in names {
                // What is not counted now is counted after the next use.
                let _ = store.measure_cache_mount(&name);
            }
        });
        self.measuring.lock().unwrap_or_else(PoisonError::into_inner).push(measuring);
    }

    /// Waits until all that RUNs made was counted.
    pub async fn counted(&self) {
        let measuring = std::mem::take(&mut *self.measuring.lock().unwrap_or_else(PoisonError::into_inner));
        for one in measuring {
            // A panic in it was told already.
            let _ = one.await;
        }
    }

    /// Keeps what was learnt about the contexts, for the next build.
    pub fn save_contexts(&self) {
        self.around.contexts.save();
    }

    /// The result recorded under `key`. One that may not have outlived a crash of the machine is compared with its
    /// list first.
    fn recorded(&self, key: &ContentId) -> Option<StepRecord> {
        let records = self.around.store.records();
        if let Some((record, _)) = records.get(key) {
            return Some(record);
        }
        if !self.around.privileged {
            return None;
        }
        let (record, snapshot) = records.suspect(key)?;
        let snapshots = self.around.store.snapshots();
        if commit::is_whole(&snapshot, self.around.store.flavor()) && snapshots.confirm(&snapshot.id).is_ok()
        {
            return Some(record);
        }
        // It is of no use; that it cannot be moved away changes nothing.
        let _ = snapshots.discard(&snapshot.id);
        None
    }

    /// The key of a vertex by the content that it reads now, and that content. The files of a COPY are kept for
    /// explaining when `keep` says so.
    async fn key_of_content(
        &self,
        vertex: VertexId,
        inputs: &Inputs<Rootfs>,
        keep: bool,
    ) -> Result<(Option<ContentId>, Vec<Option<ContentId>>), Cause> {
        let by_run = self.around.named == Named::ByRun;
        let reads = match &self.vertex(vertex).op {
            // The stage counts as a whole.
            Op::Copy(copy) if by_run && copy.takes_paths() && matches!(copy.origin, Origin::Step(_)) => {
                vec![None]
            }
            Op::Copy(copy) if copy.origin != Origin::Empty && copy.takes_paths() => {
                let taken = self.copy_content(copy, inputs).await?;
                let id = taken.as_ref().map(|taken| taken.id);
                if let Some(taken) = taken.filter(|_| keep) {
                    let place = self.place_of(&copy.origin);
                    self.explained.takes(vertex, FILES.to_owned(), place, taken.id, taken.entries);
                }
                vec![id]
            }
            Op::Run(run) => self.mount_contents(vertex, run, inputs).await?,
            _ => return Ok((None, Vec::new())),
        };
        let found = |index: usize, origin: &Origin| match origin {
            Origin::Step(id) if by_run => inputs.reads.get(id).map(|rootfs| rootfs.content),
            _ => reads.get(index).copied().flatten(),
        };
        let made_of = key::ingredients(self.vertex(vertex), inputs, self.around.store.owners(), &found);
        let key = made_of.as_ref().map(|made_of| key::of(made_of, How::Content));
        self.explained.is_made_of(vertex, made_of);
        Ok((key, reads))
    }

    /// After a COPY: looks again at the context, so that what was copied is never remembered as the result of what was
    /// there before. That costs a `stat` for each file.
    pub(super) async fn compare_with_context(
        &self,
        vertex: VertexId,
        inputs: &Inputs<Rootfs>,
    ) -> Result<(), Cause> {
        let Op::Copy(copy) = &self.vertex(vertex).op else { return Ok(()) };
        let changing = matches!(copy.origin, Origin::Context | Origin::Named(_));
        if copy.takes_paths() && changing {
            let (now, _) = self.key_of_content(vertex, inputs, true).await?;
            if self.taken.is_other(vertex, now) {
                self.takes_other(vertex);
            }
        }
        Ok(())
    }

    /// A step takes something else from a context than what it was looked up by: the result is not remembered.
    pub(super) fn takes_other(&self, vertex: VertexId) {
        self.taken.takes_other(vertex);
        self.around.progress.warn(format!(
            "warning: {}: files of the context changed since the build looked at them; the step has the new ones or \
             some of both, and will run again in the next build",
            self.vertex(vertex).name
        ));
    }

    /// Says how large the files are that a step made.
    fn measure_layer(&self, step: StepId, snapshot: &SnapshotId) {
        let progress = &self.around.progress;
        if progress.is_measured()
            && let Some(made) = self.around.store.snapshots().get(snapshot)
        {
            progress.measure(step, Measure::Layer { bytes: made.meta.size });
        }
    }

    fn failed(vertex: VertexId) -> impl Fn(Cause) -> StepError {
        move |cause| StepError { vertex, cause }
    }
}

impl Worker for StepWorker {
    type State = Rootfs;
    type Error = StepError;
    type Claim = Option<KeyLock>;

    fn priority(&self, vertex: VertexId) -> u64 {
        self.urgency(vertex)
    }

    fn is_prepared(&self, _: VertexId, inputs: &Inputs<Rootfs>) -> bool {
        inputs.parent.iter().chain(inputs.reads.values()).all(|rootfs| self.is_unpacked(rootfs))
    }

    async fn prepare(&self, vertex: VertexId, inputs: &Inputs<Rootfs>) -> Result<(), StepError> {
        self.fetch_inputs(vertex, inputs).await.map_err(Self::failed(vertex))
    }

    async fn claim(&self, vertex: VertexId, key: &ContentId) -> Result<Option<Option<KeyLock>>, StepError> {
        self.try_turn(key).map_err(Self::failed(vertex))
    }

    async fn wait_for_other(&self, vertex: VertexId, key: &ContentId) -> Result<(), StepError> {
        self.await_turn(vertex, key).await.map_err(Self::failed(vertex))
    }

    fn definition_key(&self, vertex: VertexId, inputs: &Inputs<Rootfs>) -> Option<ContentId> {
        let made_of = key::definition(self.vertex(vertex), inputs, self.around.store.owners());
        let key = made_of.map(|made_of| key::of(&made_of, How::Definition));
        self.explained.looked_up(vertex, key);
        key
    }

    async fn content_key(
        &self,
        vertex: VertexId,
        inputs: &Inputs<Rootfs>,
    ) -> Result<Option<ContentId>, StepError> {
        if matches!(self.vertex(vertex).op, Op::Http(_) | Op::Git(_)) {
            let made_of = self.source_key(vertex).await.map_err(Self::failed(vertex))?;
            let key = made_of.as_ref().map(|made_of| key::of(made_of, How::Source));
            self.explained.is_made_of(vertex, made_of);
            self.explained.looked_up(vertex, key);
            return Ok(key);
        }
        // Files of a context are listed when they have been copied.
        let stage =
            matches!(&self.vertex(vertex).op, Op::Copy(copy) if matches!(copy.origin, Origin::Step(_)));
        let (key, reads) = self.key_of_content(vertex, inputs, stage).await.map_err(Self::failed(vertex))?;
        self.taken.looked_up(vertex, key, reads);
        self.explained.looked_up(vertex, key);
        Ok(key)
    }

    async fn lookup(&self, vertex: VertexId, key: &ContentId, inputs: &Inputs<Rootfs>) -> Option<Rootfs> {
        let record = self.recorded(key)?;
        let nothing = Rootfs::empty();
        let parent = match &inputs.parent {
            Some(parent) => parent,
            None if self.vertex(vertex).op.is_fetch() => &nothing,
            None => return None,
        };
        (record.parent == key::start(self.vertex(vertex), inputs))
            .then(|| parent.with(record.snapshot, &record.diff, self.around.named))
    }

    async fn remember(
        &self,
        vertex: VertexId,
        key: &ContentId,
        state: &Rootfs,
        inputs: &Inputs<Rootfs>,
    ) -> Result<(), StepError> {
        let Some(Layer::Snapshot(id)) = state.layers.last() else { return Ok(()) };
        if self.taken.has_changed(vertex) {
            return Ok(());
        }
        let store = &self.around.store;
        let Some(snapshot) = store.snapshots().get(id) else { return Ok(()) };
        let parent = key::start(self.vertex(vertex), inputs);
        let record = StepRecord {
            snapshot: *id,
            parent,
            diff: snapshot.meta.content,
            content: state.content,
            created: snapshot.meta.created,
            description: self.vertex(vertex).name.clone(),
            took: self.times.lock().unwrap_or_else(PoisonError::into_inner).get(&vertex).copied(),
            inputs: self.made_of(vertex, inputs),
            gone: None,
        };
        store.records().put(key, &record).map_err(|error| Self::failed(vertex)(error.into()))
    }

    async fn wait_for_place<T: Send>(&self, vertex: VertexId, place: impl Future<Output = T> + Send) -> T {
        let asked = Instant::now();
        let place = place.await;
        self.around.progress.waited(Self::step(vertex), Wait::Place, asked);
        place
    }

    async fn execute(&self, vertex: VertexId, inputs: &Inputs<Rootfs>) -> Result<Rootfs, StepError> {
        let failed = Self::failed(vertex);
        match &self.vertex(vertex).op {
            Op::Scratch => return Ok(Rootfs::empty()),
            Op::Image(key) => {
                let layers = self.around.images.get(key).map(|base| base.config.rootfs.diff_ids.as_slice());
                return Ok(Rootfs::of_image(layers.unwrap_or_default()));
            }
            _ => {}
        }
        if !self.around.privileged {
            return Err(failed(Cause::NeedsUserNamespace));
        }
        if self.is_stopped() {
            return Err(failed(Cause::Cancelled));
        }
        let empty = Rootfs::empty();
        let parent = inputs.parent.as_ref().unwrap_or(&empty);
        let lowers = self.directories(parent).await.map_err(&failed)?;
        let step = Self::step(vertex);
        let (started, first) = self.fetched.begin(vertex);
        if first {
            self.around.progress.send(Event::Started { step });
        }
        let result = match &self.vertex(vertex).op {
            Op::Run(run) => self.run(vertex, run, inputs, lowers).await,
            Op::Copy(copy) => self.put(vertex, copy, inputs, lowers).await,
            Op::Workdir(workdir) => self.workdir(workdir, lowers).await,
            Op::Http(http) => self.bring_file(vertex, http).await,
            Op::Git(source) => self.bring_repository(vertex, source).await,
            Op::Scratch | Op::Image(_) => unreachable!("they have no step to run"),
        };
        let result = match result {
            Ok(active) => {
                let start = key::start(self.vertex(vertex), inputs);
                let earlier = (self.around.named == Named::ByContent).then_some(start);
                commit::commit(&self.around.store, active, earlier, &self.vertex(vertex).name).await
            }
            Err(cause) => Err(cause),
        };
        let elapsed = started.elapsed();
        match result {
            Ok((snapshot, diff, tree)) => {
                // What it costs to have it again is without what others did meanwhile.
                let took = elapsed.saturating_sub(self.turns.waited(vertex));
                self.times.lock().unwrap_or_else(PoisonError::into_inner).insert(vertex, took);
                if matches!(self.vertex(vertex).op, Op::Run(_)) {
                    self.found(leftovers::caches(&tree, self.vertex(vertex).span));
                }
                self.explain(vertex, inputs, Some(diff));
                self.measure_layer(step, &snapshot);
                self.around.progress.send(Event::Finished { step, elapsed });
                Ok(parent.with(snapshot, &diff, self.around.named))
            }
            Err(cause) => {
                if !matches!(cause, Cause::Cancelled | Cause::NeedsUserNamespace) {
                    self.explain(vertex, inputs, None);
                }
                if matches!(cause, Cause::Cancelled) {
                    self.around.progress.measure(step, Measure::Stopped);
                }
                self.around.progress.send(Event::Failed { step, elapsed, error: cause.to_string() });
                Err(failed(cause))
            }
        }
    }

    fn done(&self, vertex: VertexId, solved: &Solved<Rootfs>) {
        let op = &self.vertex(vertex).op;
        self.around.progress.measure(Self::step(vertex), Measure::Solved);
        if matches!(op, Op::Image(_)) && self.is_unpacked(&solved.state) {
            self.unpacked.lock().unwrap_or_else(PoisonError::into_inner).insert(vertex);
            self.around.progress.send(Event::Cached { step: Self::step(vertex) });
        }
        if solved.outcome == Outcome::Cached && !matches!(op, Op::Scratch | Op::Image(_)) {
            self.explained.is_cached(vertex);
            self.around.progress.send(Event::Cached { step: Self::step(vertex) });
        }
        self.on_done.done(vertex, &solved.state);
    }

    fn cancel(&self) {
        self.stopping.cancel();
    }
}
