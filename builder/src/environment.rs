//! What a build is told about the process it runs in. Plain data: the command line fills it in once, and nothing below
//! reads an environment variable.

use crate::cancel::Cancellation;
use std::ffi::OsString;
use std::path::PathBuf;

/// The surroundings of one run of the program.
#[derive(Clone, Debug)]
pub struct Environment {
    /// The store: `$SLIPWAY_ROOT`, else `/var/lib/slipway` for root, else `slipway` under the user's data directory.
    pub store_root: PathBuf,
    /// `$HOME`.
    pub home: Option<PathBuf>,
    /// The directory of Docker's `config.json`: `$DOCKER_CONFIG`, else `~/.docker`.
    pub docker_config: Option<PathBuf>,
    /// Where an `auth.json` of the containers tools may be, the most specific first: `$REGISTRY_AUTH_FILE` alone when it
    /// is set, else the runtime directory's and the one under `$XDG_CONFIG_HOME`.
    pub auth_files: Vec<PathBuf>,
    /// `$XDG_CONFIG_HOME`, else `~/.config`.
    pub config_home: Option<PathBuf>,
    /// `$XDG_RUNTIME_DIR`.
    pub runtime_dir: Option<PathBuf>,
    /// `$SSL_CERT_FILE`: certificates to trust besides the usual ones.
    pub ssl_cert_file: Option<PathBuf>,
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
    /// Tells when the user wants the program to stop.
    pub cancellation: Cancellation,
}
