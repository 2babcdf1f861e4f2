//! Just enough HTTP to ask a program that was just started.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// The body of `GET path`, asked again until something answers 200 or `patience` is over.
#[track_caller]
pub(crate) fn get(address: SocketAddr, path: &str, patience: Duration) -> String {
    let end = Instant::now() + patience;
    loop {
        let outcome = once(address, path);
        match outcome {
            Ok(body) => return body,
            Err(error) if Instant::now() > end => panic!("GET {path} from {address}: {error}"),
            Err(_) => sleep(Duration::from_millis(100)),
        }
    }
}

fn once(address: SocketAddr, path: &str) -> Result<String, String> {
    let mut stream = TcpStream::connect(address).map_err(|error| error.to_string())?;
    stream.set_read_timeout(Some(Duration::from_secs(10))).map_err(|error| error.to_string())?;
    write!(stream, "GET {path} HTTP/1.0\r\nHost: test\r\n\r\n").map_err(|error| error.to_string())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).map_err(|error| error.to_string())?;
    let (head, body) = answer.split_once("\r\n\r\n").ok_or("no end of headers")?;
    let status = head.lines().next().unwrap_or_default();
    if status.split(' ').nth(1) == Some("200") { Ok(body.to_owned()) } else { Err(status.to_owned()) }
}
