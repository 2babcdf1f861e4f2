//! Registries as the verbs see them.

use super::failure::UsageError;
use registry_client::reference::{DEFAULT_REGISTRY, Reference};
use std::future::Future;
use std::io;

/// The registry that is meant by what people write after `login`: a host with or without a port, or its URL.
///
/// # Errors
/// When it is neither.
pub fn registry_name(text: &str) -> Result<String, UsageError> {
    let host = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://")).unwrap_or(text);
    // Docker Hub goes by the address of its first protocol, path and all.
    let host = host.split('/').next().unwrap_or_default();
    if matches!(host, DEFAULT_REGISTRY | "index.docker.io" | "registry-1.docker.io") {
        return Ok(DEFAULT_REGISTRY.to_owned());
    }
    match format!("{host}/x").parse::<Reference>() {
        Ok(reference) if reference.registry() == host => Ok(host.to_owned()),
        _ => Err(UsageError::Registry(text.to_owned())),
    }
}

/// Runs a conversation with a registry to its end. One thread does: most of it is waiting.
///
/// # Errors
/// When there is no runtime to be had.
pub fn block_on<F: Future>(future: F) -> io::Result<F::Output> {
    Ok(tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(future))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn registry_names() {
        for (text, want) in [
            ("docker.io", "docker.io"),
            ("https://index.docker.io/v1/", "docker.io"),
            ("localhost:5000", "localhost:5000"),
            ("http://registry.example.org:5000/", "registry.example.org:5000"),
            ("[::1]:5000", "[::1]:5000"),
        ] {
            assert_eq!(registry_name(text).unwrap(), want, "{text}");
        }
        for text in ["", "team", "host name:5000", "host:port"] {
            assert_eq!(
                registry_name(text).unwrap_err().to_string(),
                format!("{text:?} is no registry; write its host name, with a port or without"),
                "{text}"
            );
        }
    }
}
