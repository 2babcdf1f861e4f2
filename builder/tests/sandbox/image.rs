//! A busybox image, and running something on it.

use builder::rootfs::user::ResolvedUser;
use builder::sandbox::{
    Child, DEFAULT_PATH, DEFAULT_SHM_SIZE, ExitStatus, Network, RootFs, Sandbox, SandboxError, Security,
    Stdio,
};
use builder::userns::Mapping;
use std::fs::File;
use std::io::Read;
use std::os::fd::OwnedFd;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

pub(crate) const BUSYBOX: &str = "/bin/busybox";

/// An image of one layer, and a layer to be.
pub(crate) struct Image {
    dir: tempfile::TempDir,
}

impl Image {
    /// Busybox, accounts, and mount points.
    pub(crate) fn new() -> Self {
        let image = Self::bare();
        for directory in ["proc", "sys", "dev"] {
            std::fs::create_dir(image.lower().join(directory)).unwrap();
        }
        for file in ["hosts", "hostname", "resolv.conf"] {
            std::fs::write(image.lower().join("etc").join(file), "of the image\n").unwrap();
        }
        image
    }

    /// Busybox and accounts.
    pub(crate) fn bare() -> Self {
        let dir = tempfile::tempdir().unwrap();
        let image = Self { dir };
        for directory in ["lower/bin", "lower/etc", "lower/tmp", "lower/root", "upper", "work", "scratch"] {
            std::fs::create_dir_all(image.path(directory)).unwrap();
        }
        std::fs::copy(BUSYBOX, image.lower().join("bin/busybox")).unwrap();
        for applet in "sh cat ls id env echo rm mkdir mv sleep kill hostname pwd stat mknod touch chmod head readlink \
                       ip mount umount grep sync dd true false test wc cp ln cut sort tr stty tty od find unshare su"
            .split_whitespace()
        {
            symlink("busybox", image.lower().join("bin").join(applet)).unwrap();
        }
        std::fs::write(image.lower().join("etc/passwd"), "root:x:0:0::/root:/bin/sh\n").unwrap();
        image
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(crate) fn lower(&self) -> PathBuf {
        self.path("lower")
    }

    pub(crate) fn upper(&self) -> PathBuf {
        self.path("upper")
    }

    pub(crate) fn scratch_is_empty(&self) -> bool {
        std::fs::read_dir(self.path("scratch")).unwrap().next().is_none()
    }

    /// What runs `args`, with nothing special about it.
    pub(crate) fn sandbox(&self, args: &[&str]) -> Sandbox {
        Sandbox {
            rootfs: RootFs::Writable {
                lowers: vec![self.lower()],
                upper: self.upper(),
                work: self.path("work"),
            },
            scratch: self.path("scratch"),
            args: args.iter().map(|arg| arg.into()).collect(),
            env: vec![format!("PATH={DEFAULT_PATH}").into()],
            cwd: "/".into(),
            user: ResolvedUser::root(),
            hostname: "builder".to_owned(),
            network: Network::Host,
            mounts: Vec::new(),
            extra_hosts: Vec::new(),
            resolv_conf: b"nameserver 192.0.2.1\n".to_vec(),
            rlimits: Vec::new(),
            shm_size: DEFAULT_SHM_SIZE,
            cgroup: None,
            security: Security::Sandboxed,
            user_namespace: None,
            stdio: Stdio::Pipes,
        }
    }

    /// Runs a script; gives its output, which must be all that happened.
    pub(crate) fn sh(&self, script: &str) -> String {
        text(self.sandbox(&["sh", "-c", script]))
    }

    /// What is in the new layer, sorted.
    pub(crate) fn written(&self) -> Vec<String> {
        let mut paths = Vec::new();
        walk(&self.upper(), &self.upper(), &mut paths);
        paths.sort();
        paths
    }
}

fn walk(top: &Path, directory: &Path, paths: &mut Vec<String>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        paths.push(path.strip_prefix(top).unwrap().to_str().unwrap().to_owned());
        if path.symlink_metadata().unwrap().is_dir() {
            walk(top, &path, paths);
        }
    }
}

/// The whole output of a program.
#[derive(Debug)]
pub(crate) struct Output {
    pub(crate) stdout: String,
    pub(crate) stderr: String,
    pub(crate) status: ExitStatus,
}

pub(crate) fn run(sandbox: Sandbox) -> Result<Output, SandboxError> {
    Ok(finish(sandbox.spawn()?))
}

pub(crate) fn finish(mut child: Child) -> Output {
    let reader = |stream: Option<OwnedFd>| {
        std::thread::spawn(move || {
            let mut bytes = Vec::new();
            if let Some(stream) = stream {
                File::from(stream).read_to_end(&mut bytes).unwrap();
            }
            String::from_utf8_lossy(&bytes).into_owned()
        })
    };
    let (stdout, stderr) = (reader(child.stdout.take()), reader(child.stderr.take()));
    let status = child.wait().unwrap();
    Output { stdout: stdout.join().unwrap(), stderr: stderr.join().unwrap(), status }
}

/// The output of a program that must succeed and not complain.
pub(crate) fn text(sandbox: Sandbox) -> String {
    let output =
        run(sandbox).unwrap_or_else(|error| panic!("{error}: {:?}", std::error::Error::source(&error)));
    assert!(output.status.success() && output.stderr.is_empty(), "{output:?}");
    output.stdout
}

/// Whether this user namespace has other ids than root's.
pub(crate) fn has_other_ids() -> bool {
    Mapping::detect() == Mapping::Ranges
}

/// `--bench`: what a RUN of /bin/true costs, from nothing to its end.
pub(crate) fn measure() {
    for (name, image, network) in [
        ("host network", Image::new(), Network::Host),
        ("no network", Image::new(), Network::None),
        ("without mount points", Image::bare(), Network::Host),
    ] {
        const ROUNDS: u32 = 200;
        let mut times = Vec::new();
        let processor = processor_time();
        for _ in 0..ROUNDS {
            let sandbox = Sandbox { network, ..image.sandbox(&["true"]) };
            let start = Instant::now();
            assert!(finish(sandbox.spawn().unwrap()).status.success());
            times.push(start.elapsed());
        }
        let processor = (processor_time() - processor) / ROUNDS;
        times.sort();
        let [least, median, most] = [1, 5, 9].map(|tenth| times[times.len() * tenth / 10]);
        println!(
            "{name}: median {median:.2?}, 10 % under {least:.2?}, 10 % over {most:.2?}, processor {processor:.2?}"
        );
    }
}

/// Spent by this process and by its children that have ended.
fn processor_time() -> Duration {
    let spent = |who| {
        // SAFETY: all-zero is a valid `rusage`, and the pointer is to one.
        let usage = unsafe {
            let mut usage: libc::rusage = std::mem::zeroed();
            libc::getrusage(who, &raw mut usage);
            usage
        };
        let time = |time: libc::timeval| Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1000);
        time(usage.ru_utime) + time(usage.ru_stime)
    };
    spent(libc::RUSAGE_SELF) + spent(libc::RUSAGE_CHILDREN)
}
