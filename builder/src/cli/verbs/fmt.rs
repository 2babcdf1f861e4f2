//! `fmt`: Dockerfiles in canonical layout.

use crate::build::{BuildError, DockerfileError, DockerfileText};
use crate::cli::diff;
use crate::cli::failure::Failure;
use crate::progress::sanitize;
use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// The names of a Dockerfile that is not named.
const DEFAULTS: [&str; 2] = ["Dockerfile", "Containerfile"];

/// The name of standard input.
const STDIN: &str = "-";

/// Flags of `build fmt`.
#[derive(clap::Args, Debug)]
#[command(after_help = "\
The result goes to standard output, with --write into the file; only layout changes, never what the file means. Without
a FILE that is the Dockerfile (or Containerfile) of this directory. \"-\" is standard input.

Exit status: 0 done, 1 a file has mistakes, cannot be read or written, or --check found one that is not formatted.")]
pub struct Args {
    /// Files to format, or - for standard input
    #[arg(value_name = "FILE")]
    pub files: Vec<PathBuf>,

    /// Rewrite the files instead of printing them
    #[arg(long, short, conflicts_with_all = ["check", "diff"])]
    pub write: bool,

    /// List the files that are not formatted, and end with status 1 if there are any
    #[arg(long)]
    pub check: bool,

    /// Show what would change
    #[arg(long)]
    pub diff: bool,
}

/// What cannot be formatted.
#[derive(Debug, thiserror::Error)]
pub enum FmtError {
    /// No file is named, and none has the usual name.
    #[error("there is no Dockerfile in this directory; name a FILE, or - for standard input")]
    NoFile,
    /// A file cannot be read.
    #[error("cannot read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
    /// A file cannot be written; it is as it was.
    #[error("cannot write {}", path.display())]
    Write {
        /// Which.
        path: PathBuf,
        /// Why not.
        source: io::Error,
    },
}

/// Formats what is named; `true` if all of it was, or is now, formatted. `terminal` says whether `out` is one. What is
/// wrong with one file is handed to `report`, and does not keep the others from being formatted.
///
/// # Errors
/// When there is no file, or `out` fails.
pub fn run(
    args: &Args,
    input: &mut dyn Read,
    out: &mut dyn Write,
    terminal: bool,
    report: &mut dyn FnMut(Failure),
) -> Result<bool, Failure> {
    let mut files = args.files.clone();
    if files.is_empty() {
        let default = DEFAULTS.iter().map(PathBuf::from).find(|path| path.is_file());
        files.push(default.ok_or(FmtError::NoFile)?);
    }
    let mut good = true;
    for path in files {
        match one(args, &path, input, out, terminal) {
            Ok(formatted) => good &= formatted,
            // Nobody reads on: the other files have no use.
            Err(Failure::Io(error)) => return Err(error.into()),
            Err(failure) => {
                good = false;
                report(failure);
            }
        }
    }
    Ok(good)
}

fn one(
    args: &Args,
    path: &Path,
    input: &mut dyn Read,
    out: &mut dyn Write,
    terminal: bool,
) -> Result<bool, Failure> {
    let stdin = path.as_os_str() == STDIN;
    let mut source = Vec::new();
    let read = if stdin {
        input.read_to_end(&mut source).map(drop)
    } else {
        fs::read(path).map(|bytes| source = bytes)
    };
    read.map_err(|source| FmtError::Read { path: path.to_owned(), source })?;
    let name =
        if stdin { "standard input".to_owned() } else { sanitize::line(path.as_os_str().as_encoded_bytes()) };
    let formatted = match dockerfile_parser::fmt::format(&source) {
        Ok(formatted) => formatted,
        Err(diagnostics) => {
            let file = Arc::new(DockerfileText { name, source });
            return Err(BuildError::from(DockerfileError { file, diagnostics }).into());
        }
    };
    let same = formatted == source;
    if args.diff {
        let diff = diff::unified(&name, &source, &formatted);
        match terminal {
            // Text of a file must not control the terminal.
            true => diff.lines().try_for_each(|line| writeln!(out, "{}", sanitize::line(line.as_bytes())))?,
            false => out.write_all(diff.as_bytes())?,
        }
    } else if args.check && !same {
        writeln!(out, "{name}")?;
    }
    if args.check || args.diff {
        return Ok(same || !args.check);
    }
    if stdin || !args.write {
        match terminal {
            true => {
                let text = formatted.split_inclusive(|byte| *byte == b'\n');
                text.map(|line| sanitize::line(line.strip_suffix(b"\n").unwrap_or(line)))
                    .try_for_each(|line| writeln!(out, "{line}"))?;
            }
            false => out.write_all(&formatted)?,
        }
    } else if !same {
        write(path, &formatted).map_err(|source| FmtError::Write { path: path.to_owned(), source })?;
    }
    Ok(true)
}

