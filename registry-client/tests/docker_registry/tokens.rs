//! A token server whose tokens `docker-registry` believes: JSON web tokens, signed by the key it trusts.

use crate::server::KeyPair;
use base64::{
    Engine,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::json;
use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{SystemTime, UNIX_EPOCH},
};

/// The server: user `tester` with password `secret` may do what it asks for, everyone else may pull.
pub(crate) struct TokenServer {
    pub(crate) realm: String,
    /// How many tokens were given.
    pub(crate) given: Arc<AtomicUsize>,
}

impl TokenServer {
    /// Serves until the process ends.
    pub(crate) fn start(pair: Arc<KeyPair>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let realm = format!("http://{}/token", listener.local_addr().unwrap());
        let given: Arc<AtomicUsize> = Arc::default();
        let counter = given.clone();
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                // A client that hangs up is its own affair.
                let _ = answer(stream.unwrap(), &pair, &counter);
            }
        });
        Self { realm, given }
    }
}

fn answer(mut stream: TcpStream, pair: &KeyPair, given: &AtomicUsize) -> std::io::Result<()> {
    let mut lines = BufReader::new(stream.try_clone()?).lines();
    let request = lines.next().unwrap()?;
    let mut may_push = false;
    loop {
        let line = lines.next().unwrap()?;
        if line.is_empty() {
            break;
        }
        may_push |=
            line.eq_ignore_ascii_case(&format!("authorization: Basic {}", STANDARD.encode("tester:secret")));
    }
    let target = request.split(' ').nth(1).unwrap();
    let url = url::Url::parse(&format!("http://localhost{target}")).unwrap();
    let scopes = url.query_pairs().filter(|(name, _)| name == "scope").map(|(_, scope)| {
        let parts: Vec<&str> = scope.split(':').collect();
        let [kind, name, actions] = parts[..] else { panic!("{scope}") };
        let actions = actions.split(',').filter(|action| may_push || *action == "pull");
        json!({ "type": kind, "name": name, "actions": actions.collect::<Vec<_>>() })
    });
    let body = json!({ "token": token(pair, &scopes.collect::<Vec<_>>()), "expires_in": 300 }).to_string();
    given.fetch_add(1, Ordering::Relaxed);
    write!(stream, "HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

fn token(pair: &KeyPair, access: &[serde_json::Value]) -> String {
    let pem = fs::read_to_string(&pair.certificate).unwrap();
    let certificate: String = pem.lines().filter(|line| !line.starts_with('-')).collect();
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_secs();
    let header = json!({ "typ": "JWT", "alg": "RS256", "x5c": [certificate] });
    let claims = json!({
        "iss": "issuer", "sub": "tester", "aud": "test", "jti": "1",
        "nbf": now - 10, "iat": now - 10, "exp": now + 300, "access": access,
    });
    let parts = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
    let signed = parts.join(".");
    format!("{signed}.{}", URL_SAFE_NO_PAD.encode(pair.sign(signed.as_bytes())))
}
