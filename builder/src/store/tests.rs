use super::*;
use crate::content::{ContentId, Ingredients};
use crate::explain::{BuildHistory, FileList};
use registry_client::descriptor::Descriptor;
use registry_client::digest::{DiffId, Digest};
use registry_client::media_type::MediaType;
use std::io::Write;
use std::time::UNIX_EPOCH;

mod cache_mounts;
mod collect;
mod crash;
mod room;
mod space;

fn temporary() -> (tempfile::TempDir, Store) {
    let dir = tempfile::tempdir().unwrap();
    let store = Store::open(&dir.path().join("store"), XattrFlavor::Trusted).unwrap();
    (dir, store)
}

fn meta(diff: ContentId) -> SnapshotMeta {
    SnapshotMeta {
        content: diff,
        created: UNIX_EPOCH,
        description: "RUN true".to_owned(),
        size: 3,
        root: None,
        diff_id: None,
        tar_size: None,
    }
}

/// A step whose result holds one file.
fn run_step(store: &Store, key: &ContentId, text: &str) -> StepRecord {
    let active = store.snapshots().begin().unwrap();
    std::fs::write(active.upper().join("file"), text).unwrap();
    let diff = ContentId::of(text.as_bytes());
    let snapshot = active.commit(meta(diff)).unwrap();
    let record = StepRecord {
        snapshot: snapshot.id,
        parent: ContentId::of(b"parent"),
        diff,
        content: ContentId::of(b"root"),
        created: UNIX_EPOCH,
        description: "RUN true".to_owned(),
        took: None,
        inputs: Ingredients::default(),
        gone: None,
    };
    store.records().put(key, &record).unwrap();
    record
}

fn in_tmp(store: &Store) -> usize {
    std::fs::read_dir(store.path("tmp")).unwrap().count()
}

#[test]
fn a_new_store_is_an_image_layout() {
    let (dir, store) = temporary();
    let json = |name: &str| -> serde_json::Value {
        serde_json::from_slice(&std::fs::read(store.path(name)).unwrap()).unwrap()
    };
    assert_eq!(json("oci-layout")["imageLayoutVersion"], "1.0.0");
    assert_eq!(json("index.json")["schemaVersion"], 2);
    assert!(store.images().list().unwrap().is_empty());
    let again = Store::open(&dir.path().join("store"), XattrFlavor::Trusted).unwrap();
    assert_eq!(again.root(), store.root());
    let mode = std::os::unix::fs::MetadataExt::mode(&std::fs::metadata(store.root()).unwrap());
    assert_eq!(mode & 0o777, 0o700);
}

#[test]
fn what_is_no_store_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("thesis.txt"), "").unwrap();
    let error = Store::open(dir.path(), XattrFlavor::Trusted).unwrap_err();
    assert!(matches!(&error, StoreError::NotAStore { found, .. } if found == "thesis.txt"), "{error}");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);

    let (_dir, store) = temporary();
    let error = Store::open(store.root(), XattrFlavor::User).unwrap_err();
    assert!(error.to_string().contains("made by root, and cannot be used without root"), "{error}");
    std::fs::write(store.path("store.json"), r#"{"format":9,"xattrs":"trusted"}"#).unwrap();
    let error = Store::open(store.root(), XattrFlavor::Trusted).unwrap_err();
    assert!(matches!(error, StoreError::Format { found: 9, known: FORMAT, .. }), "{error}");
}

