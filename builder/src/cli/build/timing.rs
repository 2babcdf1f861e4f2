//! `--timeline` and `--trace`.

use super::args::BuildArgs;
use crate::cli::failure::{Failure, UsageError};
use crate::progress::Sink;
use crate::progress::timeline::{Recorder, Timeline, html, trace};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

/// The files that were asked for, and what is noted for them.
#[derive(Debug)]
pub struct Timing {
    page: Option<PathBuf>,
    trace: Option<PathBuf>,
    recorder: Arc<Recorder>,
}

impl Timing {
    /// Starts to take notes, when one of the flags is there.
    ///
    /// # Errors
    /// [`UsageError`]: both are to be the same file, or nothing is built.
    pub fn asked(args: &BuildArgs) -> Result<Option<Self>, UsageError> {
        let (page, trace) = (args.timeline.clone(), args.trace.clone());
        if page.is_none() && trace.is_none() {
            return Ok(None);
        }
        if page == trace {
            return Err(UsageError::TimelineIsTrace);
        }
        if args.called().is_some() {
            return Err(UsageError::NothingToTime);
        }
        let recorder = Arc::new(Recorder::new(title(args), SystemTime::now()));
        Ok(Some(Self { page, trace, recorder }))
    }

    /// What takes the events.
    pub fn sink(&self) -> Arc<dyn Sink> {
        Arc::clone(&self.recorder) as _
    }

    /// The build has ended; `failure` is why it failed.
    pub fn finish(self, failure: Option<String>) -> Timed {
        Timed { timeline: self.recorder.finish(failure), page: self.page, trace: self.trace }
    }
}

/// A build that has ended, to be written.
#[derive(Debug)]
pub struct Timed {
    timeline: Timeline,
    page: Option<PathBuf>,
    trace: Option<PathBuf>,
}

impl Timed {
    /// Writes the files.
    ///
    /// # Errors
    /// [`Failure::Timing`]: the first that cannot be written. The other one is written all the same.
    pub fn write(&self) -> Result<(), Failure> {
        let page = self.page.as_deref().map(|path| write(path, &html::write(&self.timeline)));
        let trace = self.trace.as_deref().map(|path| write(path, &trace::write(&self.timeline)));
        page.into_iter().chain(trace).collect()
    }
}

fn write(path: &Path, text: &str) -> Result<(), Failure> {
    std::fs::write(path, text).map_err(|source| Failure::Timing { path: path.to_owned(), source })
}

/// What is built, in a line: the name of the image, else the context.
fn title(args: &BuildArgs) -> String {
    let context = || args.context.as_deref().unwrap_or_default().to_string_lossy().into_owned();
    let mut title = format!("build {}", args.tag.first().cloned().unwrap_or_else(context));
    if let Some(target) = &args.target {
        title.push_str(&format!(", stage {target}"));
    }
    title
}
