//! One blob on its way: verified while it streams, taken up again where it was cut.

mod ahead;
mod parts;
mod reader;

pub use reader::BlobReader;

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
use ahead::{Ahead, ContentRange, Part, ask_for, cut};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::{Buf, Bytes};
use futures_util::{Stream, stream};
use reqwest::{
    Method, StatusCode,
    header::{ACCEPT_ENCODING, CONTENT_LENGTH, CONTENT_RANGE, HeaderMap, HeaderValue, RANGE},
};
use std::{fmt, sync::Arc};
use url::Url;

/// How often a blob is taken up again in all, however much came in between.
const RESUMPTIONS: u32 = 100;

/// Where the next bytes come from.
enum Incoming {
    /// An answer that is read as its bytes are wanted.
    Answer(Answer),
    /// A part that was fetched ahead.
    Part(Part),
}

/// A blob that is being pulled. Memory does not grow with its size: a large one is fetched by ranges over connections that
/// nobody else wants ([`crate::client::RangePolicy`]), and what waits for its turn is bounded.
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
    incoming: Option<Incoming>,
    /// The byte past the last that `incoming` gives.
    until: u64,
    /// What other connections fetch, from `until` on.
    ahead: Ahead,
    /// Whether several connections may be used; the server has yet to show that it takes ranges.
    parallel: bool,
    /// It has shown that.
    takes_ranges: bool,
    /// Where the registry redirects to: parts ahead spare themselves the way there.
    storage: Option<Url>,
    verifier: Verifier,
    /// Bytes that came.
    got: u64,
    /// Whether any were handed out.
    begun: bool,
    /// The mirrors they came from.
    givers: Vec<Place>,
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
        places.retain(|mirror| !mirror.registry.has_wrong(&digest));
        places.push(own.clone());
        places.reverse();
        // There is at least its own place.
        let place = places.pop().unwrap_or(own);
        let web = |url: &Url| matches!(url.scheme(), "http" | "https");
        let mut blob = Self {
            transport: client.transport.clone(),
            call: call(&place, &digest),
            place,
            descriptor: descriptor.clone(),
            places,
            urls: descriptor.urls.iter().rev().filter_map(|url| Url::parse(url).ok()).filter(web).collect(),
            incoming: None,
            until: descriptor.size,
            ahead: Ahead::default(),
            parallel: false,
            takes_ranges: false,
            storage: None,
            verifier: Verifier::new(&digest),
            got: 0,
            begun: false,
            givers: Vec::new(),
            skip: 0,
            ranges: true,
            backoff: Backoff::new(&client.options().retry),
            resumptions: 0,
            progress: None,
            embedded: embedded.filter(|data| data.len() as u64 == descriptor.size).map(Bytes::from),
        };
        blob.parallel = blob.is_worth_parts();
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
    /// [`PullError::Mirror`] if a mirror sent those, and the blob can be had elsewhere by who begins anew;
    /// [`PullError::Request`] if the connection is cut more often than the client's retry policy allows.
    /// After an error the blob must not be read on.
    pub async fn chunk(&mut self) -> Result<Option<Bytes>, PullError> {
        while self.got < self.descriptor.size {
            match self.receive().await {
                Ok(bytes) if bytes.is_empty() => {}
                Ok(bytes) => {
                    self.backoff.progress();
                    match self.accept(bytes) {
                        Ok(bytes) => return Ok(Some(bytes)),
                        Err(error) => self.begin_again(error)?,
                    }
                }
                Err(PullError::Request(error)) => self.recover(error).await?,
                // The head of an answer tells that it is of something else; none of its bytes was taken.
                Err(error) => {
                    self.place.registry.sent_wrong(self.descriptor.digest);
                    self.elsewhere(error)?;
                }
            }
        }
        Ok(None)
    }

    /// All of it.
    pub(super) async fn bytes(mut self) -> Result<Bytes, PullError> {
        let mut bytes = Vec::new();
        while let Some(chunk) = self.chunk().await? {
            bytes.extend_from_slice(&chunk);
        }
        Ok(bytes.into())
    }

    /// Waits until it may be tried again here, or turns to the next place.
    async fn recover(&mut self, error: RequestError) -> Result<(), PullError> {
        if self.gave_up_ahead(&error) {
            return Ok(());
        }
        self.resumptions += 1;
        if self.resumptions > RESUMPTIONS {
            return Err(error.into());
        }
        if self.place.mirror && self.place.registry.is_resting() {
            // Another blob has found out already that it is of no use.
            return self.elsewhere(error.into());
        }
        match self.backoff.pause(error).await {
            Ok(()) => Ok(()),
            Err(error) => self.elsewhere(error.into()),
        }
    }

    /// The bytes are wrong. Mirrors they came from are not asked for them again; where nothing was handed out yet, the next
    /// place is asked instead. Gives the error back if all are the registry's own.
    fn begin_again(&mut self, error: PullError) -> Result<(), PullError> {
        if self.givers.is_empty() {
            return Err(error);
        }
        let digest = self.descriptor.digest;
        for giver in &self.givers {
            giver.registry.sent_wrong(digest);
            useless_mirror(&self.transport, giver, &error);
        }
        if self.begun {
            return Err(PullError::Mirror(error.into()));
        }
        self.givers.clear();
        self.verifier = Verifier::new(&digest);
        (self.got, self.skip, self.until) = (0, 0, self.descriptor.size);
        self.incoming = None;
        self.elsewhere(error)
    }

    /// The next bytes from the server, past those that were handed out already; empty if these were among them.
    async fn receive(&mut self) -> Result<Bytes, PullError> {
        if let Some(bytes) = self.embedded.take() {
            return Ok(bytes);
        }
        if self.incoming.is_none() {
            self.incoming = Some(self.connect().await?);
        }
        self.fetch_ahead();
        let chunk = match &mut self.incoming {
            Some(Incoming::Answer(answer)) => answer.chunk().await?,
            Some(Incoming::Part(part)) => part.chunk().await?,
            None => None,
        };
        let Some(mut bytes) = chunk else {
            let why = format!("the answer ended after {} of {} bytes", self.got, self.descriptor.size);
            return Err(cut(&self.call, why).into());
        };
        // At most the length of a chunk, which is a usize.
        let passed = (bytes.len() as u64).min(self.skip);
        bytes.advance(passed as usize);
        self.skip -= passed;
        if self.until < self.descriptor.size {
            // A server that sends more than the range has no harm done: another connection fetches the rest.
            bytes.truncate(usize::try_from(self.until - self.got).unwrap_or(usize::MAX));
        }
        Ok(bytes)
    }

    /// Turns to the next place that may have the blob, or gives the error back when there is none. What came already
    /// stays: the digest decides about the whole.
    fn elsewhere(&mut self, error: PullError) -> Result<(), PullError> {
        let unknown = matches!(error, PullError::Request(RequestError::NotFound { .. }));
        if let Some(next) = self.places.pop() {
            useless_mirror(&self.transport, &self.place, &error);
            self.call = call(&next, &self.descriptor.digest);
            self.place = next;
        } else if let (true, Some(url)) = (unknown, self.urls.pop()) {
            // Foreign layers are not in the registry; their descriptor says where they are.
            self.call.target = Target::Url(url);
        } else {
            return Err(error);
        }
        self.ranges = true;
        self.takes_ranges = false;
        self.storage = None;
        self.parallel = self.is_worth_parts();
        self.ahead.clear();
        self.backoff.progress();
        Ok(())
    }

    /// Asks the server for what is missing, or takes up what was fetched ahead.
    async fn connect(&mut self) -> Result<Incoming, PullError> {
        if let Some(part) = self.ahead.take(self.got) {
            self.until = part.range.end;
            return Ok(Incoming::Part(part));
        }
        loop {
            let permit = self.permit().await?;
            let (end, size) = (self.reach(), self.descriptor.size);
            let ranged = self.ranges && (self.got > 0 || end < size);
            self.call.headers.remove(RANGE);
            if ranged {
                ask_for(&mut self.call, &(self.got..end), size);
            }
            match self.transport.attempt_with(permit, &self.place.registry, &self.call).await {
                Ok(answer) => {
                    self.skip = self.start(&answer, end)?;
                    self.storage = answer.storage().cloned();
                    return Ok(Incoming::Answer(answer));
                }
                // 416, and what servers say that know no ranges. What else is wrong shows without one.
                Err(error @ RequestError::Status { status: 400..=499 | 501, .. })
                    if ranged && !error.is_transient() =>
                {
                    self.ranges = false;
                    self.without_parts();
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// How many bytes of an answer are to be passed over, when bytes up to `end` were asked for.
    fn start(&mut self, answer: &Answer, end: u64) -> Result<u64, PullError> {
        if answer.status() == StatusCode::PARTIAL_CONTENT {
            let range = ContentRange::of(answer).filter(|range| range.start == self.got);
            let Some(range) = range else {
                let range = answer.header(CONTENT_RANGE.as_str()).unwrap_or_default();
                let why =
                    format!("bytes from {} on were asked for, and the registry sends {range:?}", self.got);
                return Err(RequestError::Protocol { asked: self.call.asked.clone(), why }.into());
            };
            if let Some(total) = range.total.filter(|total| *total != self.descriptor.size) {
                return Err(self.wrong_size(total));
            }
            if range.end > end {
                self.without_parts();
            }
            self.until = range.end.min(self.descriptor.size);
            self.takes_ranges = true;
            return Ok(0);
        }
        self.without_parts();
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
        if self.place.mirror
            && self.givers.last().is_none_or(|last| !Arc::ptr_eq(&last.registry, &self.place.registry))
        {
            self.givers.push(self.place.clone());
        }
        if got == self.until {
            self.incoming = None;
        }
        if got == self.descriptor.size {
            self.verify()?;
        }
        self.begun = true;
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
        BlobReader::new(self)
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
        target: Target::Path(format!("v2/{repository}/blobs/{digest}{}", place.query())),
        headers,
        body: Body::Empty,
        scopes: Scopes::new([Scope::pull(repository)]),
        asked: asked(&place.reference, format!("get blob {digest}")),
        lane: Lane::Pull,
    }
}
