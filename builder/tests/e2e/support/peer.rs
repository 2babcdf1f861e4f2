//! What buildah makes of the same input.

use super::image::Pulled;
use super::registry::Registry;
use super::tools::{run, tool};
use std::fs;
use std::path::{Path, PathBuf};

/// What `build` needs.
pub(crate) const TOOLS: [&str; 1] = ["buildah"];

/// Builds `context` with buildah in its simplest isolation, pushes to `peer/NAME` of the registry and unpacks it below
/// `directory`, which must not exist.
pub(crate) fn build(
    name: &str,
    context: &Path,
    arguments: &[String],
    registry: &Registry,
    directory: &Path,
) -> Pulled {
    fs::create_dir(directory).expect("the directory is new");
    let reference = registry.reference(&format!("peer/{name}"));
    let buildah = || {
        let mut command = tool("buildah");
        command.arg("--root").arg(directory.join("root")).arg("--runroot").arg(directory.join("run"));
        command.env("TMPDIR", directory);
        command
    };
    // The docker format keeps HEALTHCHECK, SHELL and ONBUILD; `--layers=false` makes one layer, which is the fastest.
    run(buildah()
        .args([
            "build",
            "--quiet",
            "--format=docker",
            "--layers=false",
            "--isolation=chroot",
            "--network=host",
        ])
        .args(["--tls-verify=false", "--tag", &reference])
        .args(arguments)
        .arg(context));
    run(buildah().args(["push", "--quiet", "--tls-verify=false", &reference]));
    Pulled::from_registry(&reference, &directory.join("image"))
}

/// `Dockerfile.without-heredocs` where the installed buildah cannot read heredocs (before 1.33), else `Dockerfile`.
pub(crate) fn dockerfile(context: &Path) -> PathBuf {
    let version = run(tool("buildah").arg("--version"));
    let number = version.split_whitespace().nth(2).unwrap_or_default();
    let mut parts = number.split('.').map(|part| part.parse::<u32>().unwrap_or(0));
    let (major, minor) = (parts.next().unwrap_or(0), parts.next().unwrap_or(0));
    context.join(if (major, minor) < (1, 33) { "Dockerfile.without-heredocs" } else { "Dockerfile" })
}
