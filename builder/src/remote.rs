//! What a URL means, in ADD or as a context: a file or a git repository. Pure.
//!
//! ```text
//! https://host/path.git  ssh://...  git://...  git@host:path     a repository; #REF:DIRECTORY, or ?ref=&subdir=&...
//! http://...  https://...                                          a file
//! github.com/...                                                   a repository, as a context only
//! ```

use registry_client::digest::Digest;
use std::fmt;
use std::io::{self, Read, Seek};
use std::str::FromStr;
use url::Url;

/// Something elsewhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Remote {
    /// A git repository.
    Git(Box<GitSource>),
    /// A file.
    Http(Url),
}

impl Remote {
    /// As it may be shown: without a password.
    pub fn shown(&self) -> String {
        match self {
            Self::Git(source) => source.to_string(),
            Self::Http(url) => redacted(url.as_str()),
        }
    }
}

/// A directory in a state of a repository.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct GitSource {
    /// The URL for git, without fragment and query.
    pub remote: String,
    /// Branch, tag, full ref name or commit; the remote's `HEAD` when absent.
    pub reference: Option<String>,
    /// The directory, relative and clean; empty is all.
    pub subdir: String,
    /// The commit that it must be, or the beginning of its id.
    pub checksum: Option<String>,
    /// `.git` is kept.
    pub keep_git_dir: Option<bool>,
    /// Submodules are left out.
    pub skip_submodules: bool,
    /// Files get the time of the checkout instead of that of the commit.
    pub checkout_times: bool,
}

impl GitSource {
    /// Whether it names a commit in full, so that nobody has to be asked what it means.
    pub fn is_pinned(&self) -> bool {
        let full =
            |text: &String| matches!(text.len(), 40 | 64) && text.bytes().all(|b| b.is_ascii_hexdigit());
        self.reference.as_ref().or(self.checksum.as_ref()).is_some_and(full)
    }
}

impl fmt::Display for GitSource {
    /// The URL as it may be shown: without a password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&redacted(&self.remote))?;
        match (&self.reference, self.subdir.as_str()) {
            (None, "") => Ok(()),
            (reference, "") => write!(f, "#{}", reference.as_deref().unwrap_or_default()),
            (reference, subdir) => write!(f, "#{}:{subdir}", reference.as_deref().unwrap_or_default()),
        }
    }
}

/// A URL without the password in it.
pub fn redacted(remote: &str) -> String {
    match Url::parse(remote) {
        Ok(url) if url.password().is_some() => registry_client::download::shown(&url),
        _ => remote.to_owned(),
    }
}

/// `--checksum` of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checksum {
    algorithm: Algorithm,
    hex: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Algorithm {
    Sha256,
    Sha384,
    Sha512,
}

impl Algorithm {
    const ALL: [(&'static str, Self); 3] =
        [("sha256", Self::Sha256), ("sha384", Self::Sha384), ("sha512", Self::Sha512)];

    fn digits(self) -> usize {
        match self {
            Self::Sha256 => 64,
            Self::Sha384 => 96,
            Self::Sha512 => 128,
        }
    }
}

impl fmt::Display for Checksum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Algorithm::ALL.iter().find(|(_, algorithm)| *algorithm == self.algorithm);
        write!(f, "{}:{}", name.map_or("", |(name, _)| name), self.hex)
    }
}

impl FromStr for Checksum {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        const WANT: &str = "write sha256:, sha384: or sha512: and all digits of the digest, in lower case";
        let (name, hex) = text.split_once(':').ok_or(WANT)?;
        let (_, algorithm) = Algorithm::ALL.into_iter().find(|(known, _)| *known == name).ok_or(WANT)?;
        let digits = hex.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
        if !digits || hex.len() != algorithm.digits() {
            return Err(WANT);
        }
        Ok(Self { algorithm, hex: hex.to_owned() })
    }
}

impl Checksum {
    /// The checksum of a file by the same algorithm; `known` is its SHA-256.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn of_file(&self, file: &mut (impl Read + Seek), known: &Digest) -> io::Result<Self> {
        let hex = match self.algorithm {
            Algorithm::Sha256 => known.hex(),
            Algorithm::Sha384 => hash::<sha2::Sha384>(file)?,
            Algorithm::Sha512 => hash::<sha2::Sha512>(file)?,
        };
        Ok(Self { algorithm: self.algorithm, hex })
    }
}

