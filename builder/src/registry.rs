//! The registry client of this process, from its surroundings.

use crate::environment::Environment;
use registry_client::client::{Client, ClientOptions};
use registry_client::credentials::Store;

/// Where Docker and the containers tools keep this user's credentials.
pub fn credentials(environment: &Environment) -> Store {
    let helper_directories =
        environment.path.as_ref().map(|path| std::env::split_paths(path).collect()).unwrap_or_default();
    Store { helper_directories, ..Store::new(environment.auth_files.clone()) }
}

/// A client that finds credentials there. Cheap: nothing is read or connected before the first request.
pub fn client(environment: &Environment) -> Client {
    client_with(credentials(environment))
}

/// A client with other credentials.
pub fn client_with(credentials: Store) -> Client {
    Client::new(ClientOptions {
        user_agent: concat!("slipway/", env!("CARGO_PKG_VERSION")).to_owned(),
        credentials,
        ..ClientOptions::default()
    })
}
