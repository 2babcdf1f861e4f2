//! What refers to a manifest: signatures, SBOMs, attestations (distribution-spec, "Listing Referrers").
//!
//! A registry that does not list them itself has an index under a tag made of the subject's digest, which whoever pushes a
//! referrer keeps up ("Referrers Tag Schema").

use crate::{
    client::{Client, Place, asked},
    descriptor::Descriptor,
    digest::Digest,
    json::or_default,
    manifest::{Index, ManifestBytes, ParsedManifest},
    media_type::MediaType,
    pull::PullError,
    push::PushError,
    reference::Reference,
    transport::{Body, Call, Lane, Scope, Scopes, Target, error::RequestError, same_origin},
};
use bytes::Bytes;
use reqwest::{
    Method,
    header::{ACCEPT, HeaderMap, HeaderValue, LINK},
};
use serde::Deserialize;
use std::collections::BTreeMap;
use url::form_urlencoded;

/// Where a registry tells what it has filtered by.
const FILTERS_HEADER: &str = "oci-filters-applied";
/// Pages of an answer that are read.
const PAGES: usize = 100;
/// Characters of a digest in the tag of its referrers; tags have at most 128.
const TAG_DIGITS: usize = 64;

/// What a manifest says that makes it a referrer.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Referring {
    subject: Option<Descriptor>,
    artifact_type: Option<String>,
    config: Option<Typed>,
    #[serde(default, deserialize_with = "or_default")]
    annotations: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Typed {
    media_type: String,
}

impl Client {
    /// What refers to the manifest that `reference` names, of one artifact type or of all.
    ///
    /// # Errors
    /// What the registry says; that it lists no referrers is no error when nothing refers to the manifest.
    pub async fn referrers(
        &self,
        reference: &Reference,
        artifact_type: Option<&str>,
    ) -> Result<Vec<Descriptor>, PullError> {
        let digest = match reference.digest() {
            Some(digest) => digest,
            None => self.resolve(reference).await?.digest,
        };
        // Mirrors seldom know what refers to what.
        let (_, own) = self.sources(reference, "list referrers")?;
        let mut found = match self.listed_by_registry(&own, &digest, artifact_type).await {
            Ok(found) => found,
            // 404 by the spec; some registries have not even heard of the path, and say so in other ways.
            Err(PullError::Request(
                RequestError::NotFound { .. } | RequestError::Status { status: 400 | 405 | 406 | 501, .. },
            )) => self.listed_by_tag(&own, &digest).await?.map(|index| index.manifests).unwrap_or_default(),
            Err(error) => return Err(error),
        };
        // A registry need not filter.
        found.retain(|entry| {
            artifact_type.is_none_or(|wanted| entry.artifact_type.as_deref() == Some(wanted))
        });
        Ok(found)
    }

