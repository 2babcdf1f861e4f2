//! What the libraries do not have of the system calls that a sandbox needs. All is safe between fork and exec.

use rustix::io::Errno;
use std::os::fd::{AsRawFd, BorrowedFd};

/// This thread's errno, after a libc function said that it failed.
pub(super) fn errno() -> Errno {
    // SAFETY: it belongs to this thread and is always readable.
    Errno::from_raw_os_error(unsafe { *libc::__errno_location() })
}

/// The result of a libc function that answers -1 for an error.
pub(super) fn check(result: libc::c_long) -> Result<libc::c_long, Errno> {
    if result == -1 { Err(errno()) } else { Ok(result) }
}

/// Gives the loopback device of this network namespace its flag "up".
pub(super) fn loopback_up() -> Result<(), Errno> {
    // SAFETY: all-zero is a valid `ifreq`.
    let mut request: libc::ifreq = unsafe { std::mem::zeroed() };
    for (to, from) in request.ifr_name.iter_mut().zip(b"lo") {
        *to = *from as libc::c_char;
    }
    request.ifr_ifru.ifru_flags = (libc::IFF_UP | libc::IFF_RUNNING) as libc::c_short;
    // SAFETY: the request is a living `ifreq` with a terminated name; the socket is closed below.
    unsafe {
        let socket = libc::socket(libc::AF_INET, libc::SOCK_DGRAM | libc::SOCK_CLOEXEC, 0);
        check(socket.into())?;
        let result = libc::ioctl(socket, libc::SIOCSIFFLAGS as libc::Ioctl, &raw const request);
        let result = check(result.into());
        libc::close(socket);
        result.map(|_| ())
    }
}

/// Leaves the keyring of the session this process was started in, for a new, empty one.
pub(super) fn new_session_keyring() -> Result<(), Errno> {
    const KEYCTL_JOIN_SESSION_KEYRING: libc::c_int = 1;
    // SAFETY: a null name asks for an anonymous keyring.
    let result =
        unsafe { libc::syscall(libc::SYS_keyctl, KEYCTL_JOIN_SESSION_KEYRING, std::ptr::null::<u8>()) };
    check(result).map(|_| ())
}

/// Gives every signal its default action, and lets all of them through.
pub(super) fn reset_signals() {
    /// `struct sigaction` of the kernel, which is not libc's; at least as large as on any architecture.
    #[repr(C)]
    struct KernelAction([usize; 8]);
    const MASK_BYTES: usize = 8;
    let default = KernelAction([0; 8]);
    let none = 0u64;
    // SAFETY: zero means the default action, no flags and an empty mask. The kernel refuses the numbers that cannot be
    // set, which is as well. libc's own wrappers would refuse the ones that it keeps for itself.
    unsafe {
        for signal in 1..=64 {
            libc::syscall(
                libc::SYS_rt_sigaction,
                signal,
                &raw const default,
                std::ptr::null::<u8>(),
                MASK_BYTES,
            );
        }
        let unset = std::ptr::null::<u8>();
        libc::syscall(libc::SYS_rt_sigprocmask, libc::SIG_SETMASK, &raw const none, unset, MASK_BYTES);
    }
}

/// Marks every file descriptor from `first` on to be closed by `execve(2)`.
pub(super) fn close_on_exec_from(first: libc::c_uint) -> Result<(), Errno> {
    // SAFETY: closing happens at exec only, when no code of ours is left that could use one.
    let result =
        unsafe { libc::syscall(libc::SYS_close_range, first, libc::c_uint::MAX, libc::CLOSE_RANGE_CLOEXEC) };
    check(result).map(|_| ())
}

/// Waits for the end of a child; what it and the children that it waited for have used. It stays to be waited for.
pub(super) fn resources_at_end(pidfd: BorrowedFd<'_>) -> Result<libc::rusage, Errno> {
    // SAFETY: all-zero is a valid `rusage`.
    let mut used: libc::rusage = unsafe { std::mem::zeroed() };
    loop {
        // SAFETY: the kernel writes to `used` alone; without a place for it, it does not say how the child ended. The
        // fifth argument is the kernel's own, which libc's wrapper leaves out.
        let result = unsafe {
            libc::syscall(
                libc::SYS_waitid,
                libc::P_PIDFD,
                pidfd.as_raw_fd(),
                std::ptr::null_mut::<libc::siginfo_t>(),
                libc::WEXITED | libc::WNOWAIT,
                &raw mut used,
            )
        };
        match check(result) {
            Err(Errno::INTR) => {}
            other => return other.map(|_| used),
        }
    }
}

/// The most memory that this process has had, in KiB.
pub(super) fn own_peak_memory() -> libc::c_long {
    // SAFETY: all-zero is a valid `rusage`, and the kernel writes to it alone.
    unsafe {
        let mut used: libc::rusage = std::mem::zeroed();
        libc::getrusage(libc::RUSAGE_SELF, &raw mut used);
        used.ru_maxrss
    }
}
