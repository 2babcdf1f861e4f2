//! Watching a body that is being sent: whether it moves, and why it failed.

use bytes::Bytes;
use futures_util::{Stream, StreamExt, stream};
use std::{
    io,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicU8, Ordering},
    },
    task::Poll,
};

/// How a body is doing since one last looked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum SendState {
    /// Nothing was taken; or there is no body.
    Idle,
    /// Bytes were taken.
    Moved,
    /// The last byte was taken.
    Sent,
}

const IDLE: u8 = 0;
const MOVED: u8 = 1;
const SENT: u8 = 2;

/// Watches a body that is being sent.
#[derive(Default)]
pub(super) struct Sending {
    state: AtomicU8,
    /// Why the source failed; the HTTP library would only say that a body failed.
    error: Mutex<Option<io::Error>>,
}

impl Sending {
    fn saw(&self, item: io::Result<Bytes>) -> io::Result<Bytes> {
        self.state.store(MOVED, Ordering::Relaxed);
        item.map_err(|error| {
            let kind = error.kind();
            *self.error.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            kind.into()
        })
    }

    pub(super) fn state(&self) -> SendState {
        match self.state.compare_exchange(MOVED, IDLE, Ordering::Relaxed, Ordering::Relaxed) {
            Ok(_) => SendState::Moved,
            Err(SENT) => SendState::Sent,
            Err(_) => SendState::Idle,
        }
    }

    pub(super) fn take_error(&self) -> Option<io::Error> {
        self.error.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// The same stream, which tells `sending` how it goes.
pub(super) fn watched(
    stream: impl Stream<Item = io::Result<Bytes>> + Send + 'static,
    sending: Arc<Sending>,
) -> impl Stream<Item = io::Result<Bytes>> + Send + 'static {
    sending.state.store(MOVED, Ordering::Relaxed);
    let watching = sending.clone();
    // An empty stream that notes when it is reached.
    let end = stream::poll_fn(move |_| {
        sending.state.store(SENT, Ordering::Relaxed);
        Poll::Ready(None)
    });
    stream.map(move |item| watching.saw(item)).chain(end)
}
