//! An image with all its blobs: several at once, each once, the manifest last.

use super::{BlobOutcome, BlobSource, PushBlobOptions, PushError};
use crate::{
    client::{Client, Progress},
    descriptor::Descriptor,
    digest::Digest,
    media_type::MediaType,
    reference::Reference,
};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use std::{collections::BTreeSet, sync::Arc};

/// A blob that belongs to an image.
#[derive(Clone, Debug)]
pub struct BlobPush {
    /// What it is.
    pub descriptor: Descriptor,
    /// Its bytes.
    pub source: BlobSource,
    /// Repositories of the same registry that may have it, the likeliest first.
    pub mount_from: Vec<String>,
}

/// An image, or an index with its images.
#[derive(Clone, Debug)]
pub struct ImagePush {
    /// Configs and layers, in any order; those that occur twice are pushed once.
    pub blobs: Vec<BlobPush>,
    /// Manifests that `manifest` lists, if it is an index; those that others list come first. They get no tag.
    pub children: Vec<(MediaType, Bytes)>,
    /// What the references will name.
    pub manifest: (MediaType, Bytes),
}

/// How far a blob is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PushStep {
    /// So many bytes were sent.
    Sent(u64),
    /// It is in the repository.
    Done(BlobOutcome),
}

/// Told how far each blob of an image is.
pub type OnStep = Arc<dyn Fn(&Descriptor, PushStep) + Send + Sync>;

impl Client {
    /// Pushes an image under each of `references`, to which `on_step` is told how far each blob is.
    ///
    /// # Errors
    /// The first error of a blob or manifest; what was pushed until then stays, but no reference names it.
    pub async fn push_image(
        &self,
        references: &[Reference],
        image: &ImagePush,
        on_step: OnStep,
    ) -> Result<Descriptor, PushError> {
        let mut pushed = None;
        let mut repositories = BTreeSet::new();
        for reference in references {
            if repositories.insert(reference.without_identifier()) {
                if self.has_all(reference, image).await {
                    for blob in &image.blobs {
                        on_step(&blob.descriptor, PushStep::Done(BlobOutcome::Existed));
                    }
                } else {
                    self.push_contents(reference, image, &on_step).await?;
                }
            }
            let (media_type, bytes) = &image.manifest;
            let manifest = self.push_manifest(reference, media_type, bytes.clone()).await?;
            pushed = Some(manifest.descriptor);
        }
        pushed.ok_or(PushError::NoReference)
    }

    /// Whether the repository has each manifest of the image: then it has what they list, for a registry takes no manifest
    /// without. A push of what is there takes two requests so, however many layers there are.
    async fn has_all(&self, reference: &Reference, image: &ImagePush) -> bool {
        if image.blobs.is_empty() {
            return false;
        }
        let manifests = image.children.iter().map(|(_, bytes)| bytes).chain([&image.manifest.1]);
        for bytes in manifests {
            // What cannot be found out is pushed.
            if !self.manifest_exists(reference, &Digest::of(bytes)).await.unwrap_or(false) {
                return false;
            }
        }
        true
    }

    async fn push_contents(
        &self,
        reference: &Reference,
        image: &ImagePush,
        on_step: &OnStep,
    ) -> Result<(), PushError> {
        let mut seen = BTreeSet::new();
        let once: Vec<_> = image.blobs.iter().filter(|blob| seen.insert(blob.descriptor.digest)).collect();
        // As many as can be sent at once, and as many that are looked for meanwhile.
        let at_once = self.options().connections_per_registry.max(1) * 2;
        stream::iter(once)
            .map(|blob| self.push_one(reference, blob, on_step))
            .buffer_unordered(at_once)
            .try_collect::<()>()
            .await?;
        let repository = reference.without_identifier();
        for (media_type, bytes) in &image.children {
            self.push_manifest(&repository, media_type, bytes.clone()).await?;
        }
        Ok(())
    }

    async fn push_one(
        &self,
        reference: &Reference,
        blob: &BlobPush,
        on_step: &OnStep,
    ) -> Result<(), PushError> {
        let progress: Progress = {
            let (on_step, descriptor) = (on_step.clone(), blob.descriptor.clone());
            Arc::new(move |sent| on_step(&descriptor, PushStep::Sent(sent)))
        };
        let options = PushBlobOptions { mount_from: blob.mount_from.clone(), progress: Some(progress) };
        let outcome = self.push_blob(reference, &blob.descriptor, &blob.source, &options).await?;
        on_step(&blob.descriptor, PushStep::Done(outcome));
        Ok(())
    }
}
