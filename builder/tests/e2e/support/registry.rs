//! A real registry on a loopback port of its own.

use super::bases::base;
use super::tools::{run, tool};
use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

/// Runs until dropped.
pub(crate) struct Registry {
    address: SocketAddr,
    server: Child,
}

impl Registry {
    /// Starts one that anyone may pull from and push to. Its files go into `directory`.
    pub(crate) fn start(directory: &Path) -> Registry {
        Registry::configured(directory, "", "")
    }

    /// Starts one that knows a single user.
    pub(crate) fn with_password(directory: &Path, user: &str, password: &str) -> Registry {
        let file = directory.join("htpasswd");
        let line = run(tool("htpasswd").args(["-nbB", user, password]));
        fs::write(&file, line).expect("the registry's directory is writable");
        Registry::configured(
            directory,
            "",
            &format!("auth: {{htpasswd: {{realm: test, path: {}}}}}\n", file.display()),
        )
    }

    /// Starts one of HTTPS with a certificate for 127.0.0.1 that nobody vouches for. It is in `registry.pem`, its key in
    /// `registry.key`.
    pub(crate) fn with_tls(directory: &Path) -> Registry {
        let (certificate, key) = self_signed(directory, "registry");
        let (certificate, key) = (certificate.display(), key.display());
        Registry::configured(
            directory,
            &format!(", tls: {{certificate: \"{certificate}\", key: \"{key}\"}}"),
            "",
        )
    }

    fn configured(directory: &Path, tls: &str, more: &str) -> Registry {
        // A free port can be taken by someone else before the registry has it: then it exits, and another one is tried.
        for _ in 0..20 {
            let address = free_address();
            let file = directory.join(format!("registry-{}.yml", address.port()));
            let configuration = format!(
                "version: 0.1\nlog: {{level: error, accesslog: {{disabled: true}}}}\n\
                 storage: {{filesystem: {{rootdirectory: {}}}, delete: {{enabled: true}}}}\n\
                 http: {{addr: \"{address}\", secret: test{tls}}}\n{more}",
                directory.join("registry").display()
            );
            fs::write(&file, configuration).expect("the registry's directory is writable");
            let log =
                fs::File::create(file.with_extension("log")).expect("the registry's directory is writable");
            let mut server = tool("docker-registry")
                .arg("serve")
                .arg(&file)
                .stdin(Stdio::null())
                .stdout(log.try_clone().expect("a file can be opened twice"))
                .stderr(log)
                .spawn()
                .expect("docker-registry starts");
            if answers(address, &mut server) {
                return Registry { address, server };
            }
        }
        panic!("docker-registry does not start: see the logs in {}", directory.display());
    }

    /// `127.0.0.1:port`.
    pub(crate) fn name(&self) -> String {
        self.address.to_string()
    }

    /// `127.0.0.1:port/repository`.
    pub(crate) fn reference(&self, repository: &str) -> String {
        format!("{}/{repository}", self.address)
    }

    /// Makes `bases/NAME` of this registry.
    pub(crate) fn push_base(&self, name: &str) -> String {
        let reference = self.reference(&format!("bases/{name}"));
        run(tool("skopeo")
            .args(["copy", "--quiet", "--insecure-policy", "--dest-tls-verify=false"])
            .arg(format!("dir:{}", base(name).display()))
            .arg(format!("docker://{reference}:latest")));
        reference
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// A certificate for 127.0.0.1 that nobody vouches for, in `NAME.pem`, and its key in `NAME.key`.
pub(crate) fn self_signed(directory: &Path, name: &str) -> (PathBuf, PathBuf) {
    let (certificate, key) = (directory.join(format!("{name}.pem")), directory.join(format!("{name}.key")));
    run(tool("openssl")
        .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test"])
        .args(["-addext", "subjectAltName=IP:127.0.0.1", "-keyout"])
        .arg(&key)
        .arg("-out")
        .arg(&certificate));
    (certificate, key)
}

/// An address nobody listens on just now.
pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind(("127.0.0.1", 0))
        .and_then(|listener| listener.local_addr())
        .expect("loopback has free ports")
}

/// Whether `server` came to answer HTTP at `address`; false once it has exited.
fn answers(address: SocketAddr, server: &mut Child) -> bool {
    let end = Instant::now() + Duration::from_secs(20);
    while Instant::now() < end {
        if !matches!(server.try_wait(), Ok(None)) {
            return false;
        }
        let mut first = [0; 4];
        let asked = TcpStream::connect(address).and_then(|mut stream| {
            stream.set_read_timeout(Some(Duration::from_secs(5)))?;
            stream.write_all(b"GET /v2/ HTTP/1.0\r\n\r\n")?;
            stream.read_exact(&mut first)
        });
        if asked.is_ok() && &first == b"HTTP" {
            return true;
        }
        sleep(Duration::from_millis(10));
    }
    let _ = server.kill();
    let _ = server.wait();
    false
}
