//! Indexes in registries: what an image or index brings to one.

use crate::{
    client::Client,
    config::ImageConfig,
    descriptor::Descriptor,
    manifest::{ManifestError, ParsedManifest},
    media_type::MediaType,
    pull::PullError,
    reference::Reference,
};

/// Bytes of a config that are read.
const CONFIG: usize = 8 << 20;

impl Client {
    /// What `source` brings to an index: the entries of the index it names; or the image it names, with the platform that
    /// its config says.
    ///
    /// # Errors
    /// Any [`PullError`].
    pub async fn index_entries(&self, source: &Reference) -> Result<Vec<Descriptor>, PullError> {
        let received = self.manifest(source).await?;
        let malformed = |error: ManifestError| PullError::Manifest {
            reference: source.to_string(),
            source: Box::new(error),
        };
        let manifest = match received.parse_whole().map_err(malformed)? {
            ParsedManifest::Index(index) => return Ok(index.manifests),
            ParsedManifest::Manifest(manifest) => manifest,
        };
        let mut entry = received.descriptor;
        entry.artifact_type = manifest.artifact_type;
        // The config of an artifact is no image's, and says nothing of a platform.
        if matches!(manifest.config.media_type, MediaType::OciConfig | MediaType::DockerConfig) {
            let bytes = self.blob_bytes(source, &manifest.config, CONFIG).await?;
            let digest = manifest.config.digest;
            let config: ImageConfig = serde_json::from_slice(&bytes)
                .map_err(|error| malformed(ManifestError::Malformed { digest, why: error.to_string() }))?;
            entry.platform = Some(config.platform());
        }
        Ok(vec![entry])
    }
}
