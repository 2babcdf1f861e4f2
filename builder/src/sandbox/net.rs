//! Names of hosts, as a sandbox sees them.

use super::Network;
use std::io;
use std::path::Path;

/// This machine's resolver configuration.
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// What systemd-resolved itself forwards to, when [`RESOLV_CONF`] names only its loopback address.
const SYSTEMD_UPSTREAM: &str = "/run/systemd/resolve/resolv.conf";

/// The bytes of `/etc/resolv.conf` for a sandbox: this machine's.
///
/// systemd-resolved listens on 127.0.0.53 of this machine, which only the host network reaches; for every other one the
/// servers behind it are named. A machine without the file has no servers.
///
/// # Errors
/// The file cannot be read.
pub fn resolv_conf(network: Network) -> io::Result<Vec<u8>> {
    let own = read_or_empty(Path::new(RESOLV_CONF))?;
    if network == Network::Host || !only_systemd_resolved(&own) {
        return Ok(own);
    }
    read_or_empty(Path::new(SYSTEMD_UPSTREAM))
}

fn read_or_empty(path: &Path) -> io::Result<Vec<u8>> {
    match std::fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Vec::new()),
        other => other,
    }
}

/// Whether 127.0.0.53 is the only name server.
fn only_systemd_resolved(resolv_conf: &[u8]) -> bool {
    let text = String::from_utf8_lossy(resolv_conf);
    let servers: Vec<&str> = text
        .lines()
        .filter_map(|line| {
            let mut words = line.split_whitespace();
            (words.next() == Some("nameserver")).then(|| words.next().unwrap_or_default())
        })
        .collect();
    servers == ["127.0.0.53"]
}

/// The bytes of `/etc/hosts`.
pub(super) fn hosts(hostname: &str, extra: &[(String, String)]) -> Vec<u8> {
    let mut text = format!("127.0.0.1\tlocalhost {hostname}\n::1\tlocalhost ip6-localhost ip6-loopback\n");
    for (name, address) in extra {
        text.push_str(&format!("{address}\t{name}\n"));
    }
    text.into_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn systemd_resolved_is_recognised() {
        assert!(only_systemd_resolved(b"# stub\nnameserver 127.0.0.53\noptions edns0\nsearch lan\n"));
        assert!(!only_systemd_resolved(b"nameserver 127.0.0.53\nnameserver 9.9.9.9\n"));
        assert!(!only_systemd_resolved(b"nameserver 127.0.0.1\n"));
        assert!(!only_systemd_resolved(b""));
    }

    #[test]
    fn hosts_has_every_name() {
        let extra = [("db".to_owned(), "10.0.0.7".to_owned()), ("v6".to_owned(), "::7".to_owned())];
        let want = "127.0.0.1\tlocalhost builder\n::1\tlocalhost ip6-localhost ip6-loopback\n10.0.0.7\tdb\n::7\tv6\n";
        assert_eq!(String::from_utf8(hosts("builder", &extra)).unwrap(), want);
    }
}
