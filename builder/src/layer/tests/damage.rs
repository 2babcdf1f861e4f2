//! Archives with random damage: an error or a directory, and never a panic or something outside.

use crate::layer::testing::{Tape, unpack};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// A small generator: the same cases each time.
struct Random(u64);

impl Random {
    fn next(&mut self, below: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % below
    }
}

/// Makes the checksum of every header right again, so that the damage gets past it.
fn seal(tar: &mut [u8]) {
    for block in tar.chunks_exact_mut(512).filter(|block| block[257..262] == *b"ustar") {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|b| u32::from(*b)).sum();
        block[148..156].copy_from_slice(format!("{sum:06o}\0 ").as_bytes());
    }
}

/// Removes a directory of our own whose modes may be anything.
fn remove(dir: &Path) {
    std::fs::set_permissions(dir, Permissions::from_mode(0o700)).unwrap();
    for entry in dir.read_dir().unwrap().map(Result::unwrap) {
        match entry.file_type().unwrap().is_dir() {
            true => remove(&entry.path()),
            false => std::fs::remove_file(entry.path()).unwrap(),
        }
    }
    std::fs::remove_dir(dir).unwrap();
}

#[test]
fn random_damage() {
    let mut tape =
        Tape::default().dir("d/").file("d/f", "some data").symlink("d/s", "f").hard_link("l", "d/f");
    let xattrs = [(b"user.a".to_vec(), b"b".to_vec())];
    tape.push(b'0', &[b'n'; 180], 0o4755, b"", b"x", &xattrs);
    let tar = tape.entry(b'0', "d/.wh.w", 0, "", b"").entry(b'0', "d/.wh..wh..opq", 0, "", b"").end();
    let outer = tempfile::tempdir().unwrap();
    let into = outer.path().join("into");
    let mut random = Random(0x5eed);
    let (mut accepted, mut refused) = (0, 0);
    for _ in 0..3000 {
        let mut damaged = tar.clone();
        for _ in 0..=random.next(4) {
            let at = random.next(damaged.len());
            damaged[at] = match random.next(3) {
                0 => random.next(256) as u8,
                1 => b"./\0 0179KLSxg="[random.next(14)],
                _ => damaged[random.next(tar.len())],
            };
        }
        if random.next(8) > 0 {
            seal(&mut damaged);
        }
        if random.next(10) == 0 {
            damaged.truncate(random.next(damaged.len()));
        }
        std::fs::create_dir(&into).unwrap();
        match unpack(&damaged, &into) {
            Ok(_) => accepted += 1,
            Err(_) => refused += 1,
        }
        let left: Vec<_> = outer.path().read_dir().unwrap().map(|e| e.unwrap().file_name()).collect();
        assert_eq!(left, ["into"]);
        remove(&into);
    }
    assert!(accepted > 100 && refused > 100, "the cases reach both ends: {accepted}, {refused}");
}
