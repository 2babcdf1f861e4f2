use super::*;
use crate::layer;
use crate::rootfs::{Root, XattrFlavor};
use crate::userns::Privilege;
use registry_client::digest::Digest;
use rustix::fs::FileType;

/// An entry of a hand-made archive: its name, its mode, its owner, and what it links to.
struct Entry(&'static str, u32, u64, &'static str);

fn archive(entries: &[Entry]) -> Vec<u8> {
    let mut archive = tar::Builder::new(Vec::new());
    for Entry(name, mode, owner, link) in entries {
        let mut header = tar::Header::new_ustar();
        let kind = match (name.ends_with('/'), link.is_empty()) {
            (true, _) => tar::EntryType::Directory,
            (false, true) => tar::EntryType::Regular,
            (false, false) => tar::EntryType::Symlink,
        };
        header.set_entry_type(kind);
        header.set_mode(*mode);
        header.set_uid(*owner);
        header.set_gid(*owner);
        header.set_mtime(1000);
        header.set_size(0);
        if link.is_empty() {
            archive.append_data(&mut header, name, &b""[..]).unwrap();
        } else {
            archive.append_link(&mut header, name, link).unwrap();
        }
    }
    archive.into_inner().unwrap()
}

/// A store, and the layers that were put into it.
struct Bench {
    _dir: tempfile::TempDir,
    store: Store,
    layers: Vec<DiffId>,
}

impl Bench {
    /// `None`, said, where nothing can be mounted.
    #[allow(clippy::print_stderr)]
    fn new(archives: &[&[Entry]]) -> Option<Self> {
        if Privilege::detect() == Privilege::Unprivileged {
            assert!(
                std::env::var_os("SLIPWAY_REQUIRE_TOOLS").is_none_or(|v| v != "1"),
                "mounting needs root"
            );
            eprintln!("skipped: mounting needs root");
            return None;
        }
        // Not in /tmp, which may lie on an overlay.
        let dir = tempfile::tempdir_in("/var/tmp").unwrap();
        let flavor = XattrFlavor::of_this_process();
        let store = Store::open(dir.path(), flavor).unwrap();
        let mut layers = Vec::new();
        for entries in archives {
            let tar = archive(entries);
            let diff_id = DiffId(Digest::of(&tar));
            let builder = store.layers().begin(diff_id).unwrap();
            let options = layer::ApplyOptions::default();
            let stats = layer::apply(&mut &tar[..], &builder.path(), flavor, &options).unwrap();
            let mut implied = stats.implied_directories;
            if stats.implied_root {
                implied.push(PathBuf::new());
            }
            builder.commit_with(stats.bytes, implied).unwrap();
            layers.push(diff_id);
        }
        Some(Self { _dir: dir, store, layers })
    }

    fn stack(&self) -> Vec<PathBuf> {
        stack(&self.store, &self.layers).unwrap()
    }

    fn view(&self) -> Root {
        let mut lowers = self.stack();
        lowers.reverse();
        overlay_view(&lowers).unwrap()
    }

    /// Mode and owner of a directory.
    #[track_caller]
    fn directory(&self, path: &str) -> (u32, u32) {
        let stat = self.view().lstat(Path::new(path)).unwrap();
        assert_eq!(FileType::from_raw_mode(stat.st_mode), FileType::Directory, "{path}");
        (stat.st_mode & 0o7777, stat.st_uid)
    }

    fn has(&self, path: &str) -> bool {
        self.view().lstat(Path::new(path)).is_ok()
    }
}

#[test]
fn directories_nobody_mentions_are_those_below() {
    let base = [Entry("./", 0o711, 3, ""), Entry("tmp/", 0o1777, 0, ""), Entry("opt/", 0o750, 7, "")];
    let app = [Entry("tmp/x", 0o644, 0, ""), Entry("opt/app/y", 0o644, 0, "")];
    let Some(bench) = Bench::new(&[&base, &app]) else { return };
    assert_eq!(bench.directory("tmp"), (0o1777, 0));
    assert_eq!(bench.directory("opt"), (0o750, 7));
    assert_eq!(bench.directory("opt/app"), (0o755, 0));
    assert_eq!(bench.directory("."), (0o711, 3));
    assert!(bench.has("tmp/x") && bench.has("opt/app/y"));
    // Once for each stack, and never without need.
    assert_eq!(bench.stack(), bench.stack());
    let alone = stack(&bench.store, &bench.layers[1..]).unwrap();
    assert_eq!(alone, [bench.store.layers().get(bench.layers[1]).unwrap().path]);
}

