//! Manifests: the last thing that is pushed, because it makes all the others visible.

use super::{PushError, upload::pushing};
use crate::{
    client::{Client, Place, asked},
    descriptor::Descriptor,
    digest::Digest,
    media_type::MediaType,
    pull::{DIGEST_HEADER, manifest_call},
    reference::Reference,
    transport::{Body, Call, Lane, Target, error::RequestError},
};
use bytes::Bytes;
use reqwest::{
    Method,
    header::{CONTENT_TYPE, HeaderMap, HeaderValue},
};

/// Where a registry tells that it keeps referrers itself.
const SUBJECT_HEADER: &str = "oci-subject";

/// A manifest that is in the registry now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PushedManifest {
    /// Of the manifest.
    pub descriptor: Descriptor,
    /// The subject, if the registry says it lists the manifest among the subject's referrers.
    pub subject: Option<Digest>,
}

impl Client {
    /// Pushes a manifest or index under the tag of `reference`; without a tag, under its digest.
    ///
    /// A manifest with a subject is put on the list of the subject's referrers, if the registry does not do that itself.
    ///
    /// A registry whose tags cannot be moved refuses to set one again; if the tag names this manifest already, that is
    /// no error.
    ///
    /// # Errors
    /// [`PushError::Reference`] if `reference` has the digest of something else; else what the registry says.
    pub async fn push_manifest(
        &self,
        reference: &Reference,
        media_type: &MediaType,
        bytes: Bytes,
    ) -> Result<PushedManifest, PushError> {
        let place = self.destination(reference, "push a manifest")?;
        let pushed = self.put_manifest(&place, media_type, bytes.clone()).await?;
        if pushed.subject.is_none() {
            self.keep_referrer(&place, &pushed.descriptor, &bytes).await?;
        }
        Ok(pushed)
    }

    /// [`Self::push_manifest`] to one place, and nothing more.
    pub(crate) async fn put_manifest(
        &self,
        place: &Place,
        media_type: &MediaType,
        bytes: Bytes,
    ) -> Result<PushedManifest, PushError> {
        let reference = &place.reference;
        let digest = match reference.digest() {
            Some(digest) => digest.same_algorithm_of(&bytes),
            None => Digest::of(&bytes),
        };
        if reference.digest().is_some_and(|wanted| wanted != digest) {
            return Err(PushError::Reference { reference: reference.to_string(), digest });
        }
        let descriptor = Descriptor::new(media_type.clone(), digest, bytes.len() as u64);
        let identifier = reference.tag().map_or_else(|| digest.to_string(), str::to_owned);
        let mut headers = HeaderMap::new();
        let content_type = HeaderValue::from_str(media_type.as_str()).map_err(|_| PushError::MediaType {
            reference: reference.to_string(),
            media_type: media_type.as_str().to_owned(),
        })?;
        headers.insert(CONTENT_TYPE, content_type);
        let call = Call {
            method: Method::PUT,
            target: Target::Path(format!("v2/{}/manifests/{identifier}", reference.repository())),
            headers,
            body: Body::Bytes(bytes),
            scopes: pushing(reference),
            asked: asked(reference, format!("push manifest {identifier:?}")),
            lane: Lane::Request,
        };
        let answer = match self.transport.send(&place.registry, &call).await {
            Ok(answer) => answer,
            Err(error) => {
                let refused = matches!(
                    error,
                    RequestError::Denied { .. } | RequestError::Status { status: 400..=499, .. }
                );
                if refused && !error.is_of_missing_blob() && self.names_already(place, digest).await {
                    return Ok(PushedManifest { descriptor, subject: None });
                }
                return Err(error.into());
            }
        };
        let told = answer.header(DIGEST_HEADER).and_then(|digest| digest.parse::<Digest>().ok());
        if let Some(got) = told
            && got.algorithm() == digest.algorithm()
            && got != digest
        {
            return Err(PushError::Digest {
                reference: reference.to_string(),
                want: digest,
                got: got.into(),
            });
        }
        let subject = answer.header(SUBJECT_HEADER).and_then(|digest| digest.parse().ok());
        Ok(PushedManifest { descriptor, subject })
    }

    /// Whether a repository that is pushed to has a manifest; with the rights of a push, so that it needs no token of its
    /// own.
    pub(super) async fn manifest_exists(
        &self,
        reference: &Reference,
        digest: &Digest,
    ) -> Result<bool, PushError> {
        let place = self.destination(reference, &format!("look for manifest {digest}"))?;
        let mut call = manifest_call(
            Method::HEAD,
            &place.reference.without_identifier().with_digest(*digest),
            "",
            "look for",
        );
        call.scopes = pushing(&place.reference);
        match self.transport.send(&place.registry, &call).await {
            Ok(answer) => {
                let told = answer.header(DIGEST_HEADER).and_then(|told| told.parse::<Digest>().ok());
                Ok(told.is_none_or(|told| told == *digest))
            }
            Err(RequestError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    async fn names_already(&self, place: &Place, digest: Digest) -> bool {
        let Some(tag) = place.reference.tag() else { return false };
        let Ok(tagged) = place.reference.with_tag(tag) else { return false };
        let place = Place { reference: tagged, ..place.clone() };
        self.resolve_at(place).await.is_ok_and(|found| found.digest == digest)
    }
}
