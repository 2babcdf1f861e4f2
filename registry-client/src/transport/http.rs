//! The HTTP clients. Making one costs 3 ms (it loads the system's certificates), so each is made at first use.

use super::{
    ClientOptions, Origin, origin,
    trust::{self, Trust},
};
use crate::configuration::{Configuration, HostCertificates};
use reqwest::{Client, ClientBuilder, redirect::Policy};
use rustls::crypto::CryptoProvider;
use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, PoisonError},
};

/// How TLS is done.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Tls {
    /// Not at all: no certificate is loaded, so that a machine without any can use a plain registry.
    None,
    /// Certificates are checked.
    Verified,
    /// Certificates are not checked.
    Unverified,
}

#[derive(Clone, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    tls: Tls,
    /// No proxy can reach the loopback addresses of this machine.
    proxied: bool,
    /// `host[:port]` of a server that has certificates of its own.
    host: Option<String>,
}

/// One client of each kind that was needed.
#[derive(Default)]
pub(super) struct HttpClients {
    made: Mutex<BTreeMap<Kind, Client>>,
    /// What `certs.d` has, by `host[:port]`.
    certificates: Mutex<BTreeMap<String, Option<Arc<HostCertificates>>>>,
}

impl HttpClients {
    /// The client for that server.
    pub(super) fn get(
        &self,
        server: &Origin,
        options: &ClientOptions,
        configuration: &Configuration,
    ) -> Result<Client, String> {
        let tls = match (server.url.scheme(), server.verified) {
            ("http", _) => Tls::None,
            (_, true) => Tls::Verified,
            (_, false) => Tls::Unverified,
        };
        let own = if tls == Tls::None { None } else { self.certificates(server, configuration)? };
        let host = own.as_ref().and_then(|_| host(server));
        let kind = Kind { tls, proxied: !origin::is_loopback(&server.url), host };
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = made.get(&kind) {
            return Ok(client.clone());
        }
        let client = make(&kind, options, own.as_deref())?;
        made.insert(kind, client.clone());
        Ok(client)
    }

    /// The certificates for this server alone; they are looked for once.
    fn certificates(
        &self,
        server: &Origin,
        configuration: &Configuration,
    ) -> Result<Option<Arc<HostCertificates>>, String> {
        let Some(host) = host(server) else { return Ok(None) };
        let mut known = self.certificates.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = known.get(&host) {
            return Ok(known.clone());
        }
        let found = configuration.certificates_of(&host).map_err(|error| error.to_string())?;
        let found = found.map(Arc::new);
        known.insert(host, found.clone());
        Ok(found)
    }
}

/// `host[:port]` as references name the server.
fn host(server: &Origin) -> Option<String> {
    let host = server.url.host_str()?;
    Some(match server.url.port() {
        Some(port) => format!("{host}:{port}"),
        None => host.to_owned(),
    })
}

fn make(kind: &Kind, options: &ClientOptions, own: Option<&HostCertificates>) -> Result<Client, String> {
    // The HTTP library wants one for plain HTTP, too.
    let provider = provider();
    let mut builder = Client::builder()
        .user_agent(&options.user_agent)
        .connect_timeout(options.connect_timeout)
        .redirect(Policy::none())
        // Retrying is done above, where the answer is known.
        .retry(reqwest::retry::never())
        .pool_max_idle_per_host(options.connections_per_registry.max(1) * 2);
    let host = kind.host.as_deref().unwrap_or_default();
    if !kind.proxied {
        builder = builder.no_proxy();
    }
    if kind.tls == Tls::None {
        return finish(builder.tls_certs_only([]));
    }
    let identity = match own.and_then(|own| own.identity.as_ref()) {
        Some(pem) => Some(
            trust::identity(pem, &provider)
                .map_err(|error| format!("in a certs.d directory of {host}: {error}"))?,
        ),
        None => None,
    };
    let mut given = Vec::new();
    for pem in &options.extra_ca_pem {
        let bundle = trust::certificates(pem);
        given.extend(bundle.ok_or("one of the extra CA files is no PEM file of certificates".to_owned())?);
    }
    for pem in own.map(|own| own.authorities.as_slice()).unwrap_or_default() {
        let bundle = trust::certificates(pem);
        given.extend(bundle.ok_or_else(|| {
            format!("in a certs.d directory of {host}: a *.crt file is no PEM file of certificates")
        })?);
    }
    builder = match (kind.tls, identity) {
        (Tls::Unverified, None) => builder.tls_danger_accept_invalid_certs(true),
        (tls, identity) => {
            let trusted = if tls == Tls::Unverified { Trust::Anyone } else { Trust::Given(given) };
            let configuration = trust::configuration(trusted, identity, provider);
            let configuration = configuration
                .map_err(|error| format!("{error}; is the package ca-certificates installed?"))?;
            builder.tls_backend_preconfigured(configuration)
        }
    };
    finish(builder)
}

/// The cryptography of this process, which the HTTP library takes, too.
fn provider() -> Arc<CryptoProvider> {
    if let Some(provider) = CryptoProvider::get_default() {
        return provider.clone();
    }
    // Another thread may be first, which is as good.
    let _ = rustls::crypto::ring::default_provider().install_default();
    CryptoProvider::get_default()
        .cloned()
        .unwrap_or_else(|| Arc::new(rustls::crypto::ring::default_provider()))
}

fn finish(builder: ClientBuilder) -> Result<Client, String> {
    builder.build().map_err(|error| {
        let mut text = error.to_string();
        let mut next: Option<&dyn std::error::Error> = std::error::Error::source(&error);
        while let Some(cause) = next {
            text = format!("{text}: {cause}");
            next = cause.source();
        }
        text
    })
}
