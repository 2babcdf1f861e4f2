//! Images as few tools write them.

use super::bases;
use super::lab::Lab;
use super::tools::tool;
use serde_json::json;
use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;
use std::fs;
use std::path::PathBuf;

/// Writes an OCI layout by hand.
pub(crate) struct Layout {
    directory: PathBuf,
    layers: Vec<serde_json::Value>,
    diff_ids: Vec<String>,
}

impl Layout {
    /// An empty one in directory `name` of the laboratory.
    pub(crate) fn new(lab: &Lab, name: &str) -> Self {
        let directory = lab.path(name);
        fs::create_dir_all(directory.join("blobs/sha256")).expect("the laboratory is writable");
        Self { directory, layers: Vec::new(), diff_ids: Vec::new() }
    }

    fn blob(&self, bytes: &[u8]) -> String {
        let hex = Sha256::digest(bytes).iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
        fs::write(self.directory.join("blobs/sha256").join(&hex), bytes).expect("the layout is writable");
        format!("sha256:{hex}")
    }

    /// Adds a layer of entries: name, mode, owner; a target makes a symbolic link, a name that ends in `/` a directory.
    pub(crate) fn layer(&mut self, entries: &[(&str, u32, u64, &str)]) {
        let mut archive = tar::Builder::new(Vec::new());
        for (name, mode, owner, target) in entries {
            let mut header = tar::Header::new_ustar();
            header.set_mode(*mode);
            header.set_uid(*owner);
            header.set_gid(*owner);
            header.set_mtime(1_700_000_000);
            if !target.is_empty() {
                header.set_size(0);
                header.set_entry_type(tar::EntryType::Symlink);
                archive.append_link(&mut header, name, target).expect("memory is writable");
                continue;
            }
            let bytes = if name.ends_with('/') { "" } else { *name };
            let directory = name.ends_with('/');
            header.set_entry_type(if directory {
                tar::EntryType::Directory
            } else {
                tar::EntryType::Regular
            });
            header.set_size(bytes.len() as u64);
            archive.append_data(&mut header, name, bytes.as_bytes()).expect("memory is writable");
        }
        self.raw(&archive.into_inner().expect("memory is writable"));
    }

    /// Adds a layer: an archive.
    pub(crate) fn raw(&mut self, tar: &[u8]) {
        let digest = self.blob(tar);
        self.layers.push(json!({
            "mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": digest, "size": tar.len(),
        }));
        self.diff_ids.push(digest);
    }

    /// The layer of the test's busybox.
    pub(crate) fn busybox(&mut self) {
        let base = bases::base("busybox");
        let manifest = fs::read(base.join("manifest.json")).expect("the base is there");
        let manifest: serde_json::Value = serde_json::from_slice(&manifest).expect("a manifest is JSON");
        let digest = manifest["layers"][0]["digest"].as_str().expect("a digest is text").to_owned();
        let layer = base.join(digest.trim_start_matches("sha256:"));
        let tar = tool("gzip").arg("-dc").arg(layer).output().expect("gzip starts").stdout;
        self.raw(&tar);
    }

    /// The directory, once the image is written, under the name `latest`.
    pub(crate) fn finish(self) -> PathBuf {
        let architecture = if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" };
        let config = json!({
            "architecture": architecture, "os": "linux", "config": {},
            "rootfs": {"type": "layers", "diff_ids": self.diff_ids},
        })
        .to_string();
        let manifest = json!({
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {
                "mediaType": "application/vnd.oci.image.config.v1+json",
                "digest": self.blob(config.as_bytes()), "size": config.len(),
            },
            "layers": self.layers,
        })
        .to_string();
        let index = json!({
            "schemaVersion": 2,
            "manifests": [{
                "mediaType": "application/vnd.oci.image.manifest.v1+json",
                "digest": self.blob(manifest.as_bytes()), "size": manifest.len(),
                "annotations": {"org.opencontainers.image.ref.name": "latest"},
            }],
        });
        fs::write(self.directory.join("index.json"), index.to_string()).expect("the layout is writable");
        fs::write(self.directory.join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)
            .expect("the layout is writable");
        self.directory
    }
}
