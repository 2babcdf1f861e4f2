//! A small HTTP/1.1 server that does as it is told, bad things included.

use bytes::{Bytes, BytesMut};
use std::{
    io,
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};

/// A request as it came.
#[derive(Clone, Debug)]
pub(crate) struct Request {
    pub(crate) method: String,
    /// Path and query, as they were sent.
    pub(crate) target: String,
    headers: Vec<(String, String)>,
    pub(crate) body: Bytes,
}

impl Request {
    /// The one header of that (lower case) name.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut values = self.headers.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str());
        let value = values.next();
        assert!(values.next().is_none() || name == "accept", "{name} came twice");
        value
    }

    pub(crate) fn all(&self, name: &str) -> Vec<&str> {
        self.headers.iter().filter(|(n, _)| n == name).map(|(_, value)| value.as_str()).collect()
    }

    pub(crate) fn path(&self) -> &str {
        self.target.split('?').next().unwrap()
    }

    /// The query as it was sent, without the question mark.
    pub(crate) fn raw_query(&self) -> &str {
        self.target.split_once('?').map_or("", |(_, query)| query)
    }

    /// The values of a query parameter, decoded.
    pub(crate) fn query(&self, name: &str) -> Vec<String> {
        let pairs = url::form_urlencoded::parse(self.raw_query().as_bytes());
        pairs.filter(|(n, _)| n == name).map(|(_, value)| value.into_owned()).collect()
    }

    /// `GET /path`.
    pub(crate) fn line(&self) -> String {
        format!("{} {}", self.method, self.path())
    }
}

/// What to answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Bytes,
    /// A `Content-Length` that is not that of the body.
    pub(crate) claim: Option<u64>,
    /// Close the connection after so many bytes of the body; before the head, if `Some(None)`.
    pub(crate) cut: Option<Option<usize>>,
    /// Wait before answering.
    pub(crate) delay: Duration,
    /// Send the body chunked, without its length.
    pub(crate) chunked: bool,
}

impl Reply {
    pub(crate) fn new(status: u16) -> Self {
        Self { status, ..Self::default() }
    }

    pub(crate) fn header(mut self, name: &str, value: impl ToString) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    pub(crate) fn body(mut self, body: impl Into<Bytes>) -> Self {
        self.body = body.into();
        self
    }
}

/// Decides before the body of a request was read whether to read it.
pub(crate) enum Early {
    /// Read it all.
    Read,
    /// Read so many bytes of it, hand them over, and hang up.
    HangUp(usize),
    /// Answer at once, and hang up.
    Answer(Reply),
}

/// What a server does.
pub(crate) trait Handler: Send + Sync + 'static {
    fn early(&self, _request: &Request) -> Early {
        Early::Read
    }
    fn reply(&self, request: &Request) -> Reply;
    /// So much had come of a request before it was hung up on.
    fn cut(&self, _request: &Request, _body: &[u8]) {}
}

impl<F: Fn(&Request) -> Reply + Send + Sync + 'static> Handler for F {
    fn reply(&self, request: &Request) -> Reply {
        self(request)
    }
}

/// A running server; it ends when this is dropped.
pub(crate) struct Server {
    /// `127.0.0.1:port`.
    pub(crate) address: String,
    log: Arc<Mutex<Vec<Request>>>,
    pub(crate) connections: Arc<AtomicUsize>,
    /// The most blobs that were under way at once, in either direction, or the most tokens.
    pub(crate) peak: Arc<Peak>,
    accepting: JoinHandle<()>,
}

impl Server {
    pub(crate) async fn start(handler: impl Handler) -> Self {
        Self::start_shared(Arc::new(handler)).await
    }

    pub(crate) async fn start_shared(handler: Arc<dyn Handler>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let log: Arc<Mutex<Vec<Request>>> = Arc::default();
        let connections: Arc<AtomicUsize> = Arc::default();
        let peak: Arc<Peak> = Arc::default();
        let accepting = tokio::spawn({
            let (log, connections, peak) = (log.clone(), connections.clone(), peak.clone());
            async move {
                while let Ok((stream, _)) = listener.accept().await {
                    connections.fetch_add(1, Ordering::Relaxed);
                    stream.set_nodelay(true).unwrap();
                    let (handler, log, peak) = (handler.clone(), log.clone(), peak.clone());
                    tokio::spawn(async move {
                        // A client that hangs up is its own affair.
                        let _ = Connection { stream, buffer: BytesMut::new() }
                            .serve(&*handler, &log, &peak)
                            .await;
                    });
                }
            }
        });
        Self { address, log, connections, peak, accepting }
    }

    /// The requests so far, which are forgotten.
    pub(crate) fn take_log(&self) -> Vec<Request> {
        std::mem::take(&mut *self.log.lock().unwrap())
    }

