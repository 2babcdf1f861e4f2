use super::filesystems::{pseudo, sysfs_of_host_network};
use crate::rootfs::Root;
use crate::rootfs::mount_api::{NewFilesystem, add_attributes, clone_tree, clone_tree_at, proc_link};
use crate::rootfs::overlay::{overlay_rw, overlay_view, subtree};
use crate::sandbox::devices::{self, DEVICES, Staging};
use crate::sandbox::stubs::{self, Resolved};
use crate::sandbox::{BindSource, Mount, MountKind, Network, RootFs, Sandbox, SandboxError, Security, net};
use rustix::fs::{self, FileType};
use rustix::io::Errno;
use rustix::mount::MountAttrFlags;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};

/// A mount that the child attaches.
pub(in super::super) struct Attachment {
    pub(in super::super) origin: Origin,
    /// An absolute path without links.
    pub(in super::super) target: CString,
    /// What the mount gets besides, when the child makes it.
    pub(in super::super) attributes: MountAttrFlags,
    /// It may fail, when the kernel does not have it.
    pub(in super::super) optional: bool,
}

/// Where the mount comes from.
pub(in super::super) enum Origin {
    /// It is there.
    Mount(OwnedFd),
    /// A file of the staging file system.
    Staged(CString),
    /// A file of the sandbox itself.
    Inside(&'static CStr),
    /// It must be made in the namespaces that it shows: a file system type.
    New(&'static CStr),
}

/// The result of [`mount_all`].
pub(super) struct Mounted {
    pub(super) root: OwnedFd,
    pub(super) staging: OwnedFd,
    pub(super) attachments: Vec<Attachment>,
    pub(super) stubs: Option<tempfile::TempDir>,
}

/// Makes every mount that can be made outside, finds the place of each, and makes the places that are missing.
pub(super) fn mount_all(
    sandbox: &mut Sandbox,
    devpts: OwnedFd,
    terminal: bool,
) -> Result<Mounted, SandboxError> {
    // Looking at a read-only view first spares the writable mount, which makes files on the disk, a second time.
    let view = sandbox.rootfs.view()?;
    let staging = Staging::new().map_err(SandboxError::setup("make a file system for files"))?;
    let mut layout =
        Layout { root: view, staging, attachments: Vec::new(), taken: Vec::new(), missing: Vec::new() };
    layout.system(sandbox, devpts, terminal)?;
    let mut mounts = std::mem::take(&mut sandbox.mounts);
    mounts.sort_by_key(|mount| mount.target.components().count());
    for mount in mounts {
        layout.user_mount(mount, sandbox.security)?;
    }
    // Last, because files that are bound one by one stand here until then.
    layout.make(c"proc", "proc", pseudo(), false);
    let Layout { root: view, staging, attachments, missing, .. } = layout;

    let (root, stubs) = if missing.is_empty() {
        (sandbox.rootfs.mount(None)?, None)
    } else {
        with_stubs(&sandbox.rootfs, &sandbox.scratch, &view, &missing)?
    };
    if sandbox.security == Security::Sandboxed {
        // Device nodes of an image, and those that a program makes, are no way to this machine's disks.
        add_attributes(&root, false, MountAttrFlags::MOUNT_ATTR_NODEV)
            .map_err(|errno| SandboxError::RootFs { source: errno.into() })?;
    }
    Ok(Mounted { root: root.into_fd(), staging: staging.fd, attachments, stubs })
}

/// The root file system with the missing mount points in it: in memory, or where the kernel (before 6.15) does not stack
/// on a mount that is not attached, in `scratch`, for as long as the directory lives.
fn with_stubs(
    rootfs: &RootFs,
    scratch: &Path,
    view: &Root,
    missing: &[(Resolved, bool)],
) -> Result<(Root, Option<tempfile::TempDir>), SandboxError> {
    let in_memory = || -> io::Result<Root> {
        let layer = tmpfs("0755", None, MountAttrFlags::empty())?;
        let path = PathBuf::from(proc_link(&layer));
        stubs::make_layer(&path, view, missing)?;
        rootfs.mount(Some(&path)).map_err(io::Error::other)
    };
    if let Ok(root) = in_memory() {
        return Ok((root, None));
    }
    let failed = || SandboxError::setup(format!("make mount points in {}", scratch.display()));
    let layer = tempfile::Builder::new().prefix("stubs-").tempdir_in(scratch).map_err(failed())?;
    stubs::make_layer(layer.path(), view, missing).map_err(failed())?;
    Ok((rootfs.mount(Some(layer.path()))?, Some(layer)))
}

impl RootFs {
    /// What the sandbox will see, apart from what it mounts.
    fn view(&self) -> Result<Root, SandboxError> {
        let layers: Vec<&Path> = match self {
            Self::Writable { lowers, upper, .. } => {
                std::iter::once(upper).chain(lowers).map(PathBuf::as_path).collect()
            }
            Self::ReadOnly { lowers } => lowers.iter().map(PathBuf::as_path).collect(),
        };
        overlay_view(&layers).map_err(|source| SandboxError::RootFs { source })
    }

    /// Mounts the layers, with one more directly under the writable one.
    fn mount(&self, stubs: Option<&Path>) -> Result<Root, SandboxError> {
        let with_stubs = |lowers: &'_ [PathBuf]| -> Vec<PathBuf> {
            stubs.map(Path::to_path_buf).into_iter().chain(lowers.iter().cloned()).collect()
        };
        match self {
            Self::Writable { lowers, upper, work } => overlay_rw(&with_stubs(lowers), upper, work),
            Self::ReadOnly { lowers } => overlay_view(&with_stubs(lowers)),
        }
        .map_err(|source| SandboxError::RootFs { source })
    }
}

/// What has been placed so far.
struct Layout {
    root: Root,
    staging: Staging,
    attachments: Vec<Attachment>,
    /// The targets of `attachments`, relative to the root, in the same order.
    taken: Vec<PathBuf>,
    /// Mount points that the image lacks; the flag says that it is a directory.
    missing: Vec<(Resolved, bool)>,
}

impl Layout {
    /// /dev, /sys and the files of /etc.
    fn system(&mut self, sandbox: &Sandbox, devpts: OwnedFd, terminal: bool) -> Result<(), SandboxError> {
        for directory in ["proc", "sys", "dev"] {
            self.directory_of_image(directory)?;
        }
        let sandboxed = sandbox.security == Security::Sandboxed;
        let failed = |what: &str| SandboxError::setup(format!("make {what}"));

        let mut names = devices::names(sandbox.security);
        let console = terminal.then(|| "console".to_owned());
        let frame = names.iter().chain(&console).map(String::as_str);
        let dev = devices::frame(frame, sandboxed).map_err(failed("/dev"))?;
        self.attach("dev", Origin::Mount(dev));
        for name in names.drain(..) {
            let staged = match DEVICES.iter().find(|(known, ..)| *known == name) {
                Some((_, major, minor)) => self.staging.device(*major, *minor).map_err(failed("a device"))?,
                None => None,
            };
            let origin = match staged {
                Some(file) => Origin::Staged(file),
                None => Origin::Mount(devices::host_device(&name).map_err(failed("a device"))?),
            };
            self.attach(format!("dev/{name}"), origin);
        }
        self.attach("dev/pts", Origin::Mount(devpts));
        if terminal {
            self.attach("dev/console", Origin::Inside(c"/dev/pts/0"));
        }
        let shm = tmpfs("1777", Some(sandbox.shm_size), pseudo()).map_err(failed("/dev/shm"))?;
        self.attach("dev/shm", Origin::Mount(shm));
        self.make(c"mqueue", "dev/mqueue", pseudo(), true);

        let read_only = if sandboxed { MountAttrFlags::MOUNT_ATTR_RDONLY } else { MountAttrFlags::empty() };
        match sandbox.network {
            Network::None => self.make(c"sysfs", "sys", pseudo() | read_only, false),
            Network::Host => {
                let sysfs = sysfs_of_host_network(pseudo() | read_only).map_err(failed("/sys"))?;
                self.attach("sys", Origin::Mount(sysfs));
            }
        }
        self.make(c"cgroup2", "sys/fs/cgroup", pseudo() | read_only, true);

        let hostname = format!("{}\n", sandbox.hostname);
        for (path, bytes) in [
            ("/etc/resolv.conf", &sandbox.resolv_conf[..]),
            ("/etc/hosts", &net::hosts(&sandbox.hostname, &sandbox.extra_hosts)),
            ("/etc/hostname", hostname.as_bytes()),
        ] {
            // Writable, as with other builders: what is written is lost.
            let file = self.staging.file(bytes, 0o644, 0, 0).map_err(failed(path))?;
            self.place(Path::new(path), Origin::Staged(file), false, pseudo())?;
        }
        Ok(())
    }

