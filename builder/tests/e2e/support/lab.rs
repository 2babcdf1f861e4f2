//! A fresh directory, and the program run in it by root or by an unprivileged user.

use super::output::Build;
use super::tools::{available, output, run, skip, testdata, tool};
use rustix::process::{Pid, Signal};
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{PermissionsExt as _, chown};
use std::os::unix::process::CommandExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread::sleep;
use std::time::{Duration, Instant};
use tempfile::TempDir;

/// Who runs the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    /// uid 0.
    Root,
    /// A user that owns nothing here but subordinate ids.
    Unprivileged,
}

/// One test's place.
pub(crate) struct Lab {
    directory: TempDir,
    user: Option<User>,
}

struct User {
    uid: u32,
    gid: u32,
}

/// Makes two tests out of `fn(&Lab)`: one as root, one as the unprivileged user.
macro_rules! as_everyone {
    ($name:ident, $tools:expr, $body:expr) => {
        mod $name {
            #[allow(unused_imports, reason = "the tools are often named by a constant of the parent")]
            use super::*;

            #[test]
            fn as_root() {
                let name = concat!(module_path!(), "::as_root");
                if let Some(lab) =
                    $crate::support::lab::Lab::new(name, $crate::support::lab::Who::Root, $tools)
                {
                    let body: fn(&$crate::support::lab::Lab) = $body;
                    body(&lab);
                }
            }

            #[test]
            fn unprivileged() {
                let name = concat!(module_path!(), "::unprivileged");
                if let Some(lab) =
                    $crate::support::lab::Lab::new(name, $crate::support::lab::Who::Unprivileged, $tools)
                {
                    let body: fn(&$crate::support::lab::Lab) = $body;
                    body(&lab);
                }
            }
        }
    };
}
pub(crate) use as_everyone;

impl Lab {
    /// A laboratory for test `name`, unless this machine lacks something it needs.
    pub(crate) fn new(name: &str, who: Who, tools: &[&str]) -> Option<Lab> {
        if !available(name, tools) {
            return None;
        }
        let user = match who {
            Who::Root => None,
            Who::Unprivileged => match test_user() {
                Ok(user) => Some(user),
                Err(why) => {
                    skip(name, &why);
                    return None;
                }
            },
        };
        let directory = tempfile::Builder::new()
            .prefix("slipway-e2e-")
            .permissions(fs::Permissions::from_mode(0o755))
            .tempdir_in(scratch())
            .expect("the place for tests is writable");
        let lab = Lab { directory, user };
        fs::create_dir(lab.path("bin")).expect("the directory is new");
        let built = Path::new(env!("CARGO_BIN_EXE_slipway"));
        if fs::hard_link(built, lab.program()).is_err() {
            // Not by this process: a child that another thread starts meanwhile would hold the file open for writing.
            run(tool("cp").arg(built).arg(lab.program()));
        }
        lab.give(lab.directory.path());
        for owned in ["home", "tmp", "docker"] {
            lab.directory(owned);
        }
        Some(lab)
    }

    /// Who runs the program here.
    pub(crate) fn who(&self) -> Who {
        if self.user.is_some() { Who::Unprivileged } else { Who::Root }
    }

