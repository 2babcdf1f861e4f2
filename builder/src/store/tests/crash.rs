//! Processes that share a store, and processes that die.

use super::*;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

const CHILD: &str = "SLIPWAY_TEST_STORE_CHILD";

/// This test program again, running only [`child`] with `what` to do in the store.
fn spawn(store: &Store, what: &str) -> std::process::Child {
    Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "store::tests::crash::child", "--nocapture"])
        .env(CHILD, format!("{what}:{}", store.root().display()))
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap()
}

/// No test of its own: what the children of the others do.
#[test]
fn child() {
    let Ok(order) = std::env::var(CHILD) else { return };
    let (what, root) = order.split_once(':').unwrap();
    let store = Store::open(Path::new(root), XattrFlavor::Trusted).unwrap();
    match what {
        "blob" => {
            let mut writer = store.blobs().writer().unwrap();
            writer.write_all(b"half").unwrap();
            writer.flush().unwrap();
            std::process::abort();
        }
        "layer" => {
            let layer = store.layers().begin(DiffId(Digest::of(b"tar"))).unwrap();
            std::fs::write(layer.path().join("file"), "half").unwrap();
            std::process::abort();
        }
        "snapshot" => {
            let active = store.snapshots().begin().unwrap();
            std::fs::write(active.upper().join("file"), "half").unwrap();
            std::process::abort();
        }
        "lock" => {
            let _lock = store.lock("a", "b").unwrap();
            std::process::abort();
        }
        "tag" => {
            let blob = store.blobs().insert(b"image").unwrap();
            let descriptor = Descriptor::new(MediaType::OciIndex, blob.digest, blob.size);
            for n in 0..20 {
                let name = format!("docker.io/library/app:{}-{n}", std::process::id());
                store.images().tag(&name, &descriptor).unwrap();
            }
        }
        "everything" => loop {
            let text = super::super::scratch::random_name().unwrap();
            run_step(&store, &ContentId::of(text.as_bytes()), &text);
            let blob = store.blobs().insert(text.as_bytes()).unwrap();
            let descriptor = Descriptor::new(MediaType::OciIndex, blob.digest, blob.size);
            store.images().tag(&format!("docker.io/library/app:{text}"), &descriptor).unwrap();
            let diff_id = DiffId(blob.digest);
            let layer = store.layers().begin(diff_id).unwrap();
            std::fs::write(layer.path().join("file"), &text).unwrap();
            layer.commit(1).unwrap();
        },
        other => panic!("no such order: {other}"),
    }
}

#[test]
fn a_process_that_dies_leaves_nothing_visible() {
    let (_dir, store) = temporary();
    for what in ["blob", "layer", "snapshot", "lock"] {
        assert!(!spawn(&store, what).wait().unwrap().success());
        assert!(store.blobs().list().unwrap().is_empty(), "{what}");
        assert!(store.layers().list().unwrap().is_empty(), "{what}");
        assert!(store.snapshots().list().unwrap().is_empty(), "{what}");
        assert_eq!(store.sweep().unwrap(), usize::from(what != "lock"), "{what}");
    }
    assert!(store.try_lock("a", "b").unwrap().is_some(), "the lock died with its process");
}

#[test]
fn a_store_stays_whole_whenever_its_user_is_killed() {
    let (_dir, store) = temporary();
    let mut seen = 0;
    for round in 0..12 {
        let mut child = spawn(&store, "everything");
        std::thread::sleep(Duration::from_millis(15 + 7 * round));
        child.kill().unwrap();
        child.wait().unwrap();

        for blob in store.blobs().list().unwrap() {
            store.blobs().read(&blob.digest, 100).unwrap();
        }
        for image in store.images().list().unwrap() {
            assert!(store.blobs().contains(&image.descriptor.digest));
        }
        for layer in store.layers().list().unwrap() {
            let text = std::fs::read(layer.path.join("file")).unwrap();
            assert_eq!(Digest::of(&text), layer.meta.diff_id.0);
        }
        for snapshot in store.snapshots().list().unwrap() {
            let text = std::fs::read(snapshot.upper().join("file")).unwrap();
            assert_eq!(ContentId::of(&text), snapshot.meta.content);
        }
        for entry in std::fs::read_dir(store.path("cache/steps")).unwrap() {
            let key = entry.unwrap().file_name().to_str().unwrap().parse().unwrap();
            assert!(store.records().get(&key).is_some(), "a record came before its snapshot");
            seen += 1;
        }
        store.sweep().unwrap();
        assert_eq!(in_tmp(&store), 1, "our own directory, and no other");
    }
    assert!(seen > 0, "the children were killed before they did anything");
}

#[test]
fn several_processes_tag_at_once() {
    let (_dir, store) = temporary();
    let children: Vec<_> = (0..4).map(|_| spawn(&store, "tag")).collect();
    for mut child in children {
        assert!(child.wait().unwrap().success());
    }
    assert_eq!(store.images().list().unwrap().len(), 80);
}

#[test]
fn one_holder_per_key() {
    let (_dir, store) = temporary();
    let inside = AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..6 {
            scope.spawn(|| {
                for _ in 0..100 {
                    let _lock = store.lock("kind", "key").unwrap();
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                    std::thread::yield_now();
                    inside.fetch_sub(1, Ordering::SeqCst);
                }
            });
        }
    });
    let held = store.lock("kind", "key").unwrap();
    assert!(store.try_lock("kind", "key").unwrap().is_none());
    assert!(store.try_lock("kind", "another").unwrap().is_some());
    drop(held);
    assert!(store.try_lock("kind", "key").unwrap().is_some());
}

#[test]
fn collecting_waits_for_nobody_and_disturbs_nobody() {
    let (_dir, store) = temporary();
    let other = Store::open(store.root(), XattrFlavor::Trusted).unwrap();
    assert!(matches!(store.exclusively(|_| Ok(())), Err(StoreError::InUse { .. })));
    drop(other);
    assert_eq!(store.exclusively(|_| Ok(7)).unwrap(), 7);
    Store::open(store.root(), XattrFlavor::Trusted).unwrap();
}