#[test]
fn links_to_directories_are_followed() {
    let base = [
        Entry("usr/", 0o755, 0, ""),
        Entry("usr/lib/", 0o751, 5, ""),
        Entry("usr/lib/a", 0o644, 0, ""),
        Entry("lib", 0o777, 0, "usr/lib"),
        Entry("up", 0o777, 0, "/lib/../../usr"),
        Entry("loop", 0o777, 0, "loop"),
    ];
    let app = [Entry("lib/b", 0o644, 0, ""), Entry("up/deep/c", 0o644, 0, ""), Entry("loop/d", 0o644, 0, "")];
    let Some(bench) = Bench::new(&[&base, &app]) else { return };
    assert_eq!(bench.view().read_link(Path::new("lib")).unwrap(), Path::new("usr/lib"));
    assert!(bench.has("usr/lib/a") && bench.has("usr/lib/b") && bench.has("lib/b"));
    assert_eq!(bench.directory("usr/lib"), (0o751, 5));
    assert!(bench.has("usr/deep/c"));
    assert_eq!(bench.directory("loop"), (0o755, 0), "what leads nowhere is replaced");
}

#[test]
fn directories_that_are_mentioned_replace() {
    let base =
        [Entry("usr/lib/a", 0o644, 0, ""), Entry("lib", 0o777, 0, "usr/lib"), Entry("d/", 0o700, 9, "")];
    let app = [Entry("lib/", 0o755, 0, ""), Entry("lib/b", 0o644, 0, ""), Entry("d/", 0o711, 1, "")];
    let Some(bench) = Bench::new(&[&base, &app]) else { return };
    assert_eq!(bench.directory("lib"), (0o755, 0));
    assert_eq!(bench.directory("d"), (0o711, 1));
    assert!(!bench.has("usr/lib/b"));
}

#[test]
fn what_is_hidden_does_not_count() {
    let base = [Entry("d/e/", 0o700, 9, ""), Entry("d/e/old", 0o644, 0, ""), Entry("o/p/", 0o700, 9, "")];
    let app = [
        Entry("d/", 0o755, 0, ""),
        Entry("d/.wh..wh..opq", 0o644, 0, ""),
        Entry("d/e/new", 0o644, 0, ""),
        Entry("o/p/.wh..wh..opq", 0o644, 0, ""),
        Entry("o/p/q", 0o644, 0, ""),
    ];
    let Some(bench) = Bench::new(&[&base, &app]) else { return };
    assert_eq!(bench.directory("d/e"), (0o755, 0));
    assert!(bench.has("d/e/new") && !bench.has("d/e/old"));
    assert_eq!(bench.directory("o/p"), (0o700, 9), "an emptied directory stays what it was");
}

#[test]
fn a_layer_can_hide_all_below() {
    let base = [Entry("old", 0o644, 0, ""), Entry("etc/old", 0o644, 0, "")];
    let middle = [Entry(".wh..wh..opq", 0o644, 0, ""), Entry("etc/new", 0o644, 0, "")];
    let top = [Entry("top", 0o644, 0, "")];
    let Some(bench) = Bench::new(&[&base, &middle, &top]) else { return };
    assert!(bench.has("top") && bench.has("etc/new"));
    assert!(!bench.has("old") && !bench.has("etc/old"));
    let lowers: Vec<PathBuf> = bench.stack().into_iter().rev().collect();
    let (upper, work) = (bench.store.scratch_dir().unwrap(), bench.store.scratch_dir().unwrap());
    let writable = crate::rootfs::overlay::overlay_rw(&lowers, &upper, &work).unwrap();
    assert!(writable.lstat(Path::new("old")).is_err() && writable.lstat(Path::new("top")).is_ok());
    let lowest = overlay_view(&[&lowers[1], &lowers[2]]).unwrap();
    assert!(lowest.lstat(Path::new("old")).is_err());
}
