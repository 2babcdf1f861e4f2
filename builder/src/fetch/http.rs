//! Files by HTTP. A file that was fetched before is asked about with what its server said of it then.

use crate::remote::{Checksum, redacted};
use crate::store::{KnownFile, Store, StoreError};
use crate::waiting;
use registry_client::client::Client;
use registry_client::digest::Digest;
use registry_client::download::{Download, DownloadError, OnBytes, Validators, shown};
use std::fs::File;
use std::io;
use std::path::PathBuf;
use std::time::SystemTime;
use url::Url;

/// What the right to ask for a file is called among the locks of the store.
const LOCK: &str = "file";

/// Why a file cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// The server, or the way to it.
    #[error(transparent)]
    Download(#[from] DownloadError),
    /// Other bytes than they must be.
    #[error("what came from {url} has the digest {found}, and must have {wanted}")]
    Checksum {
        /// Where from.
        url: String,
        /// By `--checksum`.
        wanted: Checksum,
        /// What it is.
        found: String,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A file of this machine.
    #[error("cannot keep what came from {url}")]
    Io {
        /// Where from.
        url: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// A file elsewhere, as its server has it now.
#[derive(Clone, Debug)]
pub struct RemoteFile {
    /// Of its bytes.
    pub digest: Digest,
    /// When it was last changed, by its server.
    pub modified: Option<SystemTime>,
    /// Where it is on this machine, if it had to be downloaded: in a directory that goes with the build.
    pub path: Option<PathBuf>,
}

/// Asks for the file at `url`; downloads it unless the store `knows` that it is still the same. While another build asks for
/// the same, this waits, and takes what that build got.
///
/// `authorization` is for the host of `url` alone.
///
/// # Errors
/// Any [`HttpError`].
pub async fn fetch(
    client: &Client,
    store: &Store,
    url: &Url,
    checksum: Option<&Checksum>,
    knows: bool,
    authorization: Option<&str>,
    progress: OnBytes<'_>,
) -> Result<RemoteFile, HttpError> {
    let unchanged = |known: &KnownFile| {
        let validators = Validators { etag: known.etag.clone(), last_modified: known.last_modified.clone() };
        RemoteFile { digest: known.digest, modified: validators.modified(), path: None }
    };
    let mut known = knows.then(|| store.known_file(url.as_str())).flatten();
    if let (Some(known), true) = (&known, client.options().offline) {
        return Ok(unchanged(known));
    }
    // Who takes no earlier result waits for nobody's.
    let mut alone = None;
    if knows {
        alone = store.try_lock(LOCK, url.as_str())?;
        if alone.is_none() {
            let began = SystemTime::now();
            alone = Some(waiting::lock(store, LOCK, url.as_str(), || {}).await?);
            // Another build has just downloaded it.
            if let Some(known) = store.known_file_since(url.as_str(), began) {
                return Ok(unchanged(&known));
            }
            known = store.known_file(url.as_str());
        }
    }
    let known = known.filter(|known| known.etag.is_some() || known.last_modified.is_some());
    let validators = known
        .as_ref()
        .map(|known| Validators { etag: known.etag.clone(), last_modified: known.last_modified.clone() });
    let path = store.scratch_dir()?.join("file");
    let failed = |source| HttpError::Io { url: shown(url), source };
    let mut file = File::options().read(true).write(true).create_new(true).open(&path).map_err(failed)?;
    let download = Download { url, known: validators.as_ref(), authorization, progress };
    let downloaded = client.download(download, &mut file).await?;
    let downloaded = match (downloaded, known, &validators) {
        (Some(downloaded), ..) => downloaded,
        (None, Some(known), Some(validators)) => {
            return Ok(RemoteFile { digest: known.digest, modified: validators.modified(), path: None });
        }
        (None, ..) => {
            return Err(failed(io::Error::other(
                "the server says that nothing changed, and nothing was known",
            )));
        }
    };
    if let Some(checksum) = checksum {
        let found = checksum.of_file(&mut file, &downloaded.digest).map_err(failed)?;
        if found != *checksum {
            return Err(HttpError::Checksum {
                url: redacted(url.as_str()),
                wanted: checksum.clone(),
                found: found.to_string(),
            });
        }
    }
    let modified = downloaded.validators.modified();
    let Validators { etag, last_modified } = downloaded.validators;
    // Noted before others may look.
    store.note_file(url.as_str(), &KnownFile { etag, last_modified, digest: downloaded.digest })?;
    drop(alone);
    Ok(RemoteFile { digest: downloaded.digest, modified, path: Some(path) })
}
