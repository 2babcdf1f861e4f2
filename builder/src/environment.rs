//! What a build is told about the process it runs in. Plain data: the command line fills it in once, and nothing below
//! reads an environment variable.

use crate::cancel::Cancellation;
use registry_client::client::ClientOptions;
use registry_client::credentials;
use std::ffi::OsString;
use std::path::PathBuf;

/// The surroundings of one run of the program.
#[derive(Clone, Debug)]
pub struct Environment {
    /// The store: `$SLIPWAY_ROOT`, else `/var/lib/slipway` for root, else `slipway` under the user's data directory.
    pub store_root: PathBuf,
    /// Files that may hold credentials, the one that decides first, which is also the one `login` writes to:
    /// `$REGISTRY_AUTH_FILE`; `config.json` in `$DOCKER_CONFIG` or `~/.docker`; and, unless the first is set, the
    /// `containers/auth.json` of the runtime and configuration directories.
    pub auth_files: Vec<PathBuf>,
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

impl Environment {
    /// The credentials of this user.
    pub fn credentials(&self) -> credentials::Store {
        credentials::Store::new(self.auth_files.clone())
    }

    /// How this user reaches registries.
    ///
    /// # Errors
    /// When `$SSL_CERT_FILE` cannot be read.
    pub fn client_options(&self) -> Result<ClientOptions, CertificateError> {
        let mut options = ClientOptions {
            user_agent: concat!("slipway/", env!("CARGO_PKG_VERSION")).to_owned(),
            credentials: self.credentials(),
            ..ClientOptions::default()
        };
        if let Some(path) = &self.ssl_cert_file {
            let pem =
                std::fs::read(path).map_err(|source| CertificateError { path: path.clone(), source })?;
            options.extra_ca_pem.push(pem);
        }
        Ok(options)
    }
}

/// The certificates to trust cannot be read.
#[derive(Debug, thiserror::Error)]
#[error("cannot read the certificates of SSL_CERT_FILE, {}", path.display())]
pub struct CertificateError {
    path: PathBuf,
    source: std::io::Error,
}
