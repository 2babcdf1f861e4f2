//! Runs one program in namespaces of its own, on an image's file system.
//!
//! A [`Sandbox`] is plain data. [`Sandbox::spawn`] makes all mounts that can be made outside, as detached ones, starts a
//! process in new namespaces, and hands it a list of prepared steps:
//!
//! ```text
//! this process                                   child (pid 1 of its namespace; allocates nothing until execve)
//!   plan/    overlay, /dev, files: mount fds --.
//!   spawn.rs clone3(pidfd, NEWNS NEWPID ...)    '-> child.rs  attach the root, pivot_root, attach the rest, mask
//!   process.rs  wait, kill  <-- error pipe ------              limits, seccomp, capabilities, ids, execve
//! ```
//!
//! When the program ends, everything that it started is killed with its pid namespace, and all mounts go with its
//! mount namespace: nothing needs to be undone. The same holds when this process is killed.
//!
//! It works as root and in a user namespace made by [`userns`](crate::userns), also in one with a single id.

mod child;
mod devices;
mod error;
mod meter;
pub mod net;
mod plan;
mod process;
mod raw;
mod seccomp;
mod spawn;
mod stubs;

pub use error::SandboxError;
pub use process::{Child, Exit, ExitStatus, Killer};

use crate::cgroup::Cgroup;
use crate::request::Ulimit;
use crate::rootfs::user::ResolvedUser;
use std::ffi::OsString;
use std::os::fd::OwnedFd;
use std::path::PathBuf;

/// `$PATH` where an image has none.
pub const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The size of `/dev/shm` where nobody asks for another, in bytes.
pub const DEFAULT_SHM_SIZE: u64 = 64 << 20;

/// One program to run, and what it finds.
#[derive(Debug)]
pub struct Sandbox {
    /// Its root file system.
    pub rootfs: RootFs,
    /// An existing directory of this machine, on a disk that can hold layers, for what lives as long as the sandbox.
    /// Several sandboxes may share it.
    pub scratch: PathBuf,
    /// The program and its arguments. A program without `/` is searched in the `PATH` of `env`.
    pub args: Vec<OsString>,
    /// The whole environment, as `NAME=value`. Nothing is added: `HOME` and `PATH` are the caller's to set.
    pub env: Vec<OsString>,
    /// The working directory; it must exist in the image.
    pub cwd: PathBuf,
    /// Who runs it.
    pub user: ResolvedUser,
    /// The host name.
    pub hostname: String,
    /// The network it sees.
    pub network: Network,
    /// More mounts; attached in order of depth, so that a mount may be inside another.
    pub mounts: Vec<Mount>,
    /// More lines of `/etc/hosts`: name and address.
    pub extra_hosts: Vec<(String, String)>,
    /// The bytes of `/etc/resolv.conf`; [`net::resolv_conf`] makes them from this machine's.
    pub resolv_conf: Vec<u8>,
    /// Resource limits. Others are inherited, except open files: 1024 unless asked otherwise.
    pub rlimits: Vec<Ulimit>,
    /// Size of `/dev/shm` in bytes.
    pub shm_size: u64,
    /// The control groups that it joins, where its use of memory or processors is limited.
    pub cgroup: Option<Cgroup>,
    /// How much it may do.
    pub security: Security,
    /// A user namespace below this one that the program runs in, where the kernel knows how to run it
    /// ([`Emulator`](crate::emulation::Emulator)). Ids must be the same in both.
    pub user_namespace: Option<OwnedFd>,
    /// Its standard streams.
    pub stdio: Stdio,
}

/// Where the root file system comes from. Layers are listed from the top one to the lowest.
#[derive(Clone, Debug)]
pub enum RootFs {
    /// What is written lands in `upper`, and becomes the layer. Nothing that the sandbox needs (mount points, DNS
    /// configuration) is left there.
    Writable {
        /// The layers under it.
        lowers: Vec<PathBuf>,
        /// The new layer.
        upper: PathBuf,
        /// An empty directory on the same file system as `upper`.
        work: PathBuf,
    },
    /// Nothing can be written.
    ReadOnly {
        /// The layers.
        lowers: Vec<PathBuf>,
    },
}

/// The network of a sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Network {
    /// This machine's.
    Host,
    /// None but a loopback device.
    None,
}

/// How much a sandbox may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Security {
    /// The default capabilities and seccomp profile of Docker; parts of /proc and /sys hidden or read-only; device
    /// nodes can be made but, outside /dev, not opened.
    Sandboxed,
    /// `--security=insecure`: every capability that this process has, no seccomp, /proc, /sys and the control groups
    /// writable, and the devices for loop mounts, FUSE, KVM and TUN where this machine has them.
    Insecure,
}

/// The standard streams of a sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stdio {
    /// Input is `/dev/null`; output and error come out of [`Child::stdout`] and [`Child::stderr`].
    Pipes,
    /// Output and error are this process's.
    Inherit {
        /// Input too; otherwise it is `/dev/null`.
        stdin: bool,
    },
    /// A new terminal, whose other end is [`Child::terminal`].
    Terminal(WindowSize),
}

/// The size of a terminal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WindowSize {
    /// Lines.
    pub rows: u16,
    /// Characters in a line.
    pub columns: u16,
}

/// Something mounted in a sandbox.
#[derive(Debug)]
pub struct Mount {
    /// Where: an absolute path in the sandbox, its links followed inside it. What is missing of it is made up, and is
    /// not in the layer afterwards. It cannot be `/`, nor inside `/proc` or `/sys`.
    pub target: PathBuf,
    /// What.
    pub kind: MountKind,
}

/// What is mounted.
#[derive(Debug)]
pub enum MountKind {
    /// A file or directory that exists.
    Bind {
        /// Which.
        source: BindSource,
        /// It cannot be written.
        read_only: bool,
        /// With the mounts inside it.
        recursive: bool,
    },
    /// An empty directory in memory.
    Tmpfs {
        /// At most so many bytes.
        size: Option<u64>,
        /// Its permissions: `0o1777`.
        mode: u32,
        /// Nothing can be written to it.
        read_only: bool,
    },
    /// A file in memory, such as a secret.
    File {
        /// Its bytes.
        bytes: Vec<u8>,
        /// It cannot be written. Otherwise what is written is lost with the sandbox.
        read_only: bool,
        /// Its permissions: `0o400`.
        mode: u32,
        /// Its owner.
        uid: u32,
        /// Its group.
        gid: u32,
    },
}

/// What a bind mount shows.
#[derive(Debug)]
pub enum BindSource {
    /// A path of this machine.
    Path(PathBuf),
    /// Something in the merged view of layers, such as another stage. It is always read-only.
    View {
        /// The layers, the top one first.
        lowers: Vec<PathBuf>,
        /// What of them, resolved inside.
        path: PathBuf,
    },
    /// An open file or directory (`O_PATH` is enough). One in a detached mount lives only as long as that mount: give the
    /// mount itself, or keep it until the sandbox has been spawned.
    Fd(OwnedFd),
}
