//! Cache mounts: directories that outlive the build.
//!
//! Each is named by its id and by how it begins: what `from` and `source` put into it, its mode and owner. So a mount that
//! begins otherwise is another directory, as in BuildKit, and one whose seed changed has the new seed. Two mounts of one RUN
//! that are the same directory are locked once, in the stricter of their ways; all of a RUN are locked in the order of
//! their names, so that no two RUNs wait for each other.

#[cfg(test)]
mod tests;

use super::source::{self, Top};
use super::{Prepared, target};
use crate::blocking::blocking;
use crate::content::{ContentId, Encoder};
use crate::copy::{self, SourceTree};
use crate::graph::{Origin, RunMount, RunOp, VertexId};
use crate::progress::measure::Wait;
use crate::progress::{Event, Stream};
use crate::rootfs::Root;
use crate::sandbox::{BindSource, Mount, MountKind};
use crate::solve::Inputs;
use crate::steps::StepWorker;
use crate::steps::contexts::Tree;
use crate::steps::error::Cause;
use crate::steps::state::Rootfs;
use crate::store::{CacheMount, CacheMountUse};
use dockerfile_parser::ast::{self, Sharing};
use rustix::fs::{Mode, OFlags};
use std::collections::{BTreeMap, HashSet};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::Path;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Directories of a `sharing=private` cache mount that may be in use at once.
const PRIVATE_COPIES: usize = 1024;
/// The first pause between two attempts to lock, and the longest.
const PAUSES: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(100));
/// A longer wait is told.
const PATIENCE: Duration = Duration::from_secs(1);

/// The directories that this build began anew because an earlier result must not be used.
#[derive(Debug, Default)]
pub(in crate::steps) struct Renewed(Mutex<HashSet<String>>);

impl Renewed {
    fn contains(&self, name: &str) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).contains(name)
    }

    fn insert(&self, name: String) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name);
    }
}

/// The name of the directory that a mount of a RUN shows, and its seed; `None` for one that is no cache.
type Named = Option<(String, Option<ContentId>)>;

/// One directory that a RUN uses.
struct Cache<'r> {
    /// The first mount that shows it.
    bound: &'r RunMount,
    /// The strictest way of all mounts that show it.
    sharing: Sharing,
    /// What it begins with.
    seed: Option<ContentId>,
    /// It must not have been there before.
    anew: bool,
}

/// Names the source of a cache mount by all that its step made.
fn seed_of_step(bound: &RunMount, inputs: &Inputs<Rootfs>) -> Option<ContentId> {
    let Origin::Step(id) = &bound.from else { return None };
    let mut encoder = Encoder::new("slipway seed v1");
    encoder.id(&inputs.reads.get(id)?.content).text(source::source(bound));
    Some(encoder.finish())
}

/// Names the directory of a mount whose seed is `seed`.
fn name(bound: &RunMount, seed: Option<&ContentId>) -> String {
    let mount = &bound.mount;
    let id = mount.id.clone().unwrap_or_else(|| target(mount).display().to_string());
    if !has_beginning(bound) {
        return id;
    }
    let mut encoder = Encoder::new("slipway cache mount v1");
    encoder.option(seed.map(|seed| seed.0.as_slice()));
    for number in [mount.mode, mount.uid, mount.gid].map(|number| number.map(u32::to_le_bytes)) {
        encoder.option(number.as_ref().map(<[u8; 4]>::as_slice));
    }
    format!("{id}\0{}", encoder.finish().hex())
}

/// Whether the directory begins in a way of its own, and so anew where earlier results are not used.
fn has_beginning(bound: &RunMount) -> bool {
    let mount = &bound.mount;
    bound.from != Origin::Empty || mount.mode.is_some() || mount.uid.is_some() || mount.gid.is_some()
}

/// The directories of a RUN by name, which is the order to lock them in.
fn distinct<'r>(run: &'r RunOp, names: &[Named], anew: bool) -> BTreeMap<String, Cache<'r>> {
    let mut caches: BTreeMap<String, Cache<'r>> = BTreeMap::new();
    for (bound, name) in run.mounts.iter().zip(names) {
        let Some((name, seed)) = name else { continue };
        let sharing = bound.mount.sharing;
        caches
            .entry(name.clone())
            .and_modify(|cache| cache.sharing = stricter(cache.sharing, sharing))
            .or_insert(Cache { bound, sharing, seed: *seed, anew: anew && has_beginning(bound) });
    }
    caches
}

fn stricter(a: Sharing, b: Sharing) -> Sharing {
    match (a, b) {
        // Whoever waits for the one directory has it alone, which is what private asks for.
        (Sharing::Locked, _) | (_, Sharing::Locked) => Sharing::Locked,
        (Sharing::Private, _) | (_, Sharing::Private) => Sharing::Private,
        (Sharing::Shared, Sharing::Shared) => Sharing::Shared,
    }
}

