//! `type=oci`: an OCI image layout, in an archive or a directory.

use super::ExportError;
use super::archive::{self, Body};
use super::dest::{Directory, replace_file};
use super::layout::{LAYOUT, blob_path, blobs, entries, index};
use super::prepare::Bundle;
use crate::store::{CONTAINERD_NAME, REF_NAME, Store};
use registry_client::manifest::Index;
use std::io::{self, Write};
use std::path::Path;

/// Writes the bundle as a tar archive.
///
/// # Errors
/// When a blob is missing or damaged, or `out` fails.
pub fn oci_archive(store: &Store, bundle: &Bundle, out: &mut dyn Write) -> Result<(), ExportError> {
    let mut files = blobs(bundle);
    files.insert("oci-layout".to_owned(), Body::Bytes(LAYOUT.to_vec()));
    files.insert("index.json".to_owned(), Body::Bytes(index(entries(bundle)?)));
    archive::write(store, &files, out)
}

/// Puts the bundle into the layout directory `dir`, made when it is not there. Images that are in it stay, without the
/// names that this one takes.
///
/// # Errors
/// When a blob is missing or damaged, or the directory cannot be written, or is something else than a layout.
pub fn oci_directory(store: &Store, bundle: &Bundle, dir: &Path) -> Result<(), ExportError> {
    let failed = |action, path: &Path| {
        let path = path.to_owned();
        move |source| ExportError::File { action, path, source }
    };
    let index_path = dir.join("index.json");
    let existing = match std::fs::read(&index_path) {
        Ok(text) => {
            let index: Index = serde_json::from_slice(&text).map_err(|e| {
                failed("understand", &index_path)(io::Error::new(io::ErrorKind::InvalidData, e))
            })?;
            index.manifests
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
        Err(e) => return Err(failed("read", &index_path)(e)),
    };
    let directory = Directory::make(dir)?;
    for (path, body) in &blobs(bundle) {
        let (size, mut reader) = body.open(store)?;
        directory.write_blob(path, size, &mut reader)?;
    }
    let new = entries(bundle)?;
    let name = |d: &registry_client::descriptor::Descriptor| {
        (d.annotations.get(CONTAINERD_NAME).cloned(), d.annotations.get(REF_NAME).cloned())
    };
    let mut all = existing;
    // Tools find an image by its tag alone: a tag is there once, whatever repository it came from.
    all.retain(|old| {
        !new.iter().any(|n| {
            let ((_, new_tag), (_, old_tag)) = (name(n), name(old));
            (new_tag.is_some() && new_tag == old_tag) || (name(n) == name(old) && n.digest == old.digest)
        })
    });
    all.extend(new);
    replace_file(&dir.join("oci-layout"), LAYOUT)?;
    replace_file(&index_path, &index(all))?;
    debug_assert!(bundle.descriptors().iter().all(|d| dir.join(blob_path(&d.digest)).exists()));
    Ok(())
}
