//! The place in a hierarchy where groups are made.

use super::hierarchy::{Hierarchy, Version};
use super::setting::{Controller, Setting, settings};
use super::write;
use crate::request::ResourceLimits;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

/// How the names of our groups begin; the number of the process and one of the group follow.
pub(super) const PREFIX: &str = "slipway-";

/// A control group cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum CgroupError {
    /// What the kernel says about this process cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// No hierarchy has the controller.
    #[error("no limit of {name} can be set: this machine has no {name} controller of control groups")]
    NoController {
        /// Which.
        name: &'static str,
    },
    /// Nothing is mounted.
    #[error("no control groups are mounted on this machine")]
    NoHierarchy,
    /// `--cgroup-parent` is no path in a hierarchy.
    #[error("--cgroup-parent {given:?} {why}")]
    Parent {
        /// What was given.
        given: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The kernel refused something.
    #[error("cannot {doing} {} to limit what RUN steps take", path.display())]
    Refused {
        /// What was tried.
        doing: String,
        /// With what.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

impl CgroupError {
    /// What to do about it.
    pub fn help(&self) -> Option<&'static str> {
        let Self::Refused { source, .. } = self else { return None };
        match source.kind() {
            io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => Some(
                "control groups belong to root unless some are delegated: start the build with \
                 `systemd-run --user --scope --property=Delegate=yes build ...`, or name a group that is yours with \
                 --cgroup-parent",
            ),
            io::ErrorKind::ResourceBusy => Some(
                "a group with processes in it cannot have limited children: name another with --cgroup-parent",
            ),
            _ => None,
        }
    }
}

pub(super) fn refused(doing: impl Into<String>, path: &Path) -> impl FnOnce(io::Error) -> CgroupError {
    let (doing, path) = (doing.into(), path.to_owned());
    move |source| CgroupError::Refused { doing, path, source }
}

/// `--cgroup-parent` as a path below the root of a hierarchy. The name of a systemd slice stands for the path systemd
/// gives it: `a-b.slice` is in `a.slice` (systemd.slice(5)).
pub(super) fn parent_path(given: &str) -> Result<PathBuf, CgroupError> {
    let wrong = |why| CgroupError::Parent { given: given.to_owned(), why };
    if given.contains('\0') {
        return Err(wrong("has a NUL byte in it"));
    }
    if let Some(stem) = given.strip_suffix(".slice").filter(|stem| !stem.contains('/')) {
        if stem == "-" {
            return Ok(PathBuf::new());
        }
        if stem.split('-').any(str::is_empty) {
            return Err(wrong("is no name of a slice"));
        }
        let ends = stem.match_indices('-').map(|(at, _)| at).chain([stem.len()]);
        return Ok(ends.map(|end| format!("{}.slice", &stem[..end])).collect());
    }
    let mut path = PathBuf::new();
    for component in Path::new(given).components() {
        match component {
            Component::RootDir | Component::CurDir => {}
            Component::Normal(name) => path.push(name),
            Component::ParentDir | Component::Prefix(_) => {
                return Err(wrong("leaves the hierarchy by \"..\""));
            }
        }
    }
    if path == Path::new("") && given != "/" {
        return Err(wrong("is empty"));
    }
    Ok(path)
}

/// The parent in one hierarchy, and what its children get.
#[derive(Debug)]
pub(super) struct Place {
    version: Version,
    directory: PathBuf,
    cpuset: bool,
    memory: bool,
    settings: Vec<Setting>,
}

impl Place {
    /// Finds or makes the parent, and lets its children have the controllers.
    pub(super) fn prepare(
        hierarchy: &Hierarchy,
        parent: Option<&Path>,
        controllers: &[Controller],
        limits: &ResourceLimits,
    ) -> Result<Self, CgroupError> {
        let directory = match parent {
            Some(parent) => make_path(hierarchy, parent, controllers)?,
            None => nearest(hierarchy, controllers)?,
        };
        remove_old(&directory);
        Ok(Self {
            version: hierarchy.version,
            directory,
            cpuset: hierarchy.version == Version::One && hierarchy.has("cpuset"),
            memory: controllers.contains(&Controller::Memory),
            settings: controllers.iter().flat_map(|c| settings(*c, hierarchy.version, limits)).collect(),
        })
    }

    /// Makes a child.
    pub(super) fn make(&self, name: &str) -> Result<PathBuf, CgroupError> {
        let directory = self.directory.join(name);
        fs::create_dir(&directory).map_err(refused("make", &directory))?;
        if self.cpuset {
            inherit_cpuset(&directory);
        }
        Ok(directory)
    }

    /// Sets its limits.
    pub(super) fn configure(&self, directory: &Path) -> Result<(), CgroupError> {
        for setting in &self.settings {
            let path = directory.join(setting.file);
            match write(&path, &setting.value) {
                Err(error) if setting.optional && error.kind() == io::ErrorKind::NotFound => {}
                other => other.map_err(refused(format!("write {} to", setting.value), &path))?,
            }
        }
        Ok(())
    }

    /// Where the kernel counts the processes it killed in the child.
    pub(super) fn counter(&self, directory: &Path) -> Option<PathBuf> {
        let file = match self.version {
            Version::One => "memory.oom_control",
            Version::Two => "memory.events",
        };
        self.memory.then(|| directory.join(file))
    }
}

/// A path below the root of the hierarchy; what is missing is made, and stays.
fn make_path(
    hierarchy: &Hierarchy,
    parent: &Path,
    controllers: &[Controller],
) -> Result<PathBuf, CgroupError> {
    let mut directory = hierarchy.mount.clone();
    let made_by = |directory: &Path| match hierarchy.version {
        Version::One => Ok(()),
        Version::Two => {
            delegate(directory, controllers).map_err(refused("hand controllers on in", directory))
        }
    };
    made_by(&directory)?;
    for name in parent {
        directory.push(name);
        match fs::create_dir(&directory) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => {
                other.map_err(refused("make", &directory))?;
                if hierarchy.version == Version::One && hierarchy.has("cpuset") {
                    inherit_cpuset(&directory);
                }
            }
        }
        made_by(&directory)?;
    }
    Ok(directory)
}

