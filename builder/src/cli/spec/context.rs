//! The build context, and `--build-context name=...`.

use super::SpecError;
use crate::remote;
use crate::request::NamedContext;

/// Reads `name=value` of `--build-context`.
///
/// # Errors
/// [`SpecError`] for another shape, and for the kinds of contexts that are not supported.
pub fn parse(value: &str) -> Result<(String, NamedContext), SpecError> {
    const SHAPE: SpecError = SpecError::Shape(
        "write name=directory, name=URL, name=docker-image://reference, name=oci-layout://path or name=target:stage",
    );
    let (name, place) = value.split_once('=').ok_or(SHAPE)?;
    if name.is_empty() || place.is_empty() {
        return Err(SHAPE);
    }
    let context = if let Some(reference) = place.strip_prefix("docker-image://") {
        NamedContext::Image(reference.to_owned())
    } else if let Some(layout) = place.strip_prefix("oci-layout://") {
        oci_layout(layout)?
    } else if let Some(stage) = place.strip_prefix("target:") {
        if stage.is_empty() {
            return Err(SHAPE);
        }
        NamedContext::Target(stage.to_owned())
    } else {
        match remote::of_context(place).map_err(|error| SpecError::Remote(error.to_string()))? {
            // As with BuildKit, a named context is no repository because of its first component alone.
            Some(_) if place.starts_with("github.com/") => NamedContext::Directory(place.into()),
            Some(remote) => NamedContext::Remote(remote),
            None => NamedContext::Directory(place.into()),
        }
    };
    Ok((name.to_owned(), context))
}

/// `path[:tag][@digest]`. A digest decides alone, as in references.
fn oci_layout(layout: &str) -> Result<NamedContext, SpecError> {
    let (rest, digest) = match layout.rsplit_once('@') {
        Some((rest, digest)) if digest.contains(':') => (rest, Some(digest)),
        _ => (layout, None),
    };
    // A colon in a directory's name is no tag: tags have no slash.
    let (path, tag) = match rest.rsplit_once(':') {
        Some((path, tag)) if !tag.contains('/') => (path, Some(tag)),
        _ => (rest, None),
    };
    if path.is_empty() || tag == Some("") || digest == Some("") {
        return Err(SpecError::Shape("write oci-layout://path[:tag][@digest]"));
    }
    Ok(NamedContext::OciLayout { path: path.into(), reference: digest.or(tag).map(str::to_owned) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn named_contexts() {
        let layout = |path: &str, reference: Option<&str>| NamedContext::OciLayout {
            path: path.into(),
            reference: reference.map(str::to_owned),
        };
        for (text, name, want) in [
            ("src=../other", "src", NamedContext::Directory("../other".into())),
            ("b=target:base", "b", NamedContext::Target("base".to_owned())),
            ("a=b=c", "a", NamedContext::Directory("b=c".into())),
            ("base=docker-image://alpine:3", "base", NamedContext::Image("alpine:3".to_owned())),
            ("base=oci-layout://./out", "base", layout("./out", None)),
            ("base=oci-layout:///a/b:c/out", "base", layout("/a/b:c/out", None)),
            ("base=oci-layout://out:v1", "base", layout("out", Some("v1"))),
            ("base=oci-layout://out:v1@sha256:ab", "base", layout("out", Some("sha256:ab"))),
            ("base=oci-layout://out@sha256:ab", "base", layout("out", Some("sha256:ab"))),
        ] {
            assert_eq!(parse(text), Ok((name.to_owned(), want)), "{text}");
        }
    }

    #[test]
    fn refusals() {
        let shape = "write name=directory, name=URL, name=docker-image://reference, name=oci-layout://path or name=target:stage";
        for (text, want) in [
            ("src", shape),
            ("=dir", shape),
            ("src=", shape),
            ("b=oci-layout://", "write oci-layout://path[:tag][@digest]"),
            ("b=oci-layout://x:", "write oci-layout://path[:tag][@digest]"),
            (
                "b=https://example.org/x.git?what=1",
                "a git URL has no query key \"what\"; it has ref, branch, tag, commit, checksum, subdir, keep-git-dir, submodules and mtime",
            ),
            ("b=target:", shape),
        ] {
            assert_eq!(parse(text).unwrap_err().to_string(), want, "{text}");
        }
    }
}
