//! What an administrator says about registries: `containers/registries.conf` (containers-registries.conf(5), version 2) and
//! the `certs.d` directories of Docker and of the containers tools.
//!
//! ```text
//! reference ── the [[registry]] of the longest prefix ──▶ blocked, or
//!                                                         mirrors in their order, then its own location
//! ```
//!
//! A name without a registry means docker.io here, as it does in Docker's tools: `unqualified-search-registries` and
//! short-name aliases would make one Dockerfile mean different images on different machines, and are not used.

mod certificates;
mod file;
mod rewrite;

pub use certificates::HostCertificates;
pub use rewrite::{Endpoint, Endpoints};

use crate::{credentials::Keeper, reference::ReferenceError};
use std::{
    collections::BTreeMap,
    io,
    path::{Path, PathBuf},
};

/// Why the configuration cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ConfigurationError {
    /// A file cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The cause, which is part of this error's text.
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("{} cannot be used: {why}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, and where.
        why: String,
    },
    /// The name of an image is on a list of what must not be used.
    #[error("{reference}: {prefix:?} is blocked by {}", path.display())]
    Blocked {
        /// What was asked for.
        reference: String,
        /// The entry that says so.
        prefix: String,
        /// The file it is in.
        path: PathBuf,
    },
    /// An entry makes no reference of a reference.
    #[error("{reference}: {} rewrites it to {rewritten:?}, which is no reference: {source}", path.display())]
    Rewrite {
        /// What was asked for.
        reference: String,
        /// What came of it.
        rewritten: String,
        /// The file with the entry.
        path: PathBuf,
        /// The cause, which is part of this error's text.
        source: Box<ReferenceError>,
    },
}

/// Which references an entry is about.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Prefix {
    /// Those that begin so, up to a whole component.
    Name(String),
    /// Those of the registries below this domain: `*.example.com`, kept as `.example.com`.
    Subdomains(String),
}

/// A place where a registry's content is served.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Location {
    /// What replaces the prefix; `None` leaves the reference as it is.
    name: Option<String>,
    insecure: bool,
}

/// What a mirror is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum PullBy {
    #[default]
    All,
    Digest,
    Tag,
}

#[derive(Clone, Debug, PartialEq, Eq)]
struct Mirror {
    location: Location,
    by: PullBy,
}

/// One `[[registry]]`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Entry {
    prefix: Prefix,
    location: Location,
    mirrors: Vec<Mirror>,
    blocked: bool,
    /// Where it stands.
    path: PathBuf,
}

/// What is known about registries. By default nothing: each is where its name says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Configuration {
    entries: Vec<Entry>,
    /// Directories with a directory per `host[:port]` that holds its certificates; all of them count.
    pub certificates: Vec<PathBuf>,
    /// Where credentials are looked for, in this order (`credential-helpers`); `None` where the
    /// [store](crate::credentials::Store) says.
    pub keepers: Option<Vec<Keeper>>,
    /// Keys of files that are not known and have no effect, with the file.
    pub unknown_keys: Vec<(PathBuf, String)>,
}

/// Where the configuration is looked for.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConfigurationFiles {
    /// Candidates for `registries.conf`; the first that exists is read.
    pub main: Vec<PathBuf>,
    /// Directories of `*.conf` files that are read after it, in the order of their names; where two files are about one
    /// prefix, the later counts.
    pub drop_ins: Vec<PathBuf>,
    /// As [`Configuration::certificates`].
    pub certificates: Vec<PathBuf>,
}

impl Configuration {
    /// Reads all that is there.
    ///
    /// # Errors
    /// If a file is there that cannot be read or understood.
    pub fn read(files: &ConfigurationFiles) -> Result<Self, ConfigurationError> {
        let mut configuration = Self { certificates: files.certificates.clone(), ..Self::default() };
        for path in file::present(files)? {
            configuration.add(&path, file::read(&path)?);
        }
        Ok(configuration)
    }

    /// What the text of one `registries.conf` says; `path` is where it comes from, for messages.
    ///
    /// # Errors
    /// [`ConfigurationError::Malformed`].
    pub fn parse(text: &str, path: &Path) -> Result<Self, ConfigurationError> {
        let mut configuration = Self::default();
        configuration.add(path, file::parse(text, path)?);
        Ok(configuration)
    }

    /// Puts mirrors before those that `registry` (`docker.io`, `host:port`) has: each is asked first, in this order.
    pub fn add_mirrors(&mut self, registry: &str, mirrors: &[MirrorAddress]) {
        let prefix = Prefix::Name(registry.to_owned());
        let mirrors = mirrors.iter().map(|mirror| Mirror {
            location: Location { name: Some(mirror.location.clone()), insecure: mirror.insecure },
            by: PullBy::All,
        });
        if let Some(entry) = self.entries.iter_mut().find(|entry| entry.prefix == prefix) {
            entry.mirrors.splice(0..0, mirrors);
            return;
        }
        self.entries.push(Entry {
            prefix,
            location: Location { name: None, insecure: false },
            mirrors: mirrors.collect(),
            blocked: false,
            path: PathBuf::new(),
        });
    }

    /// Adds what a file says, which goes before what earlier ones said.
    fn add(&mut self, path: &Path, said: file::Said) {
        for entry in said.entries {
            match self.entries.iter_mut().find(|other| other.prefix == entry.prefix) {
                Some(other) => *other = entry,
                None => self.entries.push(entry),
            }
        }
        if said.keepers.is_some() {
            self.keepers = said.keepers;
        }
        self.unknown_keys.extend(said.unknown.into_iter().map(|key| (path.to_owned(), key)));
    }
}

/// Where a client has its [`Configuration`] from. Files are read at the first request: what asks no registry does not
/// pay for them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ConfigurationSource {
    /// It is known.
    Known(Configuration),
    /// Files say it.
    Files {
        /// Which.
        files: ConfigurationFiles,
        /// Mirrors that go before those of the files, by registry.
        mirrors: BTreeMap<String, Vec<MirrorAddress>>,
    },
}

impl Default for ConfigurationSource {
    /// Knows nothing.
    fn default() -> Self {
        Self::Known(Configuration::default())
    }
}

impl ConfigurationSource {
    pub(crate) fn load(&self) -> Result<Configuration, ConfigurationError> {
        match self {
            Self::Known(configuration) => Ok(configuration.clone()),
            Self::Files { files, mirrors } => {
                let mut configuration = Configuration::read(files)?;
                for (registry, mirrors) in mirrors {
                    configuration.add_mirrors(registry, mirrors);
                }
                Ok(configuration)
            }
        }
    }
}

/// A mirror that was named by hand.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MirrorAddress {
    /// `host[:port][/path]`, to which the repository is appended.
    pub location: String,
    /// Whether plain HTTP, or a certificate that nobody vouches for, will do.
    pub insecure: bool,
}

#[cfg(test)]
mod tests;
