//! Pulls an image from its registry into the store: manifest, config, and every layer as a blob.
//!
//! Nothing is unpacked, so that it takes no privilege; layers are unpacked when somebody needs their files.

use crate::bases::{BaseError, Bases, Resolved};
use crate::graph::{BaseKey, BaseName};
use crate::progress::{Event, Progress, StepId};
use crate::store::{LayerBlob, Layers, Store};
use crate::waiting;
use futures_util::{StreamExt, TryStreamExt, stream};
use registry_client::client::Client;
use registry_client::descriptor::Descriptor;
use registry_client::digest::DiffId;
use registry_client::platform::Platform;
use registry_client::reference::Reference;
use std::io::Write;
use std::pin::pin;

/// Layers that are downloaded at once.
const AT_ONCE: usize = 4;
/// A transfer is told each time so many bytes have come.
const TOLD_EVERY: u64 = 256 << 10;

/// Pulls `reference` for `platform` and names it in the store. Transfers are told as part of `step`.
///
/// # Errors
/// When the registry or the store fails; the blobs that came are kept for another try.
pub async fn pull(
    store: &Store,
    client: &Client,
    bases: &Bases,
    reference: &Reference,
    platform: &Platform,
    progress: &Progress,
    step: StepId,
) -> Result<Resolved, BaseError> {
    let key = BaseKey { name: BaseName::Reference(reference.to_string()), platform: platform.clone() };
    let image = bases.resolve(&key, true).await?;
    let layers = image.base.config.rootfs.diff_ids.iter().zip(&image.manifest.layers);
    stream::iter(layers.map(|(diff_id, descriptor)| async move {
        layer(store, client, reference, *diff_id, descriptor, &|current| {
            let (item, total) = (descriptor.digest.short(), Some(descriptor.size));
            progress.send(Event::Transfer { step, item, current, total });
        })
        .await
    }))
    .buffer_unordered(AT_ONCE)
    .try_collect::<()>()
    .await?;
    Ok(image)
}

/// Downloads one layer into the store.
async fn download(
    store: &Store,
    client: &Client,
    reference: &Reference,
    diff_id: DiffId,
    descriptor: &Descriptor,
    told: &dyn Fn(u64),
) -> Result<(), BaseError> {
    let mut writer = store.blobs().writer_of_verified(descriptor)?;
    let mut chunks = pin!(client.blob(reference, descriptor)?.into_stream());
    let mut last = 0;
    while let Some(chunk) = chunks.next().await {
        writer.write_all(&chunk?).map_err(|source| BaseError::Read { layer: diff_id, source })?;
        if writer.bytes() - last >= TOLD_EVERY {
            last = writer.bytes();
            told(last);
        }
    }
    writer.commit(Some(descriptor))?;
    told(descriptor.size);
    Ok(())
}

/// Downloads one layer, unless the store has it.
async fn layer(
    store: &Store,
    client: &Client,
    reference: &Reference,
    diff_id: DiffId,
    descriptor: &Descriptor,
    told: &dyn Fn(u64),
) -> Result<(), BaseError> {
    let is_there = || store.blobs().size(&descriptor.digest) == Some(descriptor.size);
    if !is_there() {
        let (kind, key) = Layers::lock_name(diff_id);
        let _lock = waiting::lock(store, kind, &key, || {}).await?;
        // Another build may have fetched it meanwhile.
        while !is_there() {
            match download(store, client, reference, diff_id, descriptor, told).await {
                // What a mirror sent so far is thrown away; the next comes from elsewhere.
                Err(error) if error.is_of_mirror() => {}
                other => other?,
            }
        }
    }
    let (digest, size, media_type) = (descriptor.digest, descriptor.size, descriptor.media_type.clone());
    Ok(store.layers().add_blob(diff_id, LayerBlob { digest, size, media_type, level: None })?)
}
