use super::*;
use std::time::Duration;

/// Another process, which may let the store grow to `limit` bytes, in the boot `boot`.
fn process_of(dir: &tempfile::TempDir, limit: u64, boot: &str) -> Store {
    let opener = Opener {
        flavor: XattrFlavor::Trusted,
        owners: Owners::Kept,
        boot: Some(boot.to_owned()),
        limit: Limit::Bytes(limit),
    };
    Store::open_as(&dir.path().join("store"), opener).unwrap()
}

fn process(dir: &tempfile::TempDir, limit: u64) -> Store {
    process_of(dir, limit, "boot")
}

/// A step that made `size` bytes in `seconds`.
fn step(store: &Store, name: &str, size: u64, seconds: u64) -> (ContentId, SnapshotId) {
    let (key, diff) = (ContentId::of(name.as_bytes()), ContentId::of(name.as_bytes()));
    let snapshot = store.snapshots().begin().unwrap().commit(SnapshotMeta { size, ..meta(diff) }).unwrap();
    let record = StepRecord {
        snapshot: snapshot.id,
        parent: ContentId::of(b"parent"),
        diff,
        content: diff,
        created: UNIX_EPOCH,
        description: "RUN true".to_owned(),
        took: Some(Duration::from_secs(seconds)),
        inputs: Ingredients::default(),
        gone: None,
    };
    store.records().put(&key, &record).unwrap();
    (key, snapshot.id)
}

fn has(store: &Store, key: &ContentId) -> bool {
    store.records().get(key).is_some()
}

/// Bytes of everything, and whether just that is counted.
fn held(store: &Store) -> u64 {
    let counted = store.counted().unwrap();
    assert_eq!(store.known_total(), Some(counted));
    counted
}

#[test]
fn the_least_valuable_makes_room() {
    let dir = tempfile::tempdir().unwrap();
    let (cheap, _) = step(&process(&dir, 10_000), "cheap", 4000, 1);
    let (dear, _) = step(&process(&dir, 10_000), "dear", 4000, 1000);
    let store = process(&dir, 10_000);
    assert_eq!(held(&store), 8000);
    let (new, _) = step(&store, "new", 4000, 1);
    assert_eq!(held(&store), 8000);
    assert_eq!((has(&store, &cheap), has(&store, &dear), has(&store, &new)), (false, true, true));
    assert_eq!(store.take_overfull(), None);
    let gone = store.records().described(&cheap).and_then(|record| record.gone).unwrap();
    assert!(gone.why.starts_with("room was made"), "{}", gone.why);
    // It is deleted already, and not when the store is closed.
    let garbage = std::fs::read_dir(store.scratch_dir().unwrap().parent().unwrap()).unwrap();
    assert_eq!(garbage.count(), 1, "the directory that was just made");
}

#[test]
fn what_a_process_needs_stays() {
    let dir = tempfile::tempdir().unwrap();
    let other = process(&dir, 10_000);
    let (needed, id) = step(&other, "needed", 6000, 1);
    let store = process(&dir, 10_000);
    let (new, _) = step(&store, "new", 6000, 1000);
    assert!(has(&store, &new) && other.snapshots().get(&id).unwrap().upper().exists());
    let overfull = store.take_overfull().unwrap();
    assert_eq!((overfull.limit, overfull.size, overfull.in_use), (10_000, 12_000, 6000));
    assert!(overfull.to_string().contains("more than"), "{overfull}");
    // It is told once.
    step(&store, "more", 6000, 1000);
    assert_eq!(store.take_overfull(), None);
    drop((other, store));
    let store = process(&dir, 10_000);
    step(&store, "last", 1000, 1);
    assert!(held(&store) <= 10_000);
    assert!(!has(&store, &needed));
}

#[test]
fn what_was_only_looked_up_stays_as_well() {
    let dir = tempfile::tempdir().unwrap();
    let (cheap, _) = step(&process(&dir, 10_000), "cheap", 4000, 1);
    let (dear, _) = step(&process(&dir, 10_000), "dear", 4000, 1000);
    let build = process(&dir, 10_000);
    assert!(has(&build, &cheap));
    step(&process(&dir, 10_000), "new", 4000, 1);
    assert!(has(&build, &cheap) && !has(&build, &dear));
}

