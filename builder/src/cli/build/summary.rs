//! What is said at the end of a build.

use super::args::ProgressMode;
use crate::build::BuildReport;
use crate::progress::bytes::size;
use crate::progress::sanitize;
use crate::progress::tally::Counted;
use std::io::{self, Write};
use std::path::Path;

/// A build that went well: one line on `err`, or with `-q` the image ID alone on `out`.
///
/// # Errors
/// When it cannot be written.
pub fn built(
    report: &BuildReport,
    mode: ProgressMode,
    quiet: bool,
    err: &mut dyn Write,
    out: &mut dyn Write,
) -> io::Result<()> {
    if quiet {
        return report.image.iter().try_for_each(|image| writeln!(out, "{}", image.id));
    }
    if matches!(mode, ProgressMode::Quiet | ProgressMode::None | ProgressMode::RawJson) {
        return Ok(());
    }
    let steps = format!("{} of {} steps cached", report.cached, report.steps);
    let time = format!("{:.2} s", report.elapsed.as_secs_f64());
    let Some(image) = &report.image else { return writeln!(err, "done: {steps}, {time}") };
    let layers = if image.layers == 1 { "1 layer".to_owned() } else { format!("{} layers", image.layers) };
    writeln!(
        err,
        "image {} for {}: {}, {layers}; {steps}, {time}",
        image.id,
        image.platform,
        size(image.size)
    )?;
    image.names.iter().try_for_each(|name| writeln!(err, "named {name}"))
}

/// A build that did not: the last lines of the step that failed, unless they stand on the screen already, and where the
/// rest is.
///
/// # Errors
/// When it cannot be written.
pub fn failed(counted: &Counted, log: &Path, mode: ProgressMode, err: &mut dyn Write) -> io::Result<()> {
    let Some(step) = &counted.failed else { return Ok(()) };
    if !matches!(mode, ProgressMode::Plain | ProgressMode::RawJson) && !step.last_lines.is_empty() {
        writeln!(err, "------\n > {}:", sanitize::line(step.name.as_bytes()))?;
        for line in &step.last_lines {
            writeln!(err, "{}", sanitize::line(line))?;
        }
        writeln!(err, "------")?;
    }
    if mode == ProgressMode::RawJson { Ok(()) } else { writeln!(err, "the full log is in {}", log.display()) }
}
