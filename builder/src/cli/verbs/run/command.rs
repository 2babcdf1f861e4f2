//! What an image and the flags make together: program, environment, directory. Nothing here touches the machine.

use super::Args;
use crate::cli::environment::Lookup;
use crate::sandbox::DEFAULT_PATH;
use registry_client::config::RuntimeConfig;
use std::ffi::{OsStr, OsString};
use std::path::{Path, PathBuf};

/// The program and its arguments. As in `docker`, `--entrypoint` takes the place of the image's ENTRYPOINT and of its
/// CMD, and an empty one takes ENTRYPOINT away; words after the image take the place of CMD.
pub(super) fn arguments(args: &Args, config: &RuntimeConfig) -> Vec<OsString> {
    let words = args.words.get(1..).unwrap_or_default();
    let of_image =
        |list: &Option<Vec<String>>| -> Vec<OsString> { list.iter().flatten().map(OsString::from).collect() };
    let (mut program, cmd) = match args.entrypoint.as_deref() {
        None => (of_image(&config.entrypoint), of_image(&config.cmd)),
        Some("") => (Vec::new(), Vec::new()),
        Some(entrypoint) => (vec![entrypoint.into()], Vec::new()),
    };
    if words.is_empty() {
        program.extend(cmd)
    } else {
        program.extend_from_slice(words)
    }
    program
}

/// The environment, each name once: what every container has, then the image's, then `-e`.
pub(super) fn environment(
    args: &Args,
    config: &RuntimeConfig,
    home: &Path,
    hostname: &str,
    variable: Lookup<'_>,
) -> Vec<OsString> {
    let mut values: Vec<(OsString, OsString)> = Vec::new();
    let mut set = |name: &OsStr, value: &OsStr| match values.iter_mut().find(|(known, _)| known == name) {
        Some((_, old)) => value.clone_into(old),
        None => values.push((name.to_owned(), value.to_owned())),
    };
    set("PATH".as_ref(), DEFAULT_PATH.as_ref());
    set("HOSTNAME".as_ref(), hostname.as_ref());
    if args.tty {
        set("TERM".as_ref(), "xterm".as_ref());
    }
    for assignment in config.env.iter().flatten() {
        let (name, value) = assignment.split_once('=').unwrap_or((assignment, ""));
        set(name.as_ref(), value.as_ref());
    }
    for (name, value) in &args.env {
        match value {
            Some(value) => set(name.as_ref(), value.as_ref()),
            // Not set here, so not set there.
            None => variable(name).into_iter().for_each(|value| set(name.as_ref(), &value)),
        }
    }
    if !values.iter().any(|(name, value)| name == "HOME" && !value.is_empty()) {
        values.retain(|(name, _)| name != "HOME");
        values.push(("HOME".into(), home.into()));
    }
    let join = |(mut name, value): (OsString, OsString)| {
        name.push("=");
        name.push(value);
        name
    };
    values.into_iter().map(join).collect()
}

/// The working directory: `-w`, else the image's.
pub(super) fn directory(args: &Args, config: &RuntimeConfig) -> PathBuf {
    let of_image = if config.working_dir.is_empty() { "/" } else { &config.working_dir };
    // A relative one is meant from the top.
    Path::new("/").join(args.workdir.as_deref().unwrap_or_else(|| Path::new(of_image)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::Args as _;

    fn args(line: &str) -> Args {
        let words = std::iter::once("run").chain(line.split(' '));
        let matches = Args::augment_args(clap::Command::new("run")).get_matches_from(words);
        <Args as clap::FromArgMatches>::from_arg_matches(&matches).unwrap()
    }

    fn config(entrypoint: &[&str], cmd: &[&str]) -> RuntimeConfig {
        let list = |words: &[&str]| Some(words.iter().map(|word| (*word).to_owned()).collect());
        RuntimeConfig { entrypoint: list(entrypoint), cmd: list(cmd), ..RuntimeConfig::default() }
    }

    #[test]
    fn programs() {
        for (line, entrypoint, cmd, want) in [
            ("img", &["e"][..], &["c"][..], &["e", "c"][..]),
            ("img x -y", &["e"], &["c"], &["e", "x", "-y"]),
            ("img", &[], &["c", "d"], &["c", "d"]),
            ("img x", &[], &["c"], &["x"]),
            ("--entrypoint p img", &["e"], &["c"], &["p"]),
            ("--entrypoint p img x", &["e"], &["c"], &["p", "x"]),
            ("--entrypoint= img x", &["e"], &["c"], &["x"]),
            ("img", &[], &[], &[]),
        ] {
            assert_eq!(arguments(&args(line), &config(entrypoint, cmd)), want, "{line}");
        }
    }

    #[test]
    fn environments() {
        let env = |line: &str, image: &[&str]| {
            let image = image.iter().map(|text| (*text).to_owned()).collect();
            let config = RuntimeConfig { env: Some(image), ..RuntimeConfig::default() };
            let lookup = |name: &str| (name == "TOKEN").then(|| OsString::from("s3"));
            let env = environment(&args(line), &config, Path::new("/home/u"), "box", &lookup);
            env.join(OsStr::new(" ")).into_string().unwrap()
        };
        let path = format!("PATH={DEFAULT_PATH}");
        assert_eq!(env("img", &[]), format!("{path} HOSTNAME=box HOME=/home/u"));
        assert_eq!(env("-t img", &[]), format!("{path} HOSTNAME=box TERM=xterm HOME=/home/u"));
        assert_eq!(
            env("-e A=2 -e TOKEN -e UNSET -e PATH=/p img", &["PATH=/bin", "A=1", "B=b=c", "HOME=/h"]),
            "PATH=/p HOSTNAME=box A=2 B=b=c HOME=/h TOKEN=s3"
        );
    }

    #[test]
    fn directories() {
        let config = RuntimeConfig { working_dir: "/app".to_owned(), ..RuntimeConfig::default() };
        assert_eq!(directory(&args("img"), &config), Path::new("/app"));
        assert_eq!(directory(&args("-w /x img"), &config), Path::new("/x"));
        assert_eq!(directory(&args("-w x img"), &config), Path::new("/x"));
        assert_eq!(directory(&args("img"), &RuntimeConfig::default()), Path::new("/"));
    }
}
