//! One request: authorised, followed through redirects, and its answer sorted.

use super::{
    Origin, Registry, Transport,
    authorize::{Authorization, Scopes},
    error::{Asked, RequestError},
    origin,
    retry::{Backoff, RetryPolicy},
};
use crate::push::source::BlobSource;
use bytes::{Bytes, BytesMut};
use reqwest::{
    Method, Response, StatusCode,
    header::{HeaderMap, LOCATION},
};
use std::time::Duration;
use url::Url;

/// Bytes of an error answer that are read.
const ERROR_LIMIT: usize = 64 << 10;
/// A place in a pool of connections; it is free again when this is dropped.
pub(crate) type Permit = tokio::sync::OwnedSemaphorePermit;

/// Which pool of connections a request belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Manifests, look-ups.
    Request,
    /// Blobs that come.
    Pull,
    /// Blobs that go.
    Push,
    /// Tokens, which are fetched while a place of another kind is held.
    Token,
}

/// Where a request goes.
#[derive(Clone, Debug)]
pub(crate) enum Target {
    /// Path and query below the registry's root, without the leading slash.
    Path(String),
    /// A URL the registry gave us.
    Url(Url),
}

/// What a request carries. It can be sent again: after a 401, after a redirect, after a failure.
pub(crate) enum Body {
    Empty,
    Bytes(Bytes),
    /// A form that no other host may see.
    Secret(Bytes),
    /// What the source gives, and how much that is, if it is known.
    Source {
        source: BlobSource,
        length: Option<u64>,
    },
}

/// A request.
pub(crate) struct Call {
    pub(crate) method: Method,
    pub(crate) target: Target,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Body,
    pub(crate) scopes: Scopes,
    pub(crate) asked: Asked,
    pub(crate) lane: Lane,
}

impl Call {
    /// The same request without a body, for one that runs beside this one.
    pub(crate) fn bodiless(&self) -> Self {
        Self {
            method: self.method.clone(),
            target: self.target.clone(),
            headers: self.headers.clone(),
            body: Body::Empty,
            scopes: self.scopes.clone(),
            asked: self.asked.clone(),
            lane: self.lane,
        }
    }
}

/// The head of a successful answer.
pub(super) struct Reached {
    pub(super) response: Response,
    /// As in [`Answer`].
    at_home: bool,
    had_credentials: bool,
}

/// A successful answer; its place in the pool is held until it is dropped.
pub(crate) struct Answer {
    pub(crate) response: Response,
    asked: Asked,
    idle_timeout: Duration,
    /// Whether the registry itself gave it, not a storage it redirects to.
    at_home: bool,
    /// Whether credentials were shown for it, to the registry or to its token server.
    pub(crate) had_credentials: bool,
    _permit: Permit,
}

impl Answer {
    pub(crate) fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// A header as text; `None` if it is missing or no text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }

    /// Where else than at the registry the answer came from, after redirects.
    pub(crate) fn storage(&self) -> Option<&Url> {
        (!self.at_home).then(|| self.response.url())
    }

    /// The `Location` header as a URL; it may be relative.
    pub(crate) fn location(&self) -> Result<Url, RequestError> {
        let protocol = |why: &str| RequestError::Protocol { asked: self.asked.clone(), why: why.to_owned() };
        let here = self.response.url();
        let location = self.header(LOCATION.as_str()).and_then(|location| here.join(location).ok());
        let location =
            location.ok_or_else(|| protocol("the answer has no Location header, or none that is a URL"))?;
        match (here.scheme(), location.scheme()) {
            (_, "https") | ("http", "http") => Ok(location),
            // The usual mistake of a proxy in front of a registry.
            _ => Err(protocol(
                "the registry wants the upload by plain HTTP; a proxy before it must set X-Forwarded-Proto",
            )),
        }
    }

    /// The next bytes of the body; `None` at its end.
    pub(crate) async fn chunk(&mut self) -> Result<Option<Bytes>, RequestError> {
        chunk(&mut self.response, self.idle_timeout, &self.asked).await
    }

