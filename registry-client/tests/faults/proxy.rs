//! A proxy between a client and a registry that does one bad thing to some of the requests, as its seed says.
//!
//! Each connection carries one request: the head is passed on with `Connection: close`, and then bytes are copied in both
//! directions until the registry has closed its side.

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
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    task::JoinHandle,
};

/// Numbers that a seed decides (splitmix64).
pub(crate) struct Random(pub(crate) u64);

impl Random {
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `end`.
    pub(crate) fn below(&mut self, end: u64) -> u64 {
        self.next() % end
    }
}

/// What is done to a request or its answer.
#[derive(Clone, Copy, Debug)]
enum Fault {
    /// The connection ends before anything was read.
    HangUp,
    /// The answer comes, but late.
    Delay(Duration),
    /// Nothing comes.
    Stall,
    /// A status of the proxy's own, with this `Retry-After`.
    Status(u16, Option<&'static str>),
    /// The request ends after so many bytes of its body.
    CutRequest(usize),
    /// A byte of the request's body is another.
    CorruptRequest(usize),
    /// The answer ends after so many bytes, its head included.
    CutAnswer(usize),
    /// A byte of the answer's body is another.
    CorruptAnswer(usize),
    /// `Content-Length` says so much more or less.
    WrongLength(i64),
    /// The answer comes byte by byte at first.
    Drip,
}

/// How many kinds of [`Fault`] there are.
pub(crate) const KINDS: usize = 10;

impl Fault {
    fn draw(random: &mut Random) -> (usize, Self) {
        let kind = random.below(KINDS as u64) as usize;
        let at = |random: &mut Random, end| random.below(end) as usize;
        // Near the beginning as often as in the middle of what is large.
        let far = |random: &mut Random| {
            let end = 2 << random.below(18);
            random.below(end) as usize
        };
        let fault = match kind {
            0 => Self::HangUp,
            1 => Self::Delay(Duration::from_millis(random.below(40))),
            2 => Self::Stall,
            3 => {
                let statuses = [408, 425, 429, 500, 502, 503, 504];
                let status = statuses[at(random, statuses.len() as u64)];
                Self::Status(status, [None, Some("0"), Some("soon"), Some("3600")][at(random, 4)])
            }
            4 => Self::CutRequest(far(random)),
            5 => Self::CorruptRequest(far(random)),
            6 => Self::CutAnswer(far(random)),
            7 => Self::CorruptAnswer(far(random)),
            8 => Self::WrongLength([-7, -1, 1, 1000][at(random, 4)]),
            _ => Self::Drip,
        };
        (kind, fault)
    }
}

/// A running proxy; it ends when this is dropped.
pub(crate) struct Proxy {
    /// `127.0.0.1:port`.
    pub(crate) address: String,
    accepting: JoinHandle<()>,
}

impl Proxy {
    /// Passes requests on to `registry`, except `percent` of them; `done` counts the faults by kind.
    pub(crate) async fn start(
        registry: &str,
        seed: u64,
        percent: u64,
        done: Arc<[AtomicUsize; KINDS]>,
    ) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let random = Mutex::new(Random(seed));
        let (own, registry) = (address.clone(), registry.to_owned());
        let accepting = tokio::spawn(async move {
            // Connections end with the proxy.
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let fault = {
                    let mut random = random.lock().unwrap();
                    (random.below(100) < percent).then(|| Fault::draw(&mut random))
                };
                let (own, registry, done) = (own.clone(), registry.clone(), done.clone());
                connections.spawn(async move {
                    if let Some((kind, _)) = fault {
                        done[kind].fetch_add(1, Ordering::Relaxed);
                    }
                    let fault = fault.map(|(_, fault)| fault);
                    // Whoever hangs up here did so on purpose.
                    let _ = serve(client, &own, &registry, fault).await;
                });
                while connections.try_join_next().is_some() {}
            }
        });
        Self { address, accepting }
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

/// Longer than the client is patient.
const FOREVER: Duration = Duration::from_millis(1_500);

async fn serve(client: TcpStream, own: &str, registry: &str, fault: Option<Fault>) -> io::Result<()> {
    client.set_nodelay(true)?;
    if matches!(fault, Some(Fault::HangUp)) {
        return Ok(());
    }
    let (mut from_client, mut to_client) = client.into_split();
    let Some((head, rest)) = head(&mut from_client).await? else { return Ok(()) };
    match fault {
        Some(Fault::Delay(delay)) => tokio::time::sleep(delay).await,
        Some(Fault::Stall) => {
            tokio::time::sleep(FOREVER).await;
            return Ok(());
        }
        Some(Fault::Status(status, retry_after)) => {
            return refuse(from_client, to_client, status, retry_after).await;
        }
        _ => {}
    }
    let server = TcpStream::connect(registry).await?;
    server.set_nodelay(true)?;
    let (from_server, mut to_server) = server.into_split();
    // The registry makes its URLs of the Host header: they must lead through the proxy.
    assert!(head.contains(own), "{head}");
    let end = head.len() - 2;
    to_server.write_all(format!("{}Connection: close\r\n\r\n", &head[..end]).as_bytes()).await?;
    let up = upload(from_client, to_server, rest, fault);
    let down = download(from_server, &mut to_client, fault);
    tokio::pin!(up);
    // The answer may come before the request has ended; what ends the connection is the end of the answer.
    tokio::select! {
        result = down => result,
        never = async {
            if (&mut up).await.is_ok() { std::future::pending::<()>().await }
        } => Ok(never),
    }
}

/// Reads up to the empty line; gives what came behind it, too.
async fn head(from: &mut OwnedReadHalf) -> io::Result<Option<(String, Vec<u8>)>> {
    let mut buffer = Vec::new();
    loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            let rest = buffer.split_off(end + 4);
            return Ok(Some((String::from_utf8(buffer).expect("heads are text"), rest)));
        }
        if from.read_buf(&mut buffer).await? == 0 {
            return Ok(None);
        }
    }
}

