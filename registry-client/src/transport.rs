//! The one module that opens sockets: requests, authorisation, redirects, retries, limits.

pub(crate) mod advice;
pub(crate) mod error;
pub(crate) mod limits;
pub(crate) mod retry;

mod authorize;
mod budget;
mod call;
mod exchange;
mod faults;
mod gate;
mod http;
mod origin;
mod registry;
pub(crate) mod secrets;
mod sending;
mod token;
mod trust;
pub(crate) mod warning;

pub(crate) use authorize::{Scope, Scopes};
pub(crate) use call::{Answer, Body, Call, Lane, Permit, Target, chunk as next_chunk};
pub(crate) use origin::{Origin, same as same_origin};
pub(crate) use registry::Registry;

use crate::{
    configuration::{Configuration, ConfigurationError, ConfigurationSource},
    credentials,
};
use budget::Budget;
use http::HttpClients;
use retry::RetryPolicy;
use secrets::Secrets;
use std::{
    collections::{BTreeMap, BTreeSet},
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};
use url::Url;
use warning::Warnings;

/// How a [`crate::Client`] behaves.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// The `User-Agent` header.
    pub user_agent: String,
    /// Where credentials come from.
    pub credentials: credentials::Store,
    /// Nothing is asked of anybody: every request is [`RequestError::Offline`].
    pub offline: bool,
    /// Registries (`host` or `host:port`) that are reached by HTTPS without checking the certificate, and by plain HTTP
    /// where there is no HTTPS.
    pub insecure_registries: BTreeSet<String>,
    /// Mirrors, blocked names, certificates.
    pub configuration: ConfigurationSource,
    /// CA certificates to trust beside those of the system: PEM files, each of one or more certificates.
    pub extra_ca_pem: Vec<Vec<u8>>,
    /// How long making a connection may take.
    pub connect_timeout: Duration,
    /// How long the server may be silent, or take no bytes.
    pub idle_timeout: Duration,
    /// How long a request may take in all, retries included: a manifest, a look-up. Blobs take what they take, as long as they
    /// move.
    pub total_timeout: Duration,
    /// What is retried, and when.
    pub retry: RetryPolicy,
    /// Blobs that are pulled from one registry at once; as many may be pushed at once beside them, and as many small
    /// requests may run.
    pub connections_per_registry: usize,
    /// When a blob is pulled over several connections.
    pub ranges: RangePolicy,
    /// The largest manifest that is read, in bytes. Registries must take 4 MiB (distribution-spec, "Pushing Manifests").
    pub manifest_limit: usize,
}

impl Default for ClientOptions {
    fn default() -> Self {
        Self {
            user_agent: concat!("registry-client/", env!("CARGO_PKG_VERSION")).to_owned(),
            credentials: credentials::Store::default(),
            offline: false,
            insecure_registries: BTreeSet::new(),
            configuration: ConfigurationSource::default(),
            extra_ca_pem: Vec::new(),
            connect_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_secs(60),
            total_timeout: Duration::from_secs(15 * 60),
            retry: RetryPolicy::default(),
            connections_per_registry: 4,
            ranges: RangePolicy::default(),
            manifest_limit: 4 << 20,
        }
    }
}

/// When a blob is pulled by ranges over several connections: those of [`ClientOptions::connections_per_registry`] that no
/// other blob wants. What came ahead of its turn waits in memory, so that is at most `connections_per_registry` parts of a
/// registry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RangePolicy {
    /// Blobs of at least so many bytes; smaller ones, and those of servers that take no ranges, come in one answer.
    pub from: u64,
    /// Bytes of a part.
    pub part: u64,
    /// Also from registries of this machine, where one connection is as fast as many.
    pub loopback: bool,
}

impl Default for RangePolicy {
    fn default() -> Self {
        // With all parts of four connections in memory a program stays below 48 MiB.
        Self { from: 32 << 20, part: 2 << 20, loopback: false }
    }
}

/// What all requests of a client share.
pub(crate) struct Transport {
    pub(crate) options: ClientOptions,
    pub(crate) warnings: Arc<Warnings>,
    secrets: Arc<Secrets>,
    /// By the name of the server.
    budgets: Arc<Mutex<BTreeMap<String, Arc<Budget>>>>,
    http: HttpClients,
    configuration: OnceLock<Configuration>,
    registries: Mutex<BTreeMap<(String, bool), Arc<Registry>>>,
}

impl Transport {
    pub(crate) fn new(options: ClientOptions) -> Self {
        let secrets: Arc<Secrets> = Arc::default();
        Self {
            options,
            warnings: Arc::new(Warnings::new(secrets.clone())),
            secrets,
            budgets: Arc::default(),
            http: HttpClients::default(),
            configuration: OnceLock::new(),
            registries: Mutex::default(),
        }
    }

    /// One with other options, which asks no server for more than both may together.
    pub(crate) fn beside(&self, options: ClientOptions) -> Self {
        Self {
            warnings: self.warnings.clone(),
            secrets: self.secrets.clone(),
            budgets: self.budgets.clone(),
            ..Self::new(options)
        }
    }

    /// What the files about registries say.
    pub(crate) fn configuration(&self) -> Result<&Configuration, ConfigurationError> {
        if let Some(configuration) = self.configuration.get() {
            return Ok(configuration);
        }
        // When two read it at once, the first one's is kept; they are the same.
        let configuration = self.options.configuration.load()?;
        for (path, key) in &configuration.unknown_keys {
            self.warnings.add(
                &path.display().to_string(),
                &format!("the key {key:?} is not known, and has no effect"),
            );
        }
        Ok(self.configuration.get_or_init(|| configuration))
    }

    /// What is known of the server of a URL, which need not be a registry: how much may run there at once, and when.
    pub(crate) fn server(&self, url: &Url) -> Arc<Registry> {
        let host = url.host_str().unwrap_or_default();
        match url.port() {
            Some(port) => self.registry(&format!("{host}:{port}"), false),
            None => self.registry(host, false),
        }
    }

    /// Where credentials are kept.
    pub(crate) fn credentials(&self) -> Result<credentials::Store, ConfigurationError> {
        let mut store = self.options.credentials.clone();
        if let Some(keepers) = &self.configuration()?.keepers {
            store.keepers.clone_from(keepers);
        }
        Ok(store)
    }

    /// What is known of the registry of that name; `insecure` if the configuration says it is, as the options may.
    pub(crate) fn registry(&self, name: &str, insecure: bool) -> Arc<Registry> {
        let insecure = insecure || self.options.insecure_registries.contains(name);
        let mut registries = self.registries.lock().unwrap_or_else(PoisonError::into_inner);
        let registry = registries
            .entry((name.to_owned(), insecure))
            .or_insert_with(|| Arc::new(Registry::new(name, insecure, self.budget(name))));
        registry.clone()
    }

    fn budget(&self, name: &str) -> Arc<Budget> {
        let mut budgets = self.budgets.lock().unwrap_or_else(PoisonError::into_inner);
        let budget = budgets
            .entry(name.to_owned())
            .or_insert_with(|| Arc::new(Budget::new(self.options.connections_per_registry)));
        budget.clone()
    }
}

#[cfg(test)]
mod tests;