#[test]
fn images_with_names_stay_and_the_oldest_without_goes_first() {
    let dir = tempfile::tempdir().unwrap();
    let image = |name: &str, age: u64| {
        let store = process(&dir, u64::MAX);
        let layer = store.blobs().insert(&vec![name.as_bytes()[0]; 3000]).unwrap();
        let manifest = serde_json::json!({
            "schemaVersion": 2,
            "config": Descriptor::new(MediaType::OciConfig, layer.digest, layer.size),
            "layers": [Descriptor::new(MediaType::OciLayer, layer.digest, layer.size)],
        });
        let manifest = store.blobs().insert(manifest.to_string().as_bytes()).unwrap();
        let file = std::fs::File::open(store.blobs().path(&manifest.digest)).unwrap();
        file.set_modified(std::time::SystemTime::now() - Duration::from_secs(age)).unwrap();
        let descriptor = Descriptor::new(MediaType::OciManifest, manifest.digest, manifest.size);
        (store, descriptor, layer.digest)
    };
    let (store, named, named_layer) = image("n", 900);
    store.images().tag("docker.io/library/n:1", &named).unwrap();
    drop(store);
    let mut layers = Vec::new();
    for (name, age) in [("young", 10), ("old", 500)] {
        let (store, descriptor, layer) = image(name, age);
        store.images().add(&descriptor, &[]).unwrap();
        layers.push(layer);
    }
    let store = process(&dir, 12_000);
    step(&store, "new", 2000, 1);
    let there = |digest| store.blobs().path(digest).exists();
    assert!(there(&named_layer) && there(&layers[0]) && !there(&layers[1]));
    assert_eq!(store.images().list().unwrap().len(), 2);
    step(&store, "newer", 4000, 1);
    assert!(there(&named_layer) && !there(&layers[0]));
    let names: Vec<_> = store.images().list().unwrap().into_iter().map(|image| image.name).collect();
    assert_eq!(names, [Some("docker.io/library/n:1".to_owned())]);
    // There is nothing else: it says who needs it.
    step(&store, "newest", 9000, 1);
    assert_eq!(store.take_overfull().unwrap().images, ["docker.io/library/n:1"]);
}

#[test]
fn cache_mounts_count_and_go_unless_they_are_used() {
    let dir = tempfile::tempdir().unwrap();
    let store = process(&dir, 10_000);
    for name in ["used", "unused"] {
        let mount = store.new_cache_mount().unwrap();
        std::fs::write(mount.path().join("file"), vec![0; 4000]).unwrap();
        mount.keep(name).unwrap();
        store.measure_cache_mount(name).unwrap();
    }
    assert_eq!(held(&store), 8000);
    let CacheMountUse::Had(_mount) = store.use_cache_mount("used", false).unwrap() else {
        panic!("it is there")
    };
    step(&store, "new", 4000, 1);
    assert_eq!(held(&store), 8000);
    assert!(store.has_cache_mount("used") && !store.has_cache_mount("unused"));
    // One that is made again has the size that it has then.
    let mount = store.new_cache_mount().unwrap();
    std::fs::write(mount.path().join("file"), vec![0; 10]).unwrap();
    mount.keep("unused").unwrap();
    store.measure_cache_mount("unused").unwrap();
    assert_eq!(held(&store), 8010);
}

#[test]
fn what_is_not_known_for_sure_is_counted_again() {
    let dir = tempfile::tempdir().unwrap();
    let store = process(&dir, u64::MAX);
    step(&store, "one", 1000, 1);
    assert_eq!(held(&store), 1000);
    let path = store.path("cache/total");
    for damage in [&b""[..], &[7; 32], &[0; 100], b"short"] {
        std::fs::write(&path, damage).unwrap();
        assert_eq!(store.known_total(), None, "{damage:?}");
    }
    step(&store, "two", 1000, 1);
    assert_eq!(held(&store), 2000);
    // What another boot counted may not have reached the disk, and neither may what it made.
    store.sync().unwrap();
    drop(store);
    let store = process_of(&dir, u64::MAX, "another boot");
    assert_eq!(store.known_total(), None);
    step(&store, "three", 1000, 1);
    assert_eq!(held(&store), 3000);
    // Who prunes leaves the counting to who builds.
    let all = Prune { all: true, kinds: Vec::new(), unused_for: None, keep: Some(1000), why: String::new() };
    store.prune(&all, std::time::SystemTime::now()).unwrap();
    assert_eq!(store.known_total(), None);
    step(&store, "four", 1000, 1);
    assert_eq!(held(&store), 2000);
}

#[test]
fn a_layer_that_is_there_already_counts_once() {
    let dir = tempfile::tempdir().unwrap();
    let (one, other) = (process(&dir, u64::MAX), process(&dir, u64::MAX));
    let layer = DiffId(Digest::of(b"layer"));
    let builders = [&one, &other].map(|store| store.layers().begin(layer).unwrap());
    for builder in builders {
        builder.commit(1000).unwrap();
    }
    assert_eq!(held(&one), 1000);
}
