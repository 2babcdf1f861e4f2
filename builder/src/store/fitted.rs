//! `layers/<hex>/on/<hash>/`: a layer as it must look on the layers below it, for those whose archive leaves that open.

use super::document::{self, rename_new};
use super::error::{At, StoreError};
use super::stamp::Stamp;
use super::{KeyLock, Layers, hash_name};
use registry_client::digest::DiffId;
use serde::{Deserialize, Serialize};
use std::path::{Path, PathBuf};

/// How a layer fits on those below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fitted {
    /// As it was unpacked.
    AsItIs,
    /// In another form, which is in this directory.
    At(PathBuf),
}

/// `meta.json`.
#[derive(Serialize, Deserialize)]
struct Stored {
    changed: bool,
    stamp: Stamp,
}

impl Layers {
    fn fitted_dir(&self, layer: DiffId, below: &str) -> PathBuf {
        self.dir(&layer).join("on").join(hash_name(below.as_bytes()))
    }

    /// What is known of the layer on `below`, the chain id of what it lies on.
    pub fn fitted(&self, layer: DiffId, below: &str) -> Option<Fitted> {
        let dir = self.fitted_dir(layer, below);
        let stored: Stored = document::read(&dir.join("meta.json"))?;
        if !self.store().is_sound(&stored.stamp) {
            return None;
        }
        if !stored.changed {
            return Some(Fitted::AsItIs);
        }
        let path = dir.join("fs");
        path.is_dir().then_some(Fitted::At(path))
    }

    /// The exclusive right to fit the layer; look again after taking it.
    ///
    /// # Errors
    /// When the lock file cannot be made.
    pub fn lock_fitted(&self, layer: DiffId, below: &str) -> Result<KeyLock, StoreError> {
        self.store().lock("fitted", &format!("{layer} {below}"))
    }

    /// A directory to make another form in; it is garbage until it is [kept](Self::keep_fitted).
    ///
    /// # Errors
    /// When it cannot be made.
    pub fn begin_fitted(&self) -> Result<PathBuf, StoreError> {
        let path = self.store().scratch("fitted")?.join("fs");
        std::fs::create_dir_all(&path).at("create", &path)?;
        Ok(path)
    }

    /// Remembers how the layer fits: in the form that was made in `made`, or as it is.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep_fitted(&self, layer: DiffId, below: &str, made: Option<&Path>) -> Result<Fitted, StoreError> {
        let target = self.fitted_dir(layer, below);
        let parent = self.dir(&layer).join("on");
        std::fs::create_dir_all(&parent).at("create", &parent)?;
        let dir = match made.and_then(Path::parent) {
            Some(dir) => dir.to_owned(),
            None => {
                let dir = self.store().scratch("fitted")?;
                std::fs::create_dir(&dir).at("create", &dir)?;
                dir
            }
        };
        let meta = dir.join("meta.json");
        let stored = Stored { changed: made.is_some(), stamp: self.store().stamp() };
        std::fs::write(&meta, document::encode(&stored, &meta)?).at("write", &meta)?;
        while !rename_new(&dir, &target)? {
            // It is of an earlier boot, or damaged: the lock says that nobody else is here.
            self.store().discard(&target)?;
        }
        Ok(if made.is_some() { Fitted::At(target.join("fs")) } else { Fitted::AsItIs })
    }
}
