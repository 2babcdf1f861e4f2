//! Which hierarchies of control groups there are, and where this process is in them.

use std::fs;
use std::path::{Path, PathBuf};

/// The version of a hierarchy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// One hierarchy for each controller or few.
    One,
    /// One hierarchy for all.
    Two,
}

/// A mounted hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Hierarchy {
    pub(super) version: Version,
    /// Where it is mounted.
    pub(super) mount: PathBuf,
    /// This process's group in it, relative to `mount`.
    pub(super) own: PathBuf,
    /// Its controllers.
    controllers: Vec<String>,
}

impl Hierarchy {
    pub(super) fn has(&self, controller: &str) -> bool {
        self.controllers.iter().any(|known| known == controller)
    }

    /// Whether a group below `--cgroup-parent` is made in it: version 1 has a hierarchy without controllers (systemd's
    /// own book-keeping), and some that hold devices or stop processes, which is nobody's wish here.
    pub(super) fn is_joined(&self) -> bool {
        const JOINED: [&str; 6] = ["cpu", "cpuacct", "cpuset", "memory", "pids", "blkio"];
        self.version == Version::Two || JOINED.iter().any(|name| self.has(name))
    }
}

/// The hierarchies of `/proc/self/mountinfo`, with this process's places of `/proc/self/cgroup` (proc(5), cgroups(7)).
/// Those of version 1 come first: a controller in use there is not in version 2.
pub(super) fn find(mountinfo: &str, own: &str) -> Vec<Hierarchy> {
    let mut found: Vec<Hierarchy> = Vec::new();
    for line in mountinfo.lines() {
        let Some(hierarchy) = of_line(line, own) else { continue };
        // The same hierarchy may be mounted again; the first is as good.
        let known = |there: &Hierarchy| {
            there.version == hierarchy.version && there.controllers == hierarchy.controllers
        };
        if !found.iter().any(known) {
            found.push(hierarchy);
        }
    }
    found.sort_by_key(|hierarchy| hierarchy.version == Version::Two);
    found
}

fn of_line(line: &str, own: &str) -> Option<Hierarchy> {
    let (left, right) = line.split_once(" - ")?;
    let mut left = left.split(' ').skip(3);
    let (root, mount) = (unescaped(left.next()?), PathBuf::from(unescaped(left.next()?)));
    let mut right = right.split(' ');
    let (kind, options) = (right.next()?, right.nth(1).unwrap_or_default());
    let (version, controllers) = match kind {
        "cgroup2" => (Version::Two, controllers_of(&mount)),
        "cgroup" => {
            // Besides `rw`, the options are the controllers, and `name=` of a hierarchy without.
            (Version::One, options.split(',').filter(|o| *o != "rw" && *o != "ro").map(Into::into).collect())
        }
        _ => return None,
    };
    let place = own.lines().find_map(|line| {
        let mut parts = line.splitn(3, ':').skip(1);
        let (names, path) = (parts.next()?, parts.next()?);
        let same = match version {
            Version::Two => names.is_empty(),
            Version::One => {
                let mut names = names.split(',');
                names.any(|name| controllers.iter().any(|known| known == name))
            }
        };
        same.then_some(path)
    })?;
    // In a container the mount may show only a part, which need not hold the place.
    let own = Path::new(place).strip_prefix(&root).unwrap_or(Path::new("")).to_owned();
    Some(Hierarchy { version, mount, own, controllers })
}

fn controllers_of(mount: &Path) -> Vec<String> {
    let text = fs::read_to_string(mount.join("cgroup.controllers")).unwrap_or_default();
    text.split_whitespace().map(Into::into).collect()
}

/// Octal escapes of blanks in mountinfo.
fn unescaped(field: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(field.to_owned(), |text, (escape, plain)| text.replace(escape, plain))
}
