//! Files by HTTP and HTTPS that are in no registry: `ADD https://...`, archives of a build context.
//!
//! The same connections, certificates, proxies and patience as for registries. A download that was cut goes on where it
//! was, if the server can tell that the file is still the same one.

use crate::{
    client::{Client, RequestError},
    digest::{Digest, Digester},
    transport::{
        Body, Call, Lane, Origin, Permit, Registry, Scopes, Target, error::Asked, retry::Backoff,
        retry::http_date,
    },
};
use base64::{Engine, engine::general_purpose::STANDARD};
use reqwest::{
    Method, Response, StatusCode,
    header::{
        ACCEPT_ENCODING, CONTENT_DISPOSITION, CONTENT_LENGTH, CONTENT_RANGE, ETAG, HeaderMap, HeaderName,
        HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH, IF_RANGE, LAST_MODIFIED, RANGE,
    },
};
use std::{
    fs::File,
    io::{self, Seek, Write},
    sync::Arc,
    time::{Duration, SystemTime},
};
use url::Url;

/// Why there is no file.
#[derive(Debug, thiserror::Error)]
pub enum DownloadError {
    /// The URL is of another protocol.
    #[error("cannot download {url}: only http and https are fetched")]
    Scheme {
        /// The URL, without a password in it.
        url: String,
    },
    /// The server refuses.
    #[error(
        "cannot download {url}: the server answers with status {status}{}",
        retry_after.map(|wait| format!(", and wants to be asked again in {} s", wait.as_secs())).unwrap_or_default()
    )]
    Status {
        /// The URL.
        url: String,
        /// The HTTP status.
        status: u16,
        /// How long it wants us to wait.
        retry_after: Option<Duration>,
    },
    /// There was no good answer.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// What came cannot be written.
    #[error("cannot write what is downloaded from {url}")]
    Write {
        /// The URL.
        url: String,
        /// Why.
        #[source]
        source: io::Error,
    },
}

/// What a server said of a file, by which it recognises it later (RFC 9110, section 8.8).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Validators {
    /// `ETag`, as it was sent.
    pub etag: Option<String>,
    /// `Last-Modified`, as it was sent.
    pub last_modified: Option<String>,
}

impl Validators {
    /// The time of `Last-Modified`.
    pub fn modified(&self) -> Option<SystemTime> {
        let seconds = http_date(self.last_modified.as_deref()?)?;
        Some(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds))
    }

    fn of(headers: &HeaderMap) -> Self {
        let text =
            |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok()).map(str::to_owned);
        Self { etag: text(ETAG), last_modified: text(LAST_MODIFIED) }
    }

    /// What may follow `If-Range`: a weak tag may not.
    fn range(&self) -> Option<&str> {
        self.etag.as_deref().filter(|tag| !tag.starts_with("W/")).or(self.last_modified.as_deref())
    }
}

/// A file that came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Downloaded {
    /// Of its bytes.
    pub digest: Digest,
    /// How many.
    pub size: u64,
    /// What the server says of it.
    pub validators: Validators,
    /// The name that `Content-Disposition` gives it, as it was sent.
    pub file_name: Option<String>,
}

/// Told how many bytes have come, and of how many.
pub type OnBytes<'a> = &'a (dyn Fn(u64, Option<u64>) + Send + Sync);

/// What to download.
#[derive(Clone, Copy)]
pub struct Download<'a> {
    /// Where it is.
    pub url: &'a Url,
    /// What is known of an earlier download: if it is still the same, nothing comes.
    pub known: Option<&'a Validators>,
    /// An `Authorization` for the host of `url`; it does not follow a redirect to another.
    pub authorization: Option<&'a str>,
    /// Told how far it is.
    pub progress: OnBytes<'a>,
}

