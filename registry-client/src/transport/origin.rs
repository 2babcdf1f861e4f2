//! Where a registry is: scheme, host and port.

use super::{
    Body, Call, Lane, Registry, Scopes, Target, Transport,
    error::{Asked, RequestError},
};
use reqwest::{Method, header::HeaderMap};
use std::net::{Ipv4Addr, Ipv6Addr};
use url::{Host, Url};

/// The registry that `docker.io` is served by; the name itself serves web pages.
const DOCKER_HUB: &str = "registry-1.docker.io";

/// Scheme, host and port of a server, and whether its certificate is checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Origin {
    /// The root of the server.
    pub(crate) url: Url,
    /// Whether its certificate is checked, where it has one.
    pub(crate) verified: bool,
}

/// The origins a registry may be found at, the preferred first.
fn candidates(registry: &str, insecure: bool, loopback_https_first: bool) -> Vec<Origin> {
    let host = if registry == crate::reference::DEFAULT_REGISTRY { DOCKER_HUB } else { registry };
    let origin = |scheme: &str, verified| {
        Url::parse(&format!("{scheme}://{host}/")).ok().map(|url| Origin { url, verified })
    };
    let plain = origin("http", true);
    let loopback = plain.as_ref().is_some_and(|origin| is_loopback(&origin.url));
    let origins = match (loopback, insecure) {
        (true, _) if !loopback_https_first => vec![plain],
        (true, _) | (_, true) => vec![origin("https", !insecure), plain],
        (false, false) => vec![origin("https", true)],
    };
    origins.into_iter().flatten().collect()
}

/// Whether the host is this machine: `localhost`, 127.0.0.0/8, `::1`.
pub(crate) fn is_loopback(url: &Url) -> bool {
    match url.host() {
        Some(Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(Host::Ipv4(address)) => Ipv4Addr::is_loopback(&address),
        Some(Host::Ipv6(address)) => Ipv6Addr::is_loopback(&address),
        None => false,
    }
}

/// Whether what was meant for `from` may be shown to `to`: same scheme, host and port.
pub(crate) fn same(from: &Url, to: &Url) -> bool {
    from.scheme() == to.scheme()
        && from.host() == to.host()
        && from.port_or_known_default() == to.port_or_known_default()
}

impl Transport {
    /// Where a registry is; where that is not certain, what answers is taken.
    pub(super) async fn origin<'a>(
        &self,
        registry: &'a Registry,
        asked: &Asked,
    ) -> Result<&'a Origin, RequestError> {
        registry.origin.get_or_try_init(|| self.find(registry, asked)).await
    }

    async fn find(&self, registry: &Registry, asked: &Asked) -> Result<Origin, RequestError> {
        let candidates = candidates(&registry.name, registry.insecure, self.options.loopback_https_first);
        if let [origin] = &candidates[..] {
            return Ok(origin.clone());
        }
        let mut first_error = None;
        for origin in candidates {
            let Ok(ping) = origin.url.join("v2/") else { continue };
            let probe = Call {
                method: Method::GET,
                target: Target::Url(ping.clone()),
                headers: HeaderMap::new(),
                body: Body::Empty,
                scopes: Scopes::default(),
                asked: asked.clone(),
                lane: Lane::Request,
            };
            match self.exchange(&origin, Method::GET, ping, &probe, None).await {
                Ok(_) => return Ok(origin),
                Err(error) if !error.may_be_another_protocol() => return Err(error),
                Err(error) => first_error = first_error.or(Some(error)),
            }
        }
        Err(first_error.unwrap_or_else(|| RequestError::Setup {
            asked: asked.clone(),
            why: format!("{:?} is no host of a URL", registry.name),
        }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(registry: &str, insecure: bool, https_first: bool) -> Vec<String> {
        candidates(registry, insecure, https_first)
            .into_iter()
            .map(|origin| format!("{}{}", origin.url, if origin.verified { "" } else { " unverified" }))
            .collect()
    }

    #[test]
    fn where_registries_are() {
        for local in ["localhost:5000", "127.0.0.1:5000", "127.9.9.9:5000", "[::1]:5000"] {
            assert_eq!(shown(local, false, false), [format!("http://{local}/")]);
            assert_eq!(shown(local, true, false), [format!("http://{local}/")]);
            assert_eq!(shown(local, false, true), [format!("https://{local}/"), format!("http://{local}/")]);
        }
        assert_eq!(shown("docker.io", false, false), ["https://registry-1.docker.io/"]);
        assert_eq!(shown("ghcr.io", false, true), ["https://ghcr.io/"]);
        assert_eq!(shown("10.0.0.1:5000", false, false), ["https://10.0.0.1:5000/"]);
        assert_eq!(
            shown("10.0.0.1:5000", true, false),
            ["https://10.0.0.1:5000/ unverified", "http://10.0.0.1:5000/"]
        );
        assert_eq!(shown("localhost.example.com", false, false), ["https://localhost.example.com/"]);
    }

    #[test]
    fn sameness() {
        let url = |text: &str| Url::parse(text).unwrap();
        assert!(same(&url("https://a/x"), &url("https://a:443/y?z")));
        for other in ["http://a/", "https://a:444/", "https://b/", "https://a.b/"] {
            assert!(!same(&url("https://a/"), &url(other)), "{other}");
        }
    }
}
