//! Programs for other processors, run by an emulator that the kernel starts for them (binfmt_misc).
//!
//! Whether this machine runs programs of a processor is not looked up but tried, with a program of a few instructions in an
//! empty root directory: then it does not matter whether the processor can do it, the kernel was told by
//! `systemd-binfmt`, or by somebody else's privileged container.
//!
//! When it does not, and a static `qemu-user` is in PATH, nobody has to set anything up. Since Linux 6.7 each user
//! namespace can have a table of interpreters of its own:
//!
//! ```text
//! this process ── fork ──▶ helper: new user namespace, ids mapped to themselves; mounts binfmt_misc in it
//!      │  writes the line for qemu into that table (flag F: the kernel keeps the file open, the image need not have it)
//!      └─ keeps the namespace and the mount open: sandboxes move into it before they start their program
//! ```
//!
//! One namespace for each processor, because a table hides those of the namespaces above it. A program in it is not
//! root of the namespaces around it: it cannot make device nodes, nor mount, so that `--security=insecure` is refused.

mod elf;
mod interpreter;
mod namespace;
mod probe;

pub use elf::architectures;

use interpreter::Interpreter;
use probe::Outcome;
use registry_client::platform::Platform;
use std::collections::BTreeMap;
use std::ffi::OsString;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// Why programs of a platform cannot be run here.
#[derive(Debug, thiserror::Error)]
pub enum EmulationError {
    /// Another operating system.
    #[error("programs for {platform} cannot be run on Linux")]
    System {
        /// The platform.
        platform: String,
    },
    /// Nobody knows how.
    #[error(
        "programs for {platform} cannot be run: neither this machine's processor nor its kernel knows how{found}"
    )]
    Unknown {
        /// The platform.
        platform: String,
        /// What was looked at in vain, or nothing.
        found: String,
        /// The program that is missing.
        wanted: Option<String>,
    },
    /// The kernel knows an interpreter, and does not find it in an image.
    #[error(
        "programs for {platform} cannot be run: the interpreter that the kernel was told of is not in the image"
    )]
    NotFixed {
        /// The platform.
        platform: String,
    },
    /// The emulator was found, and cannot be used.
    #[error("{} cannot be used to run programs for {platform}: {doing}", interpreter.display())]
    Unusable {
        /// The platform.
        platform: String,
        /// The emulator.
        interpreter: PathBuf,
        /// What failed.
        doing: &'static str,
        /// Why.
        source: io::Error,
    },
    /// What a user namespace takes away is asked for.
    #[error(
        "programs for {platform} are emulated in a user namespace, which cannot be had with --security=insecure"
    )]
    Insecure {
        /// The platform.
        platform: String,
    },
    /// It could not be tried.
    #[error("cannot try whether programs for {platform} can be run")]
    Probe {
        /// The platform.
        platform: String,
        /// Why not.
        source: io::Error,
    },
}

impl EmulationError {
    /// What to do about it.
    pub fn help(&self) -> Option<String> {
        match self {
            Self::System { .. } => Some(
                "copy files into the image with COPY, from a stage that runs on --platform=$BUILDPLATFORM".to_owned(),
            ),
            Self::Unknown { wanted: Some(name), .. } => Some(format!(
                "install qemu-user-static (or another package that has {name}, linked statically), or register an \
                 interpreter with the kernel, as the package qemu-user-binfmt or an image like tonistiigi/binfmt does"
            )),
            Self::Unknown { wanted: None, .. } => {
                Some("register an interpreter for it with the kernel (binfmt_misc, flag F)".to_owned())
            }
            Self::NotFixed { .. } => Some(
                "register it with flag F, which keeps the interpreter open, as qemu-user-static does".to_owned(),
            ),
            Self::Unusable { .. } => Some(
                "it takes Linux 6.7 and the right to make user namespaces; without, register an interpreter with the kernel (qemu-user-binfmt)"
                    .to_owned(),
            ),
            Self::Insecure { .. } => {
                Some("register an interpreter for the whole machine (package qemu-user-binfmt)".to_owned())
            }
            Self::Probe { .. } => None,
        }
    }
}

