//! Where a registry is: scheme, host and port.

use super::{
    Body, Call, Lane, Registry, Scopes, Target, Transport,
    error::{Asked, RequestError},
};
use reqwest::{Method, StatusCode, header::HeaderMap};
use std::{
    net::{Ipv4Addr, Ipv6Addr},
    sync::atomic::Ordering::Relaxed,
};
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

/// The origins a registry may be found at, the preferred first. `certified` if certificates were given that may be its.
fn candidates(registry: &str, insecure: bool, certified: bool) -> Vec<Origin> {
    let host = if registry == crate::reference::DEFAULT_REGISTRY { DOCKER_HUB } else { registry };
    let origin = |scheme: &str, verified| {
        Url::parse(&format!("{scheme}://{host}/")).ok().map(|url| Origin { url, verified })
    };
    let plain = origin("http", true);
    let loopback = plain.as_ref().is_some_and(|origin| is_loopback(&origin.url));
    let origins = match (loopback, insecure) {
        (true, false) if !certified => vec![plain],
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
        if let Some(Some(https)) = registry.https_instead.get() {
            return Ok(https);
        }
        registry.origin.get_or_try_init(|| self.find(registry, asked)).await
    }

    async fn find(&self, registry: &Registry, asked: &Asked) -> Result<Origin, RequestError> {
        let certified = registry.loopback && self.is_certified(registry, asked)?;
        let candidates = candidates(&registry.name, registry.insecure, certified);
        if let [origin] = &candidates[..] {
            return Ok(origin.clone());
        }
        let mut first_error = None;
        for origin in candidates {
            match self.probe(&origin, asked).await {
                // What a server of HTTPS says to whoever speaks plain HTTP to it. What it says to HTTPS is worth more.
                Ok(StatusCode::BAD_REQUEST) if origin.url.scheme() == "http" && first_error.is_some() => {}
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

    /// Whether certificates were given by which a registry of this machine may prove itself: nobody does that for one of
    /// plain HTTP.
    fn is_certified(&self, registry: &Registry, asked: &Asked) -> Result<bool, RequestError> {
        if !self.options.extra_ca_pem.is_empty() {
            return Ok(true);
        }
        let configuration = self
            .configuration()
            .map_err(|source| RequestError::Configuration { asked: asked.clone(), source: source.into() })?;
        let own = configuration
            .certificates_of(&registry.name)
            .map_err(|source| RequestError::Configuration { asked: asked.clone(), source: source.into() })?;
        Ok(own.is_some())
    }

    /// The status of an answer to the question whether a registry is there.
    async fn probe(&self, origin: &Origin, asked: &Asked) -> Result<StatusCode, RequestError> {
        let ping = origin
            .url
            .join("v2/")
            .map_err(|error| RequestError::Setup { asked: asked.clone(), why: error.to_string() })?;
        let call = Call {
            method: Method::GET,
            target: Target::Url(ping.clone()),
            headers: HeaderMap::new(),
            body: Body::Empty,
            scopes: Scopes::default(),
            asked: asked.clone(),
            lane: Lane::Request,
        };
        Ok(self.exchange(origin, Method::GET, ping, &call, None).await?.status())
    }

    /// Finds out whether a registry of this machine that was spoken to in plain HTTP is one of HTTPS; once, and only if
    /// what it said to the first request looks like that. `None` if it is not.
    ///
    /// # Errors
    /// If it is, and cannot be spoken to: its certificate is not trusted, say.
    pub(super) async fn https_instead<'a, T>(
        &self,
        registry: &'a Registry,
        origin: &Origin,
        asked: &Asked,
        answer: &Result<T, RequestError>,
    ) -> Result<Option<&'a Origin>, RequestError> {
        if !registry.loopback || origin.url.scheme() != "http" || registry.speaks_plain.load(Relaxed) {
            return Ok(None);
        }
        if !answer.as_ref().is_err_and(RequestError::may_be_of_https) {
            // Anything else was said by somebody who understood the question.
            let understood = !matches!(answer, Err(error) if error.is_of_connection());
            registry.speaks_plain.store(understood, Relaxed);
            return Ok(None);
        }
        let https = registry.https_instead.get_or_try_init(|| async {
            let mut url = origin.url.clone();
            if url.set_scheme("https").is_err() {
                return Ok(None);
            }
            let https = Origin { url, verified: true };
            match self.probe(&https, asked).await {
                Ok(_) => Ok(Some(https)),
                Err(error) if error.may_be_another_protocol() => Ok(None),
                Err(error) => Err(error),
            }
        });
        Ok(https.await?.as_ref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(registry: &str, insecure: bool, certified: bool) -> Vec<String> {
        candidates(registry, insecure, certified)
            .into_iter()
            .map(|origin| format!("{}{}", origin.url, if origin.verified { "" } else { " unverified" }))
            .collect()
    }

    #[test]
    fn where_registries_are() {
        for local in ["localhost:5000", "127.0.0.1:5000", "127.9.9.9:5000", "[::1]:5000"] {
            assert_eq!(shown(local, false, false), [format!("http://{local}/")]);
            assert_eq!(
                shown(local, true, false),
                [format!("https://{local}/ unverified"), format!("http://{local}/")]
            );
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
