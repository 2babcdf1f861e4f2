//! Getting one request to a server and the head of its answer back, through redirects.

use super::{
    Body, Call, Origin, Transport,
    error::RequestError,
    origin,
    sending::{SendState, Sending, watched},
};
use reqwest::{
    Method, Request, Response,
    header::{AUTHORIZATION, CONTENT_LENGTH, HeaderValue, LOCATION},
};
use std::{pin::pin, sync::Arc};
use url::Url;

/// Redirects that are followed.
const REDIRECTS: usize = 10;
/// A registry may copy a blob to its place between the last byte and the answer: so many idle timeouts are granted.
const COMMIT_PATIENCE: u32 = 5;

impl Transport {
    /// Follows redirects. Tells whether the answer is the registry's own: `authorization` goes nowhere else, because
    /// other hosts have no business with it, and storage services refuse signed URLs that come with one.
    pub(crate) async fn follow(
        &self,
        home: &Origin,
        mut url: Url,
        call: &Call,
        authorization: Option<&HeaderValue>,
    ) -> Result<(Response, bool), RequestError> {
        let protocol = |why: String| RequestError::Protocol { asked: call.asked.clone(), why };
        let method = &call.method;
        let mut at_home = origin::same(&home.url, &url);
        for _ in 0..=REDIRECTS {
            let authorization = authorization.filter(|_| at_home);
            if !at_home && matches!(call.body, Body::Secret(_)) {
                return Err(protocol(
                    "it redirects to another host, where no credentials are sent".to_owned(),
                ));
            }
            let response = self.exchange(home, method.clone(), url.clone(), call, authorization).await?;
            if !redirects(method, &response) {
                return Ok((response, at_home));
            }
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
    pub(super) async fn exchange(
        &self,
        home: &Origin,
        method: Method,
        url: Url,
        call: &Call,
        authorization: Option<&HeaderValue>,
    ) -> Result<Response, RequestError> {
        let asked = &call.asked;
        if self.options.offline {
            return Err(RequestError::Offline { asked: asked.clone() });
        }
        // The certificate of a registry named as insecure is not checked; those of other hosts are.
        let verified = home.verified || home.url.host() != url.host();
        let configuration = self
            .configuration()
            .map_err(|source| RequestError::Configuration { asked: asked.clone(), source: source.into() })?;
        let client = self.http.get(&Origin { url: url.clone(), verified }, &self.options, configuration);
        let client = client.map_err(|why| RequestError::Setup { asked: asked.clone(), why })?;
        let bodyless = matches!(method, Method::GET | Method::HEAD);
        let mut request = Request::new(method, url);
        *request.headers_mut() = call.headers.clone();
        if let Some(authorization) = authorization {
            request.headers_mut().insert(AUTHORIZATION, authorization.clone());
        }
        self.secrets.note_headers(request.headers());
        let sending = Arc::new(Sending::default());
        match &call.body {
            Body::Empty if bodyless => {}
            Body::Empty => {
                request.headers_mut().insert(CONTENT_LENGTH, HeaderValue::from_static("0"));
            }
            Body::Bytes(bytes) => *request.body_mut() = Some(bytes.clone().into()),
            Body::Secret(form) => {
                self.secrets.note_form(form);
                *request.body_mut() = Some(form.clone().into());
            }
            Body::Source { source, length } => {
                let opened = source.open().await;
                let stream =
                    opened.map_err(|source| RequestError::Source { asked: asked.clone(), source })?;
                let watched = watched(stream, sending.clone());
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
                        SendState::Idle => 1,
                        SendState::Sent => COMMIT_PATIENCE,
                        SendState::Moved => {
                            silence = 0;
                            continue;
                        }
                    };
                    if silence >= patience {
                        let waited = idle_timeout * silence;
                        return Err(RequestError::Timeout { asked: asked.clone(), waited });
                    }
                }
            }
        }
    }
}

/// Whether an answer is a redirect that can be followed with the same method.
fn redirects(method: &Method, response: &Response) -> bool {
    match response.status().as_u16() {
        307 | 308 => true,
        301..=303 => matches!(*method, Method::GET | Method::HEAD),
        _ => false,
    }
}