async fn refuse(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    status: u16,
    retry_after: Option<&str>,
) -> io::Result<()> {
    let wait = retry_after.map(|value| format!("Retry-After: {value}\r\n")).unwrap_or_default();
    let answer = format!("HTTP/1.1 {status} No\r\nContent-Length: 2\r\nConnection: close\r\n{wait}\r\nno");
    to.write_all(answer.as_bytes()).await?;
    to.shutdown().await?;
    // Closing with unread bytes would reset the connection, and the answer might be lost.
    let mut sink = vec![0; 4096];
    while from.read(&mut sink).await? > 0 {}
    Ok(())
}

/// Copies the body of the request; an error ends the connection.
async fn upload(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    mut bytes: Vec<u8>,
    fault: Option<Fault>,
) -> io::Result<()> {
    let mut passed = 0;
    loop {
        let next = passed + bytes.len();
        match fault {
            Some(Fault::CutRequest(at)) if at < next => {
                to.write_all(&bytes[..at - passed]).await?;
                return Err(io::ErrorKind::ConnectionAborted.into());
            }
            Some(Fault::CorruptRequest(at)) if (passed..next).contains(&at) => bytes[at - passed] ^= 0x20,
            _ => {}
        }
        to.write_all(&bytes).await?;
        passed = next;
        bytes.clear();
        if from.read_buf(&mut bytes).await? == 0 {
            return Ok(());
        }
    }
}

/// Copies the answer.
async fn download(mut from: OwnedReadHalf, to: &mut OwnedWriteHalf, fault: Option<Fault>) -> io::Result<()> {
    let Some((head, mut bytes)) = head(&mut from).await? else { return Ok(()) };
    let mut head = head.into_bytes();
    if let Some(Fault::WrongLength(by)) = fault {
        head = with_length(&String::from_utf8(head).expect("heads are text"), by).into_bytes();
    }
    let length = head.len();
    head.append(&mut bytes);
    let (mut bytes, mut passed) = (head, 0);
    loop {
        let next = passed + bytes.len();
        match fault {
            Some(Fault::CutAnswer(at)) if at < next => {
                to.write_all(&bytes[..at - passed]).await?;
                return Ok(());
            }
            Some(Fault::CorruptAnswer(at)) if (passed..next).contains(&(length + at)) => {
                bytes[length + at - passed] ^= 0x20;
            }
            Some(Fault::Drip) if passed == 0 => {
                for byte in bytes.drain(..bytes.len().min(50)) {
                    to.write_all(&[byte]).await?;
                    tokio::task::yield_now().await;
                }
            }
            _ => {}
        }
        to.write_all(&bytes).await?;
        passed = next;
        bytes.clear();
        if from.read_buf(&mut bytes).await? == 0 {
            return Ok(());
        }
    }
}

/// The head with another `Content-Length`, if it has one.
fn with_length(head: &str, by: i64) -> String {
    let line = |line: &str| match line.split_once(": ") {
        Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
            let length: i64 = value.trim().parse().expect("a number");
            format!("{name}: {}\r\n", (length + by).max(0))
        }
        _ => line.to_owned(),
    };
    head.split_inclusive("\r\n").map(line).collect()
}
