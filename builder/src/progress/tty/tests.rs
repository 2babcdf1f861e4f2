use super::frame::time;
use super::*;
use crate::progress::Stream;
use indicatif::TermLike;
use std::io;

const SCREEN: (u16, u16) = (40, 12);

fn state(steps: &[&str]) -> State {
    let mut state = State::new(Style { colours: false });
    for (number, name) in steps.iter().enumerate() {
        state.announced(StepId(number as u32), (*name).to_owned());
    }
    state
}

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[test]
fn a_frame() {
    let mut state = state(&["[1/3] FROM debian", "[2/3] RUN make a very long command line", "[3/3] COPY"]);
    assert_eq!(state.frame(SCREEN, seconds(0)), "");
    state.started(StepId(0), seconds(0));
    state.transfer(StepId(0), "sha256:abc".to_owned(), 1_000_000, Some(9_000_000), seconds(0));
    state.transfer(StepId(0), "sha256:abc".to_owned(), 5_000_000, Some(9_000_000), seconds(2));
    assert_eq!(
        state.frame(SCREEN, seconds(2)),
        "Building 2.0s  0 of 3 steps\n\
         ⠋ [1/3] FROM debian                2.0s\n    \
             sha256:abc  5.0 MB / 9.0 MB  2.0 M…"
    );
    assert_eq!(state.ended(StepId(0), Outcome::Cached, SCREEN), "✔ [1/3] FROM debian              CACHED");
    state.started(StepId(1), seconds(3));
    for line in 0..9 {
        state.log(StepId(1), format!("line {line}"));
    }
    assert_eq!(
        state.frame(SCREEN, seconds(70)),
        "Building 1m10s  1 of 3 steps, 1 cached\n\
         ⠋ [2/3] RUN make a very long com… 1m07s\n    \
             line 3\n    line 4\n    line 5\n    line 6\n    line 7\n    line 8"
    );
    assert_eq!(
        state.ended(StepId(1), Outcome::Failed(Duration::from_millis(1250)), SCREEN),
        "✘ [2/3] RUN make a very lo… FAILED 1.2s"
    );
    // What comes late changes nothing.
    state.log(StepId(1), "late".to_owned());
    assert_eq!(state.frame(SCREEN, seconds(71)), "");
}

#[test]
fn a_frame_fits_any_screen() {
    let mut state = state(&["一二三四五六七八九十"; 20]);
    for step in 0..20 {
        state.started(StepId(step), seconds(0));
        state.log(StepId(step), "log ".repeat(30));
        for item in ["a", "b"] {
            state.transfer(StepId(step), item.to_owned(), 1, None, seconds(0));
        }
    }
    for columns in 0..100 {
        for rows in 0..60 {
            let frame = state.frame((columns, rows), seconds(5));
            let lines: Vec<_> = frame.lines().collect();
            assert!(lines.len() < usize::from(rows).max(4), "{rows} rows:\n{frame}");
            let widest = lines.iter().map(|line| sanitize::width(line)).max().unwrap_or(0);
            assert!(widest <= usize::from(columns).max(12), "{columns} columns:\n{frame}");
        }
    }
}

#[test]
fn times() {
    assert_eq!(time(Duration::from_millis(59_990)), "59.9s");
    assert_eq!(time(seconds(65)), "1m05s");
    assert_eq!(time(seconds(7380)), "2h03m");
}

/// Keeps what is written, without the moves of the cursor.
#[derive(Clone, Debug, Default)]
struct Recorder(Arc<Mutex<String>>);

impl TermLike for Recorder {
    fn width(&self) -> u16 {
        40
    }

    fn move_cursor_up(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_down(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_right(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_left(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn write_line(&self, line: &str) -> io::Result<()> {
        self.write_str(line)?;
        self.write_str("\n")
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.0.lock().unwrap().push_str(text);
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn what_ended_stays_on_the_screen() {
    let recorder = Recorder::default();
    let target = ProgressDrawTarget::term_like(Box::new(recorder.clone()));
    let tty = Tty::new(target, Box::new(|| (40, 12)), true);
    let step = StepId(0);
    tty.event(Event::Announced { step, name: "RUN \x1b[2Jtrue".to_owned() });
    tty.event(Event::Started { step });
    tty.event(Event::Log { step, stream: Stream::Stdout, line: b"\x1b[5mhello".to_vec() });
    tty.shared.draw();
    tty.event(Event::Warning { text: "watch \x1b[3Jout".to_owned() });
    tty.event(Event::Finished { step, elapsed: seconds(1) });
    tty.close();
    let written = recorder.0.lock().unwrap().clone();
    for want in ["RUN true", "\x1b[2mhello\x1b[0m", "watch out", "\x1b[32m✔ RUN true"] {
        assert!(written.contains(want), "{want:?} is not in {written:?}");
    }
    for hostile in ["\x1b[2J", "\x1b[3J", "\x1b[5m"] {
        assert!(!written.contains(hostile), "{hostile:?} is in {written:?}");
    }
}
