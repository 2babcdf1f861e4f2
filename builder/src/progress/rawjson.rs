//! JSON for programs: one object a line, in the shape of BuildKit's `SolveStatus`, which is what
//! `docker buildx build --progress=rawjson` writes. Bytes are in base64; times are RFC 3339. A `status` of ours has the rate
//! as well (`bytesPerSecond`, `secondsLeft`), as soon as there is one.

use super::rate::Meter;
use super::{Event, Sink, StepId, Stream};
use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use registry_client::digest::Digest;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::io::Write;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, SystemTime};

/// The time of day.
type Clock = Box<dyn Fn() -> SystemTime + Send + Sync>;

/// Writes JSON lines.
pub struct RawJson {
    clock: Clock,
    state: Mutex<State>,
}

struct State {
    out: Box<dyn Write + Send>,
    steps: BTreeMap<StepId, Step>,
}

struct Step {
    /// What the other objects name the step by.
    vertex: String,
    name: String,
    started: Option<SystemTime>,
    transfers: BTreeMap<String, Transfer>,
    done: bool,
}

struct Transfer {
    started: SystemTime,
    meter: Meter,
}

impl RawJson {
    /// Writes to `out`. What cannot be written is lost.
    pub fn new(out: Box<dyn Write + Send>) -> Self {
        Self::with_clock(out, Box::new(SystemTime::now))
    }

    fn with_clock(out: Box<dyn Write + Send>, clock: Clock) -> Self {
        Self { clock, state: Mutex::new(State { out, steps: BTreeMap::new() }) }
    }
}

impl Sink for RawJson {
    fn event(&self, event: Event) {
        let now = (self.clock)();
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(object) = state.object(event, now) {
            let _ = writeln!(state.out, "{object}");
        }
    }
}

fn time(time: SystemTime) -> String {
    humantime::format_rfc3339_nanos(time).to_string()
}

fn base64(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(bytes)
}

impl State {
    fn object(&mut self, event: Event, now: SystemTime) -> Option<Value> {
        Some(match event {
            Event::Announced { step, name } => {
                self.step(step).name = name;
                self.vertex(step, &[])
            }
            Event::Started { step } => {
                self.step(step).started = Some(now);
                self.vertex(step, &[])
            }
            Event::Cached { step } => {
                self.step(step).started = Some(now);
                self.vertex(step, &[("completed", time(now).into()), ("cached", true.into())])
            }
            Event::Finished { step, elapsed } => self.completed(step, elapsed, now, &[]),
            Event::Failed { step, elapsed, error } => {
                self.completed(step, elapsed, now, &[("error", error.into())])
            }
            Event::Log { step, stream, mut line } => {
                line.push(b'\n');
                let stream = match stream {
                    Stream::Stdout => 1,
                    Stream::Stderr => 2,
                };
                let vertex = &self.step(step).vertex;
                json!({"logs": [
                    {"vertex": vertex, "stream": stream, "data": base64(&line), "timestamp": time(now)}
                ]})
            }
            Event::Transfer { step, item, current, total } => {
                let step = self.step(step);
                // What still moved when a step had failed is no news.
                if step.done {
                    return None;
                }
                let begun = Transfer { started: now, meter: Meter::new(Duration::ZERO, current, total) };
                let transfer = step.transfers.entry(item.clone()).or_insert(begun);
                // The time of day may be set back; then the transfer takes no time for a while.
                let elapsed = now.duration_since(transfer.started).unwrap_or_default();
                transfer.meter.moved(elapsed, current, total);
                let mut status = json!({
                    "id": item, "vertex": step.vertex, "current": current,
                    "timestamp": time(now), "started": time(transfer.started),
                });
                if let Some(rate) = transfer.meter.rate(elapsed) {
                    status["bytesPerSecond"] = rate.into();
                }
                if let Some(left) = transfer.meter.left(elapsed) {
                    status["secondsLeft"] = left.as_secs().into();
                }
                if let Some(total) = total {
                    status["total"] = total.into();
                    if total == current {
                        status["completed"] = time(now).into();
                    }
                }
                json!({"statuses": [status]})
            }
            Event::Explained { history } => json!({ "explained": *history }),
            Event::Warning { text } => {
                let (short, detail) = text.split_once('\n').unwrap_or((&text, ""));
                let detail: Vec<_> = detail.lines().map(|line| base64(line.as_bytes())).collect();
                json!({"warnings": [{"level": 1, "short": base64(short.as_bytes()), "detail": detail}]})
            }
            // The format has no place for it.
            Event::Measured { .. } => return None,
        })
    }

