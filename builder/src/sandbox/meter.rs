//! What a program used of the machine, taken in the moment between its end and its burial.
//!
//! Processor time and memory come with `waitid(2)`. Bytes come from `/proc/PID/io`, where the kernel adds up the program
//! and every process that it, or one it waited for, has waited for. That file of a process that has ended belongs to the
//! machine's root, and that of one that has changed its identity and not yet begun its program is closed, too; so it is
//! opened when the process is made, which waits for that, and read at the end.

use super::raw;
use crate::progress::measure::{IoUsage, Usage};
use std::fs::{self, File};
use std::io::Read;
use std::os::fd::{AsRawFd, BorrowedFd};
use std::time::Duration;

/// Measures one program.
#[derive(Debug)]
pub(super) struct Meter {
    /// Its `/proc/PID/io`, when it can be opened: /proc may be mounted without the processes of others, and a kernel may
    /// have been built without `CONFIG_TASK_IO_ACCOUNTING`.
    io: Option<File>,
    /// The most memory that this process had when the other was copied from it, in KiB. The kernel begins to count there.
    copied: libc::c_long,
}

impl Meter {
    /// For the process behind `pidfd`, which must not have changed its identity yet.
    pub(super) fn new(pidfd: BorrowedFd<'_>) -> Self {
        let open = || {
            let about = fs::read_to_string(format!("/proc/self/fdinfo/{}", pidfd.as_raw_fd())).ok()?;
            let pid: u32 = about.lines().find_map(|line| line.strip_prefix("Pid:")?.trim().parse().ok())?;
            File::open(format!("/proc/{pid}/io")).ok()
        };
        Self { io: open(), copied: raw::own_peak_memory() }
    }

    /// Waits for the end of the process and reads the meter; the process is still to be waited for. `None` when somebody
    /// else has done that.
    pub(super) fn read(mut self, pidfd: BorrowedFd<'_>) -> Option<Usage> {
        let used = raw::resources_at_end(pidfd).ok()?;
        Some(Usage {
            user: duration(used.ru_utime),
            system: duration(used.ru_stime),
            peak_memory: Some(used.ru_maxrss)
                .filter(|most| *most > self.copied)
                .and_then(|most| Some(u64::try_from(most).ok()? << 10)),
            io: self.io.as_mut().and_then(|file| {
                let mut text = String::new();
                file.read_to_string(&mut text).ok()?;
                io_usage(&text)
            }),
        })
    }
}

fn duration(time: libc::timeval) -> Duration {
    let part = |value: i64| u64::try_from(value).unwrap_or(0);
    Duration::from_secs(part(time.tv_sec)) + Duration::from_micros(part(time.tv_usec))
}

/// The lines of proc_pid_io(5).
fn io_usage(text: &str) -> Option<IoUsage> {
    let field = |name: &str| -> Option<u64> {
        text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')?.trim().parse().ok())
    };
    let removed = field("cancelled_write_bytes")?;
    Some(IoUsage {
        read: field("rchar")?,
        written: field("wchar")?,
        disk_read: field("read_bytes")?,
        disk_written: field("write_bytes")?.saturating_sub(removed),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_proc() {
        let text = "rchar: 10\nwchar: 20\nsyscr: 1\nsyscw: 2\nread_bytes: 30\nwrite_bytes: 50\n\
                    cancelled_write_bytes: 10\n";
        let want = IoUsage { read: 10, written: 20, disk_read: 30, disk_written: 40 };
        assert_eq!(io_usage(text), Some(want));
        // Files that were truncated by another than their writer.
        let more = text.replace("cancelled_write_bytes: 10", "cancelled_write_bytes: 60");
        assert_eq!(io_usage(&more), Some(IoUsage { disk_written: 0, ..want }));
        assert_eq!(io_usage("rchar: 10\n"), None);
        assert_eq!(io_usage(""), None);
    }

    #[test]
    fn a_program_is_measured_and_can_still_be_waited_for() {
        use rustix::process::{Pid, PidfdFlags, pidfd_open};
        use std::os::fd::AsFd;
        let mut child = std::process::Command::new("sh")
            .args(["-c", "head -c 3000000 /dev/zero | cat > /dev/null; x=$(head -c 200000000 /dev/zero | tr '\\0' x); exit 3"])
            .spawn()
            .unwrap();
        let pidfd = pidfd_open(Pid::from_child(&child), PidfdFlags::empty()).unwrap();
        let usage = Meter::new(pidfd.as_fd()).read(pidfd.as_fd()).unwrap();
        // The shell has all of it in a variable.
        assert!(usage.peak_memory.is_some_and(|most| most > 200_000_000), "{usage:?}");
        assert!(usage.cpu() > Duration::ZERO && usage.cpu() < Duration::from_secs(60), "{usage:?}");
        let io = usage.io.expect("a process may look at its own children");
        assert!(io.read >= 6_000_000 && io.written >= 6_000_000, "{io:?}");
        assert_eq!(child.wait().unwrap().code(), Some(3));
        let gone = Meter::new(pidfd.as_fd());
        assert!(gone.io.is_none());
        assert_eq!(gone.read(pidfd.as_fd()), None);
    }
}
