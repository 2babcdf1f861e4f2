//! Pulling (distribution-spec, "Pull"): manifests whole, blobs as streams, all verified.

mod blob;

pub use blob::{Blob, BlobReader};

use crate::{
    client::{Client, Place, asked, useless_mirror},
    descriptor::Descriptor,
    digest::Digest,
    manifest::{Manifest, ManifestBytes, ManifestError, ParsedManifest, SelectError, select},
    media_type::MediaType,
    platform::Platform,
    reference::Reference,
    transport::{Answer, Body, Call, Lane, Scope, Scopes, Target, error::RequestError},
};
use bytes::Bytes;
use reqwest::{
    Method,
    header::{ACCEPT, CONTENT_LENGTH, CONTENT_TYPE, HeaderMap, HeaderValue},
};

/// What manifests we understand, the preferred first.
const ACCEPTED: [MediaType; 4] =
    [MediaType::OciIndex, MediaType::DockerManifestList, MediaType::OciManifest, MediaType::DockerManifest];
/// Where a registry tells the digest of what it sends.
pub(crate) const DIGEST_HEADER: &str = "docker-content-digest";
/// An index may hold indexes; no deeper than this.
const INDEX_DEPTH: usize = 4;

/// Why a pull failed.
#[derive(Debug, thiserror::Error)]
pub enum PullError {
    /// The registry gave no good answer.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// What it gave is no manifest we can use.
    #[error("{reference}: {source}")]
    Manifest {
        /// Which.
        reference: String,
        /// The cause, which is part of this error's text.
        source: Box<ManifestError>,
    },
    /// No image for the platform.
    #[error("{reference}: {source}")]
    Platform {
        /// Which index.
        reference: String,
        /// The cause, which is part of this error's text.
        source: SelectError,
    },
    /// Indexes in indexes, too deep.
    #[error("{reference}: the indexes in this index are nested too deep")]
    Nested {
        /// Which index.
        reference: String,
    },
    /// The bytes are not those that were asked for.
    #[error("{name}: the registry sent something else than {want}: what came has the digest {got}")]
    Digest {
        /// Registry and repository.
        name: String,
        /// What was asked for.
        want: Digest,
        /// What came.
        got: Box<Digest>,
    },
    /// There are more or fewer bytes than the descriptor says.
    #[error("{name}: {digest} has {want} bytes by its descriptor, and the registry sends {got}")]
    Size {
        /// Registry and repository.
        name: String,
        /// Of what.
        digest: Digest,
        /// By the descriptor.
        want: u64,
        /// By the registry, or received so far.
        got: u64,
    },
    /// A mirror sent wrong bytes, and some of them were handed out before that showed. It is not asked for that blob again:
    /// who begins anew gets it from somewhere else.
    #[error(transparent)]
    Mirror(Box<PullError>),
    /// Too large to be read into memory.
    #[error("{name}: {digest} has {size} bytes; at most {limit} are read into memory")]
    TooLarge {
        /// Registry and repository.
        name: String,
        /// Of what.
        digest: Digest,
        /// By the descriptor.
        size: u64,
        /// What is allowed.
        limit: usize,
    },
}

impl PullError {
    /// Whether who begins anew with the same client gets the blob from somewhere else; that cannot happen without end.
    pub fn is_of_mirror(&self) -> bool {
        matches!(self, Self::Mirror(_))
    }
}

/// The image of one platform, and how it was found.
#[derive(Clone, Debug)]
pub struct PlatformImage {
    /// The indexes that led to it, the outermost first; empty if the reference named the manifest itself.
    pub indexes: Vec<ManifestBytes>,
    /// The manifest as it was received.
    pub manifest_bytes: ManifestBytes,
    /// What it says.
    pub manifest: Manifest,
}

impl Client {
    /// Finds out what a reference names, by HEAD; by GET where a registry does not do that well.
    ///
    /// # Errors
    /// `NotFound` if there is no such manifest; any other [`PullError`] of a request or manifest.
    pub async fn resolve(&self, reference: &Reference) -> Result<Descriptor, PullError> {
        self.at_one_of(reference, "look up", |place| self.resolve_at(place)).await
    }

    /// [`Self::resolve`] at one place.
    pub(crate) async fn resolve_at(&self, place: Place) -> Result<Descriptor, PullError> {
        let reference = &place.reference;
        let call = manifest_call(Method::HEAD, reference, &place.query(), "look up");
        match self.transport.send(&place.registry, &call).await {
            Ok(answer) => {
                if let Some(descriptor) = described(reference, &answer) {
                    return Ok(descriptor);
                }
            }
            // A refused HEAD has no body that says why, and some registries refuse every HEAD: GET tells.
            Err(
                RequestError::NotFound { .. }
                | RequestError::Denied { .. }
                | RequestError::Status { status: 400..=499 | 501, .. },
            ) => {}
            Err(error) => return Err(error.into()),
        }
        Ok(self.manifest_at(place).await?.descriptor)
    }

    /// Gets the manifest or index that a reference names: by its digest, which is verified, else by its tag, else
    /// by the tag `latest`.
    ///
    /// # Errors
    /// Any [`PullError`] but those of platforms.
    pub async fn manifest(&self, reference: &Reference) -> Result<ManifestBytes, PullError> {
        self.at_one_of(reference, "get", |place| self.manifest_at(place)).await
    }

