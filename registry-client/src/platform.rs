//! Platforms: operating system, architecture and variant, normalised as containerd does.

use crate::json::or_default;
use serde::{Deserialize, Serialize};
use std::{borrow::Cow, fmt, str::FromStr};

/// A platform (image-spec image-index.md, "platform").
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Platform {
    /// `amd64`, `arm64`...
    pub architecture: String,
    /// `linux`...
    pub os: String,
    /// Version of the operating system (Windows).
    #[serde(rename = "os.version", default, skip_serializing_if = "Option::is_none")]
    pub os_version: Option<String>,
    /// Features of the operating system that are needed.
    #[serde(
        rename = "os.features",
        default,
        skip_serializing_if = "Vec::is_empty",
        deserialize_with = "or_default"
    )]
    pub os_features: Vec<String>,
    /// Variant of the architecture: `v7`, `v8`...
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
}

/// Why a text is no platform.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("{text:?} is no platform: {why}; write os[/architecture[/variant]], as in linux/arm64")]
pub struct PlatformError {
    text: String,
    why: Cow<'static, str>,
}

/// The operating systems that Go and containerd know.
const SYSTEMS: &[&str] = &[
    "aix",
    "android",
    "darwin",
    "dragonfly",
    "freebsd",
    "hurd",
    "illumos",
    "ios",
    "js",
    "linux",
    "nacl",
    "netbsd",
    "openbsd",
    "plan9",
    "solaris",
    "windows",
    "zos",
];

/// The architectures that Go and containerd know, by their common names.
const ARCHITECTURES: &[&str] = &[
    "386",
    "amd64",
    "amd64p32",
    "arm",
    "arm64",
    "arm64be",
    "armbe",
    "loong64",
    "mips",
    "mips64",
    "mips64le",
    "mips64p32",
    "mips64p32le",
    "mipsle",
    "ppc",
    "ppc64",
    "ppc64le",
    "riscv",
    "riscv64",
    "s390",
    "s390x",
    "sparc",
    "sparc64",
    "wasm",
];

impl Platform {
    /// `os/architecture` without a variant, normalised.
    pub fn new(os: &str, architecture: &str) -> Self {
        Self {
            os: os.to_owned(),
            architecture: architecture.to_owned(),
            os_version: None,
            os_features: Vec::new(),
            variant: None,
        }
        .normalized()
    }

    /// The platform this program was built for.
    pub fn host() -> Self {
        Self::new(std::env::consts::OS, std::env::consts::ARCH)
    }

    /// The same platform by its common names: `x86_64` is `amd64`, `arm64/v8` is `arm64`, `arm` is `arm/v7`.
    #[must_use]
    pub fn normalized(mut self) -> Self {
        self.os = match self.os.to_ascii_lowercase().as_str() {
            "macos" => "darwin".to_owned(),
            os => os.to_owned(),
        };
        let variant = self.variant.take().map(|v| v.to_ascii_lowercase()).filter(|v| !v.is_empty());
        let (architecture, variant) =
            match (self.architecture.to_ascii_lowercase().as_str(), variant.as_deref()) {
                ("i386" | "i486" | "i586" | "i686" | "x86" | "386", _) => ("386", None),
                ("x86_64" | "x86-64" | "amd64", None | Some("v1")) => ("amd64", None),
                ("x86_64" | "x86-64" | "amd64", other) => ("amd64", other),
                ("aarch64" | "arm64", None | Some("8" | "v8")) => ("arm64", None),
                ("aarch64" | "arm64", Some("9")) => ("arm64", Some("v9")),
                ("aarch64" | "arm64", other) => ("arm64", other),
                ("armhf", _) => ("arm", Some("v7")),
                ("armel", _) => ("arm", Some("v6")),
                ("arm", None | Some("7" | "v7")) => ("arm", Some("v7")),
                ("arm", Some("5")) => ("arm", Some("v5")),
                ("arm", Some("6")) => ("arm", Some("v6")),
                ("arm", Some("8")) => ("arm", Some("v8")),
                (architecture, variant) => {
                    let variant = variant.map(str::to_owned);
                    self.architecture = architecture.to_owned();
                    self.variant = variant;
                    return self;
                }
            };
        let (architecture, variant) = (architecture.to_owned(), variant.map(str::to_owned));
        self.architecture = architecture;
        self.variant = variant;
        self
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let because = |why| PlatformError { text: text.to_owned(), why };
        let bad = |why| because(Cow::Borrowed(why));
        let parts: Vec<&str> = text.split('/').collect();
        if parts.iter().any(|p| p.is_empty()) {
            return Err(bad("a part of it is empty"));
        }
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if !text.chars().all(|c| plain(c) || c == '/') {
            return Err(bad("it has a character that no platform name has"));
        }
        let host = Self::host();
        let mut platform = match parts[..] {
            ["local"] => return Ok(host),
            // A word alone may be either, so it must be a known one (containerd, platforms.Parse).
            [word] => {
                let (as_system, as_architecture) =
                    (Self::new(word, &host.architecture), Self::new("linux", word));
                if SYSTEMS.contains(&as_system.os.as_str()) {
                    as_system
                } else if ARCHITECTURES.contains(&as_architecture.architecture.as_str()) {
                    as_architecture
                } else {
                    let what = "operating system or architecture";
                    return Err(because(unknown(what, word, SYSTEMS.iter().chain(ARCHITECTURES))));
                }
            }
            [os, architecture] | [os, architecture, _] => Self::new(os, architecture),
            _ => return Err(bad("it has more than three parts")),
        };
        if let [_, architecture, variant] = parts[..] {
            platform.architecture = architecture.to_owned();
            platform.variant = Some(variant.to_owned());
        }
        let platform = platform.normalized();
        // With both parts given, names that are not known may be new ones, unless they look like typing errors.
        for (what, name, known) in [
            ("operating system", &platform.os, SYSTEMS),
            ("architecture", &platform.architecture, ARCHITECTURES),
        ] {
            if !known.contains(&name.as_str()) && known.iter().any(|known| is_near(name, known)) {
                return Err(because(unknown(what, name, known)));
            }
        }
        Ok(platform)
    }
}

