//! The registry client of this process, from its surroundings.

use crate::environment::Environment;
use crate::progress::Progress;
use registry_client::client::{Client, ClientOptions};
use registry_client::configuration::{ConfigurationFiles, ConfigurationSource, MirrorAddress};
use registry_client::credentials::Store;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;

/// What the machine and the command line say about registries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Registries {
    /// `registries.conf` and `certs.d`: where they are.
    pub files: ConfigurationFiles,
    /// `--registry-mirror`, by registry; they go before those of the files.
    pub mirrors: BTreeMap<String, Vec<MirrorAddress>>,
    /// `--insecure-registry`.
    pub insecure: BTreeSet<String>,
    /// `--registry-ca`: PEM texts.
    pub authorities: Vec<Vec<u8>>,
}

/// Where Docker and the containers tools keep this user's credentials.
fn credentials(environment: &Environment) -> Store {
    let helper_directories =
        environment.path.as_ref().map(|path| std::env::split_paths(path).collect()).unwrap_or_default();
    let text = environment.auth_text.clone();
    Store { helper_directories, text, ..Store::new(environment.auth_files.clone()) }
}

/// A client that finds credentials there. Cheap: nothing is read or connected before the first request.
pub fn client(environment: &Environment) -> Client {
    client_with(credentials(environment), environment)
}

/// Tells what registries want the user to read, and which mirrors were of no use.
pub fn tell_warnings(client: &Client, progress: &Progress) {
    for warning in client.take_warnings() {
        progress.warn(format!("{}: {}", warning.registry, warning.text));
    }
}

/// A client whose warnings are told when this is dropped: however the work with it ends.
#[derive(Debug)]
pub struct Telling {
    client: Client,
    progress: Progress,
}

impl Telling {
    /// Tells what `client` is warned of.
    pub fn new(client: Client, progress: &Progress) -> Self {
        Self { client, progress: progress.clone() }
    }
}

impl Deref for Telling {
    type Target = Client;

    fn deref(&self) -> &Client {
        &self.client
    }
}

impl Drop for Telling {
    fn drop(&mut self) {
        tell_warnings(&self.client, &self.progress);
    }
}

/// A client with other credentials.
pub fn client_with(credentials: Store, environment: &Environment) -> Client {
    let registries = &environment.registries;
    Client::new(ClientOptions {
        user_agent: concat!("slipway/", env!("CARGO_PKG_VERSION")).to_owned(),
        credentials,
        offline: environment.offline,
        configuration: ConfigurationSource::Files {
            files: registries.files.clone(),
            mirrors: registries.mirrors.clone(),
        },
        insecure_registries: registries.insecure.clone(),
        extra_ca_pem: registries.authorities.clone(),
        ..ClientOptions::default()
    })
}