#[test]
fn blobs_are_what_their_digest_says() {
    let (_dir, store) = temporary();
    let blobs = store.blobs();
    let info = blobs.insert(b"hello").unwrap();
    assert_eq!(info, BlobInfo { digest: Digest::of(b"hello"), size: 5 });
    assert_eq!(blobs.read(&info.digest, 5).unwrap(), b"hello");
    assert!(matches!(blobs.read(&info.digest, 4), Err(StoreError::TooLarge { size: 5, .. })));
    assert!(matches!(blobs.read(&Digest::of(b"x"), 4), Err(StoreError::NoBlob(_))));

    let wanted = Descriptor::of(MediaType::OciLayer, b"expected");
    for (bytes, short) in [(&b"expecte"[..], true), (b"EXPECTED", false)] {
        let mut writer = blobs.writer_for(&wanted).unwrap();
        writer.write_all(bytes).unwrap();
        match writer.commit(Some(&wanted)).unwrap_err() {
            StoreError::Size { got: 7, .. } => assert!(short),
            StoreError::Digest { got, .. } => assert_eq!(*got, Digest::of(b"EXPECTED")),
            other => panic!("{other}"),
        }
    }
    let mut writer = blobs.writer_for(&wanted).unwrap();
    assert!(writer.write_all(b"expected and more").is_err());
    drop(writer);
    assert_eq!(blobs.list().unwrap(), [info]);

    // Whoever has verified the bytes is believed, but for their number.
    for (bytes, want) in [(&b"expecte"[..], false), (b"expected", true)] {
        let mut writer = blobs.writer_of_verified(&wanted).unwrap();
        writer.write_all(bytes).unwrap();
        assert_eq!(writer.bytes(), bytes.len() as u64);
        match writer.commit(Some(&wanted)) {
            Ok(info) => assert!(want && info.digest == wanted.digest),
            Err(error) => assert!(!want && matches!(error, StoreError::Size { got: 7, want: 8, .. })),
        }
    }
    assert!(blobs.writer_of_verified(&wanted).unwrap().write_all(b"expected and more").is_err());
    assert_eq!(blobs.read(&wanted.digest, 8).unwrap(), b"expected");

    let sha512: Digest = format!("sha512:{}", "0".repeat(128)).parse().unwrap();
    let wrong = Descriptor::new(MediaType::OciLayer, sha512, 1);
    let mut writer = blobs.writer_for(&wrong).unwrap();
    writer.write_all(b"x").unwrap();
    let Err(StoreError::Digest { got, .. }) = writer.commit(Some(&wrong)) else {
        panic!("it is another digest")
    };
    let right = Descriptor::new(MediaType::OciLayer, *got, 1);
    let mut writer = blobs.writer_for(&right).unwrap();
    writer.write_all(b"x").unwrap();
    assert_eq!(writer.commit(Some(&right)).unwrap().digest, *got);
    assert_eq!(blobs.read(&got, 1).unwrap(), b"x");
}

#[test]
fn a_damaged_blob_is_set_aside_and_can_come_again() {
    let (_dir, store) = temporary();
    let blobs = store.blobs();
    for damage in ["HELLO", "hell"] {
        let info = blobs.insert(b"hello").unwrap();
        std::fs::remove_file(blobs.path(&info.digest)).unwrap();
        std::fs::write(blobs.path(&info.digest), damage).unwrap();
        assert!(matches!(blobs.read(&info.digest, 9), Err(StoreError::Damaged { .. })), "{damage}");
        assert!(!blobs.contains(&info.digest), "{damage}");
    }
    let info = blobs.insert(b"hello").unwrap();
    std::fs::remove_file(blobs.path(&info.digest)).unwrap();
    std::fs::write(blobs.path(&info.digest), "HELLO").unwrap();
    let error = blobs.copy_to(&info.digest, &mut Vec::new()).unwrap_err();
    assert!(matches!(error, CopyError::Store(StoreError::Damaged { .. })), "{error}");
    // One of another length is replaced without being asked for.
    blobs.insert(b"hello").unwrap();
    std::fs::remove_file(blobs.path(&info.digest)).unwrap();
    std::fs::write(blobs.path(&info.digest), "he").unwrap();
    blobs.insert(b"hello").unwrap();
    assert_eq!(blobs.read(&info.digest, 9).unwrap(), b"hello");
}

#[test]
fn a_blob_is_fresh_for_who_wrote_it() {
    let (dir, store) = temporary();
    let blob = store.blobs().insert(b"bytes").unwrap().digest;
    assert!(store.blobs().is_fresh(&blob) && store.clone().blobs().is_fresh(&blob));
    // Who finds it there has not seen its bytes.
    let other = Store::open(&dir.path().join("store"), XattrFlavor::Trusted).unwrap();
    other.blobs().insert(b"bytes").unwrap();
    assert!(!other.blobs().is_fresh(&blob));
    store.blobs().set_aside(&blob).unwrap();
    assert!(!store.blobs().is_fresh(&blob));
}

