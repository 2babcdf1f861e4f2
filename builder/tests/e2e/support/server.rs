//! Servers of this test process and of this machine: files by HTTP, repositories by git's own protocol.

use super::registry::{free_address, self_signed};
use super::tools::{run, tool};
use std::collections::BTreeMap;
use std::io::{BufRead as _, BufReader, Write as _};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

/// A file that is served.
#[derive(Clone, Default)]
pub(crate) struct Page {
    /// Its bytes.
    pub(crate) body: Vec<u8>,
    /// `ETag` and the like.
    pub(crate) headers: Vec<(String, String)>,
    /// Where it redirects to.
    pub(crate) location: Option<String>,
    /// The `Authorization` without which it is not given.
    pub(crate) authorization: Option<String>,
    /// How long after the headers the body comes.
    pub(crate) pause: Option<Duration>,
}

impl From<&str> for Page {
    fn from(body: &str) -> Self {
        Page { body: body.as_bytes().to_vec(), ..Page::default() }
    }
}

/// A server of files; it ends with the test process.
pub(crate) struct Files {
    address: SocketAddr,
    pages: Arc<Mutex<BTreeMap<String, Page>>>,
    log: Arc<Mutex<Vec<String>>>,
}

impl Files {
    pub(crate) fn start() -> Files {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("it is bound");
        let files = Files { address, pages: Arc::default(), log: Arc::default() };
        let (pages, log) = (Arc::clone(&files.pages), Arc::clone(&files.log));
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (pages, log) = (Arc::clone(&pages), Arc::clone(&log));
                std::thread::spawn(move || serve(&stream, &pages, &log));
            }
        });
        files
    }

    pub(crate) fn put(&self, path: &str, page: impl Into<Page>) {
        self.pages.lock().expect("no test panicked with it").insert(format!("/{path}"), page.into());
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}/{path}", self.address)
    }

    /// What was asked since the last call, with the status of the answer: `GET /x 200`.
    pub(crate) fn take_log(&self) -> Vec<String> {
        std::mem::take(&mut *self.log.lock().expect("no test panicked with it"))
    }
}

fn serve(stream: &TcpStream, pages: &Mutex<BTreeMap<String, Page>>, log: &Mutex<Vec<String>>) {
    let mut lines = BufReader::new(stream).lines().map_while(Result::ok);
    let Some(request) = lines.next() else { return };
    let headers: Vec<String> = lines.take_while(|line| !line.is_empty()).collect();
    let path = request.split(' ').nth(1).unwrap_or_default().split('?').next().unwrap_or_default().to_owned();
    let page = pages.lock().expect("no test panicked with it").get(&path).cloned();
    let asked_tag = headers.iter().find_map(|line| line.strip_prefix("if-none-match: "));
    let authorization = headers.iter().find_map(|line| line.strip_prefix("authorization: "));
    let (status, page) = match page {
        None => ("404 Not Found", Page::default()),
        Some(page) if page.authorization.is_some() && page.authorization.as_deref() != authorization => {
            ("401 Unauthorized", Page::default())
        }
        Some(page) if page.location.is_some() => ("302 Found", page),
        Some(page)
            if page.headers.iter().any(|(name, tag)| name == "ETag" && Some(tag.as_str()) == asked_tag) =>
        {
            ("304 Not Modified", Page { body: Vec::new(), ..page })
        }
        Some(page) => ("200 OK", page),
    };
    log.lock().expect("no test panicked with it").push(format!("GET {path} {}", &status[..3]));
    let mut head =
        format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n", page.body.len());
    for (name, value) in
        page.headers.iter().cloned().chain(page.location.map(|to| ("Location".to_owned(), to)))
    {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    let mut stream = stream;
    // The client may have gone.
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(b"\r\n"));
    std::thread::sleep(page.pause.unwrap_or_default());
    let _ = stream.write_all(&page.body);
}

/// A server of HTTPS with a certificate of its own; what it answers is in files, heads included.
pub(crate) struct SecureFiles {
    address: SocketAddr,
    /// What it shows.
    pub(crate) certificate: PathBuf,
    server: Child,
}