/// A namespace in which the kernel knows an emulator.
#[derive(Debug)]
pub struct Emulator {
    /// The user namespace that programs must be in.
    namespace: OwnedFd,
    /// Its table: gone when nobody has it open.
    _table: OwnedFd,
}

impl Emulator {
    /// The user namespace, for a sandbox.
    ///
    /// # Errors
    /// When this process has too many files open.
    pub fn namespace(&self) -> io::Result<OwnedFd> {
        self.namespace.try_clone()
    }
}

/// The emulators of one process: each is looked for once, when the first program needs it.
#[derive(Debug)]
pub struct Emulators {
    /// `$PATH`.
    path: Option<OsString>,
    /// By architecture; `None` needs no emulator of ours.
    known: Mutex<BTreeMap<String, Option<Arc<Emulator>>>>,
}

impl Emulators {
    /// Emulators found in `path`. Costs nothing.
    pub fn new(path: Option<OsString>) -> Self {
        Self { path, known: Mutex::default() }
    }

    /// What programs for `platform` need to be run: `None`, when they simply run. `scratch` gives an empty directory.
    /// This process must have the right to make namespaces.
    ///
    /// # Errors
    /// [`EmulationError`]: they cannot be run.
    pub fn for_platform(
        &self,
        platform: &Platform,
        scratch: &dyn Fn() -> io::Result<PathBuf>,
    ) -> Result<Option<Arc<Emulator>>, EmulationError> {
        let host = Platform::host();
        if platform.os != host.os {
            return Err(EmulationError::System { platform: platform.to_string() });
        }
        if platform.architecture == host.architecture {
            return Ok(None);
        }
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = known.get(&platform.architecture) {
            return Ok(found.clone());
        }
        let scratch =
            scratch().map_err(|source| EmulationError::Probe { platform: platform.to_string(), source })?;
        let found = self.look(platform, &scratch)?.map(Arc::new);
        known.insert(platform.architecture.clone(), found.clone());
        Ok(found)
    }

    fn look(&self, platform: &Platform, scratch: &Path) -> Result<Option<Emulator>, EmulationError> {
        let unknown =
            |found: String, wanted| EmulationError::Unknown { platform: platform.to_string(), found, wanted };
        let Some(machine) = elf::machine(&platform.architecture) else {
            return Err(unknown(String::new(), None));
        };
        let tried = |outcome: io::Result<Outcome>| {
            outcome.map_err(|source| EmulationError::Probe { platform: platform.to_string(), source })
        };
        let outcome = tried(probe::run(machine, scratch, None))?;
        if outcome == Outcome::Runs {
            return Ok(None);
        }
        let found = interpreter::find(machine, self.path.as_deref());
        let Some(interpreter) = found.usable else {
            if outcome == Outcome::NoInterpreter {
                return Err(EmulationError::NotFixed { platform: platform.to_string() });
            }
            let dynamic = found.dynamic.map(|path| format!("; {} is not linked statically", path.display()));
            let wanted = Some(interpreter::names(machine)[0].clone());
            return Err(unknown(dynamic.unwrap_or_default(), wanted));
        };
        let unusable = |doing, source| EmulationError::Unusable {
            platform: platform.to_string(),
            interpreter: interpreter.path.clone(),
            doing,
            source,
        };
        let emulator =
            registered(machine, &interpreter).map_err(|(doing, source)| unusable(doing, source))?;
        match tried(probe::run(machine, scratch, Some(&emulator.namespace)))? {
            Outcome::Runs => Ok(Some(emulator)),
            _ => Err(unusable("it does not run them", io::ErrorKind::Unsupported.into())),
        }
    }
}

/// A namespace whose table has `interpreter` in it.
fn registered(
    machine: &elf::Machine,
    interpreter: &Interpreter,
) -> Result<Emulator, (&'static str, io::Error)> {
    let made = namespace::with_table()?;
    let line = interpreter.line(machine);
    namespace::write_entry(&made.table, &line).map_err(|error| ("register it with the kernel", error))?;
    Ok(Emulator { namespace: made.namespace, _table: made.table })
}

#[cfg(test)]
mod tests;
