//! Pushes an image of the store to a registry.

use crate::export::{Bundle, Source};
use crate::image::Document;
use crate::progress::{Event, Progress, StepId};
use crate::store::Store;
use registry_client::client::Client;
use registry_client::descriptor::Descriptor;
use registry_client::digest::Digest;
use registry_client::manifest::Manifests;
use registry_client::push::{BlobOutcome, BlobPush, BlobSource, ImagePush, PushError, PushStep};
use registry_client::reference::Reference;
use std::collections::BTreeMap;
use std::sync::Arc;

/// What a push moved.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Pushed {
    /// Blobs sent.
    pub sent: usize,
    /// Bytes sent.
    pub bytes: u64,
    /// Blobs the registry had already, or took from another repository.
    pub there: usize,
}

/// Where a bundle goes, and how.
#[derive(Clone, Copy, Debug)]
pub struct Destination<'a> {
    /// The names it gets.
    pub references: &'a [Reference],
    /// Repositories that may hold a blob already, by its digest.
    pub mount_from: &'a BTreeMap<Digest, Vec<String>>,
    /// Whether a registry that refuses the media types of the bundle gets it with those that it takes, and so with another
    /// digest.
    pub convert: bool,
    /// Whether each blob is looked for though the registry has the manifest.
    pub verify: bool,
}

/// Pushes `bundle`, which is [settled](Bundle::settle): the images of all its platforms, then the index.
///
/// # Errors
/// What the registry says; no reference names a half-pushed image.
pub async fn push(
    client: &Client,
    store: &Store,
    bundle: &Bundle,
    destination: Destination<'_>,
    progress: &Progress,
    step: StepId,
) -> Result<(Descriptor, Pushed), PushError> {
    let Destination { references, mount_from, convert, verify } = destination;
    let blobs = store.blobs();
    let layers = bundle.packages.iter().flat_map(|package| &package.layers);
    let layers = layers.filter(|layer| layer.source != Source::Elsewhere).map(|layer| BlobPush {
        descriptor: layer.descriptor.clone(),
        source: BlobSource::file(blobs.path(&layer.descriptor.digest)),
        mount_from: mount_from.get(&layer.descriptor.digest).cloned().unwrap_or_default(),
    });
    let configs = bundle.packages.iter().map(|package| BlobPush {
        descriptor: package.config.descriptor.clone(),
        source: BlobSource::bytes(package.config.bytes.clone()),
        mount_from: Vec::new(),
    });
    let document =
        |document: &Document| (document.descriptor.media_type.clone(), document.bytes.clone().into());
    let children: Vec<_> = match &bundle.index {
        Some(_) => bundle.packages.iter().map(|package| document(&package.manifest)).collect(),
        None => Vec::new(),
    };
    let manifests = Manifests { children, top: document(bundle.top()) };
    let image = ImagePush { blobs: layers.chain(configs).collect(), manifests, convert, verify };
    let pushed = Arc::new(std::sync::Mutex::new(Pushed::default()));
    let on_step = {
        let (progress, pushed) = (progress.clone(), Arc::clone(&pushed));
        Arc::new(move |descriptor: &Descriptor, state: PushStep| match state {
            PushStep::Sent(current) => progress.send(Event::Transfer {
                step,
                item: descriptor.digest.short(),
                current,
                total: Some(descriptor.size),
            }),
            PushStep::Done(outcome) => {
                let mut pushed = pushed.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
                if outcome == BlobOutcome::Uploaded {
                    pushed.sent += 1;
                    pushed.bytes += descriptor.size;
                } else {
                    pushed.there += 1;
                }
            }
        })
    };
    let descriptor = client.push_image(references, &image, on_step).await?;
    let pushed = *pushed.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    Ok((descriptor, pushed))
}
