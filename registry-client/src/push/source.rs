//! Where the bytes of a blob come from. A source can be opened again: for a retry, or after a 401.

use bytes::{Buf, Bytes, BytesMut};
use futures_util::{
    FutureExt, StreamExt, TryStreamExt,
    future::{self, BoxFuture},
    stream::{self, BoxStream},
};
use std::{fmt, fs, future::Future, io, io::Read, path::PathBuf, sync::Arc};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    sync::mpsc,
};

/// Bytes of a chunk that a file or reader is read in.
const CHUNK: usize = 256 << 10;

/// The bytes of a blob, as they come.
pub type ByteStream = BoxStream<'static, io::Result<Bytes>>;

/// Gives the bytes of a blob from their start, each time it is opened. Cheap to clone.
#[derive(Clone)]
pub struct BlobSource {
    open: Arc<dyn Fn() -> BoxFuture<'static, io::Result<ByteStream>> + Send + Sync>,
}

impl BlobSource {
    /// Bytes in memory.
    pub fn bytes(bytes: impl Into<Bytes>) -> Self {
        let bytes = bytes.into();
        Self::stream(move || {
            let bytes = bytes.clone();
            async move { Ok(stream::once(async move { Ok(bytes) })) }
        })
    }

    /// A file; it is read by a blocking thread that is two chunks ahead.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        let path = Arc::new(path.into());
        Self::stream(move || {
            let path = path.clone();
            async move {
                let open = move || fs::File::open(&*path);
                let file = tokio::task::spawn_blocking(open).await.map_err(io::Error::other)??;
                let (sender, receiver) = mpsc::channel(2);
                tokio::task::spawn_blocking(move || read_file(file, &sender));
                Ok(stream::unfold(receiver, |mut receiver| async {
                    receiver.recv().await.map(|item| (item, receiver))
                }))
            }
        })
    }

    /// What `open` opens: a future of an asynchronous reader.
    pub fn reader<F, Opening, R>(open: F) -> Self
    where
        F: Fn() -> Opening + Send + Sync + 'static,
        Opening: Future<Output = io::Result<R>> + Send + 'static,
        R: AsyncRead + Send + Unpin + 'static,
    {
        Self::stream(move || {
            let opening = open();
            async move {
                let reader = opening.await?;
                Ok(stream::try_unfold((reader, BytesMut::new()), |(mut reader, mut buffer)| async {
                    buffer.reserve(CHUNK);
                    let read = reader.read_buf(&mut buffer).await?;
                    Ok((read > 0).then(|| (buffer.split().freeze(), (reader, buffer))))
                }))
            }
        })
    }

    /// What `open` opens: a future of a stream of chunks.
    pub fn stream<F, Opening, S>(open: F) -> Self
    where
        F: Fn() -> Opening + Send + Sync + 'static,
        Opening: Future<Output = io::Result<S>> + Send + 'static,
        S: futures_util::Stream<Item = io::Result<Bytes>> + Send + 'static,
    {
        let open = move || {
            let opening = open();
            async move { Ok(opening.await?.boxed()) }.boxed()
        };
        Self { open: Arc::new(open) }
    }

    /// Opens it at its start.
    ///
    /// # Errors
    /// Those of what was given.
    pub async fn open(&self) -> io::Result<ByteStream> {
        (self.open)().await
    }

    /// The same without the first `count` bytes, which are read and thrown away.
    pub(super) fn skipping(&self, count: u64) -> Self {
        let inner = self.clone();
        Self::stream(move || {
            let inner = inner.clone();
            async move {
                let mut left = count;
                Ok(inner.open().await?.try_filter_map(move |mut chunk| {
                    // At most the length of a chunk, which is a usize.
                    let passed = left.min(chunk.len() as u64);
                    left -= passed;
                    chunk.advance(passed as usize);
                    future::ready(Ok((!chunk.is_empty()).then_some(chunk)))
                }))
            }
        })
    }

    /// The same bytes, each chunk of which passes through what `tap` makes at each opening.
    pub(super) fn tapped<T>(&self, tap: impl Fn() -> T + Send + Sync + 'static) -> Self
    where
        T: FnMut(Option<&Bytes>) -> io::Result<()> + Send + 'static,
    {
        let inner = self.clone();
        let tap = Arc::new(tap);
        Self::stream(move || {
            let (inner, tap) = (inner.clone(), tap.clone());
            async move {
                let state = (inner.open().await?, tap());
                Ok(stream::try_unfold(state, |(mut stream, mut tap)| async {
                    let chunk = stream.next().await.transpose()?;
                    tap(chunk.as_ref())?;
                    Ok(chunk.map(|chunk| (chunk, (stream, tap))))
                }))
            }
        })
    }
}

impl fmt::Debug for BlobSource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("BlobSource")
    }
}

/// Reads on until the end, an error, or until nobody listens.
fn read_file(mut file: fs::File, sender: &mpsc::Sender<io::Result<Bytes>>) {
    loop {
        let mut chunk = vec![0; CHUNK];
        match file.read(&mut chunk) {
            Ok(0) => return,
            Ok(read) => {
                chunk.truncate(read);
                if sender.blocking_send(Ok(chunk.into())).is_err() {
                    return;
                }
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => {
                // Nobody listening is as good an end.
                let _ = sender.blocking_send(Err(error));
                return;
            }
        }
    }
}