    /// A path in the laboratory.
    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.directory.path().join(name)
    }

    /// The program, under its installed name.
    pub(crate) fn program(&self) -> PathBuf {
        self.path("bin/build")
    }

    /// The store's directory.
    pub(crate) fn store(&self) -> PathBuf {
        self.path("store")
    }

    /// Makes directory `name`, owned by the user.
    pub(crate) fn directory(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        fs::create_dir_all(&path).expect("the laboratory is writable");
        self.give(&path);
        path
    }

    /// Makes file `name` with its directories, owned by the user.
    pub(crate) fn file(&self, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(name);
        let parent = path.parent().expect("a file is in a directory");
        fs::create_dir_all(parent).expect("the laboratory is writable");
        fs::write(&path, content).expect("the laboratory is writable");
        self.give(parent);
        self.give(&path);
        path
    }

    /// A context named `name` with just a Dockerfile.
    pub(crate) fn dockerfile(&self, name: &str, text: &str) -> PathBuf {
        self.file(&format!("{name}/Dockerfile"), text).parent().expect("a file is in a directory").to_owned()
    }

    /// A copy of `testdata/real/NAME`, with this machine's certificates where the input has a place for them.
    pub(crate) fn real_input(&self, name: &str) -> PathBuf {
        let copy = self.path(name);
        run(tool("cp").arg("-a").arg(testdata("real").join(name)).arg(&copy));
        if let Some(certificates) = host_certificates().filter(|_| copy.join("certificates").is_dir()) {
            fs::copy(certificates, copy.join("certificates/host.crt")).expect("the copy is writable");
        }
        run(tool("chown").args(["-R", &self.owner()]).arg(&copy));
        copy
    }

    /// `uid:gid` of the user.
    pub(crate) fn owner(&self) -> String {
        self.user.as_ref().map_or_else(|| "0:0".to_owned(), |user| format!("{}:{}", user.uid, user.gid))
    }

    fn give(&self, path: &Path) {
        if let Some(user) = &self.user {
            chown(path, Some(user.uid), Some(user.gid)).expect("root may give files away");
        }
    }

    /// Makes `command` run as the user, in the laboratory, in an environment that says nothing else.
    pub(crate) fn confine<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        self.surround(command);
        if let Some(user) = &self.user {
            command.uid(user.uid).gid(user.gid);
        }
        command
    }

    /// The laboratory and its environment.
    fn surround<'a>(&self, command: &'a mut Command) -> &'a mut Command {
        command
            .env_clear()
            .env("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin")
            .env("HOME", self.path("home"))
            .env("TMPDIR", self.path("tmp"))
            .env("DOCKER_CONFIG", self.path("docker"))
            .env("SLIPWAY_ROOT", self.store())
            .current_dir(self.path("home"))
    }

    /// The program with `arguments`, run by the user on a machine that has no subordinate ids for anybody.
    pub(crate) fn command_with_one_id<A: AsRef<OsStr>>(
        &self,
        arguments: impl IntoIterator<Item = A>,
    ) -> Command {
        let user = self.user.as_ref().expect("root has every id");
        let script =
            "mount --bind /dev/null /etc/subuid && mount --bind /dev/null /etc/subgid && exec setpriv \"$@\"";
        let mut command = tool("unshare");
        self.surround(&mut command).args(["--mount", "sh", "-c", script, "setpriv"]);
        command.args([format!("--reuid={}", user.uid), format!("--regid={}", user.gid)]);
        command.args(["--clear-groups", "--"]).arg(self.program()).args(arguments);
        command
    }

    /// The program with `arguments`, not yet run.
    pub(crate) fn command<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Command {
        let mut command = Command::new(self.program());
        self.confine(&mut command).args(arguments);
        command
    }

    /// `build --progress=plain ARGUMENTS`, run to its end, whatever comes out.
    #[track_caller]
    pub(crate) fn try_build<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Build {
        let mut command = self.command(["build", "--progress=plain"]);
        command.args(arguments);
        Build::from(output(&mut command))
    }

    /// The same, where anything but success fails the test.
    #[track_caller]
    pub(crate) fn build<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> Build {
        let build = self.try_build(arguments);
        assert_eq!(build.status, Some(0), "{}", build.text);
        build
    }

    /// Another verb; what it prints on standard output.
    #[track_caller]
    pub(crate) fn verb<A: AsRef<OsStr>>(&self, arguments: impl IntoIterator<Item = A>) -> String {
        run(&mut self.command(arguments))
    }

    /// Fails when something of the laboratory is still mounted, still runs, or was left in a temporary directory.
    #[track_caller]
    pub(crate) fn assert_nothing_left(&self) {
        let here = self.directory.path().to_str().expect("the laboratory's path is text");
        let mounts = fs::read_to_string("/proc/self/mountinfo").expect("/proc is mounted");
        let left: Vec<_> = mounts.lines().filter(|line| line.contains(here)).collect();
        assert!(left.is_empty(), "mounts are left: {left:#?}");

        let program = self.program();
        let running: Vec<_> = processes().filter(|(_, executable)| *executable == program).collect();
        assert!(running.is_empty(), "processes are left: {running:?}");

        for directory in [self.path("tmp"), self.store().join("tmp")] {
            let left = entries(&directory);
            assert!(left.is_empty(), "{} is not empty: {left:?}", directory.display());
        }
    }
}

/// Where laboratories are: `SLIPWAY_TEST_DIR`, or `/var/tmp`. Not in cargo's target directory, which may be somewhere
/// the user may not look; and not in `/tmp`, which may be a file system in memory without user attributes.
pub(crate) fn scratch() -> PathBuf {
    std::env::var_os("SLIPWAY_TEST_DIR").map_or_else(|| "/var/tmp".into(), PathBuf::from)
}

/// The names in a directory; none when it is not there.
pub(crate) fn entries(directory: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(directory) else { return Vec::new() };
    let mut names: Vec<_> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Every process, with the program it runs.
pub(crate) fn processes() -> impl Iterator<Item = (u32, PathBuf)> {
    fs::read_dir("/proc").expect("/proc is mounted").flatten().filter_map(|entry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        Some((pid, fs::read_link(entry.path().join("exe")).ok()?))
    })
}

