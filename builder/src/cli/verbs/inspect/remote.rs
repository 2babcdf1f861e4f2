//! Images in their registries: the bytes of a manifest or config, or what is known of them without pulling them.

use super::{Args, Format};
use crate::cli::failure::{Failure, UsageError};
use crate::cli::{local, remote};
use crate::environment::Environment;
use crate::registry;
use futures_util::{StreamExt, TryStreamExt, stream};
use registry_client::client::Client;
use registry_client::config::ImageConfig;
use registry_client::descriptor::Descriptor;
use registry_client::manifest::{Manifest, ManifestBytes, ParsedManifest, select};
use registry_client::platform::Platform;
use registry_client::pull::PullError;
use registry_client::reference::Reference;
use serde_json::{Value, json};
use std::io::Write;

/// Bytes of a config that are read.
const CONFIG: usize = 8 << 20;
/// Images of an index that are asked for at once.
const AT_ONCE: usize = 4;

/// Writes what the flags ask for.
///
/// # Errors
/// When a registry fails, or what was given is no name.
pub(super) fn run(args: Args, environment: &Environment, out: &mut dyn Write) -> Result<(), Failure> {
    let environment = &args.registries.applied(environment)?;
    let references: Vec<Reference> =
        args.images.iter().map(|name| local::canonical(name)).collect::<Result<_, _>>()?;
    let client = remote::telling(registry::client(environment));
    if args.raw || args.config {
        let [reference] = &references[..] else { return Err(UsageError::RawOfSeveral.into()) };
        let bytes = remote::block_on(raw(&client, reference, args.platform.as_ref(), args.config))?;
        return Ok(out.write_all(&bytes)?);
    }
    let platform = args.platform.as_ref();
    let objects = remote::block_on(async {
        let mut objects = Vec::new();
        for reference in &references {
            objects.push(object(&client, reference, platform, args.referrers).await?);
        }
        Ok(objects)
    })?;
    match &args.format {
        None | Some(Format::Table) => writeln!(out, "{:#}", Value::Array(objects))?,
        Some(format) => format.write(&objects, &[], out)?,
    }
    Ok(())
}

/// The bytes of a manifest or index, or of the config of the image for this machine.
async fn raw(
    client: &Client,
    reference: &Reference,
    platform: Option<&Platform>,
    config: bool,
) -> Result<Vec<u8>, Failure> {
    let host = Platform::host();
    if !config && platform.is_none() {
        return Ok(client.manifest(reference).await?.bytes.to_vec());
    }
    let image = client.image(reference, platform.unwrap_or(&host)).await?;
    if config {
        return Ok(client.blob_bytes(reference, &image.manifest.config, CONFIG).await?.to_vec());
    }
    Ok(image.manifest_bytes.bytes.to_vec())
}

async fn object(
    client: &Client,
    reference: &Reference,
    platform: Option<&Platform>,
    referrers: bool,
) -> Result<Value, Failure> {
    let top = client.manifest(reference).await?;
    let (mut images, mut attestations, mut annotations) = (Vec::new(), Vec::new(), json!({}));
    match top.parse()? {
        ParsedManifest::Manifest(manifest) => {
            images.push(image(client, reference, &top, *manifest, None).await?);
        }
        ParsedManifest::Index(index) => {
            annotations = json!(index.annotations);
            let chosen = match platform {
                Some(platform) => vec![
                    select(&index, platform)
                        .map_err(|source| PullError::Platform { reference: reference.to_string(), source })?,
                ],
                None => index.manifests.iter().collect(),
            };
            for entry in &chosen {
                if let Some(of) = entry.annotations.get("vnd.docker.reference.digest") {
                    attestations.push(json!({ "Digest": entry.digest, "Size": entry.size, "Of": of }));
                }
            }
            let entries = chosen
                .into_iter()
                .filter(|entry| !entry.annotations.contains_key("vnd.docker.reference.digest"));
            let described = entries.map(|entry| listed(client, reference, entry));
            images = stream::iter(described).buffered(AT_ONCE).try_collect().await?;
        }
    }
    let mut object = json!({
        "Name": reference,
        "Digest": top.descriptor.digest,
        "MediaType": top.descriptor.media_type,
        "Size": top.descriptor.size,
        "Annotations": annotations,
        "Images": images,
        "Attestations": attestations,
    });
    if referrers {
        let found = client.referrers(&reference.with_digest(top.descriptor.digest), None).await?;
        let shown = found.into_iter().map(|entry| {
            json!({
                "Digest": entry.digest,
                "ArtifactType": entry.artifact_type,
                "Size": entry.size,
                "Annotations": entry.annotations,
            })
        });
        object["Referrers"] = shown.collect();
    }
    Ok(object)
}

/// An entry of an index; what is in it of an index within, is not looked at.
async fn listed(client: &Client, reference: &Reference, entry: &Descriptor) -> Result<Value, Failure> {
    let received = client.manifest(&reference.with_digest(entry.digest)).await?;
    match received.parse()? {
        ParsedManifest::Manifest(manifest) => {
            image(client, reference, &received, *manifest, Some(entry)).await
        }
        ParsedManifest::Index(index) => Ok(json!({
            "Digest": entry.digest,
            "MediaType": received.descriptor.media_type,
            "Size": entry.size,
            "Annotations": entry.annotations,
            "Manifests": index.manifests,
        })),
    }
}

async fn image(
    client: &Client,
    reference: &Reference,
    received: &ManifestBytes,
    manifest: Manifest,
    entry: Option<&Descriptor>,
) -> Result<Value, Failure> {
    // The config of an artifact is whatever its maker wanted.
    let bytes = client.blob_bytes(reference, &manifest.config, CONFIG).await?;
    let config = serde_json::from_slice::<ImageConfig>(&bytes).ok();
    let platform =
        entry.and_then(|entry| entry.platform.clone()).or_else(|| config.as_ref().map(ImageConfig::platform));
    let mut annotations = manifest.annotations;
    annotations.extend(entry.into_iter().flat_map(|entry| entry.annotations.clone()));
    let layers: Vec<Value> = manifest
        .layers
        .iter()
        .map(|layer| json!({ "MediaType": layer.media_type, "Digest": layer.digest, "Size": layer.size }))
        .collect();
    Ok(json!({
        "Platform": platform.map(|platform| platform.to_string()),
        "Digest": received.descriptor.digest,
        "MediaType": received.descriptor.media_type,
        "ArtifactType": manifest.artifact_type,
        "Id": manifest.config.digest,
        "LayersSize": manifest.layers.iter().map(|layer| layer.size).sum::<u64>(),
        "Layers": layers,
        "Annotations": annotations,
        "Created": config.as_ref().and_then(|config| config.created.clone()),
        "Config": config.map(|config| config.config),
    }))
}
