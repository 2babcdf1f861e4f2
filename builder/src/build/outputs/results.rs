//! `--iidfile` and `--metadata-file`, in the form of buildx.

use super::super::{BuildError, BuiltImage};
use super::Made;
use std::path::Path;

impl Made<'_> {
    /// Writes both, where they are asked for.
    pub(super) fn result_files(&self, built: Option<&BuiltImage>) -> Result<(), BuildError> {
        let write = |path: &Path, text: String| {
            std::fs::write(path, text)
                .map_err(|source| BuildError::ResultFile { path: path.to_owned(), source })
        };
        if let (Some(path), Some(built)) = (&self.request.iid_file, built) {
            write(path, built.id.to_string())?;
        }
        if let Some(path) = &self.request.metadata_file {
            let Some(built) = built else { return write(path, "{}\n".to_owned()) };
            let mut descriptor = built.top.clone();
            if let ([platform], false) = (&built.platforms[..], descriptor.media_type.is_index()) {
                descriptor.platform = Some(platform.clone());
            }
            let mut metadata = serde_json::json!({
                "containerimage.descriptor": descriptor,
                "containerimage.digest": built.top.digest,
            });
            if !built.top.media_type.is_index() {
                // An index has several configs, so that it has no digest of one.
                metadata["containerimage.config.digest"] = serde_json::json!(built.id);
            }
            if !built.names.is_empty() {
                metadata["image.name"] = built.names.join(",").into();
            }
            write(path, format!("{metadata:#}\n"))?;
        }
        Ok(())
    }
}
