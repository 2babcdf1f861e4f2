use super::*;
use crate::copy::tests::listing::set_mtime;
use rustix::fs::{AtFlags, CWD, statat};
use std::fs;
use std::path::Path;
use std::time::Duration;

fn stat(path: &Path) -> Stat {
    statat(CWD, path, AtFlags::SYMLINK_NOFOLLOW).unwrap()
}

fn known(text: &str) -> Known {
    Known { content: ContentId::of(text.as_bytes()), attributes: text.len() as u64 }
}

/// An index opened so much later than now.
fn later(file: &Path, nanos: i64) -> Index {
    let mut index = Index::open(file.to_owned());
    index.opened += nanos;
    index
}

const LONG: i64 = 10 * SECOND;

#[test]
fn what_was_saved_is_found() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("index");
    let data = dir.path().join("data");
    fs::write(&data, "x").unwrap();
    let index = later(&file, LONG);
    assert_eq!(index.get(b"a", &stat(&data)), None);
    let paths: Vec<String> = (0..3000).map(|i| format!("dir{}/file{i}", i % 7)).collect();
    for path in &paths {
        index.put(path.as_bytes(), &stat(&data), known(path));
        assert_eq!(index.get(path.as_bytes(), &stat(&data)), Some(known(path)), "before it is saved");
    }
    index.save().unwrap();
    let index = Index::open(file.clone());
    for path in &paths {
        assert_eq!(index.get(path.as_bytes(), &stat(&data)), Some(known(path)), "{path}");
    }
    assert_eq!(index.get(b"dir0/file3000", &stat(&data)), None);
    // Nothing was learned, so nothing is written.
    fs::remove_file(&file).unwrap();
    index.save().unwrap();
    assert!(!file.exists());
}

#[test]
fn every_part_of_the_identity_counts() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    fs::write(&data, "x").unwrap();
    let index = later(&dir.path().join("index"), LONG);
    let was = stat(&data);
    index.put(b"a", &was, known("x"));
    let changes: [fn(&mut Stat); 6] = [
        |s| s.st_ino += 1,
        |s| s.st_size += 1,
        |s| s.st_mtime += 1,
        |s| s.st_mtime_nsec += 1,
        |s| s.st_ctime += 1,
        |s| s.st_ctime_nsec += 1,
    ];
    for (i, change) in changes.into_iter().enumerate() {
        let mut now = was;
        change(&mut now);
        assert_eq!(index.get(b"a", &now), None, "change {i}");
    }
    assert_eq!(index.get(b"b", &was), None, "the path");
    assert_eq!(index.get(b"a", &was), Some(known("x")));
}

#[test]
fn other_bytes_with_the_same_size_and_mtime_are_noticed() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    fs::write(&data, "old").unwrap();
    set_mtime(&data, 1000);
    let index = later(&dir.path().join("index"), LONG);
    index.put(b"data", &stat(&data), known("old"));
    assert!(index.get(b"data", &stat(&data)).is_some());
    std::thread::sleep(Duration::from_millis(30));
    fs::write(&data, "new").unwrap();
    set_mtime(&data, 1000);
    assert_eq!(stat(&data).st_mtime, 1000);
    assert_eq!(index.get(b"data", &stat(&data)), None, "the ctime tells");
}

#[test]
fn what_is_as_new_as_the_index_is_not_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let data = dir.path().join("data");
    fs::write(&data, "x").unwrap();
    let mut old = stat(&data);
    (old.st_mtime, old.st_mtime_nsec) = (1000, 5);
    let recorded = |index: &Index, stat: &Stat| {
        index.put(b"data", stat, known("x"));
        index.get(b"data", stat).is_some()
    };
    let file = dir.path().join("index");
    let now = Index::open(file.clone());
    assert!(!recorded(&now, &stat(&data)), "written a moment ago");
    assert!(!recorded(&now, &old), "its mtime is old, its ctime is not");
    let mut index = Index::open(file);
    let ctime = nanoseconds(old.st_ctime, old.st_ctime_nsec as i64);
    index.opened = ctime + TICK;
    assert!(!recorded(&index, &old));
    index.opened += 1;
    assert!(recorded(&index, &old));
    // A clock that only counts seconds needs more distance.
    old.st_ctime_nsec = 0;
    index.opened = nanoseconds(old.st_ctime, 0) + COARSE_TICK;
    assert!(!recorded(&index, &old));
    index.opened += 1;
    assert!(recorded(&index, &old));
}

#[test]
fn damage_makes_it_empty() {
    let dir = tempfile::tempdir().unwrap();
    let (file, data) = (dir.path().join("index"), dir.path().join("data"));
    fs::write(&data, "x").unwrap();
    let index = later(&file, LONG);
    for i in 0..20 {
        index.put(format!("{i}").as_bytes(), &stat(&data), known("x"));
    }
    index.save().unwrap();
    let good = fs::read(&file).unwrap();
    let found = || Index::open(file.clone()).get(b"7", &stat(&data)).is_some();
    assert!(found());
    for at in (0..good.len()).step_by(7) {
        let mut bad = good.clone();
        bad[at] ^= 0x40;
        fs::write(&file, &bad).unwrap();
        assert!(!found(), "byte {at}");
        fs::write(&file, &good[..at]).unwrap();
        assert!(!found(), "cut at {at}");
    }
    fs::write(&file, [good.as_slice(), b"x"].concat()).unwrap();
    assert!(!found(), "longer");
}

#[test]
fn records_without_use_are_dropped_in_the_end() {
    let dir = tempfile::tempdir().unwrap();
    let (file, data) = (dir.path().join("index"), dir.path().join("data"));
    fs::write(&data, "x").unwrap();
    let first = later(&file, LONG);
    first.put(b"used", &stat(&data), known("used"));
    first.put(b"unused", &stat(&data), known("unused"));
    first.save().unwrap();
    for round in 0..=MAX_AGE {
        let index = later(&file, LONG);
        assert!(index.get(b"used", &stat(&data)).is_some(), "{round}");
        index.put(b"other", &stat(&data), known("other"));
        index.save().unwrap();
    }
    let index = Index::open(file);
    assert!(index.get(b"used", &stat(&data)).is_some());
    assert!(index.get(b"unused", &stat(&data)).is_none());
}

#[test]
fn builds_that_save_at_once_leave_one_whole_file() {
    let dir = tempfile::tempdir().unwrap();
    let (file, data) = (dir.path().join("index"), dir.path().join("data"));
    fs::write(&data, "x").unwrap();
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let (file, data) = (&file, &data);
            scope.spawn(move || {
                for round in 0..20 {
                    let index = later(file, LONG);
                    for i in 0..50 {
                        index.put(format!("{thread} {round} {i}").as_bytes(), &stat(data), known("x"));
                    }
                    index.save().unwrap();
                    assert!(file::read(file).is_some_and(|records| records.len() >= 50));
                }
            });
        }
    });
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2, "no temporary file is left");
}
