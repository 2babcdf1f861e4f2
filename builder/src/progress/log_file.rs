//! The full log of a build: every event at once, in the order it came, and log lines byte for byte.

use super::{Event, Sink, StepId, Stream};
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

/// How many logs of earlier builds are left beside a new one.
const KEPT: usize = 100;

/// Writes to a file.
pub struct LogFile {
    path: PathBuf,
    start: Instant,
    state: Mutex<State>,
}

struct State {
    file: File,
    steps: Vec<StepId>,
}

impl LogFile {
    /// Makes `directory/name.log`, readable by its owner alone: what a program prints may be secret. The oldest logs of
    /// the directory, by name, are removed when there are many.
    ///
    /// # Errors
    /// What the file system says.
    pub fn create(directory: &Path, name: &str) -> io::Result<Self> {
        DirBuilder::new().recursive(true).mode(0o700).create(directory)?;
        remove_oldest(directory)?;
        let path = directory.join(name).with_extension("log");
        let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path)?;
        let state = Mutex::new(State { file, steps: Vec::new() });
        Ok(Self { path, start: Instant::now(), state })
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

fn remove_oldest(directory: &Path) -> io::Result<()> {
    let mut logs = Vec::new();
    for entry in directory.read_dir()? {
        let path = entry?.path();
        if path.extension().is_some_and(|extension| extension == "log") {
            logs.push(path);
        }
    }
    let Some(many) = (logs.len() + 1).checked_sub(KEPT) else { return Ok(()) };
    logs.sort_unstable();
    for log in logs.into_iter().take(many) {
        match std::fs::remove_file(log) {
            // Another build was quicker.
            Err(error) if error.kind() == io::ErrorKind::NotFound => {}
            other => other?,
        }
    }
    Ok(())
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
    use std::os::unix::fs::PermissionsExt;
    use std::time::Duration;

    #[test]
    fn everything_is_written() {
        let directory = tempfile::tempdir().unwrap();
        let log = LogFile::create(&directory.path().join("logs"), "2024").unwrap();
        let step = StepId(3);
        log.event(Event::Announced { step, name: "RUN a\nb".to_owned() });
        log.event(Event::Log { step, stream: Stream::Stderr, line: b"\x1b[1m\xff".to_vec() });
        log.event(Event::Transfer { step, item: "x".to_owned(), current: 1, total: Some(2) });
        log.event(Event::Finished { step, elapsed: Duration::from_millis(1500) });
        let written = std::fs::read(log.path()).unwrap();
        let lines: Vec<_> = written
            .split(|byte| *byte == b'\n')
            .map(|line| line.splitn(2, |byte| *byte == b' ').nth(1).unwrap_or_default())
            .collect();
        assert_eq!(lines, [&b"#1 RUN a\\nb"[..], b"#1 ! \x1b[1m\xff", b"#1 DONE 1.500s", b""]);
        let mode = std::fs::metadata(log.path()).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
    }

    #[test]
    fn old_logs_go() {
        let directory = tempfile::tempdir().unwrap();
        for number in 0..KEPT + 5 {
            File::create(directory.path().join(format!("{number:04}.log"))).unwrap();
        }
        File::create(directory.path().join("0000.txt")).unwrap();
        LogFile::create(directory.path(), "9999").unwrap();
        let mut names: Vec<_> =
            directory.path().read_dir().unwrap().map(|entry| entry.unwrap().file_name()).collect();
        names.sort();
        assert_eq!(names.len(), KEPT + 1);
        assert_eq!(names[0], "0000.txt");
        assert_eq!(names[1], "0006.log");
        assert_eq!(names[KEPT], "9999.log");
    }
}