impl StepWorker {
    /// Makes the cache mounts of a RUN; says which of its mounts each is. `contents` are those that the RUN was looked up
    /// by.
    pub(super) async fn caches(
        &self,
        vertex: VertexId,
        run: &RunOp,
        inputs: &Inputs<Rootfs>,
        contents: &[Option<ContentId>],
        prepared: &mut Prepared,
    ) -> Result<Vec<(usize, Mount)>, Cause> {
        let mut names = Vec::with_capacity(run.mounts.len());
        for (index, bound) in run.mounts.iter().enumerate() {
            if bound.mount.kind != ast::MountKind::Cache {
                names.push(None);
                continue;
            }
            let seed = self.seed(bound, inputs).await?;
            if bound.from != Origin::Empty && Some(&seed) != contents.get(index) {
                prepared.as_looked_up = false;
            }
            names.push(Some((name(bound, seed.as_ref()), seed)));
        }
        let mut used = BTreeMap::new();
        for (name, cache) in distinct(run, &names, self.vertex(vertex).ignore_cache) {
            let (directory, mount) = self.use_cache(vertex, &name, &cache, inputs).await?;
            prepared.caches.push(directory);
            used.insert(name, mount);
        }
        let mut mounts = Vec::new();
        for (index, (bound, name)) in run.mounts.iter().zip(&names).enumerate() {
            let Some(cache) = name.as_ref().and_then(|(name, _)| used.get(name)) else { continue };
            let directory = shown(bound, cache)?;
            let kind = MountKind::Bind {
                source: BindSource::Fd(directory),
                read_only: bound.mount.read_only,
                recursive: false,
            };
            mounts.push((index, Mount { target: target(&bound.mount), kind }));
        }
        prepared.held.extend(used.into_values().map(super::Held::Cache));
        Ok(mounts)
    }

    /// Names what a cache mount begins with; `None` for nothing.
    pub(super) async fn seed(
        &self,
        bound: &RunMount,
        inputs: &Inputs<Rootfs>,
    ) -> Result<Option<ContentId>, Cause> {
        match &bound.from {
            Origin::Empty => Ok(None),
            // Without a look at it: most often there is a directory that began with it.
            Origin::Step(_) => Ok(seed_of_step(bound, inputs)),
            Origin::Context | Origin::Named(_) => {
                let Some(tree) = self.origin(&bound.from, inputs).await? else {
                    return Ok(Some(Rootfs::empty().content));
                };
                let bound = bound.clone();
                blocking(move || source::content(&bound, &tree)).await.map(Some)
            }
        }
    }

    /// The directory of `cache`, used in its way, and its name.
    async fn use_cache(
        &self,
        vertex: VertexId,
        name: &str,
        cache: &Cache<'_>,
        inputs: &Inputs<Rootfs>,
    ) -> Result<(String, CacheMount), Cause> {
        let mut waiting = Waiting::new();
        if cache.sharing == Sharing::Private {
            for copy in 0..PRIVATE_COPIES {
                let name = if copy == 0 { name.to_owned() } else { format!("{name}\0{copy}") };
                if let Some(mount) = self.try_cache(vertex, &name, cache, inputs, &mut waiting).await? {
                    return Ok((name, mount));
                }
            }
            return Err(Cause::Mount {
                target: target(&cache.bound.mount).display().to_string(),
                why: format!("more than {PRIVATE_COPIES} builds use this cache"),
            });
        }
        loop {
            if let Some(mount) = self.try_cache(vertex, name, cache, inputs, &mut waiting).await? {
                return Ok((name.to_owned(), mount));
            }
            self.pause(vertex, cache, &mut waiting).await?;
        }
    }

    /// The same if that is possible now, made when it is missing.
    async fn try_cache(
        &self,
        vertex: VertexId,
        name: &str,
        cache: &Cache<'_>,
        inputs: &Inputs<Rootfs>,
        waiting: &mut Waiting,
    ) -> Result<Option<CacheMount>, Cause> {
        let alone = cache.sharing != Sharing::Shared;
        loop {
            self.make_cache(vertex, name, cache, inputs, waiting).await?;
            match self.around.store.use_cache_mount(name, alone)? {
                CacheMountUse::Had(mount) => return Ok(Some(mount)),
                CacheMountUse::Busy => return Ok(None),
                // Somebody deleted it just now.
                CacheMountUse::Absent => {}
            }
        }
    }

