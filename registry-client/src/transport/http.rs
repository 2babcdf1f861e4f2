//! The HTTP clients. Making one costs 3 ms (it loads the system's certificates), so each is made at first use.

use super::{ClientOptions, Origin, origin};
use reqwest::{Certificate, Client, redirect::Policy};
use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
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

#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Kind {
    tls: Tls,
    /// No proxy can reach the loopback addresses of this machine.
    proxied: bool,
}

/// One client of each kind that was needed.
#[derive(Default)]
pub(super) struct HttpClients {
    made: Mutex<BTreeMap<Kind, Client>>,
}

impl HttpClients {
    /// The client for that server.
    pub(super) fn get(&self, server: &Origin, options: &ClientOptions) -> Result<Client, String> {
        let tls = match (server.url.scheme(), server.verified) {
            ("http", _) => Tls::None,
            (_, true) => Tls::Verified,
            (_, false) => Tls::Unverified,
        };
        let kind = Kind { tls, proxied: !origin::is_loopback(&server.url) };
        let mut made = self.made.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(client) = made.get(&kind) {
            return Ok(client.clone());
        }
        let client = make(kind, options)?;
        made.insert(kind, client.clone());
        Ok(client)
    }
}

fn make(kind: Kind, options: &ClientOptions) -> Result<Client, String> {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Another thread may be first, which is as good.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
    let mut builder = Client::builder()
        .user_agent(&options.user_agent)
        .connect_timeout(options.connect_timeout)
        .redirect(Policy::none())
        // Retrying is done above, where the answer is known.
        .retry(reqwest::retry::never())
        .pool_max_idle_per_host(options.connections_per_registry.max(1) * 2);
    if !kind.proxied {
        builder = builder.no_proxy();
    }
    builder = match kind.tls {
        Tls::None => builder.tls_certs_only([]),
        Tls::Unverified => builder.tls_danger_accept_invalid_certs(true),
        Tls::Verified => {
            let mut extra = Vec::new();
            for pem in &options.extra_ca_pem {
                let bundle = Certificate::from_pem_bundle(pem)
                    .map_err(|_| "one of the extra CA files is no PEM file of certificates".to_owned())?;
                extra.extend(bundle);
            }
            builder.tls_certs_merge(extra)
        }
    };
    builder.build().map_err(|error| {
        let mut text = error.to_string();
        let mut next: Option<&dyn std::error::Error> = std::error::Error::source(&error);
        while let Some(cause) = next {
            text = format!("{text}: {cause}");
            next = cause.source();
        }
        if kind.tls == Tls::Verified {
            format!("{text}; is the package ca-certificates installed?")
        } else {
            text
        }
    })
}
