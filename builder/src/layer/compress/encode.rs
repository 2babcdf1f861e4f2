//! The encoder: blocks go out to threads and come back in order.

use super::Compression;
use super::blocks::{BlockEncoder, Shape};
use std::collections::VecDeque;
use std::io::{self, Write};
use std::num::NonZeroUsize;
use std::sync::mpsc::{self, Receiver, Sender, SyncSender};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;

/// Compresses what is written to it, on several threads, into `W`.
///
/// [`finish`](Self::finish) must be called: what was written last is still in memory until then.
pub struct Encoder<W: Write> {
    out: W,
    /// What is gathered for the next block, and how long that one is.
    block: Vec<u8>,
    block_length: usize,
    /// Whether any block was written: an empty stream is an empty member, and not no bytes at all.
    started: bool,
    workers: Option<Workers>,
}

struct Workers {
    jobs: Option<SyncSender<Job>>,
    /// One for each block under way, in order.
    results: VecDeque<Receiver<io::Result<Done>>>,
    in_flight: usize,
    spare: Vec<Done>,
    threads: Vec<JoinHandle<()>>,
}

/// A block, where its output goes, and where the answer goes.
struct Job {
    buffers: Done,
    answer: Sender<io::Result<Done>>,
}

#[derive(Default)]
struct Done {
    block: Vec<u8>,
    compressed: Vec<u8>,
}

impl<W: Write> Encoder<W> {
    /// Starts the threads, none when nothing is compressed. Their number has no influence on the output.
    ///
    /// # Errors
    /// When a thread cannot be started, or the level is none.
    pub fn new(out: W, compression: Compression, threads: NonZeroUsize) -> io::Result<Self> {
        let shape = Shape::of(compression).unwrap_or(Shape { block: 0, threads: 0 });
        let threads = threads.get().min(shape.threads);
        let mut encoders = Vec::new();
        for _ in 0..threads {
            encoders.extend(BlockEncoder::new(compression)?);
        }
        let workers = if encoders.is_empty() { None } else { Some(Workers::start(encoders)?) };
        Ok(Self {
            out,
            block: Vec::with_capacity(shape.block),
            block_length: shape.block,
            started: false,
            workers,
        })
    }

    /// Compresses what is left, waits for all threads, and gives back what was written to.
    ///
    /// # Errors
    /// When writing fails.
    pub fn finish(mut self) -> io::Result<W> {
        if self.workers.is_some() {
            if !self.block.is_empty() || !self.started {
                self.submit()?;
            }
            while self.workers.as_ref().is_some_and(|workers| !workers.results.is_empty()) {
                self.collect()?;
            }
        }
        self.out.flush()?;
        self.workers = None;
        Ok(self.out)
    }

    /// Hands the gathered block to a thread, first making room among those under way.
    fn submit(&mut self) -> io::Result<()> {
        self.started = true;
        while self.workers.as_ref().is_some_and(|workers| workers.results.len() >= workers.in_flight) {
            self.collect()?;
        }
        if let Some(workers) = &mut self.workers {
            let mut buffers = workers.spare.pop().unwrap_or_default();
            std::mem::swap(&mut buffers.block, &mut self.block);
            self.block.clear();
            let (answer, result) = mpsc::channel();
            workers.results.push_back(result);
            if let Some(jobs) = &workers.jobs {
                jobs.send(Job { buffers, answer }).map_err(|_| stopped())?;
            }
        }
        Ok(())
    }

    /// Waits for the oldest block and writes it.
    fn collect(&mut self) -> io::Result<()> {
        let Some(workers) = &mut self.workers else { return Ok(()) };
        let Some(result) = workers.results.pop_front() else { return Ok(()) };
        let done = result.recv().map_err(|_| stopped())??;
        self.out.write_all(&done.compressed)?;
        workers.spare.push(done);
        Ok(())
    }
}

impl<W: Write> Write for Encoder<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.workers.is_none() {
            return self.out.write(bytes);
        }
        let length = bytes.len().min(self.block_length - self.block.len());
        self.block.extend_from_slice(&bytes[..length]);
        if self.block.len() == self.block_length {
            self.submit()?;
        }
        Ok(length)
    }

    /// Only what was compressed already is flushed: ending a block here would change the output.
    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }
}

impl Workers {
    fn start(encoders: Vec<BlockEncoder>) -> io::Result<Self> {
        // A block being gathered, one for each thread, and one that waits.
        let in_flight = encoders.len() + 1;
        let (jobs, queue) = mpsc::sync_channel::<Job>(in_flight);
        let queue = Arc::new(Mutex::new(queue));
        let mut workers = Self {
            jobs: Some(jobs),
            results: VecDeque::new(),
            in_flight,
            spare: Vec::new(),
            threads: Vec::new(),
        };
        for mut encoder in encoders {
            let queue = Arc::clone(&queue);
            let thread = std::thread::Builder::new().name("compress".into()).spawn(move || {
                loop {
                    let job = queue.lock().unwrap_or_else(PoisonError::into_inner).recv();
                    let Ok(Job { mut buffers, answer }) = job else { return };
                    let result = encoder.encode(&buffers.block, &mut buffers.compressed).map(|()| {
                        buffers.block.clear();
                        buffers
                    });
                    // Nobody waits any more after an error.
                    let _ = answer.send(result);
                }
            })?;
            workers.threads.push(thread);
        }
        Ok(workers)
    }
}

impl Drop for Workers {
    fn drop(&mut self) {
        self.jobs = None;
        for thread in self.threads.drain(..) {
            // A panic was already seen as a missing answer.
            let _ = thread.join();
        }
    }
}

fn stopped() -> io::Error {
    io::Error::other("a compression thread stopped")
}
