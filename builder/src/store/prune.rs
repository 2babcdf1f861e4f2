//! Removes what is there for the next builds, the least valuable first.

use super::collect::Collector;
use super::error::StoreError;
use super::space::{Item, Kept, Kind, Place};
use super::{SnapshotId, Store};
use crate::content::ContentId;
use std::collections::{BTreeSet, HashMap};
use std::time::{Duration, SystemTime};

/// What to remove.
#[derive(Clone, Debug)]
pub struct Prune {
    /// Images without a name, too, and what only they need.
    pub all: bool,
    /// Only these; empty means every kind.
    pub kinds: Vec<Kind>,
    /// Only what was not used for so long.
    pub unused_for: Option<Duration>,
    /// Nothing more once the store holds no more bytes than this.
    pub keep: Option<u64>,
    /// What records say of why their results are gone.
    pub why: String,
}

/// What was removed.
#[derive(Clone, Debug, Default)]
pub struct Pruned {
    /// What was chosen, in that order.
    pub items: Vec<Item>,
    /// Bytes that went, with those of what nothing needed any more.
    pub bytes: u64,
}

/// Bytes a second at which what has no known cost could be had again: that of a fair network.
const FETCHED: f64 = 10e6;

impl Store {
    /// Removes what `wanted` says, never what an image with a name needs; it is deleted when the store is closed. What
    /// nothing needs goes in any case.
    ///
    /// # Errors
    /// `InUse` while another process has the store open; when something cannot be read or moved.
    pub fn prune(&self, wanted: &Prune, now: SystemTime) -> Result<Pruned, StoreError> {
        self.exclusively(|store| {
            let mut pruned = Pruned::default();
            let mut bytes = 0;
            if wanted.all {
                let mut images = store.space()?;
                let mut total = in_use(&images);
                images.retain(|item| matches!(item.kept, Kept::Unnamed(_)) && wanted.takes(item, now));
                images.sort_by_key(|item| item.last_used);
                for item in images {
                    let Place::Image(digest) = &item.place else { continue };
                    if wanted.is_enough(total) {
                        break;
                    }
                    store.images().remove(digest)?;
                    total = in_use(&store.space()?);
                    pruned.items.push(item);
                }
            }
            let items = store.space()?;
            let mut total = in_use(&items);
            let mut unwanted: BTreeSet<SnapshotId> = BTreeSet::new();
            for item in by_value(items, now) {
                if wanted.is_enough(total) {
                    break;
                }
                if item.kept != Kept::Cache || !wanted.takes(&item, now) {
                    continue;
                }
                match &item.place {
                    Place::Step(id, _) => {
                        unwanted.insert(*id);
                    }
                    Place::Directory(path) => {
                        store.discard_directory(path)?;
                        bytes += item.size;
                    }
                    Place::Image(_) | Place::Needed => continue,
                }
                total = total.saturating_sub(item.size);
                pruned.items.push(item);
            }
            let mut marked = Collector::new(store);
            for image in store.images().list()? {
                marked.image(&image.descriptor);
            }
            marked.cache(&unwanted)?;
            let collected = marked.closed(&store.layers().list()?).sweep(&wanted.why)?;
            pruned.bytes = bytes + collected.bytes;
            Ok(pruned)
        })
    }
}

impl Prune {
    fn is_enough(&self, total: u64) -> bool {
        self.keep.is_some_and(|keep| total <= keep)
    }

    fn takes(&self, item: &Item, now: SystemTime) -> bool {
        let unused = |least: Duration| {
            item.last_used.is_none_or(|used| now.duration_since(used).is_ok_and(|age| age >= least))
        };
        (self.kinds.is_empty() || self.kinds.contains(&item.kind)) && self.unused_for.is_none_or(unused)
    }
}

/// Bytes of what does not go by itself.
fn in_use(items: &[Item]) -> u64 {
    items.iter().filter(|item| item.kept != Kept::Nothing).map(|item| item.size).sum()
}

/// The least valuable first: what is had again soon, is large, or was not used for long. A step is worth as much as what
/// was built on it, which is of no use without it.
pub(super) fn by_value(items: Vec<Item>, now: SystemTime) -> Vec<Item> {
    let own = |item: &Item| {
        let bytes = item.size as f64;
        let cost = item.took.map_or(bytes / FETCHED, |took| took.as_secs_f64()) + 0.01;
        let age = item.last_used.and_then(|used| now.duration_since(used).ok()).unwrap_or_default();
        cost / (bytes + 4096.0) / (1.0 + age.as_secs_f64() / 86400.0)
    };
    let mut values: Vec<f64> = items.iter().map(own).collect();
    let order = upwards(&items);
    let mut rank = vec![0; items.len()];
    let made = made_of(&items);
    for (position, index) in order.into_iter().enumerate() {
        rank[index] = position;
        for parent in parents(&items[index], &made) {
            values[parent] = values[parent].max(values[index]);
        }
    }
    let mut order: Vec<(usize, Item)> = items.into_iter().enumerate().collect();
    // Of the same value, what was built on something goes before that.
    order.sort_by(|(one, _), (other, _)| {
        values[*one].total_cmp(&values[*other]).then(rank[*one].cmp(&rank[*other]))
    });
    order.into_iter().map(|(_, item)| item).collect()
}

/// Which steps left a root file system of a content.
fn made_of(items: &[Item]) -> HashMap<ContentId, Vec<usize>> {
    let mut made: HashMap<ContentId, Vec<usize>> = HashMap::new();
    for (index, item) in items.iter().enumerate() {
        for (_, content) in item.contents() {
            made.entry(*content).or_default().push(index);
        }
    }
    made
}

fn parents<'a>(item: &'a Item, made: &'a HashMap<ContentId, Vec<usize>>) -> impl Iterator<Item = usize> + 'a {
    item.contents().iter().filter_map(|(parent, _)| made.get(parent)).flatten().copied()
}

/// Every item before those that it was built on. Where steps undo each other there is no such order; any will do.
fn upwards(items: &[Item]) -> Vec<usize> {
    let made = made_of(items);
    let mut seen = vec![false; items.len()];
    let mut finished = Vec::with_capacity(items.len());
    for start in 0..items.len() {
        let mut way = vec![(start, false)];
        while let Some((index, left)) = way.pop() {
            if left {
                finished.push(index);
            } else if !std::mem::replace(&mut seen[index], true) {
                way.push((index, true));
                way.extend(parents(&items[index], &made).map(|parent| (parent, false)));
            }
        }
    }
    finished.reverse();
    finished
}