fn hash<D: sha2::Digest>(file: &mut (impl Read + Seek)) -> io::Result<String> {
    file.rewind()?;
    let mut hasher = D::new();
    let mut buffer = vec![0; 128 << 10];
    loop {
        match file.read(&mut buffer)? {
            0 => break,
            read => hasher.update(&buffer[..read]),
        }
    }
    Ok(hasher.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

/// The name that a file gets from its URL: the last part of its path.
pub fn file_name(url: &Url) -> String {
    let last = url.path().rsplit('/').find(|part| !part.is_empty()).map(decode).unwrap_or_default();
    // As in BuildKit, whose name for what has none is this; a slash in a name would be a path.
    if matches!(last.as_str(), "" | "." | "..") || last.contains(['/', '\0']) {
        return "__unnamed__".to_owned();
    }
    last
}

/// A URL that cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RemoteError {
    /// It is no URL.
    #[error("{0:?} is no URL: {1}")]
    Malformed(String, String),
    /// A key that the query of a repository's URL does not have.
    #[error(
        "a git URL has no query key {0:?}; it has ref, branch, tag, commit, checksum, subdir, keep-git-dir, submodules and mtime"
    )]
    UnknownKey(String),
    /// A key without its value, or with one that does not do.
    #[error("{key}={value:?} in a git URL: {want}")]
    Value {
        /// The key.
        key: String,
        /// Its value.
        value: String,
        /// What would do.
        want: &'static str,
    },
    /// Two things that say different things about one.
    #[error("the git URL says {0} twice, and differently: {1:?} and {2:?}")]
    Conflict(&'static str, String, String),
    /// A branch, tag or commit that git would take for something else.
    #[error("{0:?} is no name of a branch, tag or commit")]
    Reference(String),
    /// A directory outside of the repository.
    #[error("{0:?} is not below the top of the repository")]
    Subdir(String),
}

/// What ADD means by `text`; `None` for a local path.
///
/// # Errors
/// A URL that cannot be used.
pub fn of_add(text: &str) -> Result<Option<Remote>, RemoteError> {
    let scheme = text.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase());
    match scheme.as_deref() {
        Some("http" | "https") => {
            let malformed =
                |error: url::ParseError| RemoteError::Malformed(redacted(text), error.to_string());
            let url = Url::parse(text).map_err(malformed)?;
            if url.path().ends_with(".git") {
                return git(url).map(Some);
            }
            Ok(Some(Remote::Http(url)))
        }
        Some("git" | "ssh") => {
            let malformed =
                |error: url::ParseError| RemoteError::Malformed(redacted(text), error.to_string());
            git(Url::parse(text).map_err(malformed)?).map(Some)
        }
        Some(_) => Ok(None),
        None => scp(text),
    }
}

/// What a context means by `text`; `None` for a local path.
///
/// # Errors
/// As [`of_add`].
pub fn of_context(text: &str) -> Result<Option<Remote>, RemoteError> {
    if text.starts_with("github.com/") {
        let malformed = |error: url::ParseError| RemoteError::Malformed(text.to_owned(), error.to_string());
        return git(Url::parse(&format!("https://{text}")).map_err(malformed)?).map(Some);
    }
    of_add(text)
}

fn git(mut url: Url) -> Result<Remote, RemoteError> {
    let fragment = url.fragment().map(decode).unwrap_or_default();
    let pairs: Vec<(String, String)> =
        url.query_pairs().map(|(key, value)| (key.into_owned(), value.into_owned())).collect();
    url.set_fragment(None);
    url.set_query(None);
    source(url.to_string(), &fragment, &pairs).map(|source| Remote::Git(Box::new(source)))
}

/// `user@host:path`, as ssh has it.
fn scp(text: &str) -> Result<Option<Remote>, RemoteError> {
    let word = |text: &str, more: &[u8]| {
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || more.contains(&b))
    };
    let Some((user, rest)) = text.split_once('@') else { return Ok(None) };
    let Some((host, path)) = rest.split_once(':') else { return Ok(None) };
    if !word(user, b"_") || !word(host, b".") || host.starts_with('-') {
        return Ok(None);
    }
    let (path, fragment) = path.split_once('#').unwrap_or((path, ""));
    let (path, query) = path.split_once('?').unwrap_or((path, ""));
    let pairs: Vec<(String, String)> = url::form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    let source = source(format!("{user}@{host}:{path}"), fragment, &pairs)?;
    Ok(Some(Remote::Git(Box::new(source))))
}

