//! Ctrl-C, SIGTERM and SIGHUP: the first asks the build to stop, the second does not ask.

use super::failure::Failure;
use crate::cancel::{self, Canceller};
use crate::progress::Progress;
use std::io;
use tokio::runtime::Runtime;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Listens from now on, as long as somebody may be asked to stop.
///
/// It has a thread of its own, so that it hears a signal even when every thread of the build is busy.
///
/// # Errors
/// When there is no thread or no signal handler to be had.
pub fn watch(canceller: Canceller, progress: Progress) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let guard = runtime.enter();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    // Who closes the terminal is not there to say it twice.
    let mut hangup = (!is_ignored(SignalKind::hangup())).then(|| signal(SignalKind::hangup())).transpose()?;
    drop(guard);
    let listen = async move {
        let mut next = async || {
            tokio::select! {
                Some(()) = interrupt.recv() => SignalKind::interrupt(),
                Some(()) = terminate.recv() => SignalKind::terminate(),
                Some(()) = heard(&mut hangup) => SignalKind::hangup(),
                else => std::future::pending().await,
            }
        };
        tokio::select! {
            _ = next() => {}
            () = canceller.closed() => return,
        }
        canceller.cancel();
        progress.warn("stopping; interrupt again to stop at once");
        let second = tokio::select! {
            second = next() => second,
            () = canceller.closed() => return,
        };
        // The shells' convention for a program that a signal ended.
        std::process::exit(128 + second.as_raw_value());
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || runtime.block_on(listen))?;
    Ok(())
}

async fn heard(signal: &mut Option<Signal>) -> Option<()> {
    match signal {
        Some(signal) => signal.recv().await,
        None => std::future::pending().await,
    }
}

/// Whether whoever started the program has it ignore the signal, as `nohup` does.
fn is_ignored(signal: SignalKind) -> bool {
    let mut now = std::mem::MaybeUninit::<libc::sigaction>::zeroed();
    // SAFETY: without a new action the call only writes the present one, for which there is room; zeroes are a valid one.
    let now = unsafe {
        libc::sigaction(signal.as_raw_value(), std::ptr::null(), now.as_mut_ptr());
        now.assume_init()
    };
    now.sa_sigaction == libc::SIG_IGN
}

/// Runs `work` to its end; or until Ctrl-C or SIGTERM comes: then it is dropped where it waits, which removes its temporary
/// files and closes its connections.
///
/// # Errors
/// [`Failure::Stopped`], and those of `work`.
pub fn until_stopped<T>(
    runtime: Runtime,
    work: impl Future<Output = Result<T, Failure>>,
) -> Result<T, Failure> {
    let (canceller, cancellation) = cancel::channel();
    watch(canceller, Progress::none())?;
    let result = runtime.block_on(async {
        tokio::select! {
            result = work => result,
            () = cancellation.cancelled() => Err(Failure::Stopped),
        }
    });
    if matches!(result, Err(Failure::Stopped)) {
        // A thread may be looking up a name, or compressing; nobody waits for that.
        runtime.shutdown_background();
    }
    result
}
