use crate::rootfs::mount_api::{NewFilesystem, add_attributes, clone_tree, clone_tree_at, in_new_namespace};
use rustix::mount::MountAttrFlags;
use std::ffi::CString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::sync::OnceLock;

/// What of /proc and /sys tells about this machine more than a sandbox should know. Docker hides the same.
pub(super) fn masked() -> Vec<CString> {
    const PATHS: [&str; 12] = [
        "/proc/acpi",
        "/proc/asound",
        "/proc/interrupts",
        "/proc/kcore",
        "/proc/keys",
        "/proc/latency_stats",
        "/proc/sched_debug",
        "/proc/scsi",
        "/proc/timer_list",
        "/proc/timer_stats",
        "/sys/devices/virtual/powercap",
        "/sys/firmware",
    ];
    static ALL: OnceLock<Vec<CString>> = OnceLock::new();
    let all = ALL.get_or_init(|| {
        let paths = PATHS.iter().map(|path| (*path).to_owned()).chain(thermal_throttles());
        paths.filter_map(|path| CString::new(path).ok()).collect()
    });
    all.clone()
}

/// One directory of each processor on machines that have them: counters that tell about other loads.
fn thermal_throttles() -> Vec<String> {
    let Ok(processors) = std::fs::read_dir("/sys/devices/system/cpu") else { return Vec::new() };
    processors
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|name| name.strip_prefix("cpu").is_some_and(|n| n.bytes().all(|byte| byte.is_ascii_digit())))
        .map(|name| format!("/sys/devices/system/cpu/{name}/thermal_throttle"))
        .filter(|path| Path::new(path).exists())
        .collect()
}

/// What of /proc changes this machine when it is written.
pub(super) fn read_only() -> Vec<CString> {
    [c"/proc/bus", c"/proc/fs", c"/proc/irq", c"/proc/sys", c"/proc/sysrq-trigger"].map(CString::from).into()
}

/// The attributes of /proc, /sys and others.
pub(super) fn pseudo() -> MountAttrFlags {
    MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV | MountAttrFlags::MOUNT_ATTR_NOEXEC
}

/// A sysfs for a sandbox that shares this machine's network.
///
/// Only who owns a network namespace may mount a sysfs of it. A user namespace does not own the host's; then a sysfs of an
/// empty network namespace serves, made for this purpose. Copying the mounts under this machine's `/sys` is the last
/// resort, since it shows the sandbox what this machine has mounted there.
pub(super) fn sysfs_of_host_network(attributes: MountAttrFlags) -> io::Result<OwnedFd> {
    static OF_EMPTY_NETWORK: OnceLock<Option<OwnedFd>> = OnceLock::new();
    let make = || NewFilesystem::open("sysfs")?.mount(attributes);
    if let Ok(sysfs) = make() {
        return Ok(sysfs);
    }
    // A detached mount can be copied since Linux 6.15.
    let kept = OF_EMPTY_NETWORK.get_or_init(|| {
        in_new_namespace(libc::CLONE_NEWNET, || NewFilesystem::open("sysfs")?.mount(pseudo())).ok()
    });
    let copy = kept.as_ref().and_then(|kept| {
        let copy = clone_tree_at(kept, false).ok()?;
        add_attributes(&copy, false, attributes).ok()?;
        Some(copy)
    });
    if let Some(copy) = copy {
        return Ok(copy);
    }
    in_new_namespace(libc::CLONE_NEWNET, make).or_else(|_| {
        let tree = clone_tree(Path::new("/sys"), true)?;
        add_attributes(&tree, true, attributes)?;
        Ok(tree)
    })
}
