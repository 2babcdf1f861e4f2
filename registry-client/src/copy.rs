//! Copying from repository to repository, whatever the registries: by streams, without a store in between.
//!
//! Blobs that are there already are not asked for; those of another repository of the same registry are mounted, and the
//! others pass through, a chunk at a time. Manifests go as they are, byte for byte, so that digests and signatures stay;
//! unless the registry does not take their media types, and no signatures are to go along.

use crate::{
    client::Client,
    descriptor::Descriptor,
    digest::Digest,
    manifest::{ManifestBytes, ManifestError, Manifests, ParsedManifest, select},
    platform::Platform,
    pull::PullError,
    push::{BlobPush, BlobSource, ImagePush, OnStep, PushError},
    reference::Reference,
};
use futures_util::{StreamExt, TryStreamExt, future::BoxFuture, stream};
use std::{
    collections::{BTreeMap, BTreeSet},
    io,
};

/// An index may hold indexes; no deeper than this.
const DEPTH: usize = 4;

/// Why something could not be copied.
#[derive(Debug, thiserror::Error)]
pub enum CopyError {
    /// It could not be had.
    #[error(transparent)]
    Pull(#[from] PullError),
    /// It could not be sent.
    #[error(transparent)]
    Push(#[from] PushError),
}

/// What is copied.
#[derive(Clone, Default)]
pub struct CopyOptions {
    /// Of an index, the image for this platform alone.
    pub platform: Option<Platform>,
    /// What refers to the image (signatures, SBOMs), and what refers to that, goes with it.
    pub referrers: bool,
    /// As [`ImagePush::verify`].
    pub verify: bool,
}

/// A manifest with all it needs.
#[derive(Default)]
struct Contents {
    blobs: BTreeMap<Digest, Descriptor>,
    /// Manifests and indexes below the top, those that others list first.
    children: Vec<ManifestBytes>,
    seen: BTreeSet<Digest>,
}

impl Client {
    /// Copies what `source` names to each of `targets`, and tells what they name then.
    ///
    /// # Errors
    /// Whatever pulling or pushing says; no target names a half-copied image.
    pub async fn copy(
        &self,
        source: &Reference,
        targets: &[Reference],
        options: &CopyOptions,
        on_step: OnStep,
    ) -> Result<Descriptor, CopyError> {
        let mut top = self.manifest(source).await?;
        if let Some(platform) = &options.platform {
            top = self.of_platform(source, top, platform).await?;
        }
        // What refers to an image names its digest, which must stay then.
        let convert = !options.referrers;
        let copied = self.copy_manifest(source, &top, targets, (convert, options.verify), &on_step).await?;
        if options.referrers {
            self.copy_referrers(source, top.descriptor.digest, targets, options.verify, &on_step).await?;
        }
        Ok(copied)
    }

    async fn of_platform(
        &self,
        source: &Reference,
        top: ManifestBytes,
        platform: &Platform,
    ) -> Result<ManifestBytes, PullError> {
        let mut top = top;
        for _ in 0..DEPTH {
            let ParsedManifest::Index(index) = parsed(source, &top)? else { return Ok(top) };
            let chosen = select(&index, platform)
                .map_err(|error| PullError::Platform { reference: source.to_string(), source: error })?;
            top = self.manifest(&source.with_digest(chosen.digest)).await?;
        }
        Err(PullError::Nested { reference: source.to_string() })
    }

    async fn copy_manifest(
        &self,
        source: &Reference,
        top: &ManifestBytes,
        targets: &[Reference],
        (convert, verify): (bool, bool),
        on_step: &OnStep,
    ) -> Result<Descriptor, CopyError> {
        let mut contents = Contents::default();
        self.gather(source, top, 0, &mut contents).await?;
        let mut pushed = None;
        // Each target is asked for what it has, and where it can mount from.
        for (done, target) in targets.iter().enumerate() {
            let image = self.image_push(source, &targets[..done], target, top, &contents);
            let image = ImagePush { convert, verify, ..image };
            pushed = Some(self.push_image(std::slice::from_ref(target), &image, on_step.clone()).await?);
        }
        Ok(pushed.ok_or(PushError::NoReference)?)
    }

    /// Reads all manifests below `manifest`, and notes their blobs.
    fn gather<'a>(
        &'a self,
        source: &'a Reference,
        manifest: &'a ManifestBytes,
        depth: usize,
        contents: &'a mut Contents,
    ) -> BoxFuture<'a, Result<(), PullError>> {
        Box::pin(async move {
            let whole = manifest.parse_whole().map_err(|error| malformed(source, error))?;
            let index = match whole {
                ParsedManifest::Index(index) => index,
                ParsedManifest::Manifest(image) => {
                    for blob in image.layers.into_iter().chain([image.config]) {
                        // What is hosted elsewhere may not be in the registry, and need not be.
                        if blob.urls.is_empty() {
                            contents.blobs.insert(blob.digest, blob);
                        }
                    }
                    return Ok(());
                }
            };
            if depth == DEPTH {
                return Err(PullError::Nested { reference: source.to_string() });
            }
            let digests: BTreeSet<Digest> = index.manifests.iter().map(|entry| entry.digest).collect();
            let children: Vec<ManifestBytes> = stream::iter(digests.difference(&contents.seen).copied())
                .map(|digest| async move { self.manifest(&source.with_digest(digest)).await })
                .buffered(self.options().connections_per_registry.max(1))
                .try_collect()
                .await?;
            for child in children {
                // Noted here and not before: an index within this one may list it, too, and must come after it.
                if contents.seen.insert(child.descriptor.digest) {
                    self.gather(source, &child, depth + 1, contents).await?;
                    contents.children.push(child);
                }
            }
            Ok(())
        })
    }

