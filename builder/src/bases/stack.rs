//! From the layers of an image to the directories of an overlay mount.
//!
//! An archive need not mention the directories that its entries are in; Bazel and ko write such. In an image they are those
//! of the layers below: `/tmp` stays 1777, and what goes to `/lib/x` goes through the link to `/usr/lib`. But each layer is
//! unpacked on its own, where such a directory is 0755 and hides the link. So a layer that has some is looked at once for
//! each chain of layers that it is found on, and, when it matters, gets another form there: the same files (hard links),
//! in directories as they are below.

use super::{BaseError, Bases};
use crate::blocking::blocking;
use crate::rootfs::overlay::overlay_view;
use crate::store::{Fitted, LayerDir, Store};
use fit::Fit;
use registry_client::digest::{DiffId, chain_id};
use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};

mod fit;
#[cfg(test)]
mod tests;

impl Bases {
    /// The directories of `layers`, base first, for an overlay mount. What is missing is fetched and unpacked, as by
    /// [`unpack`](Self::unpack). This process must be able to mount.
    ///
    /// # Errors
    /// When a layer cannot be had, unpacked or fitted to the others.
    pub async fn stack(
        self: &Arc<Self>,
        layers: &[DiffId],
        step: crate::progress::StepId,
    ) -> Result<Vec<PathBuf>, BaseError> {
        let known = |bases: &Self| {
            let stacked = bases.stacked.lock().unwrap_or_else(PoisonError::into_inner);
            stacked.get(layers).cloned()
        };
        if let Some(known) = known(self) {
            return Ok(known);
        }
        self.unpack(layers, step, 0).await?;
        let (store, wanted) = (self.store.clone(), layers.to_vec());
        let paths = blocking(move || stack(&store, &wanted)).await?;
        let mut stacked = self.stacked.lock().unwrap_or_else(PoisonError::into_inner);
        stacked.insert(layers.to_vec(), paths.clone());
        Ok(paths)
    }
}

/// The directories of `layers`, base first, all of which are unpacked in `store`.
///
/// # Errors
/// `UnknownLayer` for one that is not; when one cannot be fitted to the others.
pub fn stack(store: &Store, layers: &[DiffId]) -> Result<Vec<PathBuf>, BaseError> {
    let mut paths: Vec<PathBuf> = Vec::with_capacity(layers.len());
    for (at, &layer) in layers.iter().enumerate() {
        let there = store.layers().get(layer).ok_or(BaseError::UnknownLayer(layer))?;
        let path = match paths.last() {
            Some(below) if depends_on_others(&there, below) => {
                let chain = chain_id(&layers[..at]).map(|chain| chain.to_string()).unwrap_or_default();
                fitted(store, &there, &chain, &paths)?
            }
            _ => there.path,
        };
        paths.push(path);
    }
    Ok(paths)
}

/// Whether the layer leaves open what one of its directories is. Most leave open just the top one, and for that a look
/// at the top of the layer below tells.
fn depends_on_others(layer: &LayerDir, below: &Path) -> bool {
    layer.implied.iter().any(|implied| {
        if !implied.as_os_str().is_empty() {
            return true;
        }
        let attributes = |path: &Path| path.metadata().map(|m| (m.mode(), m.uid(), m.gid())).ok();
        attributes(&layer.path) != attributes(below)
    })
}

/// The directory of a layer in the form that it has on the layers in `below`, base first, whose chain id is `chain`.
fn fitted(store: &Store, layer: &LayerDir, chain: &str, below: &[PathBuf]) -> Result<PathBuf, BaseError> {
    let (layers, diff_id) = (store.layers(), layer.meta.diff_id);
    let known = || layers.fitted(diff_id, chain);
    let found = match known() {
        Some(found) => found,
        None => {
            let _lock = layers.lock_fitted(diff_id, chain)?;
            match known() {
                Some(found) => found,
                None => {
                    let failed = |source: io::Error| BaseError::Fit { layer: diff_id, source };
                    let lowers: Vec<&PathBuf> = below.iter().rev().collect();
                    let view = overlay_view(&lowers).map_err(failed)?;
                    let fit = Fit::new(&layer.path, &layer.implied, &view, store.flavor());
                    if fit.is_needed().map_err(failed)? {
                        let into = layers.begin_fitted()?;
                        fit.make(&into).map_err(failed)?;
                        layers.keep_fitted(diff_id, chain, Some(&into))?
                    } else {
                        layers.keep_fitted(diff_id, chain, None)?
                    }
                }
            }
        }
    };
    Ok(match found {
        Fitted::AsItIs => layer.path.clone(),
        Fitted::At(path) => path,
    })
}
