//! A `docker-registry` of the machine, on a free port of the loopback interface, with its data in a temporary directory.

use std::{
    fs,
    net::{TcpListener, TcpStream},
    path::Path,
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
pub(crate) enum Auth {
    None,
    /// User `tester`, password `secret`.
    Htpasswd,
}

/// A running registry; it ends when this is dropped.
pub(crate) struct DockerRegistry {
    child: Child,
    /// `127.0.0.1:port`.
    pub(crate) address: String,
    _data: TempDir,
}

impl DockerRegistry {
    pub(crate) fn start(auth: &Auth) -> Self {
        let data = tempfile::tempdir().unwrap();
        // Another process may take the port before the registry does; then it is tried with another.
        for _ in 0..5 {
            let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().to_string();
            let config = config(data.path(), &address, auth);
            let path = data.path().join("config.yml");
            fs::write(&path, config).unwrap();
            let mut child = Command::new("docker-registry")
                .args(["serve".as_ref(), path.as_os_str()])
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

fn config(data: &Path, address: &str, auth: &Auth) -> String {
    let auth = match auth {
        Auth::None => String::new(),
        Auth::Htpasswd => {
            let path = data.join("htpasswd");
            // bcrypt at its lowest cost, since the registry computes it at each request.
            let line = "tester:$2b$04$dhCu358pmm8ZN0T4L2IXCeelZXak77QZjdg9pR9QfWGW/hGKMFGpm\n";
            fs::write(&path, line).unwrap();
            format!("auth:\n  htpasswd:\n    realm: test\n    path: {}\n", path.display())
        }
    };
    format!(
        "version: 0.1\nlog:\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: {}\n  delete:\n    enabled: true\nhttp:\n  addr: {address}\n{auth}",
        data.join("data").display()
    )
}
