//! Names and their values: automatic ARGs, global ARGs, and the environment of one stage.

use dockerfile_parser::ast::{ArgDeclaration, Word};
use dockerfile_parser::diagnostic::Diagnostic;
use dockerfile_parser::expand::{ExpandError, Expander};
use registry_client::platform::Platform;
use std::collections::{BTreeMap, BTreeSet};

/// Build arguments that RUN sees without any ARG, and that stay out of history and key unless declared.
pub(super) const PROXY_ARGS: [&str; 10] = [
    "HTTP_PROXY",
    "http_proxy",
    "HTTPS_PROXY",
    "https_proxy",
    "FTP_PROXY",
    "ftp_proxy",
    "NO_PROXY",
    "no_proxy",
    "ALL_PROXY",
    "all_proxy",
];

/// Arguments that are settings of the build and never enter the environment of a RUN.
const NOT_IN_ENV: [&str; 2] = ["BUILDKIT_SBOM_SCAN_CONTEXT", "BUILDKIT_SBOM_SCAN_STAGE"];

/// Values before the first FROM: automatic platform ARGs, then the global ARGs in order.
#[derive(Clone, Debug, Default)]
pub(super) struct Globals {
    values: BTreeMap<String, String>,
    declared: BTreeSet<String>,
}

impl Globals {
    /// The automatic arguments (Dockerfile reference, "Automatic platform ARGs in the global scope"); `--build-arg`
    /// overrides them.
    pub(super) fn automatic(
        build: &Platform,
        target: &Platform,
        stage: Option<&str>,
        build_args: &BTreeMap<String, String>,
    ) -> Self {
        let mut values = BTreeMap::new();
        for (prefix, platform) in [("BUILD", build), ("TARGET", target)] {
            let mut set = |name: &str, value: &str| {
                values.insert(format!("{prefix}{name}"), value.to_owned());
            };
            set("PLATFORM", &platform.to_string());
            set("OS", &platform.os);
            set("OSVERSION", platform.os_version.as_deref().unwrap_or_default());
            set("ARCH", &platform.architecture);
            set("VARIANT", platform.variant.as_deref().unwrap_or_default());
        }
        values.insert("TARGETSTAGE".to_owned(), stage.unwrap_or("default").to_owned());
        for (name, value) in &mut values {
            if let Some(given) = build_args.get(name) {
                value.clone_from(given);
            }
        }
        Self { values, declared: BTreeSet::new() }
    }

    /// Takes in one ARG before FROM. Its default may refer to earlier ones and is expanded only when it is used.
    pub(super) fn declare(
        &mut self,
        argument: &ArgDeclaration,
        expander: &Expander,
        build_args: &BTreeMap<String, String>,
    ) -> Result<(), Diagnostic> {
        let name = expand(expander, &argument.name, &|name| self.values.get(name).cloned())?.0;
        if let Some(value) = build_args.get(&name) {
            self.values.insert(name.clone(), value.clone());
        } else if let Some(default) = &argument.default {
            let value = expand(expander, default, &|name| self.values.get(name).cloned())?.0;
            self.values.insert(name.clone(), value);
        }
        self.declared.insert(name);
        Ok(())
    }

    /// Gives a name another value.
    pub(super) fn set(&mut self, name: &str, value: &str) {
        self.values.insert(name.to_owned(), value.to_owned());
    }

    /// The value of a name.
    pub(super) fn get(&self, name: &str) -> Option<&String> {
        self.values.get(name)
    }

    /// Names that were declared, for "did you mean".
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.values.keys().chain(&self.declared).map(String::as_str)
    }
}

/// ARG and ENV of one stage, as later instructions and RUN see them.
#[derive(Clone, Debug, Default)]
pub(super) struct Scope {
    /// In order of first appearance.
    env: Vec<(String, String)>,
    /// Every ARG declared, for history; repeated names as often as they were declared.
    args: Vec<(String, Option<String>)>,
}

impl Scope {
    /// The value of a name.
    pub(super) fn get(&self, name: &str) -> Option<String> {
        self.env.iter().find(|(n, _)| n == name).map(|(_, value)| value.clone())
    }

    /// Sets a name; one that is there already keeps its place.
    pub(super) fn set(&mut self, name: &str, value: &str) {
        set_in_place(&mut self.env, name, value);
    }

    /// Notes an ARG, and sets it when it has a value.
    pub(super) fn declare(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value
            && !NOT_IN_ENV.contains(&name)
        {
            self.set(name, value);
        }
        self.args.push((name.to_owned(), value.map(str::to_owned)));
    }

    /// Whether an ARG of that name was declared.
    pub(super) fn is_declared(&self, name: &str) -> bool {
        self.args.iter().any(|(n, _)| n == name)
    }

    /// The names of all ARGs.
    pub(super) fn arguments(&self) -> Vec<String> {
        self.args.iter().map(|(name, _)| name.clone()).collect()
    }

    /// The environment of a RUN.
    pub(super) fn env(&self) -> &[(String, String)] {
        &self.env
    }

    /// `|2 A=1 B=2 `, as history puts it before the command of a RUN; empty without ARGs.
    pub(super) fn history_prefix(&self) -> String {
        let mut shown: Vec<(String, String)> = Vec::new();
        for (name, value) in &self.args {
            let value = self.get(name).or_else(|| value.clone()).unwrap_or_default();
            set_in_place(&mut shown, name, &value);
        }
        if shown.is_empty() {
            return String::new();
        }
        let pairs: Vec<String> = shown.iter().map(|(name, value)| format!("{name}={value}")).collect();
        format!("|{} {} ", pairs.len(), pairs.join(" "))
    }
}

/// Replaces the value of `name` where it stands, or appends it.
fn set_in_place(list: &mut Vec<(String, String)>, name: &str, value: &str) {
    match list.iter_mut().find(|(n, _)| n == name) {
        Some((_, old)) => value.clone_into(old),
        None => list.push((name.to_owned(), value.to_owned())),
    }
}

/// Expands one word; also gives the names in it that have no value.
pub(super) fn expand(
    expander: &Expander,
    word: &Word,
    lookup: &dyn Fn(&str) -> Option<String>,
) -> Result<(String, Vec<String>), Diagnostic> {
    match expander.word(&word.text, lookup) {
        Ok(expanded) => Ok((expanded.text, expanded.undefined)),
        Err(error) => Err(bad_substitution(&error, word)),
    }
}

/// What to say of a word that cannot be expanded.
pub(super) fn bad_substitution(error: &ExpandError, word: &Word) -> Diagnostic {
    let diagnostic = Diagnostic::error("bad-substitution", error.span_in(word), error.to_string());
    match error.help() {
        Some(help) => diagnostic.help(help),
        None => diagnostic,
    }
}