fn decode(text: &str) -> String {
    // A fragment is no form: a plus in it is a plus.
    let text = text.replace('+', "%2B");
    url::form_urlencoded::parse(format!("x={}", text.replace('&', "%26")).as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
        .unwrap_or_default()
}

fn source(remote: String, fragment: &str, pairs: &[(String, String)]) -> Result<GitSource, RemoteError> {
    let (reference, subdir) = fragment.split_once(':').unwrap_or((fragment, ""));
    let mut found = GitSource { remote, ..GitSource::default() };
    let mut wanted = some(reference);
    let mut directory = some(subdir);
    let (mut tag, mut branch) = (None, None);
    let mut seen: Vec<&str> = Vec::new();
    for (key, value) in pairs {
        if seen.contains(&key.as_str()) {
            return Err(RemoteError::Value { key: key.clone(), value: value.clone(), want: "say it once" });
        }
        seen.push(key);
        let text = || match value.as_str() {
            "" => {
                Err(RemoteError::Value { key: key.clone(), value: String::new(), want: "a value is missing" })
            }
            text => Ok(text.to_owned()),
        };
        let truth = || match value.as_str() {
            "" | "1" | "t" | "T" | "true" | "TRUE" | "True" => Ok(true),
            "0" | "f" | "F" | "false" | "FALSE" | "False" => Ok(false),
            _ => Err(RemoteError::Value {
                key: key.clone(),
                value: value.clone(),
                want: "write true or false",
            }),
        };
        match key.as_str() {
            "ref" => set(&mut wanted, text()?, "the ref")?,
            "tag" => tag = Some(full(&text()?, "refs/tags/")),
            "branch" => branch = Some(full(&text()?, "refs/heads/")),
            "subdir" => set(&mut directory, text()?, "the directory")?,
            "checksum" | "commit" => set(&mut found.checksum, text()?, "the commit")?,
            "keep-git-dir" => found.keep_git_dir = Some(truth()?),
            "submodules" => found.skip_submodules = !truth()?,
            "mtime" => {
                found.checkout_times = match text()?.as_str() {
                    "checkout" => true,
                    "commit" => false,
                    _ => {
                        let want = "write checkout or commit";
                        return Err(RemoteError::Value { key: key.clone(), value: value.clone(), want });
                    }
                };
            }
            // The commit is always fetched as such where the server gives it; the answer is checked in any case.
            "fetch-by-commit" => {
                truth()?;
            }
            _ => return Err(RemoteError::UnknownKey(key.clone())),
        }
    }
    for more in [tag, branch].into_iter().flatten() {
        set(&mut wanted, more, "the ref")?;
    }
    if let Some(reference) = &wanted {
        check_reference(reference)?;
    }
    if let Some(checksum) = &found.checksum
        && !(checksum.len() >= 7 && checksum.bytes().all(|b| b.is_ascii_hexdigit()))
    {
        return Err(RemoteError::Reference(checksum.clone()));
    }
    found.checksum = found.checksum.map(|checksum| checksum.to_ascii_lowercase());
    found.subdir = clean(directory.as_deref().unwrap_or_default())?;
    found.reference = wanted;
    Ok(found)
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn full(name: &str, prefix: &str) -> String {
    if name.starts_with(prefix) { name.to_owned() } else { format!("{prefix}{name}") }
}

fn set(slot: &mut Option<String>, value: String, what: &'static str) -> Result<(), RemoteError> {
    match slot.replace(value.clone()) {
        Some(earlier) if earlier != value => Err(RemoteError::Conflict(what, earlier, value)),
        _ => Ok(()),
    }
}

/// What git-check-ref-format(1) forbids, and what could be taken for an option.
fn check_reference(text: &str) -> Result<(), RemoteError> {
    let bad = text.starts_with(['-', '/', '+'])
        || text.ends_with(['/', '.'])
        || text.ends_with(".lock")
        || ["..", "//", "@{"].iter().any(|part| text.contains(part))
        || text.chars().any(|c| c.is_control() || c.is_whitespace() || "~^:?*[\\".contains(c));
    if bad { Err(RemoteError::Reference(text.to_owned())) } else { Ok(()) }
}

fn clean(path: &str) -> Result<String, RemoteError> {
    let mut parts = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." if parts.pop().is_none() => return Err(RemoteError::Subdir(path.to_owned())),
            ".." => {}
            part if part.eq_ignore_ascii_case(".git") => return Err(RemoteError::Subdir(path.to_owned())),
            part => parts.push(part),
        }
    }
    Ok(parts.join("/"))
}

#[cfg(test)]
mod tests;
