//! The system call filter. `default.profile` says what it allows; `build.rs` compiled it.

use rustix::io::Errno;

include!(concat!(env!("OUT_DIR"), "/seccomp_default.rs"));

/// Loads the default profile for this thread and all it starts.
///
/// It needs `CAP_SYS_ADMIN`, because `no_new_privs`, the other way to be allowed to, would break `su` and `sudo`. It
/// allocates nothing: safe between fork and exec.
pub(super) fn load_default() -> Result<(), Errno> {
    let program = libc::sock_fprog {
        len: DEFAULT.len() as libc::c_ushort,
        // The kernel only reads it; the C declaration does not say so.
        filter: DEFAULT.as_ptr().cast_mut(),
    };
    // SAFETY: `program` describes a living table of that length, which the kernel copies.
    let result =
        unsafe { libc::syscall(libc::SYS_seccomp, libc::SECCOMP_SET_MODE_FILTER, 0, &raw const program) };
    if result == 0 { Ok(()) } else { Err(super::raw::errno()) }
}

#[cfg(test)]
mod tests;