#[test]
fn records_give_back_what_was_put() {
    let (_dir, store) = temporary();
    let records = store.records();
    let key = ContentId::of(b"key");
    assert!(records.get(&key).is_none());
    let record = run_step(&store, &key, "abc");
    let (got, snapshot) = records.get(&key).unwrap();
    assert_eq!(got, record);
    assert_eq!(std::fs::read(snapshot.upper().join("file")).unwrap(), b"abc");
    assert!(!snapshot.upper().with_file_name("work").exists());

    // The same content of the same parent, by another key: the first snapshot stays the one.
    let second = run_step(&store, &ContentId::of(b"other key"), "abc");
    assert_ne!(second.snapshot, record.snapshot);
    assert_eq!(records.by_content(&record.parent, &record.diff).unwrap().id, record.snapshot);
    store.snapshots().discard(&record.snapshot).unwrap();
    assert!(records.by_content(&record.parent, &record.diff).is_none());
    assert!(records.get(&key).is_none());
    // What it was made of can still be told.
    assert_eq!(records.described(&key), Some(record));
}

#[test]
fn a_damaged_record_is_absent() {
    let (_dir, store) = temporary();
    let key = ContentId::of(b"key");
    let record = run_step(&store, &key, "abc");
    let step = store.path("cache/steps").join(key.hex());
    let snapshot = store.path("snapshots").join(record.snapshot.to_string()).join("meta.json");
    // Opened anew: a store that is open does not look at what it has read.
    let found = || Store::open(store.root(), XattrFlavor::Trusted).unwrap().records().get(&key).is_some();
    for path in [step, snapshot] {
        let good = std::fs::read(&path).unwrap();
        for at in (0..good.len()).step_by(7) {
            let mut bad = good.clone();
            bad[at] ^= 0x20;
            std::fs::write(&path, &bad).unwrap();
            assert!(!found(), "{} at {at}", path.display());
            std::fs::write(&path, &good[..at]).unwrap();
            assert!(!found(), "{} cut at {at}", path.display());
        }
        std::fs::write(&path, &good).unwrap();
        assert!(found());
    }
}

#[test]
fn a_snapshot_of_an_unsynced_boot_waits_for_verification() {
    let (_dir, store) = temporary();
    let key = ContentId::of(b"key");
    let record = run_step(&store, &key, "abc");
    let diff_id = DiffId(Digest::of(b"tar"));
    store.snapshots().set_diff_id(&record.snapshot, diff_id, 3).unwrap();
    store.layers().link_snapshot(LayerMeta { diff_id, size: 3 }, record.snapshot).unwrap();
    assert_eq!(store.layers().get(diff_id).unwrap().snapshot, Some(record.snapshot));
    assert!(store.records().suspect(&key).is_none());

    store.snapshots().age(&record.snapshot);
    assert!(store.records().get(&key).is_none());
    assert!(store.records().by_content(&record.parent, &record.diff).is_none());
    assert!(store.layers().get(diff_id).is_none());
    assert_eq!(store.records().suspect(&key).unwrap().0, record);

    store.snapshots().confirm(&record.snapshot).unwrap();
    let (_, snapshot) = store.records().get(&key).unwrap();
    assert_eq!((snapshot.meta.diff_id, snapshot.meta.tar_size), (Some(diff_id), Some(3)));
    assert!(store.layers().get(diff_id).is_some());
}

