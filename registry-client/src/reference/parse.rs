//! The grammar of references, by hand: it is small, and errors name the part that breaks it.

use super::{DEFAULT_NAMESPACE, DEFAULT_REGISTRY, Reference, ReferenceError as Error};
use std::net::Ipv6Addr;

/// Longest repository name, in bytes.
const REPOSITORY_LIMIT: usize = 255;
/// Longest tag, in bytes.
const TAG_LIMIT: usize = 128;
/// Longest host name (RFC 1035).
const HOST_LIMIT: usize = 253;

/// What is filled in where a reference is short.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Defaults {
    /// Nothing.
    None,
    /// `docker.io`, and there `library/`.
    Docker,
}

pub(super) fn reference(text: &str, defaults: Defaults) -> Result<Reference, Error> {
    if text.is_empty() {
        return Err(Error::Empty);
    }
    // A digest holds a colon, so it is cut off before the tag is looked for.
    let (rest, digest) = match text.split_once('@') {
        Some((rest, digest)) => {
            let digest =
                digest.parse().map_err(|error| Error::Digest { reference: text.to_owned(), error })?;
            (rest, Some(digest))
        }
        None => (text, None),
    };
    let (registry, path) = match rest.split_once('/') {
        Some((first, path)) if is_registry(first) => (Some(first), path),
        _ => (None, rest),
    };
    let (path, tag_text) = match path.rsplit_once(':') {
        // `host:5000/app` has its colon in the registry, which is gone by now; one before a slash is an error of the
        // repository, and reported as such.
        Some((path, tag)) if !tag.contains('/') => (path, Some(tag)),
        _ => (path, None),
    };
    if path.is_empty() {
        return Err(Error::NoRepository { reference: text.to_owned() });
    }
    let registry_name = match (registry, defaults) {
        (Some(name), _) => {
            self::registry(text, name)?;
            if name == "index.docker.io" { DEFAULT_REGISTRY } else { name }
        }
        (None, Defaults::Docker) => DEFAULT_REGISTRY,
        (None, Defaults::None) => return Err(Error::NoRegistry { reference: text.to_owned() }),
    };
    let repository_name = match (registry_name == DEFAULT_REGISTRY && !path.contains('/'), defaults) {
        (true, Defaults::None) => return Err(Error::NoNamespace { reference: text.to_owned() }),
        (true, Defaults::Docker) if registry.is_none() && is_id(path) => {
            return Err(Error::LikeAnId { reference: text.to_owned() });
        }
        (true, Defaults::Docker) => format!("{DEFAULT_NAMESPACE}{path}"),
        (false, _) => path.to_owned(),
    };
    repository(text, &repository_name)?;
    if let Some(name) = tag_text {
        tag(text, name)?;
    }
    Ok(Reference {
        registry: registry_name.to_owned(),
        repository: repository_name,
        tag: tag_text.map(str::to_owned),
        digest,
    })
}

/// Whether the first component of a reference is a registry rather than a part of the repository: Docker's rule.
fn is_registry(first: &str) -> bool {
    first == "localhost"
        || first.contains(['.', ':', '['])
        || first.bytes().any(|byte| byte.is_ascii_uppercase())
}

fn is_id(path: &str) -> bool {
    path.len() == 64 && path.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn registry(text: &str, name: &str) -> Result<(), Error> {
    let bad = |why| Err(Error::Registry { reference: text.to_owned(), part: name.to_owned(), why });
    let (host, port) = if let Some(rest) = name.strip_prefix('[') {
        let Some((address, after)) = rest.split_once(']') else {
            return bad("the bracket is not closed");
        };
        if address.parse::<Ipv6Addr>().is_err() {
            return bad("what is in the brackets is no IPv6 address");
        }
        match after.strip_prefix(':') {
            Some(port) => (None, Some(port)),
            None if after.is_empty() => (None, None),
            None => return bad("only a port can follow the bracket"),
        }
    } else {
        match name.split_once(':') {
            Some((host, port)) => (Some(host), Some(port)),
            None => (Some(name), None),
        }
    };
    if let Some(port) = port {
        if port.contains(':') {
            return bad("an IPv6 address is written in brackets");
        }
        if !port.bytes().all(|byte| byte.is_ascii_digit()) || !port.parse::<u16>().is_ok_and(|port| port > 0)
        {
            return bad("the port is no number from 1 to 65535");
        }
    }
    let Some(host) = host else { return Ok(()) };
    if host.len() > HOST_LIMIT {
        return bad("a host name has at most 253 characters");
    }
    for label in host.split('.') {
        if label.is_empty() {
            return bad("a part of the host name is empty");
        }
        if !label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-') {
            return bad("a host name has only letters, digits, hyphens and dots");
        }
        if label.starts_with('-') || label.ends_with('-') {
            return bad("a part of a host name neither begins nor ends with a hyphen");
        }
    }
    Ok(())
}

pub(super) fn repository(text: &str, name: &str) -> Result<(), Error> {
    if name.len() > REPOSITORY_LIMIT {
        return Err(Error::TooLong { reference: text.to_owned(), length: name.len() });
    }
    for component in name.split('/') {
        let bad =
            |why| Err(Error::Repository { reference: text.to_owned(), part: component.to_owned(), why });
        if component.is_empty() {
            return bad("it is empty");
        }
        if component.bytes().any(|byte| byte.is_ascii_uppercase()) {
            return bad("repository names are lower case");
        }
        if !component.bytes().all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'.' | b'_' | b'-')) {
            return bad("only a-z, 0-9 and the separators . _ - are allowed");
        }
        // Between letters and digits: one dot, one or two underscores, or any number of hyphens.
        let alphanumeric = |c: char| c.is_ascii_alphanumeric();
        if !component.starts_with(alphanumeric) || !component.ends_with(alphanumeric) {
            return bad("it begins or ends with a separator");
        }
        let separators = component.split(alphanumeric).filter(|separator| !separator.is_empty());
        for separator in separators {
            if !matches!(separator, "." | "_" | "__") && separator.bytes().any(|byte| byte != b'-') {
                return bad("the separators are one dot, one or two underscores, or hyphens");
            }
        }
    }
    Ok(())
}

pub(super) fn tag(text: &str, tag: &str) -> Result<(), Error> {
    let bad = |why| Err(Error::Tag { reference: text.to_owned(), part: tag.to_owned(), why });
    if tag.is_empty() {
        return bad("it is empty");
    }
    if tag.len() > TAG_LIMIT {
        return bad("a tag has at most 128 characters");
    }
    if !tag.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'_' | b'.' | b'-')) {
        return bad("only letters, digits, _ . and - are allowed");
    }
    if tag.starts_with(['.', '-']) {
        return bad("it begins with a separator");
    }
    Ok(())
}
