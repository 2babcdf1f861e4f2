use super::*;
use crate::progress::Stream;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

#[derive(Clone, Default)]
struct Buffer(Arc<Mutex<Vec<u8>>>);

impl Write for Buffer {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

/// Sends events at given milliseconds and returns what was written.
fn written(events: Vec<(u64, Event)>) -> String {
    let buffer = Buffer::default();
    let clock = Arc::new(AtomicU64::new(0));
    let now = Arc::clone(&clock);
    let plain = Plain::with_clock(
        Box::new(buffer.clone()),
        Box::new(move || Duration::from_millis(now.load(Ordering::Relaxed))),
    );
    for (at, event) in events {
        clock.store(at, Ordering::Relaxed);
        plain.event(event);
    }
    String::from_utf8(buffer.0.lock().unwrap().clone()).unwrap()
}

fn announced(step: u32, name: &str) -> Event {
    Event::Announced { step: StepId(step), name: name.to_owned() }
}

fn started(step: u32) -> Event {
    Event::Started { step: StepId(step) }
}

fn log(step: u32, line: &str) -> Event {
    Event::Log { step: StepId(step), stream: Stream::Stdout, line: line.as_bytes().to_vec() }
}

fn finished(step: u32, millis: u64) -> Event {
    Event::Finished { step: StepId(step), elapsed: Duration::from_millis(millis) }
}

fn transfer(step: u32, item: &str, current: u64, total: Option<u64>) -> Event {
    Event::Transfer { step: StepId(step), item: item.to_owned(), current, total }
}

#[test]
fn one_after_the_other() {
    let text = written(vec![
        (0, announced(7, "[1/3] FROM debian")),
        (0, announced(8, "[2/3] RUN make")),
        (0, announced(9, "[3/3] COPY a b")),
        (1, Event::Cached { step: StepId(7) }),
        (10, started(8)),
        (133, log(8, "cc -c \x1b[1mmain.c\x1b[0m")),
        (140, log(8, "")),
        (1210, finished(8, 1200)),
        (1220, started(9)),
        (
            1230,
            Event::Failed {
                step: StepId(9),
                elapsed: Duration::from_millis(10),
                error: "no such file: \"a\"".to_owned(),
            },
        ),
        (1240, Event::Warning { text: "one\ntwo \x1b[2J".to_owned() }),
    ]);
    assert_eq!(
        text,
        "#1 [1/3] FROM debian\n\
         #1 CACHED\n\
         \n\
         #2 [2/3] RUN make\n\
         #2 0.123 cc -c main.c\n\
         #2 0.130 \n\
         #2 DONE 1.2s\n\
         \n\
         #3 [3/3] COPY a b\n\
         #3 ERROR: no such file: \"a\"\n\
         \n\
         one\n\
         two \n"
    );
}

#[test]
fn steps_at_once_are_kept_together() {
    let text = written(vec![
        (0, announced(0, "one")),
        (0, announced(1, "two")),
        (0, announced(2, "three")),
        (0, started(0)),
        (0, started(1)),
        (0, log(0, "a")),
        (10, log(1, "x")),
        (20, log(0, "b")),
        // A step that is done is told at once, and the one that spoke goes on under its name.
        (30, Event::Cached { step: StepId(2) }),
        (40, log(0, "c")),
        (50, finished(0, 50)),
        (60, log(1, "y")),
        (70, finished(1, 70)),
    ]);
    assert_eq!(
        text,
        "#1 one\n\
         #1 0.000 a\n\
         #1 0.020 b\n\
         #1 ...\n\
         \n\
         #3 three\n\
         #3 CACHED\n\
         \n\
         #2 two\n\
         #2 0.010 x\n\
         #2 ...\n\
         \n\
         #1 one\n\
         #1 0.040 c\n\
         #1 DONE 0.1s\n\
         \n\
         #2 two\n\
         #2 0.060 y\n\
         #2 DONE 0.1s\n"
    );
}

#[test]
fn nobody_keeps_the_floor_for_ever() {
    let text = written(vec![
        (0, announced(0, "one")),
        (0, announced(1, "two")),
        (0, started(0)),
        (0, started(1)),
        (100, log(1, "waits")),
        (4999, log(0, "speaks")),
        (5000, log(1, "has waited long enough")),
    ]);
    assert_eq!(
        text,
        "#1 one\n\
         #1 4.999 speaks\n\
         #1 ...\n\
         \n\
         #2 two\n\
         #2 0.100 waits\n\
         #2 5.000 has waited long enough\n"
    );
    let long = "x".repeat(WAITING);
    let text = written(vec![(0, started(0)), (1, started(1)), (2, log(1, &long))]);
    assert!(text.ends_with(&format!("#2 0.001 {long}\n")), "too much waits");
}

#[test]
fn transfers_are_told_now_and_then() {
    let mut events = vec![(0, announced(0, "pull")), (0, started(0))];
    for tick in 0..=120 {
        events.push((tick * 100, transfer(0, "sha256:abc", tick * 1_000_000, Some(120_000_000))));
    }
    events.push((12_050, transfer(0, "sha256:abc", 120_000_000, Some(120_000_000))));
    events.push((12_100, transfer(0, "other", 5, None)));
    assert_eq!(
        written(events),
        "#1 pull\n\
         #1 sha256:abc 0 B / 120.0 MB\n\
         #1 sha256:abc 50.0 MB / 120.0 MB  10.0 MB/s  7s left\n\
         #1 sha256:abc 100.0 MB / 120.0 MB  10.0 MB/s  2s left\n\
         #1 sha256:abc 120.0 MB done  10.0 MB/s\n\
         #1 other 5 B\n"
    );
}

#[test]
fn the_end_is_the_last_line_of_a_step() {
    let failed =
        Event::Failed { step: StepId(0), elapsed: Duration::from_millis(30), error: "cut".to_owned() };
    let text = written(vec![
        (0, announced(0, "pull")),
        (0, started(0)),
        (10, transfer(0, "one", 5, Some(9))),
        (30, failed),
        // What another layer had still to say.
        (40, transfer(0, "two", 9, Some(9))),
        (50, transfer(0, "one", 9, Some(9))),
    ]);
    assert_eq!(text, "#1 pull\n#1 one 5 B / 9 B\n#1 ERROR: cut\n");
}

#[test]
fn names_cannot_break_out() {
    let text = written(vec![(0, announced(0, "RUN a\x1b[31m\nb")), (0, started(0))]);
    assert_eq!(text, "#1 RUN a\\u{a}b\n");
}

#[test]
fn lines_of_warnings_are_painted_after_they_were_made_safe() {
    let buffer = Buffer::default();
    let paint = Box::new(|line: &str| format!("<{line}>"));
    let plain = Plain::new(Box::new(buffer.clone())).painted(paint);
    plain.event(Event::Warning { text: "one\ntwo \x1b[2J".to_owned() });
    assert_eq!(String::from_utf8(buffer.0.lock().unwrap().clone()).unwrap(), "<one>\n<two >\n");
}
