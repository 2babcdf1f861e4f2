//! An HTTP proxy that makes tunnels (`CONNECT`), all to one server: names that nobody else knows can be used behind it.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// The proxy; its threads end with the test process.
pub(crate) struct Tunnel {
    address: SocketAddr,
    log: Arc<Mutex<Vec<String>>>,
}

impl Tunnel {
    /// Whatever is asked for, `server` is behind it.
    pub(crate) fn start(server: String) -> Tunnel {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let tunnel = Tunnel { address: listener.local_addr().expect("it is bound"), log: Arc::default() };
        let log = Arc::clone(&tunnel.log);
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let (server, log) = (server.clone(), Arc::clone(&log));
                // Whoever hangs up here does so on purpose.
                std::thread::spawn(move || pass(client, &server, &log).ok());
            }
        });
        tunnel
    }

    /// Its URL, with a user and a password.
    pub(crate) fn url(&self, user: &str) -> String {
        format!("http://{user}@{}", self.address)
    }

    /// What it was asked since the last call.
    pub(crate) fn take_log(&self) -> Vec<String> {
        std::mem::take(&mut *self.log.lock().expect("no test panicked with it"))
    }
}

fn pass(mut client: TcpStream, server: &str, log: &Mutex<Vec<String>>) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    log.lock().expect("no test panicked with it").push(String::from_utf8_lossy(&head).into_owned());
    if !head.starts_with(b"CONNECT ") {
        return client
            .write_all(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    }
    let mut server = TcpStream::connect(server)?;
    client.write_all(b"HTTP/1.1 200 OK\r\n\r\n")?;
    let (mut up_from, mut up_to) = (client.try_clone()?, server.try_clone()?);
    std::thread::spawn(move || std::io::copy(&mut up_from, &mut up_to));
    let result = std::io::copy(&mut server, &mut client).map(drop);
    for stream in [&client, &server] {
        let _ = stream.shutdown(Shutdown::Both);
    }
    result
}