    /// A mount that was asked for.
    fn user_mount(&mut self, mount: Mount, security: Security) -> Result<(), SandboxError> {
        let Mount { target, kind } = mount;
        let failed = |source| SandboxError::Source { target: target.clone(), source };
        let no_devices = match security {
            Security::Sandboxed => MountAttrFlags::MOUNT_ATTR_NODEV,
            Security::Insecure => MountAttrFlags::empty(),
        };
        let read_only_if =
            |read_only| if read_only { MountAttrFlags::MOUNT_ATTR_RDONLY } else { MountAttrFlags::empty() };
        match kind {
            MountKind::Bind { source, read_only, recursive } => {
                let fd = bind(source, recursive).map_err(failed)?;
                let attributes = no_devices | read_only_if(read_only);
                add_attributes(&fd, recursive, attributes).map_err(|errno| failed(errno.into()))?;
                let stat = fs::fstat(&fd).map_err(|errno| failed(errno.into()))?;
                let directory = FileType::from_raw_mode(stat.st_mode) == FileType::Directory;
                self.place(&target, Origin::Mount(fd), directory, MountAttrFlags::empty())
            }
            MountKind::Tmpfs { size, mode, read_only } => {
                let attributes = MountAttrFlags::MOUNT_ATTR_NOSUID | MountAttrFlags::MOUNT_ATTR_NODEV;
                let fd = tmpfs(&format!("{mode:o}"), size, attributes | read_only_if(read_only))
                    .map_err(failed)?;
                self.place(&target, Origin::Mount(fd), true, MountAttrFlags::empty())
            }
            MountKind::File { bytes, read_only, mode, uid, gid } => {
                let file = self.staging.file(&bytes, mode, uid, gid).map_err(failed)?;
                let mut attributes = pseudo();
                // A here-document that is a script is there to be run.
                attributes.set(MountAttrFlags::MOUNT_ATTR_NOEXEC, mode & 0o111 == 0);
                self.place(&target, Origin::Staged(file), false, attributes | read_only_if(read_only))
            }
        }
    }