impl Client {
    /// Downloads into `file`, which is empty. `None` if the file is the one that is known.
    ///
    /// # Errors
    /// Any [`DownloadError`]; what is in `file` is worth nothing then.
    pub async fn download(
        &self,
        download: Download<'_>,
        file: &mut File,
    ) -> Result<Option<Downloaded>, DownloadError> {
        let shown = shown(download.url);
        if !matches!(download.url.scheme(), "http" | "https") {
            return Err(DownloadError::Scheme { url: shown });
        }
        let server = self.transport.server(download.url);
        let asked =
            Asked { registry: "".into(), repository: "".into(), action: format!("download {shown}").into() };
        let mut transfer = Transfer {
            client: self,
            server,
            download,
            shown,
            asked,
            got: 0,
            digester: Digester::new(),
            validators: Validators::default(),
        };
        let mut backoff = Backoff::new(&self.options().retry);
        loop {
            let before = transfer.got;
            match transfer.attempt(file).await {
                Err(DownloadError::Request(error)) => {
                    if transfer.got > before {
                        backoff.progress();
                    }
                    backoff.pause(error).await.map_err(|error| transfer.refused(error))?;
                }
                other => return other,
            }
        }
    }
}

struct Transfer<'a> {
    client: &'a Client,
    /// Whom the URL names.
    server: Arc<Registry>,
    download: Download<'a>,
    shown: String,
    asked: Asked,
    /// Bytes in the file.
    got: u64,
    digester: Digester,
    /// Of the file those bytes are of.
    validators: Validators,
}

impl Transfer<'_> {
    async fn attempt(&mut self, file: &mut File) -> Result<Option<Downloaded>, DownloadError> {
        let (_place, mut response, at_home) = self.ask().await?;
        let status = response.status();
        let goes_on = status == StatusCode::PARTIAL_CONTENT && self.got > 0 && self.begins_at(&response);
        match status {
            StatusCode::NOT_MODIFIED if self.download.known.is_some() && self.got == 0 => return Ok(None),
            StatusCode::PARTIAL_CONTENT if goes_on => {}
            StatusCode::OK => self.restart(file)?,
            StatusCode::RANGE_NOT_SATISFIABLE | StatusCode::PARTIAL_CONTENT => {
                self.restart(file)?;
                return Err(self.lost("the server does not go on where it was cut"));
            }
            _ => {
                if let Err(error) = self.client.transport.check(response, &self.asked, false).await
                    && error.is_transient()
                {
                    if at_home {
                        self.server.heed(&error, &self.client.options().retry);
                    }
                    return Err(error.into());
                }
                let (url, status) = (self.shown.clone(), status.as_u16());
                return Err(DownloadError::Status { url, status, retry_after: None });
            }
        }
        let headers = response.headers();
        if !goes_on {
            self.validators = Validators::of(headers);
        }
        let file_name = headers.get(CONTENT_DISPOSITION).and_then(|value| value.to_str().ok());
        let file_name = file_name.and_then(disposition_name);
        let length = headers.get(CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<u64>().ok());
        let total = length.map(|length| self.got + length);
        let idle_timeout = self.client.options().idle_timeout;
        while let Some(chunk) = crate::transport::next_chunk(&mut response, idle_timeout, &self.asked).await?
        {
            file.write_all(&chunk)
                .map_err(|source| DownloadError::Write { url: self.shown.clone(), source })?;
            self.digester.update(&chunk);
            self.got += chunk.len() as u64;
            (self.download.progress)(self.got, total);
        }
        if total.is_some_and(|total| total != self.got) {
            return Err(self.lost("the answer ended too early"));
        }
        Ok(Some(Downloaded {
            digest: self.digester.clone().finish(),
            size: self.got,
            validators: self.validators.clone(),
            file_name,
        }))
    }

    /// An answer that may be better at another attempt.
    fn lost(&self, why: &str) -> DownloadError {
        let source = io::Error::other(why.to_owned()).into();
        RequestError::Unreachable { asked: self.asked.clone(), connecting: false, source }.into()
    }

    /// A refusal that did not pass, in the words of a download: there is no registry here to speak of.
    fn refused(&self, error: RequestError) -> DownloadError {
        let retry_after = error.retry_after();
        match error {
            RequestError::RateLimited { .. } => {
                DownloadError::Status { url: self.shown.clone(), status: 429, retry_after }
            }
            RequestError::Status { status, .. } => {
                DownloadError::Status { url: self.shown.clone(), status, retry_after }
            }
            other => other.into(),
        }
    }

    /// Begins the file anew.
    fn restart(&mut self, file: &mut File) -> Result<(), DownloadError> {
        self.got = 0;
        self.digester = Digester::new();
        file.set_len(0)
            .and_then(|()| file.rewind())
            .map_err(|source| DownloadError::Write { url: self.shown.clone(), source })
    }

    fn begins_at(&self, response: &Response) -> bool {
        let range = response.headers().get(CONTENT_RANGE).and_then(|value| value.to_str().ok());
        let start =
            range.and_then(|range| range.strip_prefix("bytes ")?.split('-').next()?.trim().parse().ok());
        start == Some(self.got)
    }

    /// Asks for the file, or what is missing of it. The place in the pool of its server is held as long as the answer is read.
    /// Tells whether that is the server's own.
    async fn ask(&self) -> Result<(Permit, Response, bool), DownloadError> {
        let transport = &self.client.transport;
        let url = self.download.url;
        let call = Call {
            method: Method::GET,
            target: Target::Url(url.clone()),
            headers: self.headers(),
            body: Body::Empty,
            scopes: Scopes::default(),
            asked: self.asked.clone(),
            lane: Lane::Pull,
        };
        let place = transport.permit(&self.server, call.lane, &self.asked).await?;
        let origin = Origin { url: url.clone(), verified: true };
        let (response, at_home) =
            transport.follow(&origin, url.clone(), &call, self.authorization().as_ref()).await?;
        Ok((place, response, at_home))
    }

    /// What proves who we are to the host of the URL, and to no other.
    fn authorization(&self) -> Option<HeaderValue> {
        let text = match self.download.authorization {
            Some(given) => given.trim().to_owned(),
            None => basic(self.download.url)?,
        };
        // What no header can carry is left out: it is a secret with a line ending.
        let mut value = HeaderValue::from_str(&text).ok()?;
        value.set_sensitive(true);
        Some(value)
    }

    fn headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        let mut put = |name: HeaderName, value: &str| {
            // What no header can carry is left out: it came from a header.
            if let Ok(value) = HeaderValue::from_str(value) {
                headers.insert(name, value);
            }
        };
        // The digest is of the bytes as they are stored.
        put(ACCEPT_ENCODING, "identity");
        match (self.got, self.validators.range(), self.download.known) {
            (0, _, Some(known)) => {
                // Where there is a tag, the time is not asked (RFC 9110, section 13.1.3).
                match (&known.etag, &known.last_modified) {
                    (Some(etag), _) => put(IF_NONE_MATCH, etag),
                    (None, Some(time)) => put(IF_MODIFIED_SINCE, time),
                    (None, None) => {}
                }
            }
            (1.., Some(validator), _) => {
                put(RANGE, &format!("bytes={}-", self.got));
                put(IF_RANGE, validator);
            }
            _ => {}
        }
        headers
    }
}

