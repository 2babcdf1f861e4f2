//! One blob: looked for, mounted from another repository, or uploaded.

use super::{PushError, send::Upload, source::BlobSource};
use crate::{
    client::{Client, Place, Progress, asked},
    descriptor::Descriptor,
    digest::Digest,
    reference::Reference,
    transport::{
        Answer, Body, Call, Lane, Registry, Scope, Scopes, Target, error::RequestError, retry::RetryPolicy,
    },
};
use reqwest::{
    Method, StatusCode,
    header::{CONTENT_TYPE, HeaderMap, HeaderValue, RANGE},
};
use std::{io, time::Duration};
use url::Url;

/// Attempts at a mount. It spares an upload, so one failure is not enough to do without; but it is not worth more.
const MOUNT_ATTEMPTS: u32 = 2;
/// Where a registry tells the least a chunk may have that is not the last.
const CHUNK_MINIMUM: &str = "oci-chunk-min-length";
/// How long an upload session that is given up may take to be ended.
const CANCEL_TIMEOUT: Duration = Duration::from_secs(5);

/// How a blob got into a repository.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BlobOutcome {
    /// It was there.
    Existed,
    /// It was in another repository of the registry, and was mounted from there.
    Mounted,
    /// It was sent.
    Uploaded,
}

/// Where a blob is uploaded to: a URL the registry gave, which says all there is to say.
#[derive(Clone, Debug)]
pub struct UploadSession {
    pub(super) location: Url,
    /// The least bytes of a PATCH (distribution-spec, "Pushing a blob in chunks").
    pub(super) chunk_minimum: u64,
}

impl UploadSession {
    /// The session that an answer tells of.
    fn of(answer: &Answer) -> Result<Self, RequestError> {
        let chunk_minimum = answer.header(CHUNK_MINIMUM).and_then(|minimum| minimum.trim().parse().ok());
        Ok(Self { location: answer.location()?, chunk_minimum: chunk_minimum.unwrap_or_default() })
    }

    /// The same session where it goes on.
    pub(super) fn moved(&self, location: Url) -> Self {
        Self { location, ..self.clone() }
    }

    /// The URL of the closing PUT: the registry's, whatever its query says, and the digest.
    pub(super) fn closing(&self, digest: &Digest) -> Url {
        let mut url = self.location.clone();
        url.query_pairs_mut().append_pair("digest", &digest.to_string());
        url
    }
}

/// What came of asking for a mount.
#[derive(Clone, Debug)]
pub enum Mount {
    /// The blob is in the repository.
    Mounted,
    /// It is not, but an upload was begun, as the spec has it.
    Upload(UploadSession),
}

/// How a blob is pushed.
#[derive(Clone, Default)]
pub struct PushBlobOptions {
    /// Repositories of the same registry that may have the blob, the likeliest first.
    pub mount_from: Vec<String>,
    /// Told how many bytes were sent.
    pub progress: Option<Progress>,
}

impl Client {
    /// Whether the repository of `reference` has a blob.
    ///
    /// # Errors
    /// Any [`PushError::Request`] but `NotFound`.
    pub async fn blob_exists(&self, reference: &Reference, digest: &Digest) -> Result<bool, PushError> {
        let place = self.destination(reference, &format!("look for blob {digest}"))?;
        let scopes = Scopes::new([Scope::pull(place.reference.repository())]);
        let mut call = look_call(&place.reference, digest, scopes);
        if let Some(found) = self.look_for(&place.registry, &call).await? {
            return Ok(found);
        }
        // Where HEAD tells nothing, GET does; its body is not read.
        call.method = Method::GET;
        call.headers.insert(RANGE, HeaderValue::from_static("bytes=0-0"));
        match self.transport.send(&place.registry, &call).await {
            // An empty blob has no first byte.
            Ok(_) | Err(RequestError::Status { status: 416, .. }) => Ok(true),
            Err(RequestError::NotFound { .. }) => Ok(false),
            Err(error) => Err(error.into()),
        }
    }

    /// [`Self::blob_exists`] with the rights a push needs, so that it needs no token of its own. What cannot be found out is
    /// sent.
    pub(super) async fn exists_for_push(
        &self,
        registry: &Registry,
        reference: &Reference,
        digest: &Digest,
    ) -> Result<bool, PushError> {
        let call = look_call(reference, digest, pushing(reference));
        Ok(self.look_for(registry, &call).await?.unwrap_or(false))
    }