    /// One of the directories that the sandbox covers. A link there could lead them anywhere.
    fn directory_of_image(&mut self, name: &'static str) -> Result<(), SandboxError> {
        match self.root.lstat(Path::new(name)) {
            Ok(stat) if FileType::from_raw_mode(stat.st_mode) == FileType::Directory => Ok(()),
            Ok(_) => Err(target_error(Path::new(name), "the image has something there that is no directory")),
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                self.missing.push((Resolved { path: name.into(), existing: 0 }, true));
                Ok(())
            }
            Err(source) => Err(SandboxError::RootFs { source }),
        }
    }

    /// Attaches at a place that is known to be right.
    fn attach(&mut self, target: impl Into<PathBuf>, origin: Origin) {
        self.attach_with(target.into(), origin, MountAttrFlags::empty(), false);
    }

    /// A file system that the child makes.
    fn make(&mut self, kind: &'static CStr, target: &str, attributes: MountAttrFlags, optional: bool) {
        self.attach_with(target.into(), Origin::New(kind), attributes, optional);
    }

    /// Finds the place of a mount that may go anywhere, and attaches it.
    fn place(
        &mut self,
        target: &Path,
        origin: Origin,
        directory: bool,
        attributes: MountAttrFlags,
    ) -> Result<(), SandboxError> {
        let failed = |source: io::Error| target_error(target, &source.to_string());
        let mut resolved = stubs::resolve(&self.root, target).map_err(failed)?;
        if resolved.path.as_os_str().is_empty() {
            return Err(target_error(target, "it is the root directory itself"));
        }
        if resolved.path.starts_with("proc") || resolved.path.starts_with("sys") {
            return Err(target_error(target, "nothing can be mounted in /proc or /sys"));
        }
        // The last one that covers it is what the path leads through.
        let outer = self.taken.iter().rposition(|taken| resolved.path.starts_with(taken));
        let (file_type, path) = match outer {
            None => {
                let file_type = file_type(&self.root, &resolved).map_err(failed)?;
                let path = resolved.path.clone();
                if resolved.is_missing() {
                    self.missing.push((resolved, directory));
                }
                (file_type, path)
            }
            Some(outer) => {
                let cover = &self.taken[outer];
                let rest = resolved.path.strip_prefix(cover).unwrap_or(Path::new(""));
                if rest.as_os_str().is_empty() {
                    (None, resolved.path)
                } else {
                    let Origin::Mount(fd) = &self.attachments[outer].origin else {
                        return Err(target_error(target, "something else is mounted there"));
                    };
                    let inner = Root::from_fd(fd.try_clone().map_err(failed)?);
                    let place = stubs::resolve(&inner, rest).map_err(failed)?;
                    let file_type = file_type(&inner, &place).map_err(failed)?;
                    stubs::create_in(&inner, &place, directory).map_err(failed)?;
                    resolved.path = cover.join(place.path);
                    (file_type, resolved.path)
                }
            }
        };
        match file_type {
            Some(FileType::Directory) if !directory => {
                Err(target_error(target, "a file cannot cover a directory"))
            }
            Some(other) if directory && other != FileType::Directory => {
                Err(target_error(target, "a directory cannot cover a file"))
            }
            _ => {
                self.attach_with(path, origin, attributes, false);
                Ok(())
            }
        }
    }