impl SecureFiles {
    /// Serves what is in `directory`.
    pub(crate) fn start(directory: &Path) -> SecureFiles {
        let (certificate, key) = self_signed(directory, "server");
        for _ in 0..5 {
            let address = free_address();
            let mut server = tool("openssl")
                .args(["s_server", "-quiet", "-HTTP", "-accept", &address.to_string(), "-cert"])
                .arg(&certificate)
                .arg("-key")
                .arg(&key)
                .current_dir(directory)
                .stdin(Stdio::null())
                .stdout(Stdio::null())
                .stderr(Stdio::null())
                .spawn()
                .expect("openssl starts");
            let deadline = Instant::now() + Duration::from_secs(10);
            while Instant::now() < deadline && server.try_wait().expect("it is our child").is_none() {
                if TcpStream::connect(address).is_ok() {
                    return SecureFiles { address, certificate, server };
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            let _ = server.kill();
            let _ = server.wait();
        }
        panic!("openssl s_server does not start");
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("https://{}/{path}", self.address)
    }
}

impl Drop for SecureFiles {
    fn drop(&mut self) {
        let _ = self.server.kill();
        let _ = self.server.wait();
    }
}

/// `git daemon` over a directory of repositories.
pub(crate) struct Repositories {
    directory: PathBuf,
    address: SocketAddr,
    daemon: Child,
}

impl Repositories {
    pub(crate) fn start(directory: &Path) -> Repositories {
        std::fs::create_dir_all(directory).expect("the laboratory is writable");
        for _ in 0..5 {
            let address = free_address();
            // Not by `git daemon`, which would leave it behind when it is killed.
            let mut daemon =
                Command::new(format!("{}/git-daemon", run(tool("git").arg("--exec-path")).trim()))
                    .args(["--reuseaddr", "--export-all", "--listen=127.0.0.1"])
                    .arg(format!("--port={}", address.port()))
                    .arg(format!("--base-path={}", directory.display()))
                    .arg(directory)
                    .stdin(Stdio::null())
                    .stdout(Stdio::null())
                    .stderr(Stdio::null())
                    .spawn()
                    .expect("git runs");
            let deadline = Instant::now() + Duration::from_secs(10);
            while Instant::now() < deadline && daemon.try_wait().expect("it is our child").is_none() {
                if TcpStream::connect(address).is_ok() {
                    return Repositories { directory: directory.to_owned(), address, daemon };
                }
                std::thread::sleep(Duration::from_millis(20));
            }
            let _ = daemon.kill();
            let _ = daemon.wait();
        }
        panic!("git daemon does not start");
    }

    /// `git ARGUMENTS` in repository `name`, made when it is not there.
    pub(crate) fn git(&self, name: &str, arguments: &[&str]) -> String {
        let path = self.directory.join(name);
        let git = |arguments: &[&str]| {
            run(tool("git")
                .arg("-C")
                .arg(&path)
                .args(["-c", "user.name=Someone", "-c", "user.email=someone@example.org"])
                .args(["-c", "protocol.file.allow=always", "-c", "safe.directory=*"])
                .args(arguments)
                .env("GIT_COMMITTER_DATE", "2001-02-03T04:05:06Z")
                .env("GIT_AUTHOR_DATE", "2001-02-03T04:05:06Z"))
        };
        if !path.exists() {
            std::fs::create_dir_all(&path).expect("the laboratory is writable");
            git(&["init", "--quiet", "--initial-branch=main"]);
        }
        git(arguments)
    }

    /// Commits files to a repository; the id of the commit.
    pub(crate) fn commit(&self, name: &str, files: &[(&str, &str)]) -> String {
        self.git(name, &["status", "--short"]);
        for (file, content) in files {
            let path = self.directory.join(name).join(file);
            std::fs::create_dir_all(path.parent().expect("it is in a directory")).expect("it can be made");
            std::fs::write(path, content).expect("it can be written");
        }
        self.git(name, &["add", "--all"]);
        self.git(name, &["commit", "--quiet", "--allow-empty", "--message=x"]);
        self.git(name, &["rev-parse", "HEAD"]).trim().to_owned()
    }

    pub(crate) fn url(&self, name: &str) -> String {
        format!("git://{}/{name}", self.address)
    }
}

impl Drop for Repositories {
    fn drop(&mut self) {
        // It has a child per connection, which end with it.
        let _ = self.daemon.kill();
        let _ = self.daemon.wait();
    }
}
