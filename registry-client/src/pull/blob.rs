//! One blob on its way: verified while it streams, taken up again where it was cut.

use super::PullError;
use crate::{
    client::{Client, Place, Progress, asked, useless_mirror},
    descriptor::Descriptor,
    digest::{Digest, Verifier},
    reference::Reference,
    transport::{
        Answer, Body, Call, Lane, Scope, Scopes, Target, Transport, error::RequestError, retry::Backoff,
    },
};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::{Buf, Bytes};
use futures_util::{
    Stream, StreamExt, TryStreamExt,
    stream::{self, BoxStream},
};
use reqwest::{
    Method, StatusCode,
    header::{ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, HeaderMap, HeaderValue, RANGE},
};
use std::{
    fmt, io,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, ReadBuf};
use url::Url;

/// How often a blob is taken up again in all, however much came in between.
const RESUMPTIONS: u32 = 100;

/// A blob that is being pulled. Memory does not grow with its size.
///
/// The last bytes are handed out only if the digest of all is right, so whoever has read `size` bytes has the blob.
/// While it is being read it holds one of the client's places for pulls from this registry; drop it when done.
pub struct Blob {
    transport: Arc<Transport>,
    /// Where it is asked for.
    place: Place,
    descriptor: Descriptor,
    call: Call,
    /// Where else it can be had, the next last.
    places: Vec<Place>,
    /// Where a foreign layer can be had, the next last.
    urls: Vec<Url>,
    answer: Option<Answer>,
    verifier: Verifier,
    /// Bytes handed out.
    got: u64,
    /// Bytes to pass over, because the server began at the start again.
    skip: u64,
    /// Whether a range may be asked for.
    ranges: bool,
    backoff: Backoff,
    resumptions: u32,
    progress: Option<Progress>,
    /// Content that the descriptor itself holds.
    embedded: Option<Bytes>,
}

impl Blob {
    pub(super) fn new(
        client: &Client,
        reference: &Reference,
        descriptor: &Descriptor,
    ) -> Result<Self, PullError> {
        let embedded = descriptor.data.as_deref().and_then(|data| STANDARD.decode(data).ok());
        let digest = descriptor.digest;
        let (mut places, own) = client.sources(reference, &format!("get blob {digest}"))?;
        places.push(own.clone());
        places.reverse();
        // There is at least its own place.
        let place = places.pop().unwrap_or(own);
        let web = |url: &Url| matches!(url.scheme(), "http" | "https");
        let blob = Self {
            transport: client.transport.clone(),
            call: call(&place, &digest),
            place,
            descriptor: descriptor.clone(),
            places,
            urls: descriptor.urls.iter().rev().filter_map(|url| Url::parse(url).ok()).filter(web).collect(),
            answer: None,
            verifier: Verifier::new(&digest),
            got: 0,
            skip: 0,
            ranges: true,
            backoff: Backoff::new(&client.options().retry),
            resumptions: 0,
            progress: None,
            embedded: embedded.filter(|data| data.len() as u64 == descriptor.size).map(Bytes::from),
        };
        if descriptor.size == 0 {
            blob.verify()?;
        }
        Ok(blob)
    }

    /// What it is.
    pub fn descriptor(&self) -> &Descriptor {
        &self.descriptor
    }

    /// Calls `progress` with the number of bytes handed out, after each chunk.
    #[must_use]
    pub fn on_progress(mut self, progress: impl Fn(u64) + Send + Sync + 'static) -> Self {
        self.progress = Some(Arc::new(progress));
        self
    }