/// The bundle of certificates that programs of this machine trust, named as its environment names it.
pub(crate) fn host_certificates() -> Option<PathBuf> {
    std::env::var_os("SSL_CERT_FILE")
        .map(PathBuf::from)
        .into_iter()
        .chain(["/etc/ssl/certs/ca-certificates.crt", "/etc/ssl/cert.pem"].map(PathBuf::from))
        .find(|path| path.is_file())
}

fn test_user() -> Result<User, String> {
    let name = std::env::var("SLIPWAY_TEST_USER").unwrap_or_else(|_| "slipway-test".to_owned());
    let read = |path: &str| fs::read_to_string(path).map_err(|error| format!("{path}: {error}"));
    let passwd = read("/etc/passwd")?;
    let fields: Vec<&str> = passwd
        .lines()
        .map(|line| line.split(':').collect::<Vec<_>>())
        .find(|fields| fields[0] == name)
        .ok_or_else(|| format!("there is no user {name:?}; test.sh makes it"))?;
    let subordinate = format!("{name}:");
    for file in ["/etc/subuid", "/etc/subgid"] {
        if !read(file)?.lines().any(|line| line.starts_with(&subordinate)) {
            return Err(format!("{file} has no range for user {name:?}"));
        }
    }
    let number = |index: usize| fields.get(index).and_then(|field| field.parse().ok());
    match (number(2), number(3)) {
        (Some(uid), Some(gid)) => Ok(User { uid, gid }),
        _ => Err(format!("/etc/passwd has a damaged line for user {name:?}")),
    }
}

/// A verb that runs until it is told to stop.
pub(crate) struct Serving {
    child: Child,
    log: PathBuf,
}

impl Serving {
    /// Starts the program in `lab`.
    pub(crate) fn start(lab: &Lab, arguments: &[&str]) -> Serving {
        Serving::with(lab, arguments, Stdio::null())
    }

    /// The same with `input` as its standard input.
    pub(crate) fn reading(lab: &Lab, arguments: &[&str], input: &str) -> Serving {
        let file = fs::File::open(lab.file("standard-input", input)).expect("the file was made");
        Serving::with(lab, arguments, file.into())
    }

    fn with(lab: &Lab, arguments: &[&str], input: Stdio) -> Serving {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let log = lab.path(format!("serving-{}.log", NEXT.fetch_add(1, Ordering::Relaxed)));
        let file = fs::File::create(&log).expect("the laboratory is writable");
        let child = lab
            .command(arguments)
            .stdin(input)
            .stdout(file.try_clone().expect("a file can be opened twice"))
            .stderr(file)
            .spawn()
            .expect("the program starts");
        Serving { child, log }
    }

    /// What it has printed until now.
    pub(crate) fn printed(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    /// Waits until it has printed `text`.
    #[track_caller]
    pub(crate) fn wait_for(&mut self, text: &str) {
        let end = Instant::now() + Duration::from_secs(60);
        while !self.printed().contains(text) {
            let exited = self.child.try_wait().expect("a child can be waited for");
            assert!(
                exited.is_none() && Instant::now() < end,
                "{text:?} was not printed in:\n{}",
                self.printed()
            );
            sleep(Duration::from_millis(10));
        }
    }

    /// Sends a signal to the program alone, as `kill` does.
    pub(crate) fn signal(&self, signal: Signal) {
        let pid =
            i32::try_from(self.child.id()).ok().and_then(Pid::from_raw).expect("a child has a process id");
        rustix::process::kill_process(pid, signal).expect("root may signal every process");
    }

    /// Its exit status; `None` when a signal ended it. Fails the test when it does not end soon.
    #[track_caller]
    pub(crate) fn wait(&mut self) -> Option<i32> {
        let end = Instant::now() + Duration::from_secs(30);
        loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                return status.code();
            }
            assert!(Instant::now() < end, "it does not end; it printed:\n{}", self.printed());
            sleep(Duration::from_millis(10));
        }
    }

    /// Asks it to end, as a terminal does.
    #[track_caller]
    pub(crate) fn stop(mut self) {
        self.signal(Signal::INT);
        // The first process of a pid namespace hears only what it handles; Python does, Node.js does not.
        let end = Instant::now() + Duration::from_secs(2);
        while Instant::now() < end {
            if self.child.try_wait().expect("a child can be waited for").is_some() {
                return;
            }
            sleep(Duration::from_millis(10));
        }
        self.signal(Signal::KILL);
        self.wait();
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
