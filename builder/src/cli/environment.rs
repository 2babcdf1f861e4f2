//! Reads the environment variables: once, here, and nowhere else.

use crate::cancel::Cancellation;
use crate::cli::spec::size;
use crate::environment::Environment;
use crate::registry::Registries;
use crate::store::Limit;
use registry_client::configuration::ConfigurationFiles;
use registry_client::credentials::AuthText;
use std::ffi::OsString;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// The variable's value, as `std::env::var_os` gives it.
pub type Lookup<'a> = &'a dyn Fn(&str) -> Option<OsString>;

/// Why the surroundings do not do.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum EnvironmentError {
    /// No place for the store.
    #[error("there is no place for the store: set HOME, XDG_DATA_HOME or SLIPWAY_ROOT")]
    NoStore,
    /// `$SLIPWAY_MAX_STORE` is no size.
    #[error("SLIPWAY_MAX_STORE={0:?}: write a size as in 20GB, a share of the disk as in 15%, or none")]
    Limit(String),
}

/// Makes the [`Environment`] of a user with the effective id `uid`.
///
/// # Errors
/// [`EnvironmentError::NoStore`] for a user other than root without a home; [`EnvironmentError::Limit`].
pub fn resolve(
    variable: Lookup<'_>,
    uid: u32,
    cancellation: Cancellation,
) -> Result<Environment, EnvironmentError> {
    // Set but empty means the same as not set: so say the XDG and the NO_COLOR conventions.
    let set = |name: &str| variable(name).filter(|value| !value.is_empty());
    let text = |name: &str| set(name).map(|value| value.to_string_lossy().into_owned());
    // The XDG specification has relative paths ignored: they would mean another place in every directory.
    let absolute = |name: &str| set(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let home = set("HOME").map(PathBuf::from);
    let config_home = absolute("XDG_CONFIG_HOME").or_else(|| below(home.as_deref(), ".config"));
    let docker = set("DOCKER_CONFIG").map(PathBuf::from).or_else(|| below(home.as_deref(), ".docker"));
    let docker = docker.map(|directory| directory.join("config.json"));
    let auth_files = match set("REGISTRY_AUTH_FILE") {
        Some(file) => vec![Some(file.into()), docker],
        None => {
            let run = match absolute("XDG_RUNTIME_DIR") {
                Some(directory) => directory.join("containers"),
                None => format!("/run/containers/{uid}").into(),
            };
            let config = config_home.as_deref().map(|directory| directory.join("containers/auth.json"));
            vec![docker, Some(run.join("auth.json")), config]
        }
    };
    let files = registry_files(set("CONTAINERS_REGISTRIES_CONF"), config_home.as_deref());
    Ok(Environment {
        offline: false,
        store_root: match set("SLIPWAY_ROOT") {
            Some(root) => root.into(),
            None if uid == 0 => "/var/lib/slipway".into(),
            None => absolute("XDG_DATA_HOME")
                .or_else(|| below(home.as_deref(), ".local/share"))
                .ok_or(EnvironmentError::NoStore)?
                .join("slipway"),
        },
        store_limit: match text("SLIPWAY_MAX_STORE") {
            None => Limit::Usual,
            Some(limit) => store_limit(&limit).ok_or(EnvironmentError::Limit(limit))?,
        },
        boot_id: text("SLIPWAY_BOOT_ID"),
        auth_files: auth_files.into_iter().flatten().collect(),
        auth_text: set("DOCKER_AUTH_CONFIG")
            .map(|text| AuthText { name: "DOCKER_AUTH_CONFIG".to_owned(), text: text.into_encoded_bytes() }),
        registries: Registries { files, ..Registries::default() },
        git_variables: git_variables(&set),
        known_hosts: home.as_deref().map(|home| home.join(".ssh/known_hosts")).filter(|path| path.exists()),
        path: set("PATH"),
        term: text("TERM"),
        no_color: set("NO_COLOR").is_some(),
        buildkit_progress: text("BUILDKIT_PROGRESS"),
        source_date_epoch: text("SOURCE_DATE_EPOCH"),
        standard_output,
        cancellation,
    })
}

/// `20GB`, `15%`, `none`.
fn store_limit(text: &str) -> Option<Limit> {
    if text == "none" {
        return Some(Limit::Unlimited);
    }
    match text.strip_suffix('%') {
        Some(percent) => {
            percent.trim().parse().ok().filter(|share| (1..=100).contains(share)).map(Limit::Share)
        }
        None => size::parse(text).ok().map(Limit::Bytes),
    }
}

/// The files of containers-registries.conf(5) and containers-certs.d(5), and Docker's directory of certificates.
fn registry_files(named: Option<OsString>, config_home: Option<&Path>) -> ConfigurationFiles {
    let system = Path::new("/etc");
    let homes = || config_home.into_iter().chain([system]);
    let certificates = |owner: &str| homes().map(|home| home.join(owner).join("certs.d")).collect::<Vec<_>>();
    ConfigurationFiles {
        main: match &named {
            Some(file) => vec![file.into()],
            None => homes().map(|home| home.join("containers/registries.conf")).collect(),
        },
        // The user's come last, and so decide.
        drop_ins: match named {
            Some(_) => Vec::new(),
            None => [system]
                .into_iter()
                .chain(config_home)
                .map(|home| home.join("containers/registries.conf.d"))
                .collect(),
        },
        certificates: [certificates("containers"), certificates("docker")].concat(),
    }
}

/// What of the environment git is to see, under the names it knows.
fn git_variables(set: &dyn Fn(&str) -> Option<OsString>) -> Vec<(OsString, OsString)> {
    const PASSED: &[(&str, &str)] = &[
        ("PATH", "PATH"),
        ("http_proxy", "http_proxy"),
        ("https_proxy", "https_proxy"),
        ("HTTPS_PROXY", "HTTPS_PROXY"),
        ("all_proxy", "all_proxy"),
        ("ALL_PROXY", "ALL_PROXY"),
        ("no_proxy", "no_proxy"),
        ("NO_PROXY", "NO_PROXY"),
        ("SSL_CERT_FILE", "GIT_SSL_CAINFO"),
        ("SSL_CERT_DIR", "GIT_SSL_CAPATH"),
        ("GIT_SSL_CAINFO", "GIT_SSL_CAINFO"),
        ("GIT_SSL_CAPATH", "GIT_SSL_CAPATH"),
    ];
    let passed = PASSED.iter().filter_map(|(name, known)| Some((OsString::from(known), set(name)?)));
    passed.collect()
}

fn below(directory: Option<&Path>, name: &str) -> Option<PathBuf> {
    directory.map(|directory| directory.join(name))
}

/// Another descriptor of standard output.
fn standard_output() -> io::Result<File> {
    Ok(rustix::stdio::stdout().try_clone_to_owned()?.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(uid: u32, variables: &[(&str, &str)]) -> Environment {
        resolved(uid, variables).expect("there is a place for the store")
    }

    fn resolved(uid: u32, variables: &[(&str, &str)]) -> Result<Environment, EnvironmentError> {
        let lookup = |name: &str| {
            variables.iter().find(|(known, _)| *known == name).map(|(_, value)| OsString::from(value))
        };
        resolve(&lookup, uid, Cancellation::never())
    }

    #[test]
    fn store_root() {
        for (uid, variables, want) in [
            (0, &[("HOME", "/root"), ("XDG_DATA_HOME", "/data")][..], "/var/lib/slipway"),
            (0, &[("SLIPWAY_ROOT", "/fast/store")], "/fast/store"),
            (1000, &[("SLIPWAY_ROOT", "relative")], "relative"),
            (1000, &[("SLIPWAY_ROOT", ""), ("HOME", "/home/u")], "/home/u/.local/share/slipway"),
            (1000, &[("XDG_DATA_HOME", "/data"), ("HOME", "/home/u")], "/data/slipway"),
            (1000, &[("XDG_DATA_HOME", "data"), ("HOME", "/home/u")], "/home/u/.local/share/slipway"),
        ] {
            assert_eq!(environment(uid, variables).store_root, Path::new(want), "{uid} {variables:?}");
        }
        assert_eq!(resolved(1000, &[]).err(), Some(EnvironmentError::NoStore));
    }

    #[test]
    fn limit_of_the_store() {
        assert_eq!(environment(0, &[]).store_limit, Limit::Usual);
        for (text, want) in [
            ("20GB", Some(Limit::Bytes(20 << 30))),
            ("20GiB", Some(Limit::Bytes(20 << 30))),
            ("4096", Some(Limit::Bytes(4096))),
            ("15%", Some(Limit::Share(15))),
            ("none", Some(Limit::Unlimited)),
            ("0%", None),
            ("101%", None),
            ("much", None),
        ] {
            let found = resolved(0, &[("SLIPWAY_MAX_STORE", text)]);
            let want = want.ok_or(EnvironmentError::Limit(text.to_owned()));
            assert_eq!(found.map(|environment| environment.store_limit), want);
        }
    }

    #[test]
    fn files_about_registries() {
        let files = |variables: &[(&str, &str)]| environment(1000, variables).registries.files;
        let shown =
            |paths: &[PathBuf]| paths.iter().map(|p| p.display().to_string()).collect::<Vec<_>>().join(" ");
        let usual = files(&[("HOME", "/home/u")]);
        assert_eq!(
            shown(&usual.main),
            "/home/u/.config/containers/registries.conf /etc/containers/registries.conf"
        );
        assert_eq!(
            shown(&usual.drop_ins),
            "/etc/containers/registries.conf.d /home/u/.config/containers/registries.conf.d"
        );
        assert_eq!(
            shown(&usual.certificates),
            "/home/u/.config/containers/certs.d /etc/containers/certs.d /home/u/.config/docker/certs.d /etc/docker/certs.d"
        );
        let named = files(&[("HOME", "/home/u"), ("CONTAINERS_REGISTRIES_CONF", "/x.conf")]);
        assert_eq!((shown(&named.main), shown(&named.drop_ins)), ("/x.conf".to_owned(), String::new()));
        assert_eq!(named.certificates, usual.certificates);
    }

    #[test]
    fn credentials_files() {
        for (variables, want) in [
            (
                &[("HOME", "/home/u")][..],
                &[
                    "/home/u/.docker/config.json",
                    "/run/containers/1000/auth.json",
                    "/home/u/.config/containers/auth.json",
                ][..],
            ),
            (
                &[
                    ("HOME", "/home/u"),
                    ("DOCKER_CONFIG", "/etc/d"),
                    ("XDG_RUNTIME_DIR", "/run/user/7"),
                    ("XDG_CONFIG_HOME", "/c"),
                ],
                &["/etc/d/config.json", "/run/user/7/containers/auth.json", "/c/containers/auth.json"],
            ),
            (
                &[("HOME", "/home/u"), ("REGISTRY_AUTH_FILE", "/a.json"), ("XDG_RUNTIME_DIR", "/run/user/7")],
                &["/a.json", "/home/u/.docker/config.json"],
            ),
            (&[("SLIPWAY_ROOT", "/s")], &["/run/containers/1000/auth.json"]),
        ] {
            let want: Vec<_> = want.iter().map(PathBuf::from).collect();
            assert_eq!(environment(1000, variables).auth_files, want, "{variables:?}");
        }
    }

    #[test]
    fn credentials_of_ci() {
        assert_eq!(environment(0, &[]).auth_text, None);
        let text = environment(0, &[("DOCKER_AUTH_CONFIG", "{}")]).auth_text.unwrap();
        assert_eq!((text.name.as_str(), &text.text[..]), ("DOCKER_AUTH_CONFIG", &b"{}"[..]));
    }

    #[test]
    fn empty_means_not_set() {
        let empty = environment(0, &[("NO_COLOR", ""), ("BUILDKIT_PROGRESS", ""), ("SOURCE_DATE_EPOCH", "")]);
        assert!(!empty.no_color);
        assert_eq!((empty.buildkit_progress, empty.source_date_epoch), (None, None));
        let set = environment(0, &[("NO_COLOR", "1"), ("BUILDKIT_PROGRESS", "plain"), ("TERM", "dumb")]);
        assert!(set.no_color);
        assert_eq!(set.buildkit_progress.as_deref(), Some("plain"));
        assert_eq!(set.term.as_deref(), Some("dumb"));
    }
}