    /// The whole body, of at most `limit` bytes.
    pub(crate) async fn bytes(mut self, limit: usize) -> Result<Bytes, RequestError> {
        let (bytes, whole) = read(&mut self.response, limit, self.idle_timeout, &self.asked).await?;
        if whole {
            return Ok(bytes);
        }
        Err(RequestError::Protocol {
            asked: self.asked,
            why: format!("the answer is larger than {limit} bytes"),
        })
    }
}

pub(crate) async fn chunk(
    response: &mut Response,
    idle_timeout: Duration,
    asked: &Asked,
) -> Result<Option<Bytes>, RequestError> {
    match tokio::time::timeout(idle_timeout, response.chunk()).await {
        Ok(chunk) => chunk.map_err(|error| RequestError::from_http(asked, error)),
        Err(_) => Err(RequestError::Timeout { asked: asked.clone(), waited: idle_timeout }),
    }
}

/// Reads at most `limit` bytes; tells whether that was all.
pub(super) async fn read(
    response: &mut Response,
    limit: usize,
    idle_timeout: Duration,
    asked: &Asked,
) -> Result<(Bytes, bool), RequestError> {
    let mut body = BytesMut::new();
    while let Some(bytes) = chunk(response, idle_timeout, asked).await? {
        let room = limit - body.len();
        body.extend_from_slice(&bytes[..bytes.len().min(room)]);
        if bytes.len() > room {
            return Ok((body.freeze(), false));
        }
    }
    Ok((body.freeze(), true))
}

impl Transport {
    /// Makes a request, and makes it again while that may help.
    pub(crate) async fn send(&self, registry: &Registry, call: &Call) -> Result<Answer, RequestError> {
        self.send_by(&self.options.retry, registry, call).await
    }

    /// [`Self::send`] with a policy of its own.
    pub(crate) async fn send_by(
        &self,
        policy: &RetryPolicy,
        registry: &Registry,
        call: &Call,
    ) -> Result<Answer, RequestError> {
        self.in_time(&call.asked, async {
            let mut backoff = Backoff::new(policy);
            loop {
                match self.attempt(registry, call).await {
                    Ok(answer) => return Ok(answer),
                    Err(error) => backoff.pause(error).await?,
                }
            }
        })
        .await
    }

    async fn in_time<T>(
        &self,
        asked: &Asked,
        work: impl Future<Output = Result<T, RequestError>>,
    ) -> Result<T, RequestError> {
        let waited = self.options.total_timeout;
        match tokio::time::timeout(waited, work).await {
            Ok(result) => result,
            Err(_) => Err(RequestError::Overdue { asked: asked.clone(), waited }),
        }
    }

    /// [`Self::send`] and [`Answer::bytes`], retried as one.
    pub(crate) async fn fetch(
        &self,
        registry: &Registry,
        call: &Call,
        limit: usize,
    ) -> Result<(HeaderMap, Bytes), RequestError> {
        self.fetch_at(registry, call, limit).await.map(|(_, headers, bytes)| (headers, bytes))
    }

    /// [`Self::fetch`], with the URL that the answer came from.
    pub(crate) async fn fetch_at(
        &self,
        registry: &Registry,
        call: &Call,
        limit: usize,
    ) -> Result<(Url, HeaderMap, Bytes), RequestError> {
        self.in_time(&call.asked, async {
            let mut backoff = Backoff::new(&self.options.retry);
            loop {
                let result = match self.attempt(registry, call).await {
                    Ok(answer) => {
                        let url = answer.response.url().clone();
                        let headers = answer.response.headers().clone();
                        answer.bytes(limit).await.map(|bytes| (url, headers, bytes))
                    }
                    Err(error) => Err(error),
                };
                match result {
                    Ok(whole) => return Ok(whole),
                    Err(error) => backoff.pause(error).await?,
                }
            }
        })
        .await
    }

