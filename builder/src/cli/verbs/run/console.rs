//! Between the user's terminal and the program's: bytes both ways, the window's size, and signals.

use crate::sandbox::{Child, ExitStatus, Killer, SandboxError, WindowSize};
use rustix::process::Signal;
use rustix::termios::{OptionalActions, Termios, Winsize, tcgetattr, tcgetwinsize, tcsetattr, tcsetwinsize};
use std::fs::File;
use std::io::{self, IsTerminal, Read, Write};
use std::os::fd::OwnedFd;
use std::thread;
use tokio::signal::unix::{SignalKind, signal};

/// End of transmission, which a terminal in its usual mode takes for the end of its input.
const EOT: u8 = 4;

/// The size of the window the user looks at; the classic one when there is none.
pub(super) fn window_size() -> WindowSize {
    match tcgetwinsize(io::stdout()).or_else(|_| tcgetwinsize(io::stdin())) {
        Ok(size) if size.ws_row > 0 && size.ws_col > 0 => {
            WindowSize { rows: size.ws_row, columns: size.ws_col }
        }
        _ => WindowSize { rows: 24, columns: 80 },
    }
}

/// Stays until the program ends. With a terminal of its own, `interactive` connects standard input to it.
pub(super) fn attend(child: &mut Child, interactive: bool) -> Result<ExitStatus, SandboxError> {
    let setup = |doing: &str| {
        let doing = doing.to_owned();
        move |source| SandboxError::Setup { doing, source }
    };
    let terminal = child.terminal.take();
    let window = terminal.as_ref().map(OwnedFd::try_clone).transpose().map_err(setup("use its terminal"))?;
    forward_signals(child.killer().map_err(setup("hand on signals"))?, window)
        .map_err(setup("hand on signals"))?;
    let Some(terminal) = terminal else { return child.wait() };
    let raw = if interactive && io::stdin().is_terminal() {
        Some(Raw::enter().map_err(setup("use the terminal"))?)
    } else {
        None
    };
    if interactive {
        let input = terminal.try_clone().map_err(setup("use its terminal"))?;
        // It ends with the process: nothing wakes a thread that waits for somebody to type.
        thread::spawn(move || {
            let mut input = File::from(input);
            if io::copy(&mut io::stdin(), &mut input).is_ok() {
                let _ = input.write_all(&[EOT]);
            }
        });
    }
    let output = thread::spawn(move || show(File::from(terminal)));
    let status = child.wait();
    // What the program wrote last is still on its way; its terminal ends with the last process that has it.
    let _ = output.join();
    drop(raw);
    status
}

/// Copies until the program's side is closed, which reading a terminal tells by `EIO`.
fn show(mut terminal: File) {
    let mut bytes = vec![0; 64 << 10];
    let mut out = io::stdout();
    loop {
        match terminal.read(&mut bytes) {
            Ok(0) => return,
            Ok(read) => {
                // A reader that went away does not stop the program, as it would not stop it in a shell.
                let _ = out.write_all(&bytes[..read]).and_then(|()| out.flush());
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

/// The user's terminal in raw mode: every key is the program's.
struct Raw {
    before: Termios,
}

impl Raw {
    fn enter() -> io::Result<Self> {
        let before = tcgetattr(io::stdin())?;
        let mut raw = before.clone();
        raw.make_raw();
        tcsetattr(io::stdin(), OptionalActions::Now, &raw)?;
        Ok(Self { before })
    }
}

impl Drop for Raw {
    fn drop(&mut self) {
        // A terminal that is gone needs no restoring.
        let _ = tcsetattr(io::stdin(), OptionalActions::Drain, &self.before);
    }
}

/// Hands signals on to the program. It is the first process of its namespace, so one it does not handle does not reach
/// it: whoever sends a second one means it.
fn forward_signals(killer: Killer, window: Option<OwnedFd>) -> io::Result<()> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let guard = runtime.enter();
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    let mut quit = signal(SignalKind::quit())?;
    let mut resized = signal(SignalKind::window_change())?;
    drop(guard);
    let forward = async move {
        let mut sent = false;
        loop {
            let signal = tokio::select! {
                Some(()) = interrupt.recv() => Signal::INT,
                Some(()) = terminate.recv() => Signal::TERM,
                Some(()) = hangup.recv() => Signal::HUP,
                Some(()) = quit.recv() => Signal::QUIT,
                Some(()) = resized.recv() => {
                    if let Some(window) = &window {
                        let WindowSize { rows, columns } = window_size();
                        let size = Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 };
                        // The program may have ended meanwhile.
                        let _ = tcsetwinsize(window, size);
                    }
                    continue;
                }
                else => return,
            };
            if sent || killer.signal(signal).is_err() {
                killer.kill();
            }
            sent = true;
        }
    };
    thread::Builder::new().name("signals".to_owned()).spawn(move || runtime.block_on(forward))?;
    Ok(())
}
