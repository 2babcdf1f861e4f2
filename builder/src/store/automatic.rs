//! Making room: what is worth least goes, while builds run.
//!
//! What a process that lives has looked at or made stays ([`super::uses`]), and what an image with a name needs. The rest goes
//! in this order: what nothing needs; results of steps, directories of cache mounts and repositories, by their value
//! ([`super::prune`]); and images without a name, the oldest first, after which what only they needed is of the second kind.

use super::collect::Collector;
use super::error::StoreError;
use super::prune::by_value;
use super::space::{Item, Kept, Place, Sizes};
use super::uses::{Reaper, Thing};
use super::{SnapshotId, Store};
use registry_client::digest::Digest;
use std::collections::BTreeSet;
use std::time::SystemTime;

/// What was done to make room.
#[derive(Debug, Default)]
pub(super) struct Made {
    /// Bytes that went.
    pub(super) freed: u64,
    /// Names of images that need what is left.
    pub(super) images: Vec<String>,
    /// Bytes of what is left that only running builds need.
    pub(super) in_use: u64,
}

impl Store {
    /// Bytes of everything in the store.
    pub(super) fn counted(&self) -> Result<u64, StoreError> {
        Ok(self.observing().items(Sizes::Noted)?.iter().map(|item| item.size).sum())
    }

    /// Removes things until the store, which holds `total` bytes with those that are about to come, holds no more than
    /// `wanted`, as far as that is possible. The caller has the lock of the total, so there is but one who does this. What went
    /// is to be deleted.
    pub(super) fn make_room(&self, total: u64, wanted: u64) -> Result<Made, StoreError> {
        let store = &self.observing();
        let reaper = Reaper::new(&store.path("locks/uses"))?;
        // What gets a name from here on is needed by a process that lives until we are done.
        let images = store.images();
        let _images = images.lock()?;
        let now = SystemTime::now();
        let (mut made, mut unwanted) = (Made::default(), BTreeSet::new());
        loop {
            let items = store.items(Sizes::Noted)?;
            made.images = names(&items);
            let mut unnamed: Vec<_> = items.iter().filter_map(unnamed).collect();
            let left = choose(store, items, total, wanted, &reaper, now, &mut unwanted, &mut made)?;
            unnamed.sort();
            let mut unnamed = unnamed.into_iter().map(|(_, digest)| digest);
            let unused = |digest: &Digest| reaper.claim(Thing::Blob(&digest.to_string()));
            let Some(digest) = (left > wanted).then(|| unnamed.find(unused)).flatten() else { break };
            images.remove_locked(&digest)?;
        }
        let mut marked = Collector::new(store);
        for image in images.list()? {
            marked.image(&image.descriptor);
        }
        marked.cache(&unwanted)?;
        let mut marked = marked.closed(&store.layers().list()?);
        marked.spare_used(&reaper)?;
        let why = "room was made for newer results: the store was as large as it may be";
        made.freed += marked.sweep(why)?.bytes;
        Ok(made)
    }
}

/// When an image without a name was made, and its digest.
fn unnamed(item: &Item) -> Option<(Option<SystemTime>, Digest)> {
    match (&item.kept, &item.place) {
        (Kept::Unnamed(_), Place::Image(digest)) => Some((item.last_used, *digest)),
        _ => None,
    }
}

/// Chooses what goes; directories that nothing refers to go at once. Says what will be left.
#[allow(clippy::too_many_arguments, reason = "the state of one loop")]
fn choose(
    store: &Store,
    items: Vec<Item>,
    total: u64,
    wanted: u64,
    reaper: &Reaper,
    now: SystemTime,
    unwanted: &mut BTreeSet<SnapshotId>,
    made: &mut Made,
) -> Result<u64, StoreError> {
    let chosen = |item: &Item, unwanted: &BTreeSet<SnapshotId>| match &item.place {
        Place::Step(id, _) => unwanted.contains(id),
        _ => false,
    };
    let goes = |item: &Item| item.kept == Kept::Nothing && is_unused(item, reaper);
    let gone: u64 =
        items.iter().filter(|item| goes(item) || chosen(item, unwanted)).map(|item| item.size).sum();
    let mut left = total.saturating_sub(gone + made.freed);
    made.in_use = 0;
    for item in by_value(items, now) {
        if item.kept != Kept::Cache || chosen(&item, unwanted) {
            continue;
        }
        if left <= wanted {
            break;
        }
        match &item.place {
            Place::Step(id, _) if reaper.claim(Thing::Snapshot(&id.to_string())) => {
                unwanted.insert(*id);
            }
            Place::Directory(path) if store.remove_directory(path, reaper)? => made.freed += item.size,
            _ => {
                made.in_use += item.size;
                continue;
            }
        }
        left = left.saturating_sub(item.size);
    }
    Ok(left)
}

fn is_unused(item: &Item, reaper: &Reaper) -> bool {
    match &item.place {
        Place::Step(id, _) => reaper.claim(Thing::Snapshot(&id.to_string())),
        _ => true,
    }
}

/// Names of the images that keep something, each once.
fn names(items: &[Item]) -> Vec<String> {
    let mut names: Vec<String> = items
        .iter()
        .filter_map(|item| match &item.kept {
            Kept::Named(names) => Some(names.iter().cloned()),
            _ => None,
        })
        .flatten()
        .collect();
    names.sort();
    names.dedup();
    names
}
