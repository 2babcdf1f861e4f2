use rustix::thread::{CapabilitySet, capabilities};

/// What this process may do about mounts and namespaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Privilege {
    /// `CAP_SYS_ADMIN` in the initial user namespace: root, also root of most containers that may mount.
    Root,
    /// `CAP_SYS_ADMIN` in another user namespace, with a mount namespace that belongs to it: after
    /// [`enter`](super::enter), or inside `podman unshare` and the like.
    InUserNamespace,
    /// Neither. [`reexec`](super::reexec) can change that.
    Unprivileged,
}

impl Privilege {
    /// Asks the kernel. A few microseconds; the answer changes when the process enters a namespace.
    pub fn detect() -> Self {
        let admin = capabilities(None).is_ok_and(|sets| sets.effective.contains(CapabilitySet::SYS_ADMIN));
        if !admin {
            Self::Unprivileged
        } else if is_initial_namespace() {
            Self::Root
        } else if can_mount() {
            Self::InUserNamespace
        } else {
            Self::Unprivileged
        }
    }
}

/// Which ids a user namespace has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mapping {
    /// All that an image can ask for, or at least ranges of them.
    Ranges,
    /// Only the user himself, as root. Files cannot be given to anyone else, programs cannot become anyone else, and
    /// `setgroups(2)` is denied: packages that make users, and `apt` when it drops to `_apt`, fail.
    Single,
}

impl Mapping {
    /// The mapping of this process's user namespace.
    pub fn detect() -> Self {
        let map = std::fs::read_to_string("/proc/self/uid_map").unwrap_or_default();
        let ids: u64 =
            map.lines().filter_map(|line| line.split_whitespace().nth(2)?.parse::<u64>().ok()).sum();
        if ids == 1 { Self::Single } else { Self::Ranges }
    }
}

/// Whether this is the namespace that maps every id to itself.
fn is_initial_namespace() -> bool {
    std::fs::read_to_string("/proc/self/uid_map")
        .is_ok_and(|map| map.split_whitespace().eq(["0", "0", "4294967295"]))
}

/// Whether the mount namespace takes orders from this process.
pub(super) fn can_mount() -> bool {
    use rustix::mount::{FsOpenFlags, fsopen};
    fsopen("tmpfs", FsOpenFlags::FSOPEN_CLOEXEC).is_ok()
}
