//! A blob as an asynchronous reader.

use super::Blob;
use bytes::Bytes;
use futures_util::{StreamExt, TryStreamExt, stream::BoxStream};
use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
};
use tokio::io::{AsyncRead, ReadBuf};

/// A [`Blob`] as a reader.
pub struct BlobReader {
    stream: BoxStream<'static, io::Result<Bytes>>,
    rest: Bytes,
}

impl BlobReader {
    pub(super) fn new(blob: Blob) -> Self {
        Self { stream: blob.into_stream().map_err(io::Error::other).boxed(), rest: Bytes::new() }
    }
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
