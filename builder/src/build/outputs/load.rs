//! Hands an archive to another engine of this machine.

use super::super::BuildError;
use super::failed;
use crate::export::ExportError;
use std::io::{self, Write};
use std::process::{Command, Stdio};

/// Gives the archive to Docker or podman, whichever is there.
pub(super) fn load(
    write: &dyn Fn(&mut dyn Write) -> Result<(), ExportError>,
    path: Option<&std::ffi::OsStr>,
) -> Result<(), BuildError> {
    let is_there = |name: &&str| {
        path.is_some_and(|path| std::env::split_paths(path).any(|directory| directory.join(name).is_file()))
    };
    let engines: Vec<&str> = ["docker", "podman"].into_iter().filter(is_there).collect();
    if engines.is_empty() {
        let why =
            "neither docker nor podman is in PATH; the image is in the store of build itself all the same";
        return Err(failed("docker")(io::Error::new(io::ErrorKind::NotFound, why)));
    }
    let mut said = String::new();
    for engine in engines {
        let child = Command::new(engine)
            .arg("load")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .map_err(failed("docker"))?;
        let (written, output) = feed(child, write).map_err(failed("docker"))?;
        if output.status.success() {
            return written.map_err(failed("docker"));
        }
        // A docker client without its daemon is common; podman may be there.
        said = format!("{said}{engine} load: {}\n", String::from_utf8_lossy(&output.stderr).trim());
    }
    Err(failed("docker")(io::Error::other(said.trim_end().to_owned())))
}

type Fed = (Result<(), ExportError>, std::process::Output);

/// Writes the archive to a child's standard input while its complaints are read.
fn feed(
    mut child: std::process::Child,
    write: &dyn Fn(&mut dyn Write) -> Result<(), ExportError>,
) -> io::Result<Fed> {
    let stdin = child.stdin.take();
    let waiting = std::thread::spawn(move || child.wait_with_output());
    let written = match stdin {
        Some(mut stdin) => write(&mut stdin),
        None => Ok(()),
    };
    let output = waiting.join().map_err(|_| io::Error::other("the thread that waited is gone"))??;
    Ok((written, output))
}