    fn attach_with(&mut self, target: PathBuf, origin: Origin, attributes: MountAttrFlags, optional: bool) {
        self.attachments.push(Attachment { origin, target: stubs::absolute(&target), attributes, optional });
        self.taken.push(target);
    }
}

/// What stands at a path, if anything.
fn file_type(root: &Root, resolved: &Resolved) -> io::Result<Option<FileType>> {
    if resolved.is_missing() {
        return Ok(None);
    }
    Ok(Some(FileType::from_raw_mode(root.lstat(&resolved.path)?.st_mode)))
}

fn bind(source: BindSource, recursive: bool) -> io::Result<OwnedFd> {
    match source {
        BindSource::Path(path) => clone_tree(&path, recursive),
        BindSource::View { lowers, path } => subtree(&overlay_view(&lowers)?, &path),
        BindSource::Fd(fd) => match clone_tree_at(&fd, recursive) {
            // Before Linux 6.15 a detached mount cannot be copied; but it is the caller's no more, so it is used itself.
            Err(Errno::INVAL) => Ok(fd),
            other => Ok(other?),
        },
    }
}

fn tmpfs(mode: &str, size: Option<u64>, attributes: MountAttrFlags) -> io::Result<OwnedFd> {
    let tmpfs = NewFilesystem::open("tmpfs")?;
    tmpfs.option("mode", mode)?;
    if let Some(size) = size {
        tmpfs.option("size", size.to_string().as_str())?;
    }
    tmpfs.mount(attributes)
}

fn target_error(target: &Path, reason: &str) -> SandboxError {
    SandboxError::Target { target: Path::new("/").join(target), reason: reason.to_owned() }
}