    /// What one target gets; `filled` are those that have it already.
    fn image_push(
        &self,
        source: &Reference,
        filled: &[Reference],
        target: &Reference,
        top: &ManifestBytes,
        contents: &Contents,
    ) -> ImagePush {
        let same = source.without_identifier() == target.without_identifier();
        let mut have = std::iter::once(source).chain(filled);
        let near = have.find(|have| have.registry() == target.registry());
        let mount_from: Vec<String> = near.map(|near| near.repository().to_owned()).into_iter().collect();
        let blobs = contents.blobs.values().map(|descriptor| BlobPush {
            descriptor: descriptor.clone(),
            source: self.blob_source(source, descriptor),
            mount_from: mount_from.clone(),
        });
        let document =
            |manifest: &ManifestBytes| (manifest.descriptor.media_type.clone(), manifest.bytes.clone());
        // In one repository only a name is new.
        let (blobs, children) = match same {
            true => (Vec::new(), Vec::new()),
            false => (blobs.collect(), contents.children.iter().map(document).collect()),
        };
        ImagePush {
            blobs,
            manifests: Manifests { children, top: document(top) },
            convert: false,
            verify: false,
        }
    }

    /// A blob of a repository, fetched again each time it is opened.
    fn blob_source(&self, source: &Reference, descriptor: &Descriptor) -> BlobSource {
        let (client, source, descriptor) = (self.clone(), source.clone(), descriptor.clone());
        BlobSource::stream(move || {
            let blob = client.blob(&source, &descriptor);
            async move { Ok(blob.map_err(io::Error::other)?.into_stream().map_err(io::Error::other)) }
        })
    }

    async fn copy_referrers(
        &self,
        source: &Reference,
        subject: Digest,
        targets: &[Reference],
        verify: bool,
        on_step: &OnStep,
    ) -> Result<(), CopyError> {
        let (mut next, mut seen) = (vec![subject], BTreeSet::from([subject]));
        while let Some(subject) = next.pop() {
            for referrer in self.referrers(&source.with_digest(subject), None).await? {
                if !seen.insert(referrer.digest) {
                    continue;
                }
                let manifest = self.manifest(&source.with_digest(referrer.digest)).await?;
                let targets: Vec<Reference> = targets.iter().map(Reference::without_identifier).collect();
                self.copy_manifest(source, &manifest, &targets, (false, verify), on_step).await?;
                next.push(referrer.digest);
            }
        }
        Ok(())
    }
}

fn parsed(source: &Reference, manifest: &ManifestBytes) -> Result<ParsedManifest, PullError> {
    manifest.parse().map_err(|error| malformed(source, error))
}

fn malformed(source: &Reference, error: ManifestError) -> PullError {
    PullError::Manifest { reference: source.to_string(), source: error.into() }
}

#[cfg(test)]
mod tests;
