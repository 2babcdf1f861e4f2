//! One request: authorised, followed through redirects, and its answer sorted.

use super::{
    Origin, Registry, Transport,
    authorize::{Authorization, Scopes},
    error::{Asked, RequestError, ServerErrors},
    origin,
    retry::{Backoff, retry_after},
};
use crate::push::source::BlobSource;
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt;
use reqwest::{
    Method, Request, Response, StatusCode,
    header::{AUTHORIZATION, CONTENT_LENGTH, HeaderMap, HeaderValue, LOCATION, RETRY_AFTER},
};
use std::{
    io,
    pin::pin,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    time::{Duration, SystemTime},
};
use tokio::sync::OwnedSemaphorePermit;
use url::Url;

/// Redirects that are followed.
const REDIRECTS: usize = 10;
/// Bytes of an error answer that are read.
const ERROR_LIMIT: usize = 64 << 10;
/// A registry may copy a blob to its place between the last byte and the answer: so many idle timeouts are granted.
const COMMIT_PATIENCE: u32 = 5;

/// Which pool of connections a request belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    /// Manifests, look-ups.
    Request,
    /// Blobs that come.
    Pull,
    /// Blobs that go.
    Push,
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
    Source { source: BlobSource, length: Option<u64> },
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

/// A successful answer; its place in the pool is held until it is dropped.
pub(crate) struct Answer {
    pub(crate) response: Response,
    asked: Asked,
    idle_timeout: Duration,
    _permit: OwnedSemaphorePermit,
}

impl Answer {
    pub(crate) fn status(&self) -> StatusCode {
        self.response.status()
    }

    /// A header as text; `None` if it is missing or no text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }

    /// The `Location` header as a URL; it may be relative.
    pub(crate) fn location(&self) -> Result<Url, RequestError> {
        let location = self.header(LOCATION.as_str());
        location.and_then(|location| self.response.url().join(location).ok()).ok_or_else(|| {
            RequestError::Protocol {
                asked: self.asked.clone(),
                why: "the registry's answer has no Location header, or none that is a URL".to_owned(),
            }
        })
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

async fn chunk(
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
        let mut backoff = Backoff::new(&self.options.retry);
        loop {
            match self.attempt(registry, call).await {
                Ok(answer) => return Ok(answer),
                Err(error) => backoff.pause(error).await?,
            }
        }
    }

    /// [`Self::send`] and [`Answer::bytes`], retried as one.
    pub(crate) async fn fetch(
        &self,
        registry: &Registry,
        call: &Call,
        limit: usize,
    ) -> Result<(HeaderMap, Bytes), RequestError> {
        let mut backoff = Backoff::new(&self.options.retry);
        loop {
            let result = match self.attempt(registry, call).await {
                Ok(answer) => {
                    let headers = answer.response.headers().clone();
                    answer.bytes(limit).await.map(|bytes| (headers, bytes))
                }
                Err(error) => Err(error),
            };
            match result {
                Ok(whole) => return Ok(whole),
                Err(error) => backoff.pause(error).await?,
            }
        }
    }

    /// Makes a request once, or twice if the first was answered with a challenge.
    pub(crate) async fn attempt(&self, registry: &Registry, call: &Call) -> Result<Answer, RequestError> {
        let permit = registry
            .permit(call.lane)
            .await
            .map_err(|error| RequestError::Setup { asked: call.asked.clone(), why: error.to_string() })?;
        let origin = self.origin(registry, &call.asked).await?;
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
            let response = self.check(response, &call.asked, had_credentials).await?;
            return Ok(Answer {
                response,
                asked: call.asked.clone(),
                idle_timeout: self.options.idle_timeout,
                _permit: permit,
            });
        }
    }