    /// Makes the directory when it is missing, or must begin anew.
    async fn make_cache(
        &self,
        vertex: VertexId,
        name: &str,
        cache: &Cache<'_>,
        inputs: &Inputs<Rootfs>,
        waiting: &mut Waiting,
    ) -> Result<(), Cause> {
        let store = &self.around.store;
        let is_made = || store.has_cache_mount(name) && (!cache.anew || self.renewed.contains(name));
        if is_made() {
            return Ok(());
        }
        let right = loop {
            if let Some(right) = store.lock_cache_mount(name)? {
                break right;
            }
            self.pause(vertex, cache, waiting).await?;
        };
        if is_made() {
            return Ok(());
        }
        let seed = self.origin(&cache.bound.from, inputs).await?;
        let (store, name_of_it) = (store.clone(), name.to_owned());
        let (bound, content) = (cache.bound.clone(), cache.seed);
        let cancellation = self.stop.clone();
        blocking(move || {
            let new = store.new_cache_mount()?;
            match &seed {
                None => own(new.path(), &bound.mount, Top::default())?,
                Some(seed) => {
                    let tree = seed.tree();
                    let top = beginning(&bound, &tree)?;
                    let to = Root::open(new.path()).map_err(Cause::io("open a cache mount"))?;
                    let spec = source::copy_spec(&bound, Path::new("/"));
                    copy::copy_until(&spec, &tree, &to, &cancellation)?;
                    own(new.path(), &bound.mount, top)?;
                    if matches!(seed, Tree::Context(_)) && Some(source::content(&bound, seed)?) != content {
                        // Under this name it would be taken for something else for ever.
                        let why = "its seed changed while it was copied: build again".to_owned();
                        return Err(Cause::Mount { target: target(&bound.mount).display().to_string(), why });
                    }
                }
            }
            Ok::<_, Cause>(new.keep(&name_of_it)?)
        })
        .await?;
        if cache.anew {
            self.renewed.insert(name.to_owned());
        }
        drop(right);
        Ok(())
    }

    /// A pause before the next attempt; longer each time. A longer wait is told once.
    ///
    /// # Errors
    /// When the build stops.
    async fn pause(&self, vertex: VertexId, cache: &Cache<'_>, waiting: &mut Waiting) -> Result<(), Cause> {
        if self.is_stopped() {
            return Err(Cause::Cancelled);
        }
        if !waiting.told && waiting.since.elapsed() > PATIENCE {
            waiting.told = true;
            let target = target(&cache.bound.mount);
            let line = format!("waiting for the cache mount {}, which another RUN uses", target.display());
            let (step, line) = (Self::step(vertex), line.into_bytes());
            self.around.progress.send(Event::Log { step, stream: Stream::Stderr, line });
        }
        let asked = Instant::now();
        tokio::select! {
            () = self.stop.cancelled() => return Err(Cause::Cancelled),
            () = tokio::time::sleep(waiting.pause) => {}
        }
        self.around.progress.waited(Self::step(vertex), Wait::Lock, asked);
        waiting.pause = (waiting.pause * 2).min(PAUSES.1);
        Ok(())
    }
}

/// How long one has waited.
struct Waiting {
    since: Instant,
    pause: Duration,
    told: bool,
}

impl Waiting {
    fn new() -> Self {
        Self { since: Instant::now(), pause: PAUSES.0, told: false }
    }
}

/// What a mount shows of its directory: all of it, or, where it has no seed to take it from, the `source` in it.
fn shown(bound: &RunMount, cache: &CacheMount) -> Result<OwnedFd, Cause> {
    let directory = cache.directory().map_err(Cause::io("open a cache mount"))?;
    if bound.from != Origin::Empty || source::is_everything(bound) {
        return Ok(directory);
    }
    let source = source::source(bound);
    let flags = OFlags::PATH | OFlags::CLOEXEC;
    Root::from_fd(directory).open_at(Path::new(source), flags, Mode::empty()).map_err(|error| {
        let why =
            format!("cannot open its source {source}, which is in the cache itself without from=: {error}");
        Cause::Mount { target: target(&bound.mount).display().to_string(), why }
    })
}

/// Mode and owner of the directory that a seed is.
fn beginning(bound: &RunMount, tree: &SourceTree<'_>) -> Result<Top, Cause> {
    source::top(bound, tree)?.ok_or_else(|| Cause::Mount {
        target: target(&bound.mount).display().to_string(),
        why: format!(
            "a cache begins as a directory, and {} in {} is none",
            source::source(bound),
            tree.place
        ),
    })
}

/// Gives a new directory its owner and mode: what the mount says, else what `top` says.
fn own(directory: &Path, mount: &ast::Mount, top: Top) -> Result<(), Cause> {
    let failed = || Cause::io("give a cache mount its owner and mode");
    let (uid, gid) = (mount.uid.unwrap_or(top.uid), mount.gid.unwrap_or(top.gid));
    if (uid, gid) != (0, 0) {
        chown(directory, Some(uid), Some(gid)).map_err(failed())?;
    }
    let mode = mount.mode.unwrap_or(top.mode);
    std::fs::set_permissions(directory, PermissionsExt::from_mode(mode)).map_err(failed())
}
