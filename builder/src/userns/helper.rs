//! `newuidmap(1)` and `newgidmap(1)`: the setuid programs that write the maps an ordinary user may not write himself.

use super::error::{SingleBecause, UsernsError};
use super::subid::IdRange;
use rustix::fs::{self, Access};
use rustix::process::{Pid, WaitOptions, waitpid};
use std::ffi::CString;
use std::io::{self, PipeReader, PipeWriter, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// Where the programs are looked for. Not in `$PATH`: what they do is too privileged for a surprise.
const DIRECTORIES: [&str; 4] = ["/usr/bin", "/bin", "/usr/local/bin", "/run/wrappers/bin"];

/// Finds `name`, ready to be used.
pub(super) fn find(name: &'static str) -> Result<PathBuf, SingleBecause> {
    let mut found = None;
    for path in DIRECTORIES.iter().map(|directory| Path::new(directory).join(name)) {
        let Ok(metadata) = std::fs::metadata(&path) else { continue };
        if fs::access(&path, Access::EXEC_OK).is_err() {
            continue;
        }
        let setuid = metadata.mode() & 0o4000 != 0 && metadata.uid() == 0;
        if setuid || fs::getxattr(&path, "security.capability", &mut [0; 64][..]).is_ok() {
            return Ok(path);
        }
        found.get_or_insert(path);
    }
    match found {
        Some(program) => Err(SingleBecause::NotSetuid { program }),
        None => Err(SingleBecause::NoHelper { program: name }),
    }
}

/// A helper that is started, still in the old namespaces, and waits for its word to run.
pub(super) struct Waiting {
    program: PathBuf,
    pid: Pid,
    go: PipeWriter,
    stderr: PipeReader,
}

impl Waiting {
    /// Forks; the child waits to become `program PID MAP...`. This process must have no other thread.
    pub(super) fn start(program: PathBuf, map: &[IdRange]) -> io::Result<Self> {
        let (wait, go) = io::pipe()?;
        let (stderr, stderr_writer) = io::pipe()?;
        let mut words = vec![std::process::id().to_string()];
        words.extend(
            map.iter().flat_map(|line| [line.inside, line.outside, line.count]).map(|n| n.to_string()),
        );
        let path = CString::new(program.as_os_str().as_bytes())?;
        let words = words.into_iter().map(CString::new).collect::<Result<Vec<_>, _>>()?;
        let argv: Vec<*const libc::c_char> = std::iter::once(path.as_ptr())
            .chain(words.iter().map(|word| word.as_ptr()))
            .chain([std::ptr::null()])
            .collect();
        let envp = [std::ptr::null::<libc::c_char>()];
        // SAFETY: there is one thread, and the child calls only async-signal-safe functions on memory made before.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            // SAFETY: as above; `argv` and `envp` end with a null pointer and point to living C strings.
            unsafe {
                libc::close(go.as_raw_fd());
                let mut byte = 0u8;
                // No byte but the end of the pipe: the parent gave up.
                if libc::read(wait.as_raw_fd(), (&raw mut byte).cast(), 1) == 1 {
                    libc::dup2(stderr_writer.as_raw_fd(), 2);
                    libc::execve(path.as_ptr(), argv.as_ptr(), envp.as_ptr());
                }
                libc::_exit(127)
            }
        }
        match Pid::from_raw(pid).filter(|_| pid > 0) {
            Some(pid) => Ok(Self { program, pid, go, stderr }),
            None => Err(io::Error::last_os_error()),
        }
    }

    /// Gives the word.
    pub(super) fn go(&mut self) -> io::Result<()> {
        self.go.write_all(b"g")
    }

    /// Waits until the map is written.
    pub(super) fn finish(mut self) -> Result<(), UsernsError> {
        drop(self.go);
        let mut message = Vec::new();
        let _ = self.stderr.read_to_end(&mut message);
        let status = loop {
            match waitpid(Some(self.pid), WaitOptions::empty()) {
                Err(rustix::io::Errno::INTR) => {}
                Err(errno) => {
                    return Err(UsernsError::Io { doing: "wait for a helper", source: errno.into() });
                }
                Ok(status) => break status,
            }
        };
        if status.is_some_and(|(_, status)| status.exit_status() == Some(0)) {
            return Ok(());
        }
        let message = String::from_utf8_lossy(&message).trim().to_owned();
        let hint = if message.contains("not allowed") || message.contains("range") {
            "the ranges in /etc/subuid and /etc/subgid must belong to this user and not overlap his own ids"
        } else {
            "it must be setuid root, on a file system that is not mounted nosuid, and the process must not have \
             no_new_privs set"
        };
        let message = if message.is_empty() { "it could not be run".to_owned() } else { message };
        Err(UsernsError::Helper { program: self.program, message, hint: hint.to_owned() })
    }
}