    /// Where the registry is; where that is not certain, what answers is taken.
    async fn origin<'a>(&self, registry: &'a Registry, asked: &Asked) -> Result<&'a Origin, RequestError> {
        let find = || async {
            let insecure = self.options.insecure_registries.contains(&registry.name);
            let candidates = origin::candidates(&registry.name, insecure, self.options.loopback_https_first);
            if let [origin] = &candidates[..] {
                return Ok(origin.clone());
            }
            let mut first_error = None;
            for origin in candidates {
                let probe = Call {
                    method: Method::GET,
                    target: Target::Url(origin.url.clone()),
                    headers: HeaderMap::new(),
                    body: Body::Empty,
                    scopes: Scopes::default(),
                    asked: asked.clone(),
                    lane: Lane::Request,
                };
                let ping = origin.url.join("v2/").unwrap_or_else(|_| origin.url.clone());
                match self.exchange(&origin, Method::GET, ping, &probe, None).await {
                    Ok(_) => return Ok(origin),
                    Err(error) => first_error = first_error.or(Some(error)),
                }
            }
            Err(first_error.unwrap_or_else(|| RequestError::Setup {
                asked: asked.clone(),
                why: format!("{:?} is no host of a URL", registry.name),
            }))
        };
        registry.origin.get_or_try_init(find).await
    }

    /// Follows redirects. Tells whether the answer is the registry's own: `authorization` goes nowhere else, because
    /// other hosts have no business with it, and storage services refuse signed URLs that come with one.
    pub(super) async fn follow(
        &self,
        home: &Origin,
        mut url: Url,
        call: &Call,
        authorization: Option<&HeaderValue>,
    ) -> Result<(Response, bool), RequestError> {
        let protocol = |why: String| RequestError::Protocol { asked: call.asked.clone(), why };
        let mut method = call.method.clone();
        let mut at_home = origin::same(&home.url, &url);
        for _ in 0..=REDIRECTS {
            let authorization = authorization.filter(|_| at_home);
            let response = self.exchange(home, method.clone(), url.clone(), call, authorization).await?;
            let Some(next) = redirect(&method, &response) else { return Ok((response, at_home)) };
            method = next;
            let location = response.headers().get(LOCATION).and_then(|value| value.to_str().ok());
            let target = location.and_then(|location| url.join(location).ok());
            let Some(target) = target else {
                return Err(protocol("it redirects to what is no URL".to_owned()));
            };
            if !matches!((url.scheme(), target.scheme()), (_, "https") | ("http", "http")) {
                let host = target.host_str().unwrap_or("nowhere");
                return Err(protocol(format!(
                    "it redirects to {} on {host}, which is not followed",
                    if target.scheme() == "http" { "plain HTTP" } else { "another protocol" }
                )));
            }
            at_home = at_home && origin::same(&home.url, &target);
            url = target;
        }
        Err(protocol(format!("it redirects more than {REDIRECTS} times")))
    }

    /// Sends one request and waits for the head of its answer.
    async fn exchange(
        &self,
        home: &Origin,
        method: Method,
        url: Url,
        call: &Call,
        authorization: Option<&HeaderValue>,
    ) -> Result<Response, RequestError> {
        let asked = &call.asked;
        // The certificate of a registry named as insecure is not checked; those of other hosts are.
        let verified = home.verified || home.url.host() != url.host();
        let client = self.http.get(&Origin { url: url.clone(), verified }, &self.options);
        let client = client.map_err(|why| RequestError::Setup { asked: asked.clone(), why })?;
        let bodyless = matches!(method, Method::GET | Method::HEAD);
        let mut request = Request::new(method, url);
        *request.headers_mut() = call.headers.clone();
        if let Some(authorization) = authorization {
            request.headers_mut().insert(AUTHORIZATION, authorization.clone());
        }
        let sending = Arc::new(Sending::default());
        match &call.body {
            Body::Empty if bodyless => {}
            Body::Empty => {
                request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
            }
            Body::Bytes(bytes) => *request.body_mut() = Some(bytes.clone().into()),
            Body::Source { source, length } => {
                let opened = source.open().await;
                let stream =
                    opened.map_err(|source| RequestError::Source { asked: asked.clone(), source })?;
                sending.start();
                let (watching, end) = (sending.clone(), sending_end(sending.clone()));
                let watched = stream.map(move |item| watching.saw(item)).chain(end);
                *request.body_mut() = Some(reqwest::Body::wrap_stream(watched));
                if let Some(length) = length {
                    request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from(*length));
                }
            }
        }
        let mut response = pin!(client.execute(request));
        let idle_timeout = self.options.idle_timeout;
        let mut silence = 0;
        loop {
            match tokio::time::timeout(idle_timeout, &mut response).await {
                Ok(Ok(response)) => return Ok(response),
                Ok(Err(error)) => {
                    return Err(match sending.take_error() {
                        Some(source) => RequestError::Source { asked: asked.clone(), source },
                        None => RequestError::from_http(asked, error),
                    });
                }
                Err(_) => {
                    silence += 1;
                    let patience = match sending.state() {
                        Moved => u32::MAX,
                        Sent => COMMIT_PATIENCE,
                        Idle => 1,
                    };
                    if patience == u32::MAX {
                        silence = 0;
                    } else if silence >= patience {
                        let waited = idle_timeout * silence;
                        return Err(RequestError::Timeout { asked: asked.clone(), waited });
                    }
                }
            }
        }
    }

    /// Sorts an answer by its status.
    pub(super) async fn check(
        &self,
        mut response: Response,
        asked: &Asked,
        had_credentials: bool,
    ) -> Result<Response, RequestError> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let wait = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok());
        let retry_after = wait.and_then(|value| retry_after(value, SystemTime::now()));
        // The status says enough if the text behind it cannot be read.
        let body = read(&mut response, ERROR_LIMIT, self.options.idle_timeout, asked).await;
        let errors = ServerErrors::parse(&body.map(|(body, _)| body).unwrap_or_default());
        let asked = asked.clone();
        Err(match status {
            StatusCode::UNAUTHORIZED => RequestError::Unauthorized { asked, errors, had_credentials },
            StatusCode::FORBIDDEN => RequestError::Denied { asked, errors },
            StatusCode::NOT_FOUND => RequestError::NotFound { asked, errors },
            StatusCode::TOO_MANY_REQUESTS => RequestError::RateLimited { asked, errors, retry_after },
            status => RequestError::Status { asked, status: status.as_u16(), errors, retry_after },
        })
    }
}