#[test]
fn layers_are_unpacked_once() {
    let (_dir, store) = temporary();
    let layers = store.layers();
    let diff_id = DiffId(Digest::of(b"tar"));
    assert!(layers.get(diff_id).is_none());
    let first = layers.begin(diff_id).unwrap();
    let second = layers.begin(diff_id).unwrap();
    std::fs::write(first.path().join("first"), "").unwrap();
    std::fs::write(second.path().join("second"), "").unwrap();
    assert!(layers.get(diff_id).is_none());
    let layer = first.commit(10).unwrap();
    assert_eq!(second.commit(10).unwrap(), layer);
    assert!(layer.path.join("first").exists());
    assert_eq!(layers.list().unwrap(), [layer]);

    let blob = store.blobs().insert(b"compressed").unwrap();
    let form =
        LayerBlob { digest: blob.digest, size: blob.size, media_type: MediaType::OciLayerGzip, level: None };
    layers.add_blob(diff_id, form.clone()).unwrap();
    layers.add_blob(diff_id, form.clone()).unwrap();
    assert_eq!(layers.blobs_of(diff_id), [form]);
    store.blobs().remove(&blob.digest).unwrap();
    assert_eq!(layers.blobs_of(diff_id), []);
}

#[test]
fn images_have_names_and_ids() {
    let (_dir, store) = temporary();
    let (images, blobs) = (store.images(), store.blobs());
    let image = |n: u32| {
        let config = blobs.insert(format!("{{\"n\":{n}}}").as_bytes()).unwrap();
        let manifest = serde_json::json!({
            "schemaVersion": 2,
            "config": { "mediaType": MediaType::OciConfig, "digest": config.digest, "size": config.size },
            "layers": [],
        });
        let manifest = blobs.insert(manifest.to_string().as_bytes()).unwrap();
        (Descriptor::new(MediaType::OciManifest, manifest.digest, manifest.size), config.digest)
    };
    let ((one, one_id), (two, two_id)) = (image(1), image(2));
    let name = "docker.io/library/app:1";
    images.add(&one, &[]).unwrap();
    assert_eq!(images.list().unwrap(), [Image { name: None, descriptor: one.clone() }]);
    images.add(&one, &[name.to_owned(), "docker.io/library/app:latest".to_owned()]).unwrap();
    assert_eq!(images.list().unwrap().len(), 2, "a name replaces the nameless entry");
    assert_eq!(images.resolve(name).unwrap(), Some(one.clone()));
    for text in [one_id.to_string(), one_id.hex()[..12].to_owned(), one.digest.hex()[..12].to_uppercase()] {
        assert_eq!(images.resolve(&text).unwrap(), Some(one.clone()), "{text}");
    }
    images.tag(name, &two).unwrap();
    assert_eq!(images.resolve(name).unwrap(), Some(two.clone()));
    assert_eq!(images.id(&two).unwrap(), two_id);
    assert_eq!(images.untag(name).unwrap(), Some(two.clone()));
    assert_eq!(images.untag(name).unwrap(), None);
    assert_eq!(images.remove(&one.digest).unwrap(), 1);
    assert_eq!(images.resolve(&one_id.hex()).unwrap(), None);
    let absent = Descriptor::of(MediaType::OciManifest, b"absent");
    assert!(matches!(images.tag(name, &absent), Err(StoreError::NoBlob(_))));
}

#[test]
fn an_ambiguous_id_is_refused() {
    let (_dir, store) = temporary();
    let mut of_first_digit = std::collections::BTreeMap::<String, u32>::new();
    for n in 0..17 {
        let blob = store.blobs().insert(format!("{n}").as_bytes()).unwrap();
        store.images().add(&Descriptor::new(MediaType::OciIndex, blob.digest, blob.size), &[]).unwrap();
        *of_first_digit.entry(blob.digest.hex()[..1].to_owned()).or_default() += 1;
    }
    let (digit, _) = of_first_digit.iter().find(|(_, count)| **count > 1).unwrap();
    assert!(matches!(store.images().resolve(digit), Err(StoreError::Ambiguous { .. })));
    assert_eq!(store.images().resolve("not-an-id").unwrap(), None);
}

#[test]
fn nothing_is_left_when_the_store_is_closed() {
    let (dir, store) = temporary();
    let active = store.snapshots().begin().unwrap();
    std::fs::write(active.upper().join("file"), "x").unwrap();
    let mut writer = store.blobs().writer().unwrap();
    writer.write_all(b"half").unwrap();
    assert_eq!(in_tmp(&store), 1);
    assert_eq!(store.sweep().unwrap(), 0, "a living process keeps its directory");
    drop((active, writer, store));
    let store = Store::open(&dir.path().join("store"), XattrFlavor::Trusted).unwrap();
    assert_eq!(in_tmp(&store), 0);
    assert!(store.snapshots().list().unwrap().is_empty() && store.blobs().list().unwrap().is_empty());
}