/// This process's own group, or the nearest above it that can have children with the controllers: in version 2, a group
/// with processes in it cannot.
fn nearest(hierarchy: &Hierarchy, controllers: &[Controller]) -> Result<PathBuf, CgroupError> {
    let own = hierarchy.mount.join(&hierarchy.own);
    if hierarchy.version == Version::One {
        return Ok(own);
    }
    let mut first = None;
    for directory in own.ancestors().take_while(|directory| directory.starts_with(&hierarchy.mount)) {
        match delegate(directory, controllers) {
            Ok(()) => return Ok(directory.to_owned()),
            Err(error) => first = first.or(Some(refused("hand controllers on in", directory)(error))),
        }
    }
    Err(first.unwrap_or(CgroupError::NoHierarchy))
}

/// Lets the children of a group of version 2 have controllers.
fn delegate(directory: &Path, controllers: &[Controller]) -> io::Result<()> {
    let path = directory.join("cgroup.subtree_control");
    let there = fs::read_to_string(&path)?;
    let missing: Vec<String> = controllers
        .iter()
        .filter(|controller| !there.split_whitespace().any(|name| name == controller.name()))
        .map(|controller| format!("+{}", controller.name()))
        .collect();
    if missing.is_empty() { Ok(()) } else { write(&path, &missing.join(" ")) }
}

/// A cpuset of version 1 begins empty, and then takes no process. What fails here fails with more to say when a process
/// joins.
fn inherit_cpuset(directory: &Path) {
    let Some(parent) = directory.parent() else { return };
    for file in ["cpuset.cpus", "cpuset.mems"] {
        let own = fs::read_to_string(directory.join(file)).unwrap_or_default();
        if own.trim().is_empty() {
            let value = fs::read_to_string(parent.join(file)).unwrap_or_default();
            let _ = write(&directory.join(file), value.trim());
        }
    }
}

/// Removes the groups of builds that were killed. One that is in use cannot be removed, and one that was made just now
/// may be waiting for its process.
fn remove_old(parent: &Path) {
    let Ok(entries) = fs::read_dir(parent) else { return };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let process =
            name.to_str().and_then(|name| name.strip_prefix(PREFIX)?.split('-').next()?.parse::<u32>().ok());
        let old = entry
            .metadata()
            .and_then(|metadata| metadata.modified())
            .is_ok_and(|made| made.elapsed().is_ok_and(|age| age > Duration::from_secs(60)));
        if old && process.is_some_and(|id| !Path::new("/proc").join(id.to_string()).exists()) {
            let _ = fs::remove_dir(entry.path());
        }
    }
}
