//! The output of a program, line by line, to progress.

use crate::progress::{Event, Progress, StepId, Stream};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use std::io;
use std::os::fd::OwnedFd;

/// A line longer than this is told in pieces.
const LONGEST_LINE: usize = 64 << 10;

/// Reads both outputs until they are closed. What equals a secret is not shown.
pub(super) fn pump(
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
    secrets: &[Vec<u8>],
    step: StepId,
    progress: &Progress,
) -> io::Result<()> {
    let source = |fd: Option<OwnedFd>, stream| fd.map(|fd| Source { fd, stream, line: Vec::new() });
    let mut open: Vec<Source> =
        [source(stdout, Stream::Stdout), source(stderr, Stream::Stderr)].into_iter().flatten().collect();
    let mut buffer = vec![0; 64 << 10];
    let tell = |stream, line: &[u8]| {
        progress.send(Event::Log { step, stream, line: mask(line, secrets) });
    };
    while !open.is_empty() {
        let ready: Vec<bool> = {
            let mut fds: Vec<PollFd<'_>> = open.iter().map(|s| PollFd::new(&s.fd, PollFlags::IN)).collect();
            match poll(&mut fds, None) {
                Err(Errno::INTR) => continue,
                other => other?,
            };
            fds.iter().map(|fd| !fd.revents().is_empty()).collect()
        };
        let mut closed = Vec::new();
        for (index, source) in open.iter_mut().enumerate().filter(|(index, _)| ready[*index]) {
            let n = match rustix::io::read(&source.fd, &mut buffer) {
                Err(Errno::INTR | Errno::AGAIN) => continue,
                other => other?,
            };
            if n == 0 {
                closed.push(index);
            }
            source.take(&buffer[..n], &tell);
        }
        for index in closed.into_iter().rev() {
            let source = open.remove(index);
            if !source.line.is_empty() {
                tell(source.stream, &source.line);
            }
        }
    }
    Ok(())
}

struct Source {
    fd: OwnedFd,
    stream: Stream,
    /// What has come of the line that is not ended yet.
    line: Vec<u8>,
}

impl Source {
    fn take(&mut self, mut bytes: &[u8], tell: &dyn Fn(Stream, &[u8])) {
        while let Some(end) = bytes.iter().position(|b| *b == b'\n') {
            self.line.extend_from_slice(&bytes[..end]);
            let line = self.line.strip_suffix(b"\r").unwrap_or(&self.line);
            tell(self.stream, line);
            self.line.clear();
            bytes = &bytes[end + 1..];
        }
        self.line.extend_from_slice(bytes);
        if self.line.len() > LONGEST_LINE {
            tell(self.stream, &self.line);
            self.line.clear();
        }
    }
}

/// `line` with each secret in it replaced by `***`.
fn mask(line: &[u8], secrets: &[Vec<u8>]) -> Vec<u8> {
    let mut masked = line.to_vec();
    for secret in secrets {
        // A value of a few bytes stands everywhere; hiding it would hide the log.
        let secret = secret.trim_ascii();
        if secret.len() < 4 {
            continue;
        }
        while let Some(at) = masked.windows(secret.len()).position(|window| window == secret) {
            masked.splice(at..at + secret.len(), *b"***");
        }
    }
    masked
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::progress::Sink;
    use std::io::Write;
    use std::sync::{Arc, Mutex};

    #[derive(Default)]
    struct Lines(Mutex<Vec<(Stream, String)>>);

    impl Sink for Lines {
        fn event(&self, event: Event) {
            if let Event::Log { stream, line, .. } = event {
                self.0.lock().unwrap().push((stream, String::from_utf8(line).unwrap()));
            }
        }
    }

    #[test]
    fn lines_of_both_streams() {
        let (out, mut out_writer) = io::pipe().unwrap();
        let (err, mut err_writer) = io::pipe().unwrap();
        out_writer.write_all(b"one\r\ntw").unwrap();
        out_writer.write_all(b"o\nlast without end").unwrap();
        err_writer.write_all(b"the hunter2 word\n").unwrap();
        drop((out_writer, err_writer));
        let lines = Arc::new(Lines::default());
        let progress = Progress::new(lines.clone());
        pump(Some(out.into()), Some(err.into()), &[b"hunter2\n".to_vec()], StepId(1), &progress).unwrap();
        let mut lines = lines.0.lock().unwrap().clone();
        lines.sort_by_key(|(stream, _)| *stream == Stream::Stderr);
        let text: Vec<&str> = lines.iter().map(|(_, line)| line.as_str()).collect();
        assert_eq!(text, ["one", "two", "last without end", "the *** word"]);
    }
}