    /// Whether there is a blob; `None` if the registry answers no HEAD, or not to us.
    async fn look_for(&self, registry: &Registry, call: &Call) -> Result<Option<bool>, PushError> {
        match self.transport.send(registry, call).await {
            Ok(_) => Ok(Some(true)),
            Err(RequestError::NotFound { .. }) => Ok(Some(false)),
            Err(RequestError::Denied { .. } | RequestError::Status { status: 400..=499 | 501, .. }) => {
                Ok(None)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Asks for a blob to be mounted from another repository of the same registry.
    ///
    /// # Errors
    /// If the registry refuses; that it cannot mount is no refusal but [`Mount::Upload`].
    pub async fn mount(
        &self,
        reference: &Reference,
        digest: &Digest,
        from_repository: &str,
    ) -> Result<Mount, PushError> {
        let action = format!("mount blob {digest} from {from_repository}");
        let Place { registry, reference: to, .. } = self.destination(reference, &action)?;
        // The other repository may be rewritten, too; when it is somewhere else now, nothing can be mounted from it.
        let from = reference.with_repository(from_repository).ok();
        let from = from.and_then(|from| self.destination(&from, &action).ok()).map(|place| place.reference);
        let Some(from) = from.filter(|from| from.registry() == to.registry()) else {
            return Ok(Mount::Upload(self.begin(&registry, &to, "").await?));
        };
        let (reference, from_repository) = (&to, from.repository());
        // One token must be good for both repositories.
        let scopes = Scopes::new([Scope::push(reference.repository()), Scope::pull(from_repository)]);
        let query = format!("?mount={digest}&from={from_repository}");
        let call = begin_call(reference, &query, scopes, action);
        let retry = &self.options().retry;
        let policy = RetryPolicy { attempts: retry.attempts.min(MOUNT_ATTEMPTS), ..retry.clone() };
        let answer = self.transport.send_by(&policy, &registry, &call).await?;
        if answer.status() == StatusCode::CREATED {
            return Ok(Mount::Mounted);
        }
        Ok(Mount::Upload(UploadSession::of(&answer)?))
    }

    /// Gets a blob into the repository of `reference`: not at all if it is there, by a mount, or by sending it.
    ///
    /// Two pushes of one blob to one repository at the same time send it once.
    ///
    /// # Errors
    /// `RequestError::Source` if the source fails or has another size than the descriptor says; else what the registry
    /// says.
    pub async fn push_blob(
        &self,
        reference: &Reference,
        descriptor: &Descriptor,
        source: &BlobSource,
        options: &PushBlobOptions,
    ) -> Result<BlobOutcome, PushError> {
        let named = reference;
        let Place { registry, reference, .. } =
            self.destination(named, &format!("push blob {}", descriptor.digest))?;
        let reference = &reference;
        let lock = registry.push_lock(reference.repository(), descriptor.digest);
        let _alone = lock.lock().await;
        if self.exists_for_push(&registry, reference, &descriptor.digest).await? {
            return Ok(BlobOutcome::Existed);
        }
        let mut session = None;
        for from in options.mount_from.iter().filter(|from| *from != named.repository()) {
            match self.mount(named, &descriptor.digest, from).await {
                Ok(Mount::Mounted) => return Ok(BlobOutcome::Mounted),
                Ok(Mount::Upload(begun)) => {
                    if let Some(earlier) = session.replace(begun) {
                        self.cancel(&registry, reference, earlier).await;
                    }
                }
                // We may not read the other repository, or the registry cannot mount just now. That does not keep us from
                // sending the blob; what does shows then.
                Err(PushError::Request(_)) => {}
                Err(error) => return Err(error),
            }
        }
        let upload = Upload { client: self, registry: &registry, reference, descriptor };
        upload.run(source, options.progress.clone(), session).await?;
        Ok(BlobOutcome::Uploaded)
    }

    pub(super) async fn begin(
        &self,
        registry: &Registry,
        reference: &Reference,
        query: &str,
    ) -> Result<UploadSession, RequestError> {
        let call = begin_call(reference, query, pushing(reference), "begin an upload".to_owned());
        UploadSession::of(&self.transport.send(registry, &call).await?)
    }

    /// Ends an upload session that is of no use any more; the registry would end it some day itself, so failures do
    /// not matter.
    pub(super) async fn cancel(&self, registry: &Registry, reference: &Reference, session: UploadSession) {
        let mut call =
            send_call(Method::DELETE, reference, session.location, Body::Empty, "end an upload".to_owned());
        call.lane = Lane::Request;
        let _ = tokio::time::timeout(CANCEL_TIMEOUT, self.transport.attempt(registry, &call)).await;
    }
}

/// An upload session that the registry lost (a restart, another replica) is begun again like one that was cut. Some say so
/// by a bare 404: what else could be missing, when the registry itself gave the address?
pub(super) fn again_if_lost(error: RequestError) -> RequestError {
    use oci_distribution::errors::OciErrorCode::BlobUploadUnknown;
    match error {
        RequestError::NotFound { asked, errors }
            if errors.has(BlobUploadUnknown) || errors.errors().is_empty() =>
        {
            RequestError::Unreachable {
                asked,
                connecting: false,
                source: io::Error::other(format!("the registry lost the upload{errors}")).into(),
            }
        }
        other => other,
    }
}

pub(super) fn pushing(reference: &Reference) -> Scopes {
    Scopes::new([Scope::push(reference.repository())])
}

fn look_call(reference: &Reference, digest: &Digest, scopes: Scopes) -> Call {
    Call {
        method: Method::HEAD,
        target: Target::Path(format!("v2/{}/blobs/{digest}", reference.repository())),
        headers: HeaderMap::new(),
        body: Body::Empty,
        scopes,
        asked: asked(reference, format!("look for blob {digest}")),
        lane: Lane::Request,
    }
}

fn begin_call(reference: &Reference, query: &str, scopes: Scopes, action: String) -> Call {
    Call {
        method: Method::POST,
        target: Target::Path(format!("v2/{}/blobs/uploads/{query}", reference.repository())),
        headers: HeaderMap::new(),
        body: Body::Empty,
        scopes,
        asked: asked(reference, action),
        lane: Lane::Request,
    }
}

pub(super) fn send_call(method: Method, reference: &Reference, url: Url, body: Body, action: String) -> Call {
    let mut headers = HeaderMap::new();
    if matches!(body, Body::Source { .. }) {
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/octet-stream"));
    }
    let asked = asked(reference, action);
    Call {
        method,
        target: Target::Url(url),
        headers,
        body,
        scopes: pushing(reference),
        asked,
        lane: Lane::Push,
    }
}
