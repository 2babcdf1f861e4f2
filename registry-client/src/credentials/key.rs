//! The keys of credential files: registries, or repositories in them, in several spellings.

use crate::reference::DEFAULT_REGISTRY;

/// What docker's tools call their registry in credential files.
const DOCKER_KEY: &str = "https://index.docker.io/v1/";

/// The key under which credentials of a registry are kept.
pub(super) fn canonical(registry: &str) -> String {
    if registry == DEFAULT_REGISTRY { DOCKER_KEY.to_owned() } else { registry.to_owned() }
}

/// How well `key` fits a registry, or a repository in it: more is better, `None` is not at all.
///
/// `host` and `https://host/v1/` fit all of a registry; `host/namespace` fits what is below it (containers' auth.json).
pub(super) fn fit(key: &str, registry: &str, repository: Option<&str>) -> Option<usize> {
    let bare = key.strip_prefix("https://").or_else(|| key.strip_prefix("http://"));
    let with_scheme = bare.is_some();
    let bare = bare.unwrap_or(key);
    let (host, path) = bare.split_once('/').unwrap_or((bare, ""));
    let alias = |host: &str| matches!(host, "index.docker.io" | "registry-1.docker.io");
    let host_fits = host == registry || registry == DEFAULT_REGISTRY && alias(host);
    if !host_fits {
        return None;
    }
    let path = path.trim_end_matches('/');
    if path.is_empty() || with_scheme || matches!(path, "v1" | "v2") {
        // The exact spelling goes before the old ones.
        return Some(if key == registry || key == canonical(registry) { 2 } else { 1 });
    }
    let below = repository?.strip_prefix(path)?;
    (below.is_empty() || below.starts_with('/')).then_some(2 + path.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fits() {
        for (key, registry, repository, want) in [
            ("ghcr.io", "ghcr.io", Some("a/b"), true),
            ("https://ghcr.io", "ghcr.io", None, true),
            ("https://ghcr.io/v2/", "ghcr.io", None, true),
            ("http://localhost:5000", "localhost:5000", None, true),
            ("localhost", "localhost:5000", None, false),
            ("https://index.docker.io/v1/", "docker.io", None, true),
            ("docker.io", "docker.io", None, true),
            ("index.docker.io", "docker.io", None, true),
            ("ghcr.io/a", "ghcr.io", Some("a/b"), true),
            ("ghcr.io/a/b", "ghcr.io", Some("a/b"), true),
            ("ghcr.io/a", "ghcr.io", Some("ab"), false),
            ("ghcr.io/a", "ghcr.io", None, false),
            ("evil-ghcr.io", "ghcr.io", None, false),
            ("ghcr.io.evil", "ghcr.io", None, false),
        ] {
            assert_eq!(fit(key, registry, repository).is_some(), want, "{key} for {registry}");
        }
        let best = |keys: &[&'static str]| {
            *keys.iter().max_by_key(|key| fit(key, "ghcr.io", Some("a/b/c"))).unwrap()
        };
        assert_eq!(
            best(&["https://ghcr.io", "ghcr.io/a", "ghcr.io/a/b", "ghcr.io", "ghcr.io/x"]),
            "ghcr.io/a/b"
        );
        assert_eq!(best(&["https://ghcr.io/v1/", "ghcr.io"]), "ghcr.io");
    }
}
