//! When a directory was finished, and whether it has outlived every crash of the machine since.
//!
//! Unpacked layers and snapshots hold many files, and waiting for the disk after each step would cost more than the
//! step. So they are not synced one by one. Each carries a [`Stamp`]: the boot of the machine it was made in, and the
//! time since. What this boot made is in the page cache, whole, whatever process died. What an earlier boot made is
//! trusted when that boot noted a later `syncfs(2)` in `cache/synced`; otherwise the machine may have stopped before
//! the files reached the disk, and the directory is suspect.

use super::document::{self, Durability};
use super::error::StoreError;
use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};
use std::path::Path;
use std::sync::OnceLock;

/// A moment of one boot of the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Stamp {
    /// `/proc/sys/kernel/random/boot_id`; empty for what is known to be on the disk.
    boot: String,
    /// Nanoseconds of `CLOCK_MONOTONIC`.
    at: u64,
}

impl Stamp {
    /// Of what is finished now.
    pub(super) fn now() -> Self {
        let now = clock_gettime(ClockId::Monotonic);
        let at =
            u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0);
        Self { boot: boot_id().to_owned(), at }
    }

    /// Of what was read back and found right after the boot that made it.
    pub(super) fn verified() -> Self {
        Self { boot: String::new(), at: 0 }
    }

    /// Whether what it was put on is whole. `synced` is the file of [`note_sync`].
    pub(super) fn is_sound(&self, synced: &Path) -> bool {
        self.boot.is_empty()
            || self.boot == boot_id()
            || Marks::read(synced).0.iter().any(|(boot, until)| *boot == self.boot && self.at <= *until)
    }

    #[cfg(test)]
    pub(super) fn of_another_boot(at: u64) -> Self {
        Self { boot: "another".to_owned(), at }
    }
}

/// For each boot, the time of its last whole sync; the boot that noted one last is last.
#[derive(Default, Serialize, Deserialize)]
struct Marks(Vec<(String, u64)>);

/// How many boots are remembered; what older ones made is verified again when it is needed.
const BOOTS: usize = 200;

impl Marks {
    fn read(path: &Path) -> Self {
        document::read(path).unwrap_or_default()
    }
}

/// Notes that everything stamped before `stamp` is on the disk. The caller holds the lock of the file.
pub(super) fn note_sync(scratch: &Path, path: &Path, stamp: &Stamp) -> Result<(), StoreError> {
    let mut marks = Marks::read(path);
    let earlier = marks.0.iter().find(|(boot, _)| *boot == stamp.boot).map_or(0, |(_, until)| *until);
    marks.0.retain(|(boot, _)| *boot != stamp.boot);
    marks.0.push((stamp.boot.clone(), stamp.at.max(earlier)));
    let forgotten = marks.0.len().saturating_sub(BOOTS);
    marks.0.drain(..forgotten);
    document::replace(scratch, path, &document::encode(&marks, path)?, Durability::Promised)
}

/// Names this boot of the machine. Where /proc does not tell, it names this process: then nothing that another process
/// made is taken without verification, which is slow and safe.
fn boot_id() -> &'static str {
    static BOOT: OnceLock<String> = OnceLock::new();
    BOOT.get_or_init(|| match std::fs::read_to_string("/proc/sys/kernel/random/boot_id") {
        Ok(text) if !text.trim().is_empty() => text.trim().to_owned(),
        _ => super::scratch::random_name().unwrap_or_else(|_| format!("process {}", std::process::id())),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_boot_is_trusted_up_to_its_last_sync() {
        let dir = tempfile::tempdir().unwrap();
        let (scratch, synced) = (dir.path().join("scratch"), dir.path().join("synced"));
        assert!(Stamp::now().is_sound(&synced));
        assert!(Stamp::verified().is_sound(&synced));
        assert!(!Stamp::of_another_boot(5).is_sound(&synced));
        note_sync(&scratch, &synced, &Stamp::of_another_boot(5)).unwrap();
        note_sync(&scratch, &synced, &Stamp::of_another_boot(3)).unwrap();
        note_sync(&scratch, &synced, &Stamp::now()).unwrap();
        assert!(Stamp::of_another_boot(5).is_sound(&synced));
        assert!(!Stamp::of_another_boot(6).is_sound(&synced));
        // A damaged note costs a verification, no more.
        std::fs::write(&synced, b"{}").unwrap();
        assert!(!Stamp::of_another_boot(5).is_sound(&synced));
    }

    #[test]
    fn the_number_of_boots_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let (scratch, synced) = (dir.path().join("scratch"), dir.path().join("synced"));
        for n in 0..BOOTS + 3 {
            note_sync(&scratch, &synced, &Stamp { boot: n.to_string(), at: 1 }).unwrap();
        }
        assert_eq!(Marks::read(&synced).0.len(), BOOTS);
        assert!(Stamp { boot: (BOOTS + 2).to_string(), at: 1 }.is_sound(&synced));
    }
}
