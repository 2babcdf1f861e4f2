//! Asking for a name and a password.

use rustix::termios::{LocalModes, OptionalActions, SpecialCodeIndex, Termios, tcgetattr, tcsetattr};
use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};

/// Ctrl-C, as a terminal sends it.
const INTERRUPT: u8 = 3;
/// The longest password, in bytes.
const LIMIT: u64 = 64 << 10;

/// Asks on the terminal of this process, whatever standard input is.
///
/// # Errors
/// When there is no terminal, or nobody answers.
pub fn ask(question: &str) -> io::Result<String> {
    let terminal = OpenOptions::new().read(true).write(true).open("/dev/tty")?;
    (&terminal).write_all(question.as_bytes())?;
    line(&terminal)
}

/// The same without showing the answer.
///
/// # Errors
/// As for [`ask`].
pub fn ask_secretly(question: &str) -> io::Result<String> {
    let terminal = OpenOptions::new().read(true).write(true).open("/dev/tty")?;
    let before = tcgetattr(&terminal)?;
    let mut quiet = before.clone();
    quiet.local_modes.remove(LocalModes::ECHO);
    quiet.local_modes.insert(LocalModes::ECHONL);
    // Ctrl-C would end the program and leave a terminal that shows nothing: here it ends the line, and is then obeyed.
    quiet.local_modes.remove(LocalModes::ISIG);
    quiet.special_codes[SpecialCodeIndex::VEOL] = INTERRUPT;
    tcsetattr(&terminal, OptionalActions::Flush, &quiet)?;
    let restore = Restore { terminal: &terminal, before };
    (&terminal).write_all(question.as_bytes())?;
    let answer = line(&terminal);
    drop(restore);
    answer
}

struct Restore<'a> {
    terminal: &'a File,
    before: Termios,
}

impl Drop for Restore<'_> {
    fn drop(&mut self) {
        // A terminal that is gone needs no restoring.
        let _ = tcsetattr(self.terminal, OptionalActions::Flush, &self.before);
    }
}

/// A password from a pipe: all of it, without the line ending that `echo` and editors add.
///
/// # Errors
/// When it cannot be read, is empty, or is no password by its size.
pub fn from_pipe(input: &mut dyn Read) -> io::Result<String> {
    let mut text = String::new();
    input.take(LIMIT).read_to_string(&mut text)?;
    answer(&text)
}

/// One line; a terminal gives it in one piece.
fn line(mut terminal: &File) -> io::Result<String> {
    // The kernel's own limit for a line is 4096 bytes.
    let mut bytes = [0; 4096];
    let read = terminal.read(&mut bytes)?;
    let text = String::from_utf8_lossy(&bytes[..read]);
    if text.ends_with(char::from(INTERRUPT)) {
        return Err(io::Error::new(io::ErrorKind::Interrupted, "interrupted"));
    }
    answer(&text)
}

fn answer(text: &str) -> io::Result<String> {
    let text = text.strip_suffix('\n').unwrap_or(text);
    let text = text.strip_suffix('\r').unwrap_or(text);
    if text.is_empty() {
        return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "nothing was entered"));
    }
    if text.len() as u64 >= LIMIT - 1 {
        return Err(io::Error::new(io::ErrorKind::InvalidData, "it is too long"));
    }
    Ok(text.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn passwords_from_pipes() {
        for (text, want) in
            [("s3cret", "s3cret"), ("s3cret\n", "s3cret"), ("s3cret\r\n", "s3cret"), (" a b \n\n", " a b \n")]
        {
            assert_eq!(from_pipe(&mut text.as_bytes()).unwrap(), want);
        }
        for text in ["", "\n", "\r\n", &"x".repeat(LIMIT as usize * 2)] {
            assert!(from_pipe(&mut text.as_bytes()).is_err());
        }
        assert!(from_pipe(&mut &b"\xff"[..]).is_err());
    }
}
