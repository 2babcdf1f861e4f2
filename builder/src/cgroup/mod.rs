//! Control groups for the programs of a build, where limits of memory or processor time are asked for.
//!
//! ```text
//! limits, --cgroup-parent --Cgroups::prepare--> places   once, before the first step: what cannot be had fails here
//!                                 Cgroups::make --> Cgroup  one for each RUN; the child joins it; removed with the value
//! ```
//!
//! Both versions work, also side by side: a limit goes where this machine keeps the controller that it takes. Nothing
//! of this happens in a build that asks for no limit.

mod hierarchy;
mod place;
mod setting;
#[cfg(test)]
mod tests;

pub use place::CgroupError;

use crate::request::ResourceLimits;
use hierarchy::Hierarchy;
use place::Place;
use std::fs::{self, File, OpenOptions};
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

/// Where the control groups of a build's programs are made, and with which limits.
#[derive(Debug)]
pub struct Cgroups {
    places: Vec<Place>,
}

impl Cgroups {
    /// Finds or makes the parents. `parent` is `--cgroup-parent`: a path from the root of each hierarchy, or the name of
    /// a systemd slice. Without it, this process's own groups, or the nearest above them that may have children.
    /// `None` when nothing is asked for.
    ///
    /// # Errors
    /// [`CgroupError`] when this machine lacks a controller, or this user may not make control groups.
    pub fn prepare(limits: &ResourceLimits, parent: Option<&str>) -> Result<Option<Self>, CgroupError> {
        if *limits == ResourceLimits::default() && parent.is_none() {
            return Ok(None);
        }
        let read = |path: &'static str| {
            fs::read_to_string(path).map_err(|source| CgroupError::Read { path: path.into(), source })
        };
        let (mounts, own) = (read("/proc/self/mountinfo")?, read("/proc/self/cgroup")?);
        Self::among(&hierarchy::find(&mounts, &own), limits, parent).map(Some)
    }

    fn among(
        hierarchies: &[Hierarchy],
        limits: &ResourceLimits,
        parent: Option<&str>,
    ) -> Result<Self, CgroupError> {
        let parent = parent.map(place::parent_path).transpose()?;
        let mut places = Vec::new();
        let mut wanted = setting::controllers(limits);
        for hierarchy in hierarchies {
            let here: Vec<_> = wanted.iter().filter(|c| hierarchy.has(c.name())).copied().collect();
            wanted.retain(|controller| !here.contains(controller));
            if here.is_empty() && (parent.is_none() || !hierarchy.is_joined()) {
                continue;
            }
            places.push(Place::prepare(hierarchy, parent.as_deref(), &here, limits)?);
        }
        match wanted.first() {
            Some(missing) => Err(CgroupError::NoController { name: missing.name() }),
            None if places.is_empty() => Err(CgroupError::NoHierarchy),
            None => Ok(Self { places }),
        }
    }

    /// Makes a group with the limits.
    ///
    /// # Errors
    /// [`CgroupError::Refused`]: the parent was removed meanwhile, or takes no such limit.
    pub fn make(&self) -> Result<Cgroup, CgroupError> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let name = format!("{}{}-{number}", place::PREFIX, std::process::id());
        let mut cgroup = Cgroup { directories: Vec::new(), doors: Vec::new(), counter: None };
        for place in &self.places {
            let directory = place.make(&name)?;
            cgroup.directories.push(directory.clone());
            place.configure(&directory)?;
            let procs = directory.join("cgroup.procs");
            let opened = OpenOptions::new().write(true).open(&procs);
            let door = opened.map_err(place::refused("open", &procs))?;
            cgroup.doors.push(OwnedFd::from(door));
            let counter = place.counter(&directory);
            cgroup.counter = cgroup.counter.take().or(counter);
        }
        Ok(cgroup)
    }
}

/// The control groups of one program: a directory in each hierarchy. They are removed with this value.
#[derive(Debug)]
pub struct Cgroup {
    directories: Vec<PathBuf>,
    doors: Vec<OwnedFd>,
    /// Where the kernel counts the processes that it killed for want of memory.
    counter: Option<PathBuf>,
}

impl Cgroup {
    /// The files to which a process writes `0` to join.
    pub fn take_doors(&mut self) -> Vec<OwnedFd> {
        std::mem::take(&mut self.doors)
    }

    /// How many of its processes were killed because they had used up its memory.
    pub fn oom_kills(&self) -> Option<u64> {
        count_of(&fs::read_to_string(self.counter.as_ref()?).ok()?)
    }
}

/// `oom_kill` of `memory.events` and `memory.oom_control`.
fn count_of(text: &str) -> Option<u64> {
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        for directory in &self.directories {
            remove(directory);
        }
    }
}

/// Removes a group whose processes have ended; the kernel may take a moment to notice.
fn remove(directory: &Path) {
    for _ in 0..50 {
        match fs::remove_dir(directory) {
            Err(error) if error.raw_os_error() == Some(libc::EBUSY) => {
                thread::sleep(Duration::from_millis(1))
            }
            // One that stays is removed by a later build.
            Ok(()) | Err(_) => return,
        }
    }
}

/// Writes the whole value at once, as these files want it.
fn write(path: &Path, value: &str) -> std::io::Result<()> {
    use std::io::Write;
    let mut file: File = OpenOptions::new().write(true).open(path)?;
    file.write_all(value.as_bytes())
}