    /// Asks the mirrors of a reference in turn, then its registry. What a mirror cannot give is told by a warning, for
    /// it costs time at each pull.
    async fn at_one_of<T, F>(
        &self,
        reference: &Reference,
        verb: &str,
        ask: impl Fn(Place) -> F,
    ) -> Result<T, PullError>
    where
        F: Future<Output = Result<T, PullError>>,
    {
        let (mirrors, own) = self.sources(reference, &format!("{verb} manifest"))?;
        for mirror in mirrors {
            match ask(mirror.clone()).await {
                Ok(answer) => return Ok(answer),
                Err(error) => useless_mirror(&self.transport, &mirror, &error),
            }
        }
        ask(own).await
    }

    pub(crate) async fn manifest_at(&self, place: Place) -> Result<ManifestBytes, PullError> {
        let reference = &place.reference;
        let call = manifest_call(Method::GET, reference, &place.query(), "get");
        let limit = self.options().manifest_limit;
        let (headers, bytes) = self.transport.fetch(&place.registry, &call, limit).await?;
        let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
        let told = text(DIGEST_HEADER).and_then(|digest| digest.parse::<Digest>().ok());
        // What was asked for decides. What the registry tells must be true, too, and names what a tag stands for.
        for want in [reference.digest(), told].into_iter().flatten() {
            let got = want.same_algorithm_of(&bytes);
            if got != want {
                return Err(PullError::Digest { name: reference.name(), want, got: got.into() });
            }
        }
        let digest = reference.digest().or(told).unwrap_or_else(|| Digest::of(&bytes));
        ManifestBytes::new(text(CONTENT_TYPE.as_str()), digest, bytes)
            .map_err(|error| malformed(reference, error))
    }

    /// Gets the manifest of the image for a platform. A reference that names an image rather than an index gives that
    /// image, whatever its platform: only its config would tell.
    ///
    /// # Errors
    /// Any [`PullError`].
    pub async fn image(
        &self,
        reference: &Reference,
        platform: &Platform,
    ) -> Result<PlatformImage, PullError> {
        let mut indexes = Vec::new();
        let mut next = reference.clone();
        loop {
            let received = self.manifest(&next).await?;
            let parsed = received.parse().map_err(|error| malformed(&next, error))?;
            let index = match parsed {
                ParsedManifest::Manifest(manifest) => {
                    return Ok(PlatformImage { indexes, manifest_bytes: received, manifest: *manifest });
                }
                ParsedManifest::Index(index) => index,
            };
            if indexes.len() == INDEX_DEPTH {
                return Err(PullError::Nested { reference: reference.to_string() });
            }
            let chosen = select(&index, platform)
                .map_err(|source| PullError::Platform { reference: reference.to_string(), source })?;
            next = reference.with_digest(chosen.digest);
            indexes.push(received);
        }
    }

    /// Begins to get a blob. Bytes come by [`Blob::chunk`], or as a stream or reader.
    ///
    /// # Errors
    /// The descriptor's embedded data may be wrong; the registry is first asked when bytes are wanted.
    pub fn blob(&self, reference: &Reference, descriptor: &Descriptor) -> Result<Blob, PullError> {
        Blob::new(self, reference, descriptor)
    }

    /// Gets a blob into memory: a config, say.
    ///
    /// # Errors
    /// [`PullError::TooLarge`] if the descriptor says more than `limit` bytes, and those of [`Blob::chunk`].
    pub async fn blob_bytes(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
        limit: usize,
    ) -> Result<Bytes, PullError> {
        if descriptor.size > limit as u64 {
            return Err(PullError::TooLarge {
                name: reference.name(),
                digest: descriptor.digest,
                size: descriptor.size,
                limit,
            });
        }
        loop {
            match self.blob(reference, descriptor)?.bytes().await {
                Err(error) if error.is_of_mirror() => {}
                other => return other,
            }
        }
    }
}

fn malformed(reference: &Reference, error: ManifestError) -> PullError {
    PullError::Manifest { reference: reference.to_string(), source: error.into() }
}

pub(crate) fn manifest_call(method: Method, reference: &Reference, query: &str, verb: &str) -> Call {
    let mut headers = HeaderMap::new();
    for media_type in ACCEPTED {
        if let Ok(value) = HeaderValue::from_str(media_type.as_str()) {
            headers.append(ACCEPT, value);
        }
    }
    let identifier = reference.identifier();
    Call {
        method,
        target: Target::Path(format!("v2/{}/manifests/{identifier}{query}", reference.repository())),
        headers,
        body: Body::Empty,
        scopes: Scopes::new([Scope::pull(reference.repository())]),
        asked: asked(reference, format!("{verb} manifest {identifier:?}")),
        lane: Lane::Request,
    }
}

/// What the headers of a HEAD tell, if they tell all of it.
fn described(reference: &Reference, answer: &Answer) -> Option<Descriptor> {
    let told: Option<Digest> = answer.header(DIGEST_HEADER).and_then(|digest| digest.parse().ok());
    let digest = match (reference.digest(), told) {
        (Some(wanted), Some(told)) if wanted != told => return None,
        (Some(wanted), _) => wanted,
        (None, told) => told?,
    };
    let size = answer.header(CONTENT_LENGTH.as_str())?.parse().ok().filter(|size| *size > 0)?;
    let media_type = answer.header(CONTENT_TYPE.as_str())?.split(';').next()?.trim();
    let media_type = MediaType::from(media_type);
    (media_type.is_index() || media_type.is_manifest()).then(|| Descriptor::new(media_type, digest, size))
}

#[cfg(test)]
mod tests;
