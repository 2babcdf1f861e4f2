//! Ctrl-C, SIGTERM and SIGHUP: the first asks the build to stop, the second does not ask.

use crate::cancel::Canceller;
use crate::progress::Progress;
use std::io;
use tokio::signal::unix::{Signal, SignalKind, signal};

/// Listens from now on, until the program ends.
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
        next().await;
        canceller.cancel();
        progress.warn("stopping; interrupt again to stop at once");
        let second = next().await;
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