#[test]
fn what_a_process_made_can_go_before_its_handles() {
    let (_dir, store) = temporary();
    let (scratch, other) = (store.scratch_dir().unwrap(), store.clone());
    store.clear_scratch();
    assert!(!scratch.exists());
    assert_eq!(in_tmp(&store), 0);
    // Whoever goes on makes another.
    assert!(other.scratch_dir().unwrap().is_dir());
    store.clear_scratch();
    assert_eq!(in_tmp(&store), 0);
}

#[test]
fn logs_are_kept_up_to_a_number() {
    let (_dir, store) = temporary();
    for n in 0..203 {
        let (_, mut file) = store.logs().create(UNIX_EPOCH + std::time::Duration::from_secs(n)).unwrap();
        writeln!(file, "{n}").unwrap();
    }
    let logs = store.logs().list().unwrap();
    assert_eq!(logs.len(), 200);
    assert_eq!(std::fs::read(&logs[0]).unwrap(), b"3\n");
}

#[test]
fn layers_with_a_newest_time_are_remembered() {
    let (_dir, store) = temporary();
    let record = run_step(&store, &ContentId::of(b"key"), "x");
    let layer = |second: u64| ClampedLayer {
        epoch: UNIX_EPOCH + std::time::Duration::from_secs(second),
        diff_id: DiffId(Digest::of(&second.to_le_bytes())),
        tar_size: second,
    };
    for second in [1, 2, 1, 3, 4, 5, 6, 7, 8, 9] {
        store.snapshots().set_clamped(&record.snapshot, layer(second)).unwrap();
    }
    let known = store.snapshots().get(&record.snapshot).unwrap().clamped;
    assert_eq!(known, [1, 3, 4, 5, 6, 7, 8, 9].map(layer), "each once, the latest of them");
}

#[test]
fn a_snapshot_is_read_once_and_again_when_it_changed() {
    let (_dir, store) = temporary();
    let id = run_step(&store, &ContentId::of(b"key"), "text").snapshot;
    let snapshots = store.snapshots();
    assert_eq!(snapshots.get(&id).unwrap().meta.diff_id, None);
    let diff_id = DiffId(Digest::of(b"layer"));
    snapshots.set_diff_id(&id, diff_id, 5).unwrap();
    assert_eq!(snapshots.get(&id).unwrap().meta.diff_id, Some(diff_id));
    std::fs::remove_file(store.path("snapshots").join(id.to_string()).join("meta.json")).unwrap();
    assert!(snapshots.get(&id).is_some(), "it was read again");
    snapshots.discard(&id).unwrap();
    assert!(snapshots.get(&id).is_none());
}

