use super::*;
use crate::store::CacheMountUse;

fn make(store: &Store, name: &str, text: &str) {
    let right = store.lock_cache_mount(name).unwrap().expect("nobody else makes it");
    let new = store.new_cache_mount().unwrap();
    std::fs::write(new.path().join("file"), text).unwrap();
    new.keep(name).unwrap();
    drop(right);
}

fn had(store: &Store, name: &str, alone: bool) -> Option<CacheMount> {
    match store.use_cache_mount(name, alone).unwrap() {
        CacheMountUse::Had(mount) => Some(mount),
        CacheMountUse::Busy => None,
        CacheMountUse::Absent => panic!("{name} is not there"),
    }
}

fn text(mount: &CacheMount) -> String {
    let root = crate::rootfs::Root::from_fd(mount.directory().unwrap());
    String::from_utf8(root.read(std::path::Path::new("file"), 100).unwrap()).unwrap()
}

#[test]
fn together_or_alone() {
    let (_dir, store) = temporary();
    assert!(matches!(store.use_cache_mount("a", false).unwrap(), CacheMountUse::Absent));
    assert!(!store.has_cache_mount("a"));
    make(&store, "a", "one");
    assert!(store.has_cache_mount("a") && !store.has_cache_mount("b"));
    let (first, second) = (had(&store, "a", false).unwrap(), had(&store, "a", false).unwrap());
    assert!(had(&store, "a", true).is_none());
    drop(first);
    assert!(had(&store, "a", true).is_none());
    // A mount of the directory is a use of it too.
    let directory = second.directory().unwrap();
    drop(second);
    assert!(had(&store, "a", true).is_none());
    drop(directory);
    let alone = had(&store, "a", true).unwrap();
    assert!(had(&store, "a", false).is_none() && had(&store, "a", true).is_none());
    make(&store, "b", "two");
    assert!(had(&store, "b", true).is_some(), "another one");
    drop(alone);
    assert_eq!(text(&had(&store, "a", false).unwrap()), "one");
}

#[test]
fn what_is_not_finished_is_not_there() {
    let (dir, store) = temporary();
    let new = store.new_cache_mount().unwrap();
    std::fs::write(new.path().join("file"), "half").unwrap();
    assert_eq!(store.sweep().unwrap(), 0, "it is being made");
    assert!(!store.has_cache_mount("a"));
    let half = new.path().to_owned();
    drop(new);
    assert!(!half.exists());
    // As a process that was killed leaves it.
    std::fs::create_dir(dir.path().join("store/tmp/lost")).unwrap();
    assert_eq!(store.sweep().unwrap(), 1);
}

#[test]
fn another_takes_its_place() {
    let (_dir, store) = temporary();
    make(&store, "a", "old");
    let old = had(&store, "a", true).unwrap();
    make(&store, "a", "new");
    let new = had(&store, "a", true).expect("it is another directory");
    assert_eq!((text(&old), text(&new)), ("old".to_owned(), "new".to_owned()));
    // Not while somebody uses it.
    assert_eq!(store.sweep().unwrap(), 0);
    assert_eq!(text(&old), "old");
    drop(old);
    assert_eq!(store.sweep().unwrap(), 1);
    assert_eq!(text(&new), "new");
}

#[test]
fn one_maker_at_a_time() {
    let (_dir, store) = temporary();
    let right = store.lock_cache_mount("a").unwrap();
    assert!(right.is_some() && store.lock_cache_mount("a").unwrap().is_none());
    assert!(store.lock_cache_mount("b").unwrap().is_some());
    drop(right);
    assert!(store.lock_cache_mount("a").unwrap().is_some());
}
