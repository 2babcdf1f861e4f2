//! A gate before a registry that takes one family of media types alone, as some registries do.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};

/// A server that passes on what it does not refuse, one request for each connection; its threads end with the test
/// process.
pub(crate) struct Gate {
    address: SocketAddr,
}

impl Gate {
    /// Before `server`; refuses manifests whose media type has `refused` in it, by 415.
    pub(crate) fn start(server: String, refused: &'static str) -> Gate {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        std::thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let server = server.clone();
                // Whoever hangs up here does so on purpose.
                std::thread::spawn(move || pass(client, &server, refused).ok());
            }
        });
        Gate { address }
    }

    /// `127.0.0.1:port/repository`.
    pub(crate) fn reference(&self, repository: &str) -> String {
        format!("{}/{repository}", self.address)
    }
}

fn pass(mut client: TcpStream, server: &str, refused: &str) -> std::io::Result<()> {
    let mut head = Vec::new();
    let mut byte = [0];
    while !head.ends_with(b"\r\n\r\n") {
        client.read_exact(&mut byte)?;
        head.push(byte[0]);
    }
    let text = String::from_utf8_lossy(&head).into_owned();
    let mut lines = text.lines();
    let request = lines.next().unwrap_or_default();
    let is_refused =
        |line: &str| line.to_ascii_lowercase().starts_with("content-type:") && line.contains(refused);
    if request.starts_with("PUT ") && request.contains("/manifests/") && lines.any(is_refused) {
        let body = r#"{"errors":[{"code":"MANIFEST_INVALID","message":"unknown media type"}]}"#;
        let length = body.len();
        write!(
            client,
            "HTTP/1.1 415 Unsupported Media Type\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\
             Connection: close\r\n\r\n{body}"
        )?;
        client.shutdown(Shutdown::Write)?;
        // Until the client hangs up: closing before its body was read would take the answer from it.
        return std::io::copy(&mut client, &mut std::io::sink()).map(drop);
    }
    let mut server = TcpStream::connect(server)?;
    // The next request of a connection would pass unseen.
    server.write_all(text.replacen("\r\n", "\r\nConnection: close\r\n", 1).as_bytes())?;
    let (mut up_from, mut up_to) = (client.try_clone()?, server.try_clone()?);
    std::thread::spawn(move || std::io::copy(&mut up_from, &mut up_to));
    let result = std::io::copy(&mut server, &mut client).map(drop);
    for stream in [&client, &server] {
        let _ = stream.shutdown(Shutdown::Both);
    }
    result
}
