//! Sending one blob whose digest is known: in one PUT; after a cut from the byte on that the registry has, where it tells.

use super::{
    PushError,
    source::BlobSource,
    upload::{UploadSession, again_if_lost, send_call},
};
use crate::{
    client::{Client, Progress},
    descriptor::Descriptor,
    digest::Digest,
    reference::Reference,
    transport::{Body, Call, Lane, Registry, error::RequestError, retry::Backoff},
};
use bytes::Bytes;
use reqwest::{
    Method,
    header::{CONTENT_RANGE, HeaderValue, RANGE},
};
use std::io;

/// How often a blob is taken up again in all, however much arrived in between.
const RESUMPTIONS: u32 = 100;

/// One blob on its way to one repository.
pub(super) struct Upload<'a> {
    pub(super) client: &'a Client,
    pub(super) registry: &'a Registry,
    pub(super) reference: &'a Reference,
    pub(super) descriptor: &'a Descriptor,
}

/// A session, and how much of the blob the registry has in it.
struct Begun {
    session: UploadSession,
    have: u64,
}

impl Upload<'_> {
    pub(super) async fn run(
        &self,
        source: &BlobSource,
        progress: Option<Progress>,
        session: Option<UploadSession>,
    ) -> Result<(), PushError> {
        let (client, registry, reference) = (self.client, self.registry, self.reference);
        let digest = &self.descriptor.digest;
        let query = match digest {
            Digest::Sha256(_) => "",
            Digest::Sha512(_) => "?digest-algorithm=sha512",
        };
        let mut at = session.map(|session| Begun { session, have: 0 });
        let mut backoff = Backoff::new(&client.options().retry);
        let mut resumptions = 0;
        loop {
            let begun = match at.take() {
                Some(begun) => begun,
                None => Begun { session: client.begin(registry, reference, query).await?, have: 0 },
            };
            let Err(error) = self.send(&begun, source, progress.clone()).await else { return Ok(()) };
            let Begun { session, have } = begun;
            if have > 0 && matches!(error, RequestError::Status { .. }) && !error.is_transient() {
                // The registry has put the parts together to something else, or takes none: once more as a whole.
                resumptions = RESUMPTIONS;
                client.cancel(registry, reference, session).await;
                continue;
            }
            let cut = error.is_transient() && resumptions < RESUMPTIONS;
            if let Err(error) = backoff.pause(again_if_lost(error)).await {
                client.cancel(registry, reference, session).await;
                return Err(error.into());
            }
            // The bytes may have arrived, and only the answer was lost.
            if client.exists_for_push(registry, reference, digest).await? {
                return Ok(());
            }
            let kept = if cut { self.progress_of(&session).await } else { None };
            match kept {
                Some(kept) => {
                    if kept.have > have {
                        backoff.progress();
                    }
                    resumptions += 1;
                    at = Some(kept);
                }
                None => client.cancel(registry, reference, session).await,
            }
        }
    }

    /// Sends what the registry does not have, and closes the session.
    async fn send(
        &self,
        begun: &Begun,
        source: &BlobSource,
        progress: Option<Progress>,
    ) -> Result<(), RequestError> {
        let (transport, registry) = (&self.client.transport, self.registry);
        let Descriptor { digest, size, .. } = self.descriptor;
        let action = format!("push blob {digest}");
        let rest = Body::Source {
            source: measured(source, begun.have, *size, progress),
            length: Some(size - begun.have),
        };
        if begun.have == 0 {
            let put = send_call(Method::PUT, self.reference, begun.session.closing(digest), rest, action);
            return transport.attempt(registry, &put).await.map(drop);
        }
        let session = &begun.session;
        let with_range = |mut call: Call| {
            if let Ok(range) = HeaderValue::from_str(&format!("{}-{}", begun.have, size - 1)) {
                call.headers.insert(CONTENT_RANGE, range);
            }
            call
        };
        let left = size - begun.have;
        if (1..session.chunk_minimum).contains(&left) {
            // Too little for a chunk that may have others behind it; the one that closes the session has none.
            let put = send_call(Method::PUT, self.reference, session.closing(digest), rest, action);
            return transport.attempt(registry, &with_range(put)).await.map(drop);
        }
        let mut session = session.clone();
        if left > 0 {
            let location = session.location.clone();
            let patch = send_call(Method::PATCH, self.reference, location, rest, action.clone());
            session = session.moved(transport.attempt(registry, &with_range(patch)).await?.location()?);
        }
        let mut put = send_call(Method::PUT, self.reference, session.closing(digest), Body::Empty, action);
        put.lane = Lane::Request;
        transport.attempt(registry, &put).await.map(drop)
    }

    /// Asks how much of a cut upload has arrived (distribution-spec, "Pushing a blob in chunks"). `None` where the registry
    /// does not say, or nothing has: then the session is of no use.
    async fn progress_of(&self, session: &UploadSession) -> Option<Begun> {
        let action = "ask how much has arrived".to_owned();
        let mut call = send_call(Method::GET, self.reference, session.location.clone(), Body::Empty, action);
        call.lane = Lane::Request;
        let answer = self.client.transport.attempt(self.registry, &call).await.ok()?;
        let have = arrived(answer.header(RANGE.as_str())?)?;
        if have > self.descriptor.size {
            return None;
        }
        let location = answer.location().unwrap_or_else(|_| session.location.clone());
        Some(Begun { session: session.moved(location), have })
    }
}

/// Bytes of `0-99`. One byte cannot be told from none: registries say `0-0` of both.
fn arrived(range: &str) -> Option<u64> {
    let range = range.trim();
    let last = range.strip_prefix("bytes=").unwrap_or(range).strip_prefix("0-")?;
    last.parse::<u64>().ok().filter(|last| *last > 0)?.checked_add(1)
}

/// The bytes from `from` on, counted: more or fewer than `size` in all are an error before the registry could take them for
/// the blob.
fn measured(source: &BlobSource, from: u64, size: u64, progress: Option<Progress>) -> BlobSource {
    let counted = source.tapped(move || {
        let progress = progress.clone();
        let mut sent = 0;
        move |chunk: Option<&Bytes>| {
            match chunk {
                Some(chunk) => sent += chunk.len() as u64,
                None if sent == size => return Ok(()),
                None => {
                    let text = format!("the blob ended after {sent} of {size} bytes");
                    return Err(io::Error::new(io::ErrorKind::UnexpectedEof, text));
                }
            }
            if sent > size {
                let text = format!("the blob has more than the {size} bytes of its descriptor");
                return Err(io::Error::new(io::ErrorKind::InvalidData, text));
            }
            if let Some(progress) = &progress {
                progress(sent);
            }
            Ok(())
        }
    });
    if from == 0 { counted } else { counted.skipping(from) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_has_arrived() {
        for (range, want) in [
            ("0-99", Some(100)),
            ("bytes=0-99", Some(100)),
            ("0-1", Some(2)),
            ("0-0", None),
            ("0--1", None),
            ("5-9", None),
            ("0-18446744073709551615", None),
            ("", None),
        ] {
            assert_eq!(arrived(range), want, "{range}");
        }
    }
}
