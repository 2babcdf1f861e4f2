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
use std::path::{Path, PathBuf};
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
    /// Of what was read back and found right after the boot that made it.
    pub(super) fn verified() -> Self {
        Self { boot: String::new(), at: 0 }
    }

    #[cfg(test)]
    pub(super) fn of_another_boot(at: u64) -> Self {
        Self { boot: "another".to_owned(), at }
    }
}

/// What a store that is open knows of boots: which one this is, and what the earlier ones put on the disk.
#[derive(Debug)]
pub(super) struct Boots {
    own: OnceLock<String>,
    /// `cache/synced`.
    path: PathBuf,
    marks: OnceLock<Marks>,
}

impl Boots {
    /// `own` names this boot; else the kernel is asked, when somebody wants to know.
    pub(super) fn new(own: Option<String>, path: PathBuf) -> Self {
        Self { own: own.map(OnceLock::from).unwrap_or_default(), path, marks: OnceLock::new() }
    }

    fn own(&self) -> &str {
        self.own.get_or_init(boot_id)
    }

    /// A number that names this boot.
    pub(super) fn number(&self) -> u64 {
        let hash = blake3::hash(self.own().as_bytes());
        hash.as_bytes().iter().take(8).fold(0, |number, byte| number << 8 | u64::from(*byte))
    }

    /// The stamp of what is finished now.
    pub(super) fn now(&self) -> Stamp {
        let now = clock_gettime(ClockId::Monotonic);
        let at =
            u64::try_from(now.tv_sec).unwrap_or(0) * 1_000_000_000 + u64::try_from(now.tv_nsec).unwrap_or(0);
        Stamp { boot: self.own().to_owned(), at }
    }

    /// Whether what `stamp` was put on is whole.
    pub(super) fn trust(&self, stamp: &Stamp) -> bool {
        if stamp.boot.is_empty() || stamp.boot == self.own() {
            return true;
        }
        // What earlier boots noted does not change any more.
        let marks = self.marks.get_or_init(|| Marks::read(&self.path));
        marks.0.iter().any(|(boot, until)| *boot == stamp.boot && stamp.at <= *until)
    }

    /// Notes that everything stamped before `stamp` is on the disk. The caller holds the lock of the file.
    pub(super) fn note_sync(&self, scratch: &Path, stamp: &Stamp) -> Result<(), StoreError> {
        let mut marks = Marks::read(&self.path);
        let earlier = marks.0.iter().find(|(boot, _)| *boot == stamp.boot).map_or(0, |(_, until)| *until);
        marks.0.retain(|(boot, _)| *boot != stamp.boot);
        marks.0.push((stamp.boot.clone(), stamp.at.max(earlier)));
        let forgotten = marks.0.len().saturating_sub(BOOTS);
        marks.0.drain(..forgotten);
        document::replace(scratch, &self.path, &document::encode(&marks, &self.path)?, Durability::Promised)
    }
}

/// For each boot, the time of its last whole sync; the boot that noted one last is last.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Marks(Vec<(String, u64)>);

/// How many boots are remembered; what older ones made is verified again when it is needed.
const BOOTS: usize = 200;

impl Marks {
    fn read(path: &Path) -> Self {
        document::read(path).unwrap_or_default()
    }
}

/// Names this boot of the machine. Where /proc does not tell, it names this process: then nothing that another process
/// made is taken without verification, which is slow and safe.
fn boot_id() -> String {
    match std::fs::read_to_string("/proc/sys/kernel/random/boot_id") {
        Ok(text) if !text.trim().is_empty() => text.trim().to_owned(),
        _ => super::scratch::random_name().unwrap_or_else(|_| format!("process {}", std::process::id())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_boot_is_trusted_up_to_its_last_sync() {
        let dir = tempfile::tempdir().unwrap();
        let (scratch, synced) = (dir.path().join("scratch"), dir.path().join("synced"));
        // Opened anew: what earlier boots noted is read once.
        let boots = || Boots::new(None, synced.clone());
        assert!(boots().trust(&boots().now()));
        assert!(boots().trust(&Stamp::verified()));
        assert!(!boots().trust(&Stamp::of_another_boot(5)));
        boots().note_sync(&scratch, &Stamp::of_another_boot(5)).unwrap();
        boots().note_sync(&scratch, &Stamp::of_another_boot(3)).unwrap();
        boots().note_sync(&scratch, &boots().now()).unwrap();
        assert!(boots().trust(&Stamp::of_another_boot(5)));
        assert!(!boots().trust(&Stamp::of_another_boot(6)));
        // A damaged note costs a verification, no more.
        std::fs::write(&synced, b"{}").unwrap();
        assert!(!boots().trust(&Stamp::of_another_boot(5)));
    }

    #[test]
    fn a_boot_can_be_given() {
        let synced = PathBuf::from("/none");
        let boots = |name: &str| Boots::new(Some(name.to_owned()), synced.clone());
        assert!(boots("one").trust(&boots("one").now()));
        assert!(!boots("two").trust(&boots("one").now()));
    }

    #[test]
    fn the_number_of_boots_is_bounded() {
        let dir = tempfile::tempdir().unwrap();
        let (scratch, synced) = (dir.path().join("scratch"), dir.path().join("synced"));
        let boots = Boots::new(None, synced.clone());
        for n in 0..BOOTS + 3 {
            boots.note_sync(&scratch, &Stamp { boot: n.to_string(), at: 1 }).unwrap();
        }
        assert_eq!(Marks::read(&synced).0.len(), BOOTS);
        assert!(boots.trust(&Stamp { boot: (BOOTS + 2).to_string(), at: 1 }));
    }
}