fn unknown<'a>(what: &str, name: &str, known: impl IntoIterator<Item = &'a &'a str>) -> Cow<'static, str> {
    let near = known.into_iter().find(|known| is_near(&name.to_ascii_lowercase(), known));
    let meant = near.map(|near| format!(" (did you mean {near}?)")).unwrap_or_default();
    Cow::Owned(format!("no {what} is called {name}{meant}"))
}

/// Whether one letter more, less or another, or two that changed places, make the one name of the other.
fn is_near(one: &str, other: &str) -> bool {
    let (mut one, mut other) = (one.as_bytes(), other.as_bytes());
    while let ([a, rest @ ..], [b, other_rest @ ..]) = (one, other)
        && a == b
    {
        (one, other) = (rest, other_rest);
    }
    while let ([rest @ .., a], [other_rest @ .., b]) = (one, other)
        && a == b
    {
        (one, other) = (rest, other_rest);
    }
    match (one, other) {
        ([], [_]) | ([_], []) | ([_], [_]) => true,
        ([a, b], [c, d]) => a == d && b == c,
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_names() {
        for (text, want) in [
            ("linux/x86_64", "linux/amd64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/arm", "linux/arm/v7"),
            ("linux/arm/v6", "linux/arm/v6"),
            ("linux/aarch64", "linux/arm64"),
            ("arm64", "linux/arm64"),
            ("linux/amd64/v3", "linux/amd64/v3"),
        ] {
            assert_eq!(text.parse::<Platform>().unwrap().to_string(), want, "{text}");
        }
        for text in ["", "linux/", "a/b/c/d", "linux/a b"] {
            assert!(text.parse::<Platform>().is_err(), "{text}");
        }
    }

    #[test]
    fn words_alone() {
        let host = Platform::host().architecture;
        for (text, want) in [
            ("windows", format!("windows/{host}")),
            ("macos", format!("darwin/{host}")),
            ("x86_64", "linux/amd64".to_owned()),
            ("armhf", "linux/arm/v7".to_owned()),
            ("riscv64", "linux/riscv64".to_owned()),
            ("linux/new-thing", "linux/new-thing".to_owned()),
            ("unknown/unknown", "unknown/unknown".to_owned()),
        ] {
            assert_eq!(text.parse::<Platform>().map(|found| found.to_string()), Ok(want), "{text}");
        }
    }

    #[test]
    fn names_that_nothing_has() {
        for (text, want) in [
            ("foo", "no operating system or architecture is called foo"),
            ("arm46", "no operating system or architecture is called arm46 (did you mean arm64?)"),
            ("Linx", "no operating system or architecture is called Linx (did you mean linux?)"),
            ("linux/amd46", "no architecture is called amd46 (did you mean amd64?)"),
            ("lniux/amd64", "no operating system is called lniux (did you mean linux?)"),
        ] {
            let error = text.parse::<Platform>().unwrap_err().to_string();
            let prefix = format!("{text:?} is no platform: {want}; ");
            assert!(error.starts_with(&prefix), "{error}");
        }
    }
}
