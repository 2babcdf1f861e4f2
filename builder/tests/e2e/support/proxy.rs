//! A network that is not well: between the program and a registry, some connections are cut, and some bytes are others.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// What is done to a connection.
#[derive(Clone, Copy)]
enum Fault {
    None,
    /// Ends after so many bytes to the client.
    CutAnswer(usize),
    /// Ends after so many bytes to the server.
    CutRequest(usize),
    /// This byte to the client is another.
    Corrupt(usize),
    /// It begins late.
    Delay(Duration),
}

/// A proxy of bytes; its threads end with the test process.
pub(crate) struct Proxy {
    address: SocketAddr,
    faults: Arc<AtomicU64>,
}

impl Proxy {
    /// Passes connections on to `server`. Of a hundred `percent` suffer, as `seed` says.
    pub(crate) fn start(server: String, seed: u64, percent: u64) -> Proxy {
        let mut state = seed;
        Proxy::run(server, move || draw(&mut state, percent))
    }

    /// Passes connections on to `server`, and changes byte `at` of what each brings.
    pub(crate) fn corrupting(server: String, at: usize) -> Proxy {
        Proxy::run(server, move || Fault::Corrupt(at))
    }

    fn run(server: String, mut next: impl FnMut() -> Fault + Send + 'static) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let faults = Arc::new(AtomicU64::new(0));
        let counter = Arc::clone(&faults);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let fault = next();
                if !matches!(fault, Fault::None) {
                    counter.fetch_add(1, Ordering::Relaxed);
                }
                let server = server.clone();
                // Whoever hangs up here does so on purpose.
                std::thread::spawn(move || pass(client, &server, fault).ok());
            }
        });
        Proxy { address, faults }
    }

    /// Passes on so many bytes of each direction of a connection, and then nothing more, though it stays open.
    pub(crate) fn stalling(server: String, after: usize) -> Proxy {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let Ok(server) = TcpStream::connect(&server) else { return };
                let streams = [(client.try_clone(), server.try_clone()), (Ok(server), Ok(client))];
                for (from, to) in streams {
                    let (Ok(from), Ok(to)) = (from, to) else { return };
                    std::thread::spawn(move || stall(from, to, after).ok());
                }
            }
        });
        Proxy { address, faults: Arc::default() }
    }

    /// `127.0.0.1:port`.
    pub(crate) fn name(&self) -> String {
        self.address.to_string()
    }

    /// `127.0.0.1:port/repository`.
    pub(crate) fn reference(&self, repository: &str) -> String {
        format!("{}/{repository}", self.address)
    }

    /// Connections that suffered.
    pub(crate) fn faults(&self) -> u64 {
        self.faults.load(Ordering::Relaxed)
    }
}

/// The next number that a seed decides (splitmix64).
fn next(state: &mut u64) -> u64 {
    *state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let z = (*state ^ (*state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}

fn draw(state: &mut u64, percent: u64) -> Fault {
    if next(state) % 100 >= percent {
        return Fault::None;
    }
    let at = (next(state) % 200_000) as usize;
    match next(state) % 6 {
        0 | 1 => Fault::CutAnswer(at),
        2 => Fault::CutAnswer(at % 1_000),
        3 => Fault::CutRequest(at),
        4 => Fault::Corrupt(1_000 + at),
        _ => Fault::Delay(Duration::from_millis(100)),
    }
}

fn pass(client: TcpStream, server: &str, fault: Fault) -> std::io::Result<()> {
    if let Fault::Delay(delay) = fault {
        std::thread::sleep(delay);
    }
    let server = TcpStream::connect(server)?;
    let (up_from, up_to) = (client.try_clone()?, server.try_clone()?);
    let up = match fault {
        Fault::CutRequest(at) => Some(at),
        _ => None,
    };
    std::thread::spawn(move || copy(up_from, up_to, up, None).ok());
    match fault {
        Fault::CutAnswer(at) => copy(server, client, Some(at), None),
        Fault::Corrupt(at) => copy(server, client, None, Some(at)),
        _ => copy(server, client, None, None),
    }
}

/// Copies so many bytes, and takes no more.
fn stall(from: TcpStream, mut to: TcpStream, after: usize) -> std::io::Result<()> {
    std::io::copy(&mut from.take(after as u64), &mut to)?;
    loop {
        std::thread::park();
    }
}

/// Copies until one side is done, or `cut` bytes have passed; then both directions end.
fn copy(
    mut from: TcpStream,
    mut to: TcpStream,
    cut: Option<usize>,
    corrupt: Option<usize>,
) -> std::io::Result<()> {
    let mut buffer = vec![0; 16 << 10];
    let mut passed = 0;
    let result = loop {
        let mut length = match from.read(&mut buffer) {
            Ok(0) => break Ok(()),
            Ok(length) => length,
            Err(error) => break Err(error),
        };
        if let Some(at) = corrupt.filter(|at| (passed..passed + length).contains(at)) {
            buffer[at - passed] ^= 1;
        }
        let last = cut.is_some_and(|cut| passed + length >= cut);
        if let (Some(cut), true) = (cut, last) {
            length = cut - passed;
        }
        if let Err(error) = to.write_all(&buffer[..length]) {
            break Err(error);
        }
        passed += length;
        if last {
            break Ok(());
        }
    };
    for stream in [&from, &to] {
        let _ = stream.shutdown(std::net::Shutdown::Both);
    }
    result
}
