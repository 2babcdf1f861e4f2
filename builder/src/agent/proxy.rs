//! A socket that passes on what a build step may ask an agent: which keys it has, and to sign
//! (draft-miller-ssh-agent, section 3). Adding, removing and locking keys is refused, as in BuildKit.

use super::AgentError;
use std::io;
use std::os::unix::fs::{PermissionsExt, chown};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};
use tokio::task::JoinHandle;

const REQUEST_IDENTITIES: u8 = 11;
const SIGN_REQUEST: u8 = 13;
/// `SSH_AGENT_FAILURE`, with its length.
const FAILURE: [u8; 5] = [0, 0, 0, 1, 5];
/// The longest message that OpenSSH's agent takes, in bytes.
const LONGEST: u32 = 256 << 10;

/// A listening socket. It is closed, and its connections with it, when this is dropped.
#[derive(Debug)]
pub struct Proxy {
    socket: PathBuf,
    accepting: JoinHandle<()>,
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
    }
}

impl Proxy {
    /// Listens at `socket` for `agent`. The owner and mode are those of the mount.
    ///
    /// # Errors
    /// When the socket cannot be made.
    pub fn listen(socket: PathBuf, agent: PathBuf, owner: (u32, u32), mode: u32) -> Result<Self, AgentError> {
        let prepared = UnixListener::bind(&socket).and_then(|listener| {
            std::fs::set_permissions(&socket, PermissionsExt::from_mode(mode))?;
            if owner != (0, 0) {
                chown(&socket, Some(owner.0), Some(owner.1))?;
            }
            Ok(listener)
        });
        let listener = prepared.map_err(|source| AgentError::Io {
            doing: "make the socket of an SSH agent".to_owned(),
            source,
        })?;
        let agent = Arc::new(agent);
        let accepting = tokio::spawn(async move {
            let mut connections = tokio::task::JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                while connections.try_join_next().is_some() {}
                let agent = Arc::clone(&agent);
                connections.spawn(async move {
                    // A program that breaks the protocol loses its connection.
                    let _ = serve(client, &agent).await;
                });
            }
        });
        Ok(Self { socket, accepting })
    }

    /// Where it is.
    pub fn socket(&self) -> &Path {
        &self.socket
    }
}

async fn serve(mut client: UnixStream, agent: &Path) -> io::Result<()> {
    let mut upstream = None;
    while let Some(request) = message(&mut client).await? {
        if !matches!(request.get(4), Some(&(REQUEST_IDENTITIES | SIGN_REQUEST))) {
            client.write_all(&FAILURE).await?;
            continue;
        }
        let agent = match &mut upstream {
            Some(stream) => stream,
            None => upstream.insert(UnixStream::connect(agent).await?),
        };
        agent.write_all(&request).await?;
        let answer = message(agent).await?.unwrap_or_else(|| FAILURE.to_vec());
        client.write_all(&answer).await?;
    }
    Ok(())
}

/// One message with its length; `None` at the end.
async fn message(stream: &mut UnixStream) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0; 4];
    match stream.read_exact(&mut length).await {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other.map(drop)?,
    }
    let bytes = u32::from_be_bytes(length);
    if bytes == 0 || bytes > LONGEST {
        return Err(io::ErrorKind::InvalidData.into());
    }
    let mut message = length.to_vec();
    // At most LONGEST, which every usize holds.
    message.resize(4 + bytes as usize, 0);
    stream.read_exact(&mut message[4..]).await?;
    Ok(Some(message))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Mutex;

    /// An agent that answers each request with its type and remembers it.
    fn agent(socket: &Path) -> Arc<Mutex<Vec<u8>>> {
        let asked: Arc<Mutex<Vec<u8>>> = Arc::default();
        let (listener, log) = (UnixListener::bind(socket).unwrap(), Arc::clone(&asked));
        tokio::spawn(async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                while let Ok(Some(request)) = message(&mut stream).await {
                    log.lock().unwrap().push(request[4]);
                    stream.write_all(&[0, 0, 0, 2, request[4] + 1, 9]).await.unwrap();
                }
            }
        });
        asked
    }

    #[tokio::test]
    async fn only_listing_and_signing_pass() {
        let dir = tempfile::tempdir().unwrap();
        let asked = agent(&dir.path().join("agent"));
        let proxy = Proxy::listen(dir.path().join("p"), dir.path().join("agent"), (0, 0), 0o600).unwrap();
        assert_eq!(std::fs::metadata(proxy.socket()).unwrap().permissions().mode() & 0o777, 0o600);
        let mut client = UnixStream::connect(proxy.socket()).await.unwrap();
        for (request, want) in [
            (11, vec![0, 0, 0, 2, 12, 9]),
            (13, vec![0, 0, 0, 2, 14, 9]),
            // Add, remove, remove all, lock, extension.
            (17, FAILURE.to_vec()),
            (18, FAILURE.to_vec()),
            (19, FAILURE.to_vec()),
            (22, FAILURE.to_vec()),
            (27, FAILURE.to_vec()),
        ] {
            client.write_all(&[0, 0, 0, 3, request, 1, 2]).await.unwrap();
            assert_eq!(message(&mut client).await.unwrap().unwrap(), want, "{request}");
        }
        assert_eq!(*asked.lock().unwrap(), [11, 13]);

        // What breaks the protocol is hung up on.
        for bytes in [[0, 0, 0, 0], [0xff; 4]] {
            let mut client = UnixStream::connect(proxy.socket()).await.unwrap();
            client.write_all(&bytes).await.unwrap();
            assert_eq!(message(&mut client).await.unwrap(), None);
        }
    }
}