    async fn listed_by_registry(
        &self,
        place: &Place,
        digest: &Digest,
        artifact_type: Option<&str>,
    ) -> Result<Vec<Descriptor>, PullError> {
        let repository = place.reference.repository();
        let mut path = format!("v2/{repository}/referrers/{digest}");
        if let Some(wanted) = artifact_type {
            let query: String = form_urlencoded::byte_serialize(wanted.as_bytes()).collect();
            path.push_str(&format!("?artifactType={query}"));
        }
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static("application/vnd.oci.image.index.v1+json"));
        let mut call = Call {
            method: Method::GET,
            target: Target::Path(path),
            headers,
            body: Body::Empty,
            scopes: Scopes::new([Scope::pull(repository)]),
            asked: asked(&place.reference, format!("list what refers to {digest}")),
            lane: Lane::Request,
        };
        let mut found = Vec::new();
        for _ in 0..PAGES {
            let limit = self.options().manifest_limit;
            let (url, headers, bytes) = self.transport.fetch_at(&place.registry, &call, limit).await?;
            let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
            let protocol = |why: String| RequestError::Protocol { asked: call.asked.clone(), why };
            let index: Index = serde_json::from_slice(&bytes)
                .map_err(|error| protocol(format!("the list of referrers is no index: {error}")))?;
            let filtered = text(FILTERS_HEADER).is_some_and(|filters| filters.contains("artifactType"));
            found.extend(index.manifests.into_iter().filter(|entry| {
                filtered || artifact_type.is_none_or(|wanted| entry.artifact_type.as_deref() == Some(wanted))
            }));
            let next = text(LINK.as_str()).and_then(next_page).and_then(|next| url.join(next).ok());
            let Some(next) = next else { return Ok(found) };
            if !same_origin(&url, &next) {
                return Err(protocol("the next page of referrers is at another host".to_owned()).into());
            }
            call.target = Target::Url(next);
        }
        let why = format!("the list of referrers has more than {PAGES} pages");
        Err(RequestError::Protocol { asked: call.asked, why }.into())
    }

    /// The index under the tag of the subject's digest.
    async fn listed_by_tag(&self, place: &Place, digest: &Digest) -> Result<Option<Index>, PullError> {
        let reference = tagged(&place.reference, digest)?;
        let found = self.manifest_at(Place { reference: reference.clone(), ..place.clone() });
        let manifest: ManifestBytes = match found.await {
            Ok(manifest) => manifest,
            Err(PullError::Request(RequestError::NotFound { .. })) => return Ok(None),
            Err(error) => return Err(error),
        };
        match manifest.parse() {
            Ok(ParsedManifest::Index(index)) => Ok(Some(*index)),
            Ok(ParsedManifest::Manifest(_)) => {
                let why = format!("the tag of referrers {:?} names an image", reference.identifier());
                Err(protocol(&reference, why).into())
            }
            Err(error) => Err(PullError::Manifest { reference: reference.to_string(), source: error.into() }),
        }
    }

    /// Notes under the subject's tag that a manifest refers to it, for a registry that does not list referrers itself. Does
    /// nothing for a manifest that refers to nothing.
    pub(crate) async fn keep_referrer(
        &self,
        place: &Place,
        manifest: &Descriptor,
        bytes: &Bytes,
    ) -> Result<(), PushError> {
        // What is no JSON of that shape was the registry's to refuse.
        let Ok(Referring { subject: Some(subject), artifact_type, config, annotations }) =
            serde_json::from_slice(bytes)
        else {
            return Ok(());
        };
        let mut entry = manifest.clone();
        entry.artifact_type = artifact_type.or(config.map(|config| config.media_type));
        entry.annotations = annotations;
        let lock = place.registry.push_lock(place.reference.repository(), subject.digest);
        let _alone = lock.lock().await;
        let index = self.listed_by_tag(place, &subject.digest).await.map_err(push_error)?;
        let mut index = index.unwrap_or_else(Index::empty);
        if index.manifests.iter().any(|known| known.digest == entry.digest) {
            return Ok(());
        }
        index.manifests.push(entry);
        let reference = tagged(&place.reference, &subject.digest)?;
        let bytes = serde_json::to_vec(&index)
            .map_err(|error| protocol(&reference, format!("the list of referrers is no JSON: {error}")))?;
        let place = Place { reference, ..place.clone() };
        self.put_manifest(&place, &MediaType::OciIndex, bytes.into()).await?;
        Ok(())
    }
}

fn push_error(error: PullError) -> PushError {
    match error {
        PullError::Request(error) => error.into(),
        other => PushError::Referrers(Box::new(other)),
    }
}

fn protocol(reference: &Reference, why: String) -> RequestError {
    RequestError::Protocol { asked: asked(reference, "list referrers".to_owned()), why }
}

/// `sha256-...`: the tag under which the referrers of a manifest are listed.
fn tagged(reference: &Reference, digest: &Digest) -> Result<Reference, RequestError> {
    let hex = digest.hex();
    let tag = format!("{}-{}", digest.algorithm(), &hex[..hex.len().min(TAG_DIGITS)]);
    reference.with_tag(&tag).map_err(|error| protocol(reference, error.to_string()))
}

/// The target of `<...>; rel="next"` (RFC 8288).
fn next_page(header: &str) -> Option<&str> {
    header.split(',').find_map(|link| {
        let (target, parameters) = link.trim().strip_prefix('<')?.split_once('>')?;
        let next = |parameter: &str| {
            let (name, value) = parameter.split_once('=')?;
            (name.trim().eq_ignore_ascii_case("rel") && value.trim().trim_matches('"') == "next")
                .then_some(())
        };
        parameters.split(';').find_map(next).map(|()| target)
    })
}

#[cfg(test)]
mod tests;