#[test]
fn a_store_that_lost_its_header_or_locks_is_still_one() {
    let (_dir, store) = temporary();
    // Everything that makes something.
    let record = run_step(&store, &ContentId::of(b"key"), "text");
    store.note_history(&ContentId::of(b"build"), &BuildHistory::default()).unwrap();
    store.note_file_list(&ContentId::of(b"files"), &FileList::default()).unwrap();
    let commit = KnownCommit { id: String::new(), ids: Vec::new(), reference: None };
    store.note_commit("git://host/x", "main", &commit).unwrap();
    let user = ContentId::of(b"app in an image");
    assert!(!store.knows_user(&user));
    store.note_user(&user).unwrap();
    assert!(store.knows_user(&user));
    let diff_id = DiffId(Digest::of(b"tar"));
    store.layers().begin(diff_id).unwrap().commit(3).unwrap();
    store.layers().keep_fitted(diff_id, "below", Some(&store.layers().begin_fitted().unwrap())).unwrap();
    let blob = store.blobs().insert(b"blob").unwrap();
    let form =
        LayerBlob { digest: blob.digest, size: blob.size, media_type: MediaType::OciLayer, level: None };
    store.layers().add_blob(diff_id, form).unwrap();
    let long = format!("sha512:{}", "0".repeat(128)).parse().unwrap();
    let _ = store.blobs().writer_for(&Descriptor::new(MediaType::OciLayer, long, 3)).unwrap().commit(None);
    store.new_cache_mount().unwrap().keep("cache").unwrap();
    std::fs::create_dir(store.repository("https://example.com/a.git").unwrap()).unwrap();
    let known = KnownFile { etag: None, last_modified: None, digest: blob.digest };
    store.note_file("https://example.com/file", &known).unwrap();
    std::fs::write(store.context_index(Path::new("/context")), "").unwrap();
    store.logs().create(UNIX_EPOCH).unwrap();
    store.scratch_dir().unwrap();
    store.sync().unwrap();

    // The list is whole: a directory that is made on demand, and not in it, would make this no store.
    let directories = |of: &str| -> Vec<String> {
        let entries = std::fs::read_dir(store.path(of)).unwrap().map(|entry| entry.unwrap());
        let names = entries.filter(|entry| entry.path().is_dir());
        names.map(|entry| format!("{of}{}", entry.file_name().to_str().unwrap())).collect()
    };
    for name in directories("").into_iter().chain(directories("cache/")) {
        let listed = |known: &str| known == name || known.starts_with(&format!("{name}/"));
        assert!(DIRECTORIES.iter().any(|known| listed(known)), "{name} is not in DIRECTORIES");
    }
    for lost in [&["store.json"][..], &["locks"], &["store.json", "locks", "tmp"], &["cache"]] {
        for name in lost {
            let path = store.path(name);
            if path.is_dir() { std::fs::remove_dir_all(path) } else { std::fs::remove_file(path) }.unwrap();
        }
        let again = Store::open(store.root(), XattrFlavor::Trusted);
        let again = again.unwrap_or_else(|error| panic!("without {lost:?}: {error}"));
        assert!(again.snapshots().get(&record.snapshot).is_some() && again.layers().get(diff_id).is_some());
        assert!(again.blobs().contains(&blob.digest));
        again.records().put(&ContentId::of(b"key"), &record).unwrap();
    }
}

#[test]
fn layers_of_one_id_are_kept_apart() {
    let (_dir, kept) = temporary();
    let opener = Opener {
        flavor: XattrFlavor::Trusted,
        owners: Owners::Flattened,
        boot: None,
        limit: Limit::Unlimited,
    };
    let flattened = Store::open_as(kept.root(), opener).unwrap();
    let diff_id = DiffId(Digest::of(b"tar"));
    let make = |store: &Store| store.layers().begin(diff_id).unwrap().commit(3).unwrap();
    let first = make(&flattened);
    assert!(kept.layers().get(diff_id).is_none(), "its owners are wrong");
    assert_eq!(kept.layers().size(diff_id), Some(3));
    let second = make(&kept);
    assert_ne!(first.path, second.path);
    assert_eq!(flattened.layers().get(diff_id), Some(first.clone()));
    assert_eq!(kept.layers().get(diff_id), Some(second.clone()));
    // A form of it is one of that one.
    flattened.layers().keep_fitted(diff_id, "below", None).unwrap();
    assert!(flattened.layers().fitted(diff_id, "below").is_some());
    assert!(kept.layers().fitted(diff_id, "below").is_none());
    // A directory that says something else than its name is none.
    let meta = |layer: &LayerDir| layer.path.with_file_name("meta.json");
    std::fs::copy(meta(&first), meta(&second)).unwrap();
    assert!(kept.layers().get(diff_id).is_none());
    make(&kept);

    let id = "cache";
    kept.new_cache_mount().unwrap().keep(id).unwrap();
    assert!(kept.has_cache_mount(id) && !flattened.has_cache_mount(id));

    assert_eq!(kept.layers().list().unwrap().len(), 2);
    drop(flattened);
    assert_eq!(kept.collect(Keep::Images).unwrap().layers, 2);
    assert!(kept.layers().list().unwrap().is_empty());
}