/// The method to follow a redirect with; `None` if the answer is none that can be followed.
fn redirect(method: &Method, response: &Response) -> Option<Method> {
    let reading = matches!(*method, Method::GET | Method::HEAD);
    match response.status().as_u16() {
        307 | 308 => Some(method.clone()),
        301..=303 if reading => Some(method.clone()),
        _ => None,
    }
}

use SendState::{Idle, Moved, Sent};

/// How a body is doing since one last looked.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SendState {
    /// Nothing was taken; or there is no body.
    Idle,
    /// Bytes were taken.
    Moved,
    /// The last byte was taken.
    Sent,
}

/// Watches a body that is being sent.
#[derive(Default)]
struct Sending {
    /// 0 idle, 1 moved, 2 sent.
    state: AtomicU8,
    /// Why the source failed; the HTTP library would only say that a body failed.
    error: Mutex<Option<io::Error>>,
}

impl Sending {
    fn start(&self) {
        self.state.store(1, Ordering::Relaxed);
    }

    fn saw(&self, item: io::Result<Bytes>) -> io::Result<Bytes> {
        self.state.store(1, Ordering::Relaxed);
        item.map_err(|error| {
            let kind = error.kind();
            *self.error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            kind.into()
        })
    }

    fn state(&self) -> SendState {
        match self.state.compare_exchange(1, 0, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => Moved,
            Err(2) => Sent,
            Err(_) => Idle,
        }
    }

    fn take_error(&self) -> Option<io::Error> {
        self.error.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// An empty stream that notes when it is reached.
fn sending_end(sending: Arc<Sending>) -> impl futures_util::Stream<Item = io::Result<Bytes>> {
    futures_util::stream::poll_fn(move |_| {
        sending.state.store(2, Ordering::Relaxed);
        std::task::Poll::Ready(None)
    })
}
