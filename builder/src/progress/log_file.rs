//! The full log of a build: every event at once, in the order it came, and log lines byte for byte.

use super::{Event, Sink, StepId, Stream};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// Writes to a file.
#[derive(Debug)]
pub struct LogFile {
    path: PathBuf,
    start: Instant,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    file: File,
    steps: Vec<StepId>,
}

impl LogFile {
    /// Writes to `file`, which is at `path`.
    pub fn new(path: PathBuf, file: File) -> Self {
        Self { path, start: Instant::now(), state: Mutex::new(State { file, steps: Vec::new() }) }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Sink for LogFile {
    fn event(&self, event: Event) {
        let at = self.start.elapsed().as_secs_f64();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let mut text = format!("{at:.3} ").into_bytes();
        match event {
            Event::Announced { step, name } => {
                let number = state.number(step);
                // A line is an event, so a name with a line break in it is shown with that escaped.
                text.extend(format!("#{number} {}", name.escape_debug()).into_bytes());
            }
            Event::Started { step } => text.extend(format!("#{} started", state.number(step)).into_bytes()),
            Event::Cached { step } => text.extend(format!("#{} CACHED", state.number(step)).into_bytes()),
            Event::Log { step, stream, line } => {
                let stream = match stream {
                    Stream::Stdout => '|',
                    Stream::Stderr => '!',
                };
                text.extend(format!("#{} {stream} ", state.number(step)).into_bytes());
                text.extend(line);
            }
            // Too many, and of no use afterwards.
            Event::Explained { .. } => return,
            Event::Transfer { current, total, .. } if total != Some(current) => return,
            Event::Transfer { step, item, current, .. } => {
                text.extend(format!("#{} {item} {current} bytes", state.number(step)).into_bytes());
            }
            Event::Finished { step, elapsed } => {
                let seconds = elapsed.as_secs_f64();
                text.extend(format!("#{} DONE {seconds:.3}s", state.number(step)).into_bytes());
            }
            Event::Failed { step, elapsed, error } => {
                let seconds = elapsed.as_secs_f64();
                text.extend(format!("#{} ERROR {seconds:.3}s: {error}", state.number(step)).into_bytes());
            }
            Event::Warning { text: warning } => text.extend(warning.into_bytes()),
            Event::Measured { .. } => return,
        }
        text.push(b'\n');
        // A full disk fails the build where it matters; the log is not that place.
        let _ = state.file.write_all(&text);
    }
}

impl State {
    /// The number the plain display gives the step.
    fn number(&mut self, step: StepId) -> usize {
        let known = self.steps.iter().position(|known| *known == step);
        known.unwrap_or_else(|| {
            self.steps.push(step);
            self.steps.len() - 1
        }) + 1
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn everything_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("build.log");
        let log = LogFile::new(path.clone(), File::create(&path).unwrap());
        let step = StepId(3);
        log.event(Event::Announced { step, name: "RUN a\nb".to_owned() });
        log.event(Event::Log { step, stream: Stream::Stderr, line: b"\x1b[1m\xff".to_vec() });
        log.event(Event::Transfer { step, item: "x".to_owned(), current: 1, total: Some(2) });
        log.event(Event::Transfer { step, item: "x".to_owned(), current: 2, total: Some(2) });
        log.event(Event::Warning { text: "careful".to_owned() });
        log.event(Event::Finished { step, elapsed: Duration::from_millis(1500) });
        let written = std::fs::read(log.path()).unwrap();
        let without_time = |line| <[u8]>::splitn(line, 2, |byte| *byte == b' ').nth(1).unwrap_or_default();
        let lines: Vec<_> = written.split(|byte| *byte == b'\n').map(without_time).collect();
        assert_eq!(
            lines,
            [&b"#1 RUN a\\nb"[..], b"#1 ! \x1b[1m\xff", b"#1 x 2 bytes", b"careful", b"#1 DONE 1.500s", b""]
        );
    }
}