    fn step(&mut self, step: StepId) -> &mut Step {
        self.steps.entry(step).or_insert_with(|| Step {
            // BuildKit names a step by the digest of its definition. Here the number alone tells steps apart, and
            // readers want something of that form.
            vertex: Digest::of(&step.0.to_le_bytes()).to_string(),
            name: String::new(),
            started: None,
            transfers: BTreeMap::new(),
            done: false,
        })
    }

    /// A step's whole state: readers keep the last they saw.
    fn vertex(&mut self, step: StepId, more: &[(&str, Value)]) -> Value {
        let step = self.step(step);
        let mut vertex = json!({"digest": step.vertex, "name": step.name});
        if let Some(started) = step.started {
            vertex["started"] = time(started).into();
        }
        for (key, value) in more {
            vertex[*key] = value.clone();
        }
        json!({"vertexes": [vertex]})
    }

    fn completed(
        &mut self,
        step: StepId,
        elapsed: Duration,
        now: SystemTime,
        more: &[(&str, Value)],
    ) -> Value {
        let started = now.checked_sub(elapsed).unwrap_or(now);
        let entry = self.step(step);
        entry.started.get_or_insert(started);
        entry.done = true;
        let mut fields = vec![("completed", time(now).into())];
        fields.extend_from_slice(more);
        self.vertex(step, &fields)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;

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

    #[test]
    fn objects() {
        let buffer = Buffer::default();
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_700_000_000);
        let json = RawJson::with_clock(Box::new(buffer.clone()), Box::new(move || now));
        let step = StepId(1);
        json.event(Event::Announced { step, name: "RUN make".to_owned() });
        json.event(Event::Started { step });
        json.event(Event::Log { step, stream: Stream::Stderr, line: b"\xff".to_vec() });
        json.event(Event::Transfer { step, item: "x".to_owned(), current: 2, total: Some(2) });
        json.event(Event::Failed { step, elapsed: Duration::from_secs(1), error: "exit code 2".to_owned() });
        json.event(Event::Warning { text: "short\nlong".to_owned() });
        let text = String::from_utf8(buffer.0.lock().unwrap().clone()).unwrap();
        let digest = Digest::of(&1_u32.to_le_bytes()).to_string();
        let at = "2023-11-14T22:13:20.000000000Z";
        let want = [
            json!({"vertexes": [{"digest": digest, "name": "RUN make"}]}),
            json!({"vertexes": [{"digest": digest, "name": "RUN make", "started": at}]}),
            json!({"logs": [{"vertex": digest, "stream": 2, "data": "/wo=", "timestamp": at}]}),
            json!({"statuses": [{
                "id": "x", "vertex": digest, "current": 2, "total": 2,
                "timestamp": at, "started": at, "completed": at,
            }]}),
            json!({"vertexes": [{
                "digest": digest, "name": "RUN make", "started": at, "completed": at, "error": "exit code 2",
            }]}),
            json!({"warnings": [{"level": 1, "short": "c2hvcnQ=", "detail": ["bG9uZw=="]}]}),
        ];
        let got: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        assert_eq!(got, want);
    }

    #[test]
    fn rates() {
        use std::sync::atomic::{AtomicU64, Ordering};
        let (buffer, millis) = (Buffer::default(), Arc::new(AtomicU64::new(0)));
        let clock = Arc::clone(&millis);
        let now = move || {
            SystemTime::UNIX_EPOCH + Duration::from_millis(1_700_000_000_000 + clock.load(Ordering::Relaxed))
        };
        let json = RawJson::with_clock(Box::new(buffer.clone()), Box::new(now));
        let (step, total) = (StepId(1), Some(9_000));
        for (at, current) in [(0, 1_000), (2_000, 5_000), (4_000, 9_000)] {
            millis.store(at, Ordering::Relaxed);
            json.event(Event::Transfer { step, item: "x".to_owned(), current, total });
        }
        json.event(Event::Failed { step, elapsed: Duration::from_secs(4), error: "cut".to_owned() });
        json.event(Event::Transfer { step, item: "y".to_owned(), current: 1, total });
        let text = String::from_utf8(buffer.0.lock().unwrap().clone()).unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let rates: Vec<_> = lines.iter().filter_map(|line| line.get("statuses")).collect();
        let rates: Vec<_> =
            rates.iter().map(|status| (&status[0]["bytesPerSecond"], &status[0]["secondsLeft"])).collect();
        assert_eq!(
            rates,
            [(&Value::Null, &Value::Null), (&json!(2_000), &json!(2)), (&json!(2_000), &json!(0))],
            "and nothing after the end"
        );
    }
}
