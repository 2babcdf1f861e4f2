//! What becomes of each step, and why it ran, for the history of the build.
//!
//! A step that ran is compared with what the last build of this Dockerfile made of it, beside the build: its reasons are
//! asked for at the end.

use super::StepWorker;
use super::key::{self, How};
use super::state::Rootfs;
use crate::content::{ContentId, Ingredients};
use crate::context::{EntryKind, EntrySummary};
use crate::explain::{
    BuildHistory, FileKind, FileList, HistoricStep, Listed, Now, NowFiles, Outcome, Reason, compare,
};
use crate::graph::{Op, Origin, VertexId};
use crate::solve::Inputs;
use crate::store::{Gone, Store};
use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tokio::task::JoinHandle;

/// What a build needs to explain itself.
#[derive(Clone, Debug)]
pub struct Explaining {
    /// The name of its history in the store.
    pub name: ContentId,
    /// The flag by which steps run whatever is known.
    pub no_cache: &'static str,
}

/// What is known of the steps of a build until now.
#[derive(Debug, Default)]
pub(super) struct Explained {
    steps: Mutex<HashMap<VertexId, Entry>>,
    before: OnceLock<Arc<BuildHistory>>,
    jobs: Mutex<Vec<JoinHandle<(VertexId, Why)>>>,
}

#[derive(Debug, Default)]
struct Entry {
    key: Option<ContentId>,
    made_of: Option<Ingredients>,
    files: Vec<Files>,
    outcome: Option<Outcome>,
    why: Why,
}

/// Files that a step takes.
#[derive(Debug)]
struct Files {
    /// The ingredient of the key that they are.
    ingredient: String,
    /// Where they are, for people.
    place: String,
    /// Names them.
    id: ContentId,
    entries: Vec<EntrySummary>,
}

#[derive(Debug, Default)]
struct Why {
    reasons: Vec<Reason>,
    same_result: bool,
}

impl Explained {
    /// A vertex is looked up under `key`; the last one counts.
    pub(super) fn looked_up(&self, vertex: VertexId, key: Option<ContentId>) {
        if key.is_some() {
            lock(&self.steps).entry(vertex).or_default().key = key;
        }
    }

    /// Its key is made of this.
    pub(super) fn is_made_of(&self, vertex: VertexId, ingredients: Option<Ingredients>) {
        if ingredients.is_some() {
            lock(&self.steps).entry(vertex).or_default().made_of = ingredients;
        }
    }

    /// It takes the files `entries` of `place`, which are the `ingredient` of its key that has the content `id`.
    pub(super) fn takes(
        &self,
        vertex: VertexId,
        ingredient: String,
        place: String,
        id: ContentId,
        entries: Vec<EntrySummary>,
    ) {
        let mut steps = lock(&self.steps);
        let files = &mut steps.entry(vertex).or_default().files;
        // The last look counts.
        files.retain(|known| known.ingredient != ingredient);
        files.push(Files { ingredient, place, id, entries });
    }

    /// It was known.
    pub(super) fn is_cached(&self, vertex: VertexId) {
        let mut steps = lock(&self.steps);
        let entry = steps.entry(vertex).or_default();
        (entry.outcome, entry.made_of, entry.files) = (Some(Outcome::Cached), None, Vec::new());
    }