    /// Makes a request once, or twice if the first was answered with a challenge.
    pub(crate) async fn attempt(&self, registry: &Registry, call: &Call) -> Result<Answer, RequestError> {
        let permit = self.permit(registry, call.lane, &call.asked).await?;
        self.attempt_with(permit, registry, call).await
    }

    /// A place in the pool of a server.
    pub(crate) async fn permit(
        &self,
        server: &Registry,
        lane: Lane,
        asked: &Asked,
    ) -> Result<Permit, RequestError> {
        let permit = server.permit(lane).await;
        permit.map_err(|error| RequestError::Setup { asked: asked.clone(), why: error.to_string() })
    }

    /// [`Self::attempt`] with a place in the pool that was had before.
    pub(crate) async fn attempt_with(
        &self,
        permit: Permit,
        registry: &Registry,
        call: &Call,
    ) -> Result<Answer, RequestError> {
        let origin = self.origin(registry, &call.asked).await?;
        let mut result = self.ask(origin, registry, call).await;
        if let Some(https) = self.https_instead(registry, origin, &call.asked, &result).await? {
            result = self.ask(https, registry, call).await;
        }
        let Reached { response, at_home, had_credentials } = result?;
        Ok(Answer {
            response,
            asked: call.asked.clone(),
            idle_timeout: self.options.idle_timeout,
            at_home,
            had_credentials,
            _permit: permit,
        })
    }

    /// Makes a request at the origin of a registry, with the proofs it wants.
    async fn ask(&self, origin: &Origin, registry: &Registry, call: &Call) -> Result<Reached, RequestError> {
        let url = match &call.target {
            Target::Url(url) => url.clone(),
            Target::Path(path) => origin.url.join(path).map_err(|error| RequestError::Setup {
                asked: call.asked.clone(),
                why: format!("{path:?} is no path of a URL: {error}"),
            })?,
        };
        let at_registry = origin::same(&origin.url, &url);
        let mut authorization: Option<Authorization> = None;
        if at_registry {
            authorization = registry.authorizer.authorization(self, registry, origin, call).await?;
        }
        let mut challenged = false;
        loop {
            let header = authorization.as_ref().map(|authorization| &authorization.header);
            let (response, home) = self.follow(origin, url.clone(), call, header).await?;
            if response.status() == StatusCode::UNAUTHORIZED && home && at_registry && !challenged {
                challenged = true;
                let headers = response.headers().clone();
                let used = authorization.as_ref();
                let next =
                    registry.authorizer.challenged(self, registry, origin, call, &headers, used).await?;
                if next.is_some() {
                    authorization = next;
                    continue;
                }
            }
            self.warnings.collect(&registry.name, response.headers());
            let had_credentials = authorization.as_ref().is_some_and(|a| a.had_credentials);
            let checked = self.check(response, &call.asked, had_credentials).await;
            if let (Err(error), true) = (&checked, home && at_registry) {
                registry.heed(error, &self.options.retry);
            }
            let response = match checked {
                Ok(response) => response,
                // ECR answers so, and not by a challenge, when a token expires in the middle of a transfer.
                Err(error) if home && !challenged && error.is_of_expired_token() => {
                    challenged = true;
                    let used = authorization.take();
                    authorization =
                        registry.authorizer.renewed(self, registry, origin, call, used.as_ref()).await?;
                    if authorization.is_none() {
                        return Err(error);
                    }
                    continue;
                }
                Err(error) => return Err(error),
            };
            return Ok(Reached { response, at_home: home && at_registry, had_credentials });
        }
    }

    /// Sorts an answer by its status.
    pub(crate) async fn check(
        &self,
        mut response: Response,
        asked: &Asked,
        had_credentials: bool,
    ) -> Result<Response, RequestError> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        // The status says enough if the text behind it cannot be read.
        let body = read(&mut response, ERROR_LIMIT, self.options.idle_timeout, asked).await;
        let body = body.map(|(body, _)| body).unwrap_or_default();
        let error = RequestError::of_answer(asked, status, response.headers(), &body, had_credentials);
        Err(error.masked(&self.secrets))
    }
}