/// The URL as it may be shown: without a password.
pub fn shown(url: &Url) -> String {
    let mut url = url.clone();
    if url.password().is_some() {
        // A URL with a password has a host, so that it can have another password.
        let _ = url.set_password(Some("xxxxx"));
    }
    url.to_string()
}

/// The `Authorization` that a user name and a password in a URL stand for.
fn basic(url: &Url) -> Option<String> {
    if url.username().is_empty() {
        return None;
    }
    let decoded = |text: &str| {
        url::form_urlencoded::parse(format!("x={}", text.replace('+', "%2B")).as_bytes())
            .next()
            .map(|(_, value)| value.into_owned())
            .unwrap_or_default()
    };
    let pair = format!("{}:{}", decoded(url.username()), decoded(url.password().unwrap_or_default()));
    Some(format!("Basic {}", STANDARD.encode(pair)))
}

/// `filename` of `attachment; filename="a b.tar"` (RFC 6266); the extended form is not read.
fn disposition_name(header: &str) -> Option<String> {
    let parameter = header.split(';').skip(1).find_map(|part| {
        let (name, value) = part.split_once('=')?;
        name.trim().eq_ignore_ascii_case("filename").then(|| value.trim().to_owned())
    })?;
    let name = parameter.trim_matches('"').to_owned();
    (!name.is_empty()).then_some(name)
}

#[cfg(test)]
mod tests;
