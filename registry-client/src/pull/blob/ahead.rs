//! Parts of a blob that are fetched beside the one that is being read.

use crate::transport::{Answer, Call, Registry, Transport, error::RequestError};
use bytes::Bytes;
use reqwest::{
    StatusCode,
    header::{CONTENT_RANGE, HeaderValue, RANGE},
};
use std::{collections::VecDeque, io, ops::Range, sync::Arc};
use tokio::{
    sync::{OwnedSemaphorePermit, mpsc},
    task::JoinHandle,
};

/// What a server says it sends (RFC 9110, section 14.4): `bytes 0-99/1000`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct ContentRange {
    /// First byte, and the one past the last.
    pub(super) start: u64,
    pub(super) end: u64,
    /// Bytes in all, if the server knows.
    pub(super) total: Option<u64>,
}

impl ContentRange {
    pub(super) fn of(answer: &Answer) -> Option<Self> {
        Self::parse(answer.header(CONTENT_RANGE.as_str())?)
    }

    fn parse(text: &str) -> Option<Self> {
        let (range, total) = text.trim().strip_prefix("bytes ")?.trim().split_once('/')?;
        let (first, last) = range.split_once('-')?;
        let (start, last): (u64, u64) = (first.trim().parse().ok()?, last.trim().parse().ok()?);
        let total = match total.trim() {
            "*" => None,
            total => Some(total.parse().ok()?),
        };
        let end = last.checked_add(1)?;
        (start < end).then_some(Self { start, end, total })
    }
}

/// A request for some bytes of a blob; those up to its end if `range` ends there.
pub(super) fn ask_for(call: &mut Call, range: &Range<u64>, size: u64) {
    let text = match range.end {
        end if end < size => format!("bytes={}-{}", range.start, end - 1),
        _ => format!("bytes={}-", range.start),
    };
    if let Ok(value) = HeaderValue::from_str(&text) {
        call.headers.insert(RANGE, value);
    }
}

/// A part on its way; fetching it ends when this is dropped.
pub(super) struct Part {
    pub(super) range: Range<u64>,
    messages: mpsc::UnboundedReceiver<Message>,
    task: JoinHandle<()>,
}

enum Message {
    Bytes(Bytes),
    Failed(RequestError),
    /// All bytes were sent. The answer holds its place in the pool until this is dropped with the part, so that the
    /// places bound what waits in memory, too.
    Done(#[expect(dead_code, reason = "it is held, not looked at")] Answer),
}

impl Part {
    /// The next bytes; `None` if they ended early.
    pub(super) async fn chunk(&mut self) -> Result<Option<Bytes>, RequestError> {
        match self.messages.recv().await {
            Some(Message::Bytes(bytes)) => Ok(Some(bytes)),
            Some(Message::Failed(error)) => Err(error),
            Some(Message::Done(_)) | None => Ok(None),
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// The parts that are fetched ahead, without gaps: each begins where the one before it ends.
#[derive(Default)]
pub(super) struct Ahead {
    parts: VecDeque<Part>,
}

impl Ahead {
    pub(super) fn clear(&mut self) {
        self.parts.clear();
    }

    pub(super) fn len(&self) -> usize {
        self.parts.len()
    }

    /// The first byte that is being fetched.
    pub(super) fn start(&self) -> Option<u64> {
        self.parts.front().map(|part| part.range.start)
    }

    /// The byte past the last that is being fetched.
    pub(super) fn end(&self) -> Option<u64> {
        self.parts.back().map(|part| part.range.end)
    }

    /// The part that begins at `start`.
    pub(super) fn take(&mut self, start: u64) -> Option<Part> {
        if self.start() == Some(start) { self.parts.pop_front() } else { None }
    }

    /// Begins to fetch `range` of a blob of `size` bytes, with a place in the pool.
    pub(super) fn fetch(
        &mut self,
        transport: &Arc<Transport>,
        registry: &Arc<Registry>,
        mut call: Call,
        range: Range<u64>,
        size: u64,
        permit: OwnedSemaphorePermit,
    ) {
        ask_for(&mut call, &range, size);
        let (sender, messages) = mpsc::unbounded_channel();
        let (transport, registry, wanted) = (transport.clone(), registry.clone(), range.clone());
        let task = tokio::spawn(async move {
            let last = match receive(&transport, &registry, &call, &wanted, permit, &sender).await {
                Ok(answer) => Message::Done(answer),
                Err(error) => Message::Failed(error),
            };
            // Nobody listening is as good an end.
            let _ = sender.send(last);
        });
        self.parts.push_back(Part { range, messages, task });
    }
}

async fn receive(
    transport: &Transport,
    registry: &Registry,
    call: &Call,
    wanted: &Range<u64>,
    permit: OwnedSemaphorePermit,
    sender: &mpsc::UnboundedSender<Message>,
) -> Result<Answer, RequestError> {
    let mut answer = transport.attempt_with(permit, registry, call).await?;
    let range = ContentRange::of(&answer);
    let fits = range.is_some_and(|range| (range.start, range.end) == (wanted.start, wanted.end));
    if answer.status() != StatusCode::PARTIAL_CONTENT || !fits {
        return Err(cut(call, "another range came than the one that was asked for".to_owned()));
    }
    let mut left = wanted.end - wanted.start;
    while left > 0 {
        let Some(mut bytes) = answer.chunk().await? else {
            return Err(cut(call, format!("the answer ended {left} bytes early")));
        };
        bytes.truncate(usize::try_from(left).unwrap_or(usize::MAX));
        left -= bytes.len() as u64;
        if sender.send(Message::Bytes(bytes)).is_err() {
            break;
        }
    }
    Ok(answer)
}

/// An answer that was not what it should be; asking again may help.
pub(super) fn cut(call: &Call, why: String) -> RequestError {
    RequestError::Unreachable {
        asked: call.asked.clone(),
        connecting: false,
        source: io::Error::new(io::ErrorKind::UnexpectedEof, why).into(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ranges() {
        let range = |start, end, total| Some(ContentRange { start, end, total });
        for (text, want) in [
            ("bytes 0-99/1000", range(0, 100, Some(1000))),
            ("bytes 5-5/*", range(5, 6, None)),
            (" bytes  7-9/ 10 ", range(7, 10, Some(10))),
            ("bytes 9-7/10", None),
            ("bytes */10", None),
            ("bytes 0-9", None),
            ("0-9/10", None),
            ("bytes 0-18446744073709551615/*", None),
            ("bytes -1-3/4", None),
            ("", None),
        ] {
            assert_eq!(ContentRange::parse(text), want, "{text}");
        }
    }
}