    /// Method and path of the requests so far, which are forgotten.
    pub(crate) fn take_lines(&self) -> Vec<String> {
        self.take_log().iter().map(Request::line).collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Counts what runs at once.
#[derive(Default)]
pub(crate) struct Peak {
    now: AtomicUsize,
    most: AtomicUsize,
}

impl Peak {
    pub(crate) fn most(&self) -> usize {
        self.most.load(Ordering::Relaxed)
    }

    fn change(&self, request: &Request, by: isize) {
        let blob = request.path().contains("/blobs/");
        let transfer = match request.method.as_str() {
            "GET" => blob || request.path() == "/token",
            "PUT" | "PATCH" => blob && request.header("content-length") != Some("0"),
            _ => false,
        };
        if transfer {
            let now = self.now.fetch_add(by as usize, Ordering::Relaxed).wrapping_add_signed(by);
            self.most.fetch_max(now, Ordering::Relaxed);
        }
    }
}

struct Connection {
    stream: TcpStream,
    buffer: BytesMut,
}

impl Connection {
    async fn serve(
        mut self,
        handler: &dyn Handler,
        log: &Mutex<Vec<Request>>,
        peak: &Peak,
    ) -> io::Result<()> {
        while let Some(mut request) = self.head().await? {
            match handler.early(&request) {
                Early::Read => request.body = self.body(&request).await?,
                Early::HangUp(after) => {
                    while self.buffer.len() < after && self.fill().await? {}
                    handler.cut(&request, &self.buffer[..after.min(self.buffer.len())]);
                    log.lock().unwrap().push(request);
                    return Ok(());
                }
                Early::Answer(reply) => {
                    log.lock().unwrap().push(request.clone());
                    self.write(&request, reply).await?;
                    // Closing with unread bytes would reset the connection, and the answer might be lost.
                    self.stream.shutdown().await?;
                    while self.fill().await? {
                        self.buffer.clear();
                    }
                    return Ok(());
                }
            }
            log.lock().unwrap().push(request.clone());
            peak.change(&request, 1);
            let reply = handler.reply(&request);
            tokio::time::sleep(reply.delay).await;
            let written = self.write(&request, reply).await;
            peak.change(&request, -1);
            if !written? {
                return Ok(());
            }
        }
        Ok(())
    }

    async fn fill(&mut self) -> io::Result<bool> {
        Ok(self.stream.read_buf(&mut self.buffer).await? > 0)
    }

    async fn head(&mut self) -> io::Result<Option<Request>> {
        let end = loop {
            // Whoever begins a TLS handshake here is not kept waiting.
            if self.buffer.first().is_some_and(|byte| !byte.is_ascii_uppercase()) {
                return Ok(None);
            }
            if let Some(end) = self.buffer.windows(4).position(|window| window == b"\r\n\r\n") {
                break end;
            }
            if !self.fill().await? {
                return Ok(None);
            }
        };
        let head = self.buffer.split_to(end + 4);
        let head = std::str::from_utf8(&head).expect("heads are ASCII");
        let mut lines = head.trim_end().split("\r\n");
        let start: Vec<&str> = lines.next().unwrap().split(' ').collect();
        let [method, target, "HTTP/1.1"] = start[..] else { panic!("{start:?} is no request line") };
        let header = |line: &str| {
            let (name, value) = line.split_once(':').expect("headers have a colon");
            (name.to_ascii_lowercase(), value.trim().to_owned())
        };
        Ok(Some(Request {
            method: method.to_owned(),
            target: target.to_owned(),
            headers: lines.map(header).collect(),
            body: Bytes::new(),
        }))
    }

    async fn body(&mut self, request: &Request) -> io::Result<Bytes> {
        if request.header("transfer-encoding") == Some("chunked") {
            assert_eq!(request.header("content-length"), None, "a chunked body has no length");
            let mut body = BytesMut::new();
            loop {
                let line = loop {
                    if let Some(end) = self.buffer.windows(2).position(|window| window == b"\r\n") {
                        break self.buffer.split_to(end + 2);
                    }
                    self.more().await?;
                };
                let length = usize::from_str_radix(std::str::from_utf8(&line).unwrap().trim(), 16).unwrap();
                let chunk = self.exactly(length + 2).await?;
                body.extend_from_slice(&chunk[..length]);
                if length == 0 {
                    return Ok(body.freeze());
                }
            }
        }
        let length = request.header("content-length").map_or(0, |length| length.parse().unwrap());
        self.exactly(length).await
    }

    async fn exactly(&mut self, length: usize) -> io::Result<Bytes> {
        while self.buffer.len() < length {
            self.more().await?;
        }
        Ok(self.buffer.split_to(length).freeze())
    }

    async fn more(&mut self) -> io::Result<()> {
        if self.fill().await? { Ok(()) } else { Err(io::ErrorKind::UnexpectedEof.into()) }
    }

    /// Tells whether the connection is still of use.
    async fn write(&mut self, request: &Request, reply: Reply) -> io::Result<bool> {
        if reply.cut == Some(None) {
            return Ok(false);
        }
        let mut head = format!("HTTP/1.1 {} Because\r\n", reply.status);
        for (name, value) in &reply.headers {
            head += &format!("{name}: {value}\r\n");
        }
        let length = reply.claim.unwrap_or(reply.body.len() as u64);
        let has_length = reply.headers.iter().any(|(name, _)| name == "Content-Length");
        if reply.chunked {
            head += "Transfer-Encoding: chunked\r\n";
        } else if !has_length {
            head += &format!("Content-Length: {length}\r\n");
        }
        head += "\r\n";
        self.stream.write_all(head.as_bytes()).await?;
        if request.method == "HEAD" {
            return Ok(true);
        }
        let cut = reply.cut.flatten();
        let body = &reply.body[..cut.unwrap_or(reply.body.len())];
        if reply.chunked {
            for part in body.chunks(1000) {
                self.stream.write_all(format!("{:x}\r\n", part.len()).as_bytes()).await?;
                self.stream.write_all(part).await?;
                self.stream.write_all(b"\r\n").await?;
            }
            self.stream.write_all(b"0\r\n\r\n").await?;
        } else {
            self.stream.write_all(body).await?;
        }
        Ok(cut.is_none())
    }
}