/// Puts `text` in the place of the file at once: whatever happens, it is the old file or the new one. A link stays a link.
fn write(path: &Path, text: &[u8]) -> io::Result<()> {
    let path = fs::canonicalize(path)?;
    let permissions = fs::metadata(&path)?.permissions();
    if permissions.readonly() {
        return Err(io::ErrorKind::PermissionDenied.into());
    }
    let directory = path.parent().unwrap_or(Path::new("."));
    let mut temporary = tempfile::NamedTempFile::new_in(directory)?;
    temporary.write_all(text)?;
    temporary.as_file().set_permissions(permissions)?;
    temporary.as_file().sync_all()?;
    temporary.persist(path)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    const MESSY: &str = "from scratch\nlabel  a=b\n";
    const CLEAN: &str = "FROM scratch\nLABEL a=b\n";

    struct Outcome {
        result: Result<bool, Failure>,
        out: String,
        reported: Vec<String>,
    }

    fn fmt(files: &[&Path], check: bool, diff: bool, stdin: &str) -> Outcome {
        // Tests of writing ask for neither.
        let write = !check && !diff;
        let args = Args { files: files.iter().map(|path| path.to_path_buf()).collect(), write, check, diff };
        let (mut out, mut reported) = (Vec::new(), Vec::new());
        let mut report = |failure: Failure| reported.push(failure.to_string());
        let result = run(&args, &mut stdin.as_bytes(), &mut out, false, &mut report);
        Outcome { result, out: String::from_utf8(out).unwrap(), reported }
    }

    #[test]
    fn a_file_is_rewritten_in_place() {
        let directory = tempfile::tempdir().unwrap();
        let (file, link) = (directory.path().join("Dockerfile"), directory.path().join("link"));
        fs::write(&file, MESSY).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o640)).unwrap();
        std::os::unix::fs::symlink("Dockerfile", &link).unwrap();
        let done = fmt(&[&link], false, false, "");
        assert!(done.result.unwrap() && done.out.is_empty() && done.reported.is_empty());
        assert_eq!(fs::read_to_string(&file).unwrap(), CLEAN);
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o640);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 2);
        let before = fs::metadata(&file).unwrap().modified().unwrap();
        assert!(fmt(&[&file], false, false, "").result.unwrap());
        assert_eq!(
            fs::metadata(&file).unwrap().modified().unwrap(),
            before,
            "a formatted file is not touched"
        );
    }

    #[test]
    fn check_and_diff_write_nothing() {
        let directory = tempfile::tempdir().unwrap();
        let (messy, clean) = (directory.path().join("a"), directory.path().join("b"));
        fs::write(&messy, MESSY).unwrap();
        fs::write(&clean, CLEAN).unwrap();
        let check = fmt(&[&messy, &clean], true, false, "");
        assert!(!check.result.unwrap());
        assert_eq!(check.out, format!("{}\n", messy.display()));
        assert!(fmt(&[&clean], true, false, "").result.unwrap());
        let diff = fmt(&[&messy, &clean], false, true, "");
        assert!(diff.result.unwrap());
        let hunk = "@@ -1,2 +1,2 @@\n-from scratch\n-label  a=b\n+FROM scratch\n+LABEL a=b\n";
        assert!(diff.out.ends_with(hunk), "{}", diff.out);
        let both = fmt(&[&messy], true, true, "");
        assert!(!both.result.unwrap() && both.out.ends_with(hunk));
        assert_eq!(fs::read_to_string(&messy).unwrap(), MESSY);
    }

    #[test]
    fn standard_input_goes_to_standard_output() {
        let done = fmt(&[Path::new("-")], false, false, MESSY);
        assert_eq!((done.result.unwrap(), done.out.as_str()), (true, CLEAN));
        let check = fmt(&[Path::new("-")], true, false, MESSY);
        assert_eq!((check.result.unwrap(), check.out.as_str()), (false, "standard input\n"));
    }

    #[test]
    fn one_bad_file_does_not_stop_the_others() {
        let directory = tempfile::tempdir().unwrap();
        let (bad, good) = (directory.path().join("bad"), directory.path().join("good"));
        fs::write(&bad, "FROM a\nRNU b\n").unwrap();
        fs::write(&good, MESSY).unwrap();
        let missing = directory.path().join("missing");
        let done = fmt(&[&bad, &missing, &good], false, false, "");
        assert!(!done.result.unwrap());
        assert!(done.reported[0].starts_with("error: unknown instruction \"RNU\"\n"), "{:?}", done.reported);
        assert_eq!(done.reported[1], format!("cannot read {}", missing.display()));
        assert_eq!(fs::read_to_string(&bad).unwrap(), "FROM a\nRNU b\n");
        assert_eq!(fs::read_to_string(&good).unwrap(), CLEAN);
    }

    #[test]
    fn a_file_that_must_not_be_written_is_not() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("Dockerfile");
        fs::write(&file, MESSY).unwrap();
        fs::set_permissions(&file, fs::Permissions::from_mode(0o444)).unwrap();
        let done = fmt(&[&file], false, false, "");
        assert!(!done.result.unwrap() && done.reported[0].starts_with("cannot write "));
        assert_eq!(fs::read_to_string(&file).unwrap(), MESSY);
    }
}
