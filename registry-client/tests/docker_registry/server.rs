//! A `docker-registry` of the machine, on a free port of the loopback interface, with its data in a temporary directory.

use std::{
    fs,
    io::Write,
    net::{TcpListener, TcpStream},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};
use tempfile::TempDir;

/// Whether a program is there. If not, the test that asks is skipped, or fails where tools are required.
#[expect(clippy::print_stderr, reason = "a skipped test says so")]
pub(crate) fn have(program: &str) -> bool {
    let path = std::env::var_os("PATH").unwrap_or_default();
    if std::env::split_paths(&path).any(|directory| directory.join(program).is_file()) {
        return true;
    }
    let required = std::env::var_os("SLIPWAY_REQUIRE_TOOLS").is_some_and(|value| value == "1");
    assert!(!required, "{program} is required (SLIPWAY_REQUIRE_TOOLS=1) and is not in PATH");
    eprintln!("skipped: {program} is not in PATH");
    false
}

/// How clients prove who they are.
pub(crate) enum Auth<'a> {
    None,
    /// User `tester`, password `secret`.
    Htpasswd,
    /// Tokens of this realm, signed by the key of this certificate.
    Token {
        realm: &'a str,
        certificate: &'a Path,
    },
    /// Everyone may do everything, by HTTPS.
    Tls(&'a KeyPair),
    /// The same for those who show a certificate signed by the second.
    MutualTls(&'a KeyPair, &'a KeyPair),
}

/// Where the registry keeps what it gets.
#[allow(dead_code, reason = "not every test that has this file needs both")]
#[derive(Clone, Copy)]
pub(crate) enum Storage {
    Directory,
    /// Four times as fast, for tests of many requests.
    Memory,
}

/// A running registry; it ends when this is dropped.
pub(crate) struct DockerRegistry {
    child: Child,
    /// `127.0.0.1:port`.
    pub(crate) address: String,
    _data: TempDir,
}

impl DockerRegistry {
    pub(crate) fn start(auth: &Auth<'_>) -> Self {
        Self::start_in(Storage::Directory, auth)
    }

    pub(crate) fn start_in(storage: Storage, auth: &Auth<'_>) -> Self {
        let data = tempfile::tempdir().unwrap();
        // Another process may take the port before the registry does; then it is tried with another.
        for _ in 0..5 {
            let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
            let config = config(data.path(), storage, &address, auth);
            let path = data.path().join("config.yml");
            fs::write(&path, config).unwrap();
            let mut child = Command::new("docker-registry")
                .args(["serve".as_ref(), path.as_os_str()])
                // It lives for seconds: garbage is no trouble, collecting it is.
                .env("GOGC", "800")
                .stdout(Stdio::null())
                .stderr(fs::File::create(data.path().join("log")).unwrap())
                .spawn()
                .unwrap();
            let deadline = Instant::now() + Duration::from_secs(20);
            while Instant::now() < deadline && child.try_wait().unwrap().is_none() {
                if TcpStream::connect(&address).is_ok() {
                    return Self { child, address, _data: data };
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            child.kill().ok();
            child.wait().ok();
        }
        panic!("docker-registry does not start: {}", fs::read_to_string(data.path().join("log")).unwrap());
    }
}

impl Drop for DockerRegistry {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

fn config(data: &Path, storage: Storage, address: &str, auth: &Auth<'_>) -> String {
    let more = match auth {
        Auth::None => String::new(),
        Auth::Tls(pair) => {
            let (certificate, key) = (pair.certificate.display(), pair.key.display());
            format!("  tls:\n    certificate: {certificate}\n    key: {key}\n")
        }
        Auth::MutualTls(pair, clients) => {
            let (certificate, key) = (pair.certificate.display(), pair.key.display());
            let clients = clients.certificate.display();
            format!("  tls:\n    certificate: {certificate}\n    key: {key}\n    clientcas: [{clients}]\n")
        }
        Auth::Token { realm, certificate } => format!(
            "auth:\n  token:\n    realm: {realm}\n    service: test\n    issuer: issuer\n    rootcertbundle: {}\n",
            certificate.display()
        ),
        Auth::Htpasswd => {
            let path = data.join("htpasswd");
            // bcrypt at its lowest cost, since the registry computes it at each request.
            let line = "tester:$2b$04$dhCu358pmm8ZN0T4L2IXCeelZXak77QZjdg9pR9QfWGW/hGKMFGpm\n";
            fs::write(&path, line).unwrap();
            format!("auth:\n  htpasswd:\n    realm: test\n    path: {}\n", path.display())
        }
    };
    let storage = match storage {
        Storage::Directory => format!("filesystem:\n    rootdirectory: {}", data.join("data").display()),
        Storage::Memory => "inmemory: {}".to_owned(),
    };
    format!(
        "version: 0.1\nlog:\n  level: error\n  accesslog:\n    disabled: true\nstorage:\n  {storage}\n  delete:\n    enabled: true\nhttp:\n  addr: {address}\n{more}",
    )
}

/// A key and a certificate for it that it signed itself, valid for 127.0.0.1; it says that it is a CA's, as most of those do
/// that people make for their registries.
pub(crate) struct KeyPair {
    pub(crate) key: PathBuf,
    pub(crate) certificate: PathBuf,
    _directory: TempDir,
}

impl KeyPair {
    pub(crate) fn generate() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let (key, certificate) = (directory.path().join("key.pem"), directory.path().join("certificate.pem"));
        let output = Command::new("openssl")
            .args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test"])
            .args(["-addext", "subjectAltName=IP:127.0.0.1"])
            .arg("-keyout")
            .arg(&key)
            .arg("-out")
            .arg(&certificate)
            .output()
            .unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Self { key, certificate, _directory: directory }
    }

    /// A certificate for a client, signed by this one, and its key.
    #[allow(dead_code, reason = "not every test that has this file needs it")]
    pub(crate) fn sign_client(&self) -> (Vec<u8>, Vec<u8>) {
        let directory = tempfile::tempdir().unwrap();
        let openssl = |command: &mut Command| {
            let output = command.current_dir(&directory).output().unwrap();
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        };
        let request = "req -new -newkey rsa:2048 -nodes -subj /CN=user -keyout key.pem -out request.pem";
        openssl(Command::new("openssl").args(request.split(' ')));
        let sign = "x509 -req -in request.pem -CAcreateserial -CAserial serial -days 2 -out client.pem";
        let mut command = Command::new("openssl");
        openssl(command.args(sign.split(' ')).arg("-CA").arg(&self.certificate).arg("-CAkey").arg(&self.key));
        let read = |name: &str| fs::read(directory.path().join(name)).unwrap();
        (read("client.pem"), read("key.pem"))
    }

    /// Signs by RSA with SHA-256.
    pub(crate) fn sign(&self, bytes: &[u8]) -> Vec<u8> {
        let mut child = Command::new("openssl")
            .args(["dgst", "-sha256", "-sign"])
            .arg(&self.key)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(bytes).unwrap();
        let output = child.wait_with_output().unwrap();
        assert!(output.status.success());
        output.stdout
    }
}
