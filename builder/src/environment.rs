//! What a build is told about the process it runs in. Plain data: the command line fills it in once, and nothing below
//! reads an environment variable.

use crate::cancel::Cancellation;
use crate::registry::Registries;
use crate::store::Limit;
use registry_client::credentials::AuthText;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::PathBuf;

/// The surroundings of one run of the program.
#[derive(Clone, Debug)]
pub struct Environment {
    /// The store: `$SLIPWAY_ROOT`, else `/var/lib/slipway` for root, else `slipway` under the user's data directory.
    pub store_root: PathBuf,
    /// `$SLIPWAY_MAX_STORE`: how much the store may hold.
    pub store_limit: Limit,
    /// `$SLIPWAY_BOOT_ID`: names this boot of the machine to the store, in place of the kernel's
    /// `/proc/sys/kernel/random/boot_id`.
    pub boot_id: Option<String>,
    /// Files that may hold credentials, the one that decides first, which is also the one `login` writes to:
    /// `$REGISTRY_AUTH_FILE`; `config.json` in `$DOCKER_CONFIG` or `~/.docker`; and, unless the first is set, the
    /// `containers/auth.json` of the runtime and configuration directories.
    pub auth_files: Vec<PathBuf>,
    /// `$DOCKER_AUTH_CONFIG`: the text of such a file, which goes before them, as CI services give it.
    pub auth_text: Option<AuthText>,
    /// Where to find what the machine says about registries: the file `$CONTAINERS_REGISTRIES_CONF`, or those of the
    /// user and of `/etc/containers`; and the `certs.d` directories of both and of Docker.
    pub registries: Registries,
    /// `--offline`: nobody is asked for anything.
    pub offline: bool,
    /// Variables for git, when it runs: `PATH`, those about proxies, and where certificates are.
    pub git_variables: Vec<(OsString, OsString)>,
    /// `~/.ssh/known_hosts`.
    pub known_hosts: Option<PathBuf>,
    /// `$PATH`, for programs that are called: credential helpers, `docker`, `podman`.
    pub path: Option<OsString>,
    /// `$TERM`.
    pub term: Option<String>,
    /// `$NO_COLOR` is set and not empty.
    pub no_color: bool,
    /// `$BUILDKIT_PROGRESS`, unchecked.
    pub buildkit_progress: Option<String>,
    /// `$SOURCE_DATE_EPOCH`, unchecked; `BuildRequest::source_date_epoch` is the checked value.
    pub source_date_epoch: Option<String>,
    /// Opens standard output, for an archive that goes there (`dest=-`).
    pub standard_output: fn() -> io::Result<File>,
    /// Tells when the user wants the program to stop.
    pub cancellation: Cancellation,
}
