//! An image with all its blobs: several at once, each once, the manifest last.

use super::{BlobOutcome, BlobSource, PushBlobOptions, PushError, PushedManifest};
use crate::{
    client::{Client, Progress},
    descriptor::Descriptor,
    digest::Digest,
    manifest::{Converted, Manifests},
    media_type::MediaType,
    reference::Reference,
    transport::error::RequestError,
};
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream};
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
};

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
    /// The manifest; or an index, and the manifests that it lists, which get no tag.
    pub manifests: Manifests,
    /// Whether a registry that does not take these media types may get OCI's instead of Docker's, or Docker's instead of
    /// OCI's. The image has another digest then; a [warning](Client::take_warnings) says so.
    pub convert: bool,
    /// Whether each blob is looked for though the registry has the manifest: for one that may have lost some.
    pub verify: bool,
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
    /// Pushes an image under each of `references`, and tells `on_step` how far each blob is. Returns what the last one
    /// names now.
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
        let mut repositories: Vec<Reference> = Vec::new();
        // By registry: what it takes instead.
        let mut converted: BTreeMap<&str, Converted> = BTreeMap::new();
        for reference in references {
            let registry = reference.registry();
            let manifests =
                converted.get(registry).map_or(&image.manifests, |converted| &converted.manifests);
            let repository = reference.without_identifier();
            let is_new = !repositories.contains(&repository);
            let is_there = !is_new || !image.verify && self.has_all(reference, image, manifests).await;
            // What was just brought to another repository need not be sent again.
            let filled = repositories.iter().find(|filled| filled.registry() == registry).cloned();
            if !is_there {
                self.push_blobs(reference, image, filled.as_ref(), &on_step).await?;
            }
            let mut existed = is_there && is_new;
            repositories.push(repository);
            let children = if is_there { &[][..] } else { &manifests.children };
            let manifest = match self.push_manifests(reference, children, &manifests.top).await {
                Err(PushError::Request(refused))
                    if image.convert
                        && refused.is_of_manifest_type()
                        && !converted.contains_key(registry) =>
                {
                    let (other, manifest) = self.push_converted(reference, image, refused).await?;
                    converted.insert(registry, other);
                    manifest
                }
                // Some registries look whether all is there; what was lost is sent once more.
                Err(PushError::Request(refused)) if is_there && refused.is_of_missing_blob() => {
                    existed = false;
                    self.push_blobs(reference, image, filled.as_ref(), &on_step).await?;
                    self.push_manifests(reference, &manifests.children, &manifests.top).await?
                }
                result => result?,
            };
            for blob in image.blobs.iter().filter(|_| existed) {
                on_step(&blob.descriptor, PushStep::Done(BlobOutcome::Existed));
            }
            pushed = Some(manifest.descriptor);
        }
        pushed.ok_or(PushError::NoReference)
    }

    /// Whether the repository has each manifest of the image: then it has what they list, for a registry takes no manifest
    /// without. A push of what is there takes two requests so, however many layers there are. A registry that has lost a
    /// blob since may say so when it gets the manifest; [`ImagePush::verify`] is for those that do not.
    async fn has_all(&self, reference: &Reference, image: &ImagePush, manifests: &Manifests) -> bool {
        if image.blobs.is_empty() {
            return false;
        }
        for (_, bytes) in manifests.children.iter().chain([&manifests.top]) {
            // What cannot be found out is pushed.
            if !self.manifest_exists(reference, &Digest::of(bytes)).await.unwrap_or(false) {
                return false;
            }
        }
        true
    }

    async fn push_blobs(
        &self,
        reference: &Reference,
        image: &ImagePush,
        filled: Option<&Reference>,
        on_step: &OnStep,
    ) -> Result<(), PushError> {
        let mut seen = BTreeSet::new();
        let once: Vec<_> = image.blobs.iter().filter(|blob| seen.insert(blob.descriptor.digest)).collect();
        // As many as can be sent at once, and as many that are looked for meanwhile.
        let at_once = self.options().connections_per_registry.max(1) * 2;
        stream::iter(once)
            .map(|blob| self.push_one(reference, blob, filled, on_step))
            .buffer_unordered(at_once)
            .try_collect()
            .await
    }

    /// Pushes those that others list, and then the one that the reference will name.
    async fn push_manifests(
        &self,
        reference: &Reference,
        children: &[(MediaType, Bytes)],
        (media_type, bytes): &(MediaType, Bytes),
    ) -> Result<PushedManifest, PushError> {
        let repository = reference.without_identifier();
        for (media_type, bytes) in children {
            self.push_manifest(&repository, media_type, bytes.clone()).await?;
        }
        self.push_manifest(reference, media_type, bytes.clone()).await
    }

    /// Pushes the same with the media types of the other family to a registry that has refused those it has.
    async fn push_converted(
        &self,
        reference: &Reference,
        image: &ImagePush,
        refused: RequestError,
    ) -> Result<(Converted, PushedManifest), PushError> {
        let family = image.manifests.family();
        let converted = match image.manifests.converted(family.other()) {
            Ok(converted) => converted,
            Err(why) => {
                let refused = refused.into();
                return Err(PushError::Unconvertible { refused, family: family.other(), why: why.into() });
            }
        };
        let Manifests { children, top } = &converted.manifests;
        let manifest = match self.push_manifests(reference, children, top).await {
            Ok(manifest) => manifest,
            Err(PushError::Request(other)) if other.is_of_manifest_type() => {
                let (refused, other) = (refused.into(), other.into());
                return Err(PushError::NoMediaType { refused, family: family.other(), other });
            }
            Err(error) => return Err(error),
        };
        let without = if converted.without_annotations { ", which have no annotations" } else { "" };
        self.transport.warnings.add(
            reference.registry(),
            &format!(
                "it does not take {family} media types; {reference} was pushed with those of {}{without}, as {}",
                family.other(),
                manifest.descriptor.digest
            ),
        );
        Ok((converted, manifest))
    }

    async fn push_one(
        &self,
        reference: &Reference,
        blob: &BlobPush,
        filled: Option<&Reference>,
        on_step: &OnStep,
    ) -> Result<(), PushError> {
        let progress: Progress = {
            let (on_step, descriptor) = (on_step.clone(), blob.descriptor.clone());
            Arc::new(move |sent| on_step(&descriptor, PushStep::Sent(sent)))
        };
        let likely = filled.map(|filled| filled.repository().to_owned());
        let mount_from = likely.into_iter().chain(blob.mount_from.iter().cloned()).collect();
        let options = PushBlobOptions { mount_from, progress: Some(progress) };
        let outcome = self.push_blob(reference, &blob.descriptor, &blob.source, &options).await?;
        on_step(&blob.descriptor, PushStep::Done(outcome));
        Ok(())
    }
}