    /// What its key is made of.
    pub(super) fn made_of(&self, vertex: VertexId) -> Option<Ingredients> {
        lock(&self.steps).get(&vertex)?.made_of.clone()
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl StepWorker {
    /// What the key of a vertex is made of: by content where that is known, else by its definition.
    pub(super) fn made_of(&self, vertex: VertexId, inputs: &Inputs<Rootfs>) -> Ingredients {
        let by_content = self.explained.made_of(vertex);
        let definition = || key::definition(self.vertex(vertex), inputs, self.around.store.owners());
        by_content.or_else(definition).unwrap_or_default()
    }

    /// Notes that a vertex ran, and finds out why. `diff` is what it gave, unless it failed.
    pub(super) fn explain(&self, vertex: VertexId, inputs: &Inputs<Rootfs>, diff: Option<ContentId>) {
        let made_of = self.made_of(vertex, inputs);
        let (key, files) = {
            let mut steps = lock(&self.explained.steps);
            let entry = steps.entry(vertex).or_default();
            entry.outcome = Some(if diff.is_some() { Outcome::Ran } else { Outcome::Failed });
            entry.key = entry.key.or_else(|| Some(key::of(&made_of, How::Definition)));
            (entry.key, std::mem::take(&mut entry.files))
        };
        let known = &self.vertex(vertex);
        let (op, parent) = (&known.op, known.parent.map(|id| self.vertex(id)));
        let run_arguments = match op {
            Op::Run(run) => run.arguments.clone(),
            _ => Vec::new(),
        };
        let parent = parent.filter(|parent| is_step(&parent.op)).map(|parent| parent.name.clone());
        let asked = known.ignore_cache.then_some(self.around.explaining.no_cache);
        let (step, position) = (self.historic(vertex), self.position(vertex));
        let (store, before) = (self.around.store.clone(), self.before());
        // The record of this very key is about to be replaced.
        let gone = key.and_then(|key| store.records().described(&key)?.gone);
        let job = tokio::task::spawn_blocking(move || {
            let listed = |files: Files| {
                let list = list_of(&files.entries);
                (files, list)
            };
            let files: Vec<(Files, FileList)> = files.into_iter().map(listed).collect();
            let why = Question { store: &store, before: &before, step, position, made_of, gone, diff };
            let why = why.answer(asked, parent.as_deref(), &run_arguments, &files);
            for (files, list) in &files {
                // Without it the next build cannot say which files changed, and that is all.
                let _ = store.note_file_list(&files.id, list);
            }
            (vertex, why)
        });
        lock(&self.explained.jobs).push(job);
    }

    /// How long the step took when it ran last, as far as that is known.
    pub(super) fn took_before(&self, vertex: VertexId) -> Option<Duration> {
        let before = self.before();
        let key = before.earlier(&self.historic(vertex), self.position(vertex))?.key?;
        self.around.store.records().described(&key)?.took
    }

    fn before(&self) -> Arc<BuildHistory> {
        let read = || Arc::new(self.around.store.history(&self.around.explaining.name).unwrap_or_default());
        Arc::clone(self.explained.before.get_or_init(read))
    }

    /// What messages call the tree of `origin`. The vertex of an image belongs to the stage that names it, whose files
    /// are others.
    pub(super) fn place_of(&self, origin: &Origin) -> String {
        match origin {
            Origin::Context | Origin::Empty => self.around.contexts.place().to_owned(),
            Origin::Named(name) => format!("context {name:?}"),
            Origin::Step(id) => match &self.vertex(*id).op {
                Op::Image(key) => format!("image {}", key.name),
                _ => format!("stage {:?}", self.vertex(*id).stage),
            },
        }
    }

    fn historic(&self, vertex: VertexId) -> HistoricStep {
        let known = self.vertex(vertex);
        let base = known.parent.and_then(|id| match &self.vertex(id).op {
            Op::Image(key) => Some(format!("{}@{}", key.name, self.around.images.get(key)?.digest)),
            _ => None,
        });
        HistoricStep {
            stage: known.stage.clone(),
            name: known.name.clone(),
            platform: known.platform.to_string(),
            key: None,
            base,
            outcome: Outcome::NotReached,
            reasons: Vec::new(),
            same_result: false,
        }
    }

    /// How many steps of its stage and platform are before it.
    fn position(&self, vertex: VertexId) -> usize {
        let known = self.vertex(vertex);
        let same = |id: &usize| {
            let other = self.vertex(VertexId(*id));
            is_step(&other.op) && other.stage == known.stage && other.platform == known.platform
        };
        (0..vertex.0).filter(same).count()
    }

    /// What the build did until now. Waits for the last reasons.
    pub async fn history(&self, dockerfile: &str, context: &str, when: u64) -> BuildHistory {
        let jobs = std::mem::take(&mut *lock(&self.explained.jobs));
        for job in jobs {
            if let Ok((vertex, why)) = job.await {
                lock(&self.explained.steps).entry(vertex).or_default().why = why;
            }
        }
        let mut entries = std::mem::take(&mut *lock(&self.explained.steps));
        let ids = (0..self.graph.vertices.len()).map(VertexId);
        let steps = ids.filter(|id| is_step(&self.vertex(*id).op)).map(|id| {
            let entry = entries.remove(&id).unwrap_or_default();
            let outcome = entry.outcome.unwrap_or(Outcome::NotReached);
            let Why { reasons, same_result } = entry.why;
            let key = entry.key.filter(|_| outcome != Outcome::NotReached);
            HistoricStep { key, outcome, reasons, same_result, ..self.historic(id) }
        });
        let (dockerfile, context) = (dockerfile.to_owned(), context.to_owned());
        let mut history = BuildHistory { when, dockerfile, context, steps: steps.collect() };
        if history.steps.iter().any(|step| step.outcome == Outcome::NotReached) {
            history.complete(&self.before());
        }
        history
    }
}

fn is_step(op: &Op) -> bool {
    !matches!(op, Op::Scratch | Op::Image(_))
}

/// Why a step ran.
struct Question<'a> {
    store: &'a Store,
    before: &'a BuildHistory,
    step: HistoricStep,
    position: usize,
    made_of: Ingredients,
    /// Why the result that the step had under this very key is not there any more.
    gone: Option<Gone>,
    diff: Option<ContentId>,
}

impl Question<'_> {
    fn answer(
        &self,
        asked: Option<&str>,
        parent: Option<&str>,
        arguments: &[String],
        files: &[(Files, FileList)],
    ) -> Why {
        let records = self.store.records();
        let earlier = self.before.earlier(&self.step, self.position);
        let old = earlier.and_then(|earlier| records.described(&earlier.key?));
        let same_result = old.as_ref().is_some_and(|old| Some(old.diff) == self.diff);
        if let Some(flag) = asked {
            return Why { reasons: vec![Reason::Asked { flag: flag.to_owned() }], same_result };
        }
        if let Some(gone) = &self.gone {
            let when = Some(humantime::format_rfc3339_seconds(gone.when).to_string());
            return Why { reasons: vec![Reason::Gone { when, why: Some(gone.why.clone()) }], same_result };
        }
        let Some(old) = old else {
            let first = earlier.is_none();
            return Why { reasons: if first { vec![Reason::First] } else { Vec::new() }, same_result };
        };
        let then = |name: &str| old.inputs.content_of(name).and_then(|id| self.store.file_list(&id));
        let files = files.iter().map(|(files, list)| NowFiles {
            name: files.ingredient.clone(),
            place: files.place.clone(),
            then: then(&files.ingredient),
            now: Some(list.clone()),
        });
        let reasons = compare(
            &old.inputs,
            &self.made_of,
            &Now {
                parent,
                base: (self.step.base.as_deref(), earlier.and_then(|earlier| earlier.base.as_deref())),
                files: files.collect(),
                arguments: arguments.iter().map(String::as_str).collect(),
            },
        );
        let lost = reasons.is_empty().then_some(Reason::Gone { when: None, why: None });
        Why { reasons: reasons.into_iter().chain(lost).collect(), same_result }
    }
}

fn list_of(entries: &[EntrySummary]) -> FileList {
    let listed = entries.iter().map(|entry| Listed {
        path: String::from_utf8_lossy(&entry.path).into_owned(),
        kind: match entry.kind {
            EntryKind::File => FileKind::File,
            EntryKind::Directory => FileKind::Directory,
            EntryKind::Symlink => FileKind::Symlink,
            EntryKind::Fifo => FileKind::Fifo,
            EntryKind::CharacterDevice => FileKind::CharacterDevice,
            EntryKind::BlockDevice => FileKind::BlockDevice,
        },
        mode: entry.mode,
        owner: entry.owner,
        attributes: entry.attributes,
        content: entry.content,
    });
    FileList(listed.collect())
}
