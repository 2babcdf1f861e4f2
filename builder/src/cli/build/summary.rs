//! What is said at the end of a build.

use super::args::ProgressMode;
use crate::build::BuildReport;
use crate::progress::bytes::size;
use crate::progress::sanitize;
use crate::progress::tally::Counted;
use std::io::{self, Write};
use std::path::Path;

/// A build that went well: one line on `err`, or when quiet the image ID alone on `out`.
///
/// # Errors
/// When it cannot be written.
pub fn built(
    report: &BuildReport,
    mode: ProgressMode,
    err: &mut dyn Write,
    out: &mut dyn Write,
) -> io::Result<()> {
    match mode {
        ProgressMode::Quiet => {
            return report.image.iter().try_for_each(|image| writeln!(out, "{}", image.id));
        }
        ProgressMode::None | ProgressMode::RawJson => return Ok(()),
        ProgressMode::Auto | ProgressMode::Tty | ProgressMode::Plain => {}
    }
    let steps = format!("{} of {} steps cached", report.cached, report.steps);
    let time = format!("{:.2} s", report.elapsed.as_secs_f64());
    let Some(image) = &report.image else { return writeln!(err, "done: {steps}, {time}") };
    let layers = if image.layers == 1 { "1 layer".to_owned() } else { format!("{} layers", image.layers) };
    let platforms: Vec<String> = image.platforms.iter().map(ToString::to_string).collect();
    writeln!(
        err,
        "image {} for {}: {}, {layers}; {steps}, {time}",
        image.id,
        platforms.join(", "),
        size(image.size)
    )?;
    image.names.iter().try_for_each(|name| writeln!(err, "named {name}"))
}

/// The last lines of the step that failed, unless they stand on the screen already.
///
/// # Errors
/// When it cannot be written.
pub fn last_lines(counted: &Counted, mode: ProgressMode, err: &mut dyn Write) -> io::Result<()> {
    let Some(step) = &counted.failed else { return Ok(()) };
    if matches!(mode, ProgressMode::Plain | ProgressMode::RawJson) || step.last_lines.is_empty() {
        return Ok(());
    }
    writeln!(err, "------\n > {}:", sanitize::line(step.name.as_bytes()))?;
    for line in &step.last_lines {
        writeln!(err, "{}", sanitize::line(line))?;
    }
    writeln!(err, "------")
}

/// Where all lines are, when a step failed.
///
/// # Errors
/// When it cannot be written.
pub fn log(counted: &Counted, log: &Path, mode: ProgressMode, err: &mut dyn Write) -> io::Result<()> {
    if counted.failed.is_none() || mode == ProgressMode::RawJson {
        return Ok(());
    }
    writeln!(err, "the full log is in {}", log.display())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::build::BuiltImage;
    use crate::progress::tally::FailedStep;
    use registry_client::descriptor::Descriptor;
    use registry_client::digest::Digest;
    use registry_client::media_type::MediaType;
    use std::time::Duration;

    fn report() -> BuildReport {
        let id = Digest::of(b"config");
        let image = BuiltImage {
            platforms: vec!["linux/amd64".parse().unwrap()],
            id,
            top: Descriptor::new(MediaType::OciManifest, id, 1),
            names: vec!["app:1".to_owned(), "app:2".to_owned()],
            size: 45_200_000,
            layers: 1,
        };
        BuildReport { image: Some(image), steps: 5, cached: 3, elapsed: Duration::from_millis(1234) }
    }

    fn said(report: &BuildReport, mode: ProgressMode) -> (String, String) {
        let (mut err, mut out) = (Vec::new(), Vec::new());
        built(report, mode, &mut err, &mut out).unwrap();
        (String::from_utf8(err).unwrap(), String::from_utf8(out).unwrap())
    }

    #[test]
    fn success() {
        let report = report();
        let id = Digest::of(b"config");
        let text = format!(
            "image {id} for linux/amd64: 45.2 MB, 1 layer; 3 of 5 steps cached, 1.23 s\nnamed app:1\nnamed app:2\n"
        );
        assert_eq!(said(&report, ProgressMode::Plain), (text.clone(), String::new()));
        assert_eq!(said(&report, ProgressMode::Tty), (text, String::new()));
        assert_eq!(said(&report, ProgressMode::Quiet), (String::new(), format!("{id}\n")));
        assert_eq!(said(&report, ProgressMode::RawJson), Default::default());
        let nothing = BuildReport { image: None, ..report };
        assert_eq!(said(&nothing, ProgressMode::Plain).0, "done: 3 of 5 steps cached, 1.23 s\n");
        assert_eq!(said(&nothing, ProgressMode::Quiet), Default::default());
    }

    #[test]
    fn failure() {
        let failed = FailedStep { name: "RUN x".to_owned(), last_lines: vec![b"\x1b[2Jgone".to_vec()] };
        let counted = Counted { failed: Some(failed), ..Counted::default() };
        let said = |counted: &Counted, mode| {
            let mut err = Vec::new();
            last_lines(counted, mode, &mut err).unwrap();
            log(counted, Path::new("/l"), mode, &mut err).unwrap();
            String::from_utf8(err).unwrap()
        };
        let path = "the full log is in /l\n";
        let whole = format!("------\n > RUN x:\ngone\n------\n{path}");
        assert_eq!(said(&counted, ProgressMode::Tty), whole);
        assert_eq!(said(&counted, ProgressMode::Quiet), whole);
        assert_eq!(said(&counted, ProgressMode::Plain), path);
        assert_eq!(said(&counted, ProgressMode::RawJson), "");
        assert_eq!(said(&Counted::default(), ProgressMode::Tty), "");
    }
}