    /// The next bytes; `None` after the last.
    ///
    /// # Errors
    /// [`PullError::Digest`] or [`PullError::Size`] if the bytes are not those of the descriptor;
    /// [`PullError::Request`] if the connection is cut more often than the client's retry policy allows.
    /// After an error the blob must not be read on.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, PullError> {
        while self.got < self.descriptor.size {
            let bytes = match self.receive().await {
                Ok(bytes) => bytes,
                Err(PullError::Request(error)) => {
                    self.answer = None;
                    self.resumptions += 1;
                    if self.resumptions > RESUMPTIONS {
                        return Err(error.into());
                    }
                    if let Err(error) = self.backoff.pause(error).await {
                        self.elsewhere(error)?;
                    }
                    continue;
                }
                Err(error) => return Err(error),
            };
            if bytes.is_empty() {
                continue;
            }
            self.backoff.progress();
            return self.accept(bytes).map(Some);
        }
        Ok(None)
    }

    /// The next bytes from the server, past those that were handed out already; empty if these were among them.
    async fn receive(&mut self) -> Result<Bytes, PullError> {
        if let Some(bytes) = self.embedded.take() {
            return Ok(bytes);
        }
        let answer = match &mut self.answer {
            Some(answer) => answer,
            None => {
                let answer = self.connect().await?;
                self.answer.insert(answer)
            }
        };
        let Some(mut bytes) = answer.chunk().await? else {
            let cut = format!("the answer ended after {} of {} bytes", self.got, self.descriptor.size);
            return Err(PullError::Request(RequestError::Unreachable {
                asked: self.call.asked.clone(),
                connecting: false,
                source: io::Error::new(io::ErrorKind::UnexpectedEof, cut).into(),
            }));
        };
        // At most the length of a chunk, which is a usize.
        let passed = (bytes.len() as u64).min(self.skip);
        bytes.advance(passed as usize);
        self.skip -= passed;
        Ok(bytes)
    }

    /// Turns to the next place that may have the blob, or gives the error back when there is none. What came already
    /// stays: the digest decides about the whole.
    fn elsewhere(&mut self, error: RequestError) -> Result<(), PullError> {
        if let Some(next) = self.places.pop() {
            useless_mirror(&self.transport, &self.place, &error.into());
            self.call = call(&next, &self.descriptor.digest);
            self.place = next;
        } else if let (RequestError::NotFound { .. }, Some(url)) = (&error, self.urls.pop()) {
            // Foreign layers are not in the registry; their descriptor says where they are.
            self.call.target = Target::Url(url);
        } else {
            return Err(error.into());
        }
        self.ranges = true;
        self.backoff.progress();
        Ok(())
    }

    /// Asks the server for what is missing.
    async fn connect(&mut self) -> Result<Answer, PullError> {
        loop {
            let ranged = self.got > 0 && self.ranges;
            self.call.headers.remove(RANGE);
            if ranged && let Ok(range) = HeaderValue::from_str(&format!("bytes={}-", self.got)) {
                self.call.headers.insert(RANGE, range);
            }
            match self.transport.attempt(&self.place.registry, &self.call).await {
                Ok(answer) => {
                    self.skip = self.start(&answer)?;
                    return Ok(answer);
                }
                Err(RequestError::Status { status: 416, .. }) if ranged => self.ranges = false,
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// How many bytes of an answer are to be passed over.
    fn start(&self, answer: &Answer) -> Result<u64, PullError> {
        if answer.status() == StatusCode::PARTIAL_CONTENT {
            let range = answer.header(CONTENT_RANGE.as_str()).unwrap_or_default();
            let start = range.strip_prefix("bytes ").and_then(|range| range.split('-').next());
            if start.and_then(|start| start.trim().parse().ok()) == Some(self.got) {
                return Ok(0);
            }
            let why = format!("bytes from {} on were asked for, and the registry sends {range:?}", self.got);
            return Err(RequestError::Protocol { asked: self.call.asked.clone(), why }.into());
        }
        let length = answer.header(CONTENT_LENGTH.as_str()).and_then(|length| length.parse().ok());
        match length {
            Some(length) if length != self.descriptor.size => Err(self.wrong_size(length)),
            _ => Ok(self.got),
        }
    }

    fn accept(&mut self, bytes: Bytes) -> Result<Bytes, PullError> {
        let got = self.got + bytes.len() as u64;
        if got > self.descriptor.size {
            return Err(self.wrong_size(got));
        }
        self.verifier.update(&bytes);
        self.got = got;
        if got == self.descriptor.size {
            self.answer = None;
            self.verify()?;
        }
        if let Some(progress) = &self.progress {
            progress(got);
        }
        Ok(bytes)
    }

    fn verify(&self) -> Result<(), PullError> {
        let (want, got) = (self.descriptor.digest, self.verifier.digest());
        if got == want {
            Ok(())
        } else {
            Err(PullError::Digest { name: self.place.reference.name(), want, got: got.into() })
        }
    }

    fn wrong_size(&self, got: u64) -> PullError {
        PullError::Size {
            name: self.place.reference.name(),
            digest: self.descriptor.digest,
            want: self.descriptor.size,
            got,
        }
    }

    /// The bytes as a stream; it ends after the first error.
    pub fn into_stream(self) -> impl Stream<Item = Result<Bytes, PullError>> + Send + 'static {
        stream::try_unfold(self, |mut blob| async {
            let chunk = blob.chunk().await?;
            Ok(chunk.map(|chunk| (chunk, blob)))
        })
    }

    /// The bytes as a reader; a [`PullError`] is inside the `io::Error`.
    pub fn into_reader(self) -> BlobReader {
        BlobReader { stream: self.into_stream().map_err(io::Error::other).boxed(), rest: Bytes::new() }
    }
}

impl fmt::Debug for Blob {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "Blob({} of {}, {} of {} bytes)",
            self.descriptor.digest,
            self.place.reference.name(),
            self.got,
            self.descriptor.size
        )
    }
}

/// Asks a place for a blob.
fn call(place: &Place, digest: &Digest) -> Call {
    let mut headers = HeaderMap::new();
    // The digest is of the bytes as they are stored; a server that compresses on the way would change them.
    headers.insert(ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    let repository = place.reference.repository();
    Call {
        method: Method::GET,
        target: Target::Path(format!("v2/{repository}/blobs/{digest}")),
        headers,
        body: Body::Empty,
        scopes: Scopes::new([Scope::pull(repository)]),
        asked: asked(&place.reference, format!("get blob {digest}")),
        lane: Lane::Pull,
    }
}

/// A [`Blob`] as a reader.
pub struct BlobReader {
    stream: BoxStream<'static, io::Result<Bytes>>,
    rest: Bytes,
}

impl AsyncRead for BlobReader {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        while self.rest.is_empty() {
            match ready!(self.stream.poll_next_unpin(context)) {
                Some(chunk) => self.rest = chunk?,
                None => return Poll::Ready(Ok(())),
            }
        }
        let length = self.rest.len().min(buffer.remaining());
        buffer.put_slice(&self.rest.split_to(length));
        Poll::Ready(Ok(()))
    }
}
