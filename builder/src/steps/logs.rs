//! The output of a program, line by line, to progress.

use super::mask::Mask;
use crate::progress::{Event, Progress, StepId, Stream};
use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use std::io;
use std::os::fd::OwnedFd;

/// A line longer than this is told in pieces.
const LONGEST_LINE: usize = 64 << 10;

/// Reads both outputs until they are closed, and hides what `mask` finds.
pub(super) fn pump(
    stdout: Option<OwnedFd>,
    stderr: Option<OwnedFd>,
    mask: &Mask,
    step: StepId,
    progress: &Progress,
) -> io::Result<()> {
    let source = |fd: Option<OwnedFd>, stream| fd.map(|fd| Source { fd, stream, line: Vec::new() });
    let mut open: Vec<Source> =
        [source(stdout, Stream::Stdout), source(stderr, Stream::Stderr)].into_iter().flatten().collect();
    let mut buffer = vec![0; 64 << 10];
    let tell = |stream, line: &[u8]| {
        progress.send(Event::Log { step, stream, line: mask.apply(line) });
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
            source.take(&buffer[..n], mask, &tell);
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
    fn take(&mut self, mut bytes: &[u8], mask: &Mask, tell: &dyn Fn(Stream, &[u8])) {
        while let Some(end) = bytes.iter().position(|b| *b == b'\n') {
            self.line.extend_from_slice(&bytes[..end]);
            let line = self.line.strip_suffix(b"\r").unwrap_or(&self.line);
            tell(self.stream, line);
            self.line.clear();
            bytes = &bytes[end + 1..];
        }
        self.line.extend_from_slice(bytes);
        if self.line.len() > LONGEST_LINE + mask.kept_back() {
            let complete = mask.complete(&self.line);
            tell(self.stream, &self.line[..complete]);
            self.line.drain(..complete);
        }
    }
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

    /// What is told of these writes to standard output and standard error.
    fn told(secrets: &[&[u8]], stdout: &[&[u8]], stderr: &[&[u8]]) -> Vec<(Stream, String)> {
        let (out, mut out_writer) = io::pipe().unwrap();
        let (err, mut err_writer) = io::pipe().unwrap();
        let secrets: Vec<Vec<u8>> = secrets.iter().map(|secret| secret.to_vec()).collect();
        let lines = Arc::new(Lines::default());
        let progress = Progress::new(lines.clone());
        std::thread::scope(|scope| {
            scope.spawn(move || stdout.iter().for_each(|text| out_writer.write_all(text).unwrap()));
            scope.spawn(move || stderr.iter().for_each(|text| err_writer.write_all(text).unwrap()));
            let mask = Mask::new(&secrets).unwrap();
            pump(Some(out.into()), Some(err.into()), &mask, StepId(1), &progress).unwrap();
        });
        let mut lines = lines.0.lock().unwrap().clone();
        lines.sort_by_key(|(stream, _)| *stream == Stream::Stderr);
        lines
    }

    #[test]
    fn lines_of_both_streams() {
        let lines = told(&[b"hunter2\n"], &[b"one\r\ntw", b"o\nlast without end"], &[b"the hunter2 word\n"]);
        let text: Vec<&str> = lines.iter().map(|(_, line)| line.as_str()).collect();
        assert_eq!(text, ["one", "two", "last without end", "the *** word"]);
    }

    #[test]
    fn long_lines_are_told_in_pieces_that_hide_secrets() {
        // One of them has the secret on both sides of a cut.
        let secret = b"0123456789abcdef0123456789ABCDEF";
        for before in (LONGEST_LINE - 40..LONGEST_LINE + 80).step_by(7) {
            let (filler, more) = (vec![b'.'; before], vec![b'-'; LONGEST_LINE * 3]);
            let lines = told(&[secret], &[&filler, secret, &more, b"\nshort\n"], &[]);
            let all: String = lines.iter().map(|(_, line)| line.as_str()).collect();
            let (dots, dashes) = (".".repeat(before), "-".repeat(more.len()));
            assert_eq!(all, format!("{dots}***{dashes}short"), "{before}");
            assert!(lines.len() >= 3 && lines.last().unwrap().1 == "short", "{before}");
            assert!(lines.iter().all(|(_, line)| line.len() <= LONGEST_LINE * 3), "{before}");
        }
    }
}
