use super::*;
use std::time::{Duration, SystemTime};

fn prune(keep: Option<u64>) -> Prune {
    Prune { all: false, kinds: Vec::new(), unused_for: None, keep, why: "pruned".to_owned() }
}

/// A step that made `size` bytes of `content` on `parent` in `seconds`.
fn step(store: &Store, [parent, content]: [&str; 2], size: u64, seconds: u64) -> ContentId {
    let key = ContentId::of(format!("key of {content}").as_bytes());
    let record = run_step(store, &key, content);
    let snapshot = store.snapshots().begin().unwrap();
    let diff = ContentId::of(content.as_bytes());
    let snapshot = snapshot.commit(SnapshotMeta { size, ..meta(diff) }).unwrap();
    let record = StepRecord {
        snapshot: snapshot.id,
        parent: ContentId::of(parent.as_bytes()),
        content: diff,
        took: Some(Duration::from_secs(seconds)),
        ..record
    };
    store.records().put(&key, &record).unwrap();
    key
}

fn is_there(store: &Store, keys: &[ContentId]) -> Vec<bool> {
    keys.iter().map(|key| store.records().get(key).is_some()).collect()
}

#[test]
fn the_least_valuable_goes_first() {
    let (_dir, store) = temporary();
    let keys = [
        step(&store, ["base", "cheap"], 4 << 20, 1),
        step(&store, ["base", "dear"], 4 << 20, 1000),
        // Of no use by itself, but the dear one was built on it.
        step(&store, ["nothing", "base"], 4 << 20, 1),
    ];
    let now = SystemTime::now();
    let pruned = store.prune(&prune(Some(8 << 20)), now).unwrap();
    assert_eq!(is_there(&store, &keys), [false, true, true]);
    assert_eq!(pruned.items.len(), 1);
    assert!(pruned.bytes >= 4 << 20);
    let told = store.records().described(&keys[0]).and_then(|record| record.gone);
    assert_eq!(told.map(|gone| gone.why).as_deref(), Some("pruned"));
    // What was built on something goes before that.
    store.prune(&prune(Some(4 << 20)), now).unwrap();
    assert_eq!(is_there(&store, &keys), [false, false, true]);
    assert!(store.prune(&prune(Some(4 << 20)), now).unwrap().items.is_empty());
    store.prune(&prune(None), now).unwrap();
    assert_eq!(is_there(&store, &keys), [false; 3]);
    assert!(store.space().unwrap().is_empty());
}

#[test]
fn filters() {
    let (_dir, store) = temporary();
    let key = step(&store, ["base", "one"], 10, 1);
    let name = "cache";
    let mount = store.new_cache_mount().unwrap();
    std::fs::write(mount.path().join("file"), "12345").unwrap();
    mount.keep(name).unwrap();
    let now = SystemTime::now();
    let day = Duration::from_secs(24 * 3600);
    let young = Prune { unused_for: Some(day), ..prune(None) };
    assert!(store.prune(&young, now).unwrap().items.is_empty());
    let mounts = Prune { kinds: vec![Kind::CacheMount], ..prune(None) };
    let pruned = store.prune(&mounts, now).unwrap();
    assert_eq!(
        pruned.items.iter().map(|item| (item.kind, item.size)).collect::<Vec<_>>(),
        [(Kind::CacheMount, 5)]
    );
    assert!(!store.has_cache_mount(name) && is_there(&store, &[key]) == [true]);
    assert_eq!(store.prune(&young, now + 2 * day).unwrap().items.len(), 1);
}

#[test]
fn a_use_is_noted_once_a_day() {
    let (_dir, store) = temporary();
    let key = step(&store, ["base", "one"], 10, 1);
    let path = store.path("cache/steps").join(key.hex());
    let file = std::fs::File::options().write(true).open(&path).unwrap();
    let time = |hours: u64| SystemTime::now() - Duration::from_secs(hours * 3600);
    let old = time(1);
    file.set_modified(old).unwrap();
    store.records().get(&key).unwrap();
    assert_eq!(path.metadata().unwrap().modified().unwrap(), old);
    file.set_modified(time(25)).unwrap();
    store.records().described(&key).unwrap();
    assert!(path.metadata().unwrap().modified().unwrap() < time(24), "to explain is no use");
    store.records().get(&key).unwrap();
    assert!(path.metadata().unwrap().modified().unwrap() > time(1));
}

#[test]
fn nothing_is_pruned_in_use() {
    let (_dir, store) = temporary();
    let key = step(&store, ["base", "one"], 10, 1);
    let other = Store::open(store.root(), XattrFlavor::Trusted).unwrap();
    assert!(matches!(store.prune(&prune(None), SystemTime::now()), Err(StoreError::InUse { .. })));
    drop(other);
    assert_eq!(is_there(&store, &[key]), [true]);
}
