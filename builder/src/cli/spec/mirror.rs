//! `--registry-mirror [REGISTRY=]LOCATION`.

use super::SpecError;
use registry_client::configuration::MirrorAddress;
use registry_client::reference::{DEFAULT_REGISTRY, Reference};

/// The registry, and where its content is, too. A location may be written as a URL, as Docker's daemon wants it; with
/// `http://` it is one of plain HTTP.
///
/// # Errors
/// [`SpecError`] for what names no registry.
pub fn parse(value: &str) -> Result<(String, MirrorAddress), SpecError> {
    const SHAPE: SpecError =
        SpecError::Shape("write [REGISTRY=]HOST[:PORT][/PATH], as in docker.io=mirror.example:5000/hub");
    let (registry, location) = value.split_once('=').unwrap_or((DEFAULT_REGISTRY, value));
    let (bare, insecure) = match (location.strip_prefix("https://"), location.strip_prefix("http://")) {
        (Some(bare), _) => (bare, false),
        (_, Some(bare)) => (bare, true),
        _ => (location, false),
    };
    let bare = bare.trim_end_matches('/');
    let host = bare.split('/').next().unwrap_or_default();
    // Repositories below it are what it will be asked for.
    let is_place = |host: &str, place: &str| {
        Reference::parse_strict(&format!("{place}/x/x")).is_ok_and(|reference| reference.registry() == host)
    };
    if !is_place(registry, registry) || !is_place(host, bare) {
        return Err(SHAPE);
    }
    Ok((registry.to_owned(), MirrorAddress { location: bare.to_owned(), insecure }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mirrors() {
        for (text, registry, location, insecure) in [
            ("mirror.example", "docker.io", "mirror.example", false),
            ("https://mirror.example/", "docker.io", "mirror.example", false),
            ("http://10.0.0.1:5000", "docker.io", "10.0.0.1:5000", true),
            ("ghcr.io=mirror.example:443/ghcr", "ghcr.io", "mirror.example:443/ghcr", false),
            ("localhost:5000=localhost:5001", "localhost:5000", "localhost:5001", false),
        ] {
            let want = (registry.to_owned(), MirrorAddress { location: location.to_owned(), insecure });
            assert_eq!(parse(text), Ok(want), "{text}");
        }
        for text in [
            "",
            "=",
            "x=",
            "a/b=mirror.example",
            "mirror",
            "ftp://mirror.example",
            "mirror.example/UP",
            "m.example?x",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }
}
